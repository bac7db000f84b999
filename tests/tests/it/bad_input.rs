//! Invalid input, and the error that it gets. After each the server and another connection still work.

use aaw_server::{Config, Events, Server};
use aaw_tests::raw::{self, RawConnection};
use aaw_tests::{LogCapture, TestServer, WireClient};
use tokio_tungstenite::tungstenite::Message;

/// Sends an invalid frame in both dialects, and checks that v1 receives this error, classic nothing, and that the
/// connections still work.
async fn check_bad_frame(text: &str, error: &str) {
    check_bad_message(Message::text(text), error).await;
}

async fn check_bad_message(message: Message, error: &str) {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    let mut other = server.v1().await;

    let mut v1 = server.v1().await;
    v1.send_message(message.clone()).await;
    let error = serde_json::Value::from(error);
    v1.expect(&format!(r#"["aaw/error",{{"error":{error},"code":"bad_frame"}}]"#)).await;
    v1.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);

    let mut classic = server.classic().await;
    classic.send_message(message).await;
    classic.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);

    server.expect_alive(&mut other).await;
    log.expect_line(&["WARN", "bad frame", &v1.connection]);
}

// --- Malformed frames ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn invalid_json_is_rejected() {
    check_bad_frame("hello", "not JSON: expected value at line 1 column 1").await;
    check_bad_frame("", "not JSON: EOF while parsing a value at line 1 column 0").await;
    check_bad_frame(r#"["ping",nul]"#, "not JSON: expected ident at line 1 column 12").await;
    check_bad_frame(r#"["ping",1"#, "not JSON: EOF while parsing a list at line 1 column 9").await;
    check_bad_frame(r#"["ping",1] x"#, "not JSON: trailing characters at line 1 column 12").await;
}

#[tokio::test]
async fn a_frame_that_is_not_an_array_is_rejected() {
    let expected = "expected a JSON array [event, data, id, kind, meta], found";
    check_bad_frame("{}", &format!("{expected} an object")).await;
    check_bad_frame("null", &format!("{expected} null")).await;
    check_bad_frame("7", &format!("{expected} a number")).await;
    check_bad_frame(r#""ping""#, &format!("{expected} a string")).await;
}

#[tokio::test]
async fn an_event_that_is_missing_or_not_a_string_is_rejected() {
    check_bad_frame("[]", "an empty array; expected [event, data, …]").await;
    for event in ["null", "7", "{}", "[\"ping\"]", "true"] {
        let error = format!("the event (element 1) must be a string, found {event}");
        check_bad_frame(&format!("[{event},1]"), &error).await;
    }
}

#[tokio::test]
async fn an_id_that_is_neither_a_string_nor_a_number_is_rejected() {
    for id in ["{}", "[1]", "true"] {
        let error = format!("the id (element 3) must be a string or a number, found {id}");
        check_bad_frame(&format!(r#"["ping",null,{id}]"#), &error).await;
    }
}

#[tokio::test]
async fn an_unknown_kind_is_rejected() {
    let known = "(element 4); expected call, error, item, end, credit or cancel";
    check_bad_frame(r#"["ping",null,1,"shout"]"#, &format!("unknown kind \"shout\" {known}")).await;
    check_bad_frame(r#"["ping",null,1,7]"#, &format!("unknown kind 7 {known}")).await;
}

#[tokio::test]
async fn too_many_elements_and_a_meta_that_is_not_an_object_are_rejected() {
    let error = "more than 5 elements; expected [event, data, id, kind, meta]";
    check_bad_frame(r#"["ping",null,1,"call",{},6]"#, error).await;
    check_bad_frame(r#"["ping",null,1,"call",[]]"#, "bad meta (element 5): expected an object, found an array").await;
}

#[tokio::test]
async fn a_binary_message_is_rejected() {
    check_bad_message(Message::binary(&b"[\"ping\",null,1]"[..]), "a binary message; expected text").await;
}

#[tokio::test]
async fn a_frame_nested_a_hundred_thousand_deep_is_rejected() {
    let open = "[".repeat(100_000);
    let closed = format!("{open}{}", "]".repeat(100_000));
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    for text in [&open, &closed] {
        let mut v1 = server.v1().await;
        v1.send(text).await;
        let received = v1.next().await;
        assert!(received.starts_with(r#"["aaw/error",{"error":"#) && received.contains("bad_frame"), "{received}");
        v1.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        server.expect_alive(&mut other).await;
    }
}

#[tokio::test]
async fn a_body_nested_a_hundred_thousand_deep_does_not_break_the_server() {
    let open = "[".repeat(100_000);
    let closed = format!("{open}{}", "]".repeat(100_000));
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    // Handlers that parse the body, return it unparsed, or take none, and an unknown event.
    for event in ["body", "echo", "ignore", "nope"] {
        for body in [&open, &closed] {
            let mut v1 = server.v1().await;
            v1.send(&format!("[\"{event}\",{body},1]")).await;
            let received = v1.next().await;
            // A response to the call or, for invalid JSON, an error for the frame.
            assert!(
                received.starts_with(&format!("[\"{event}\",")) || received.contains("bad_frame"),
                "{event}: {received}"
            );
            let next_id = if received.contains("bad_frame") { 1 } else { 2 };
            v1.exchange(&format!("[\"echo\",7,{next_id}]"), &format!("[\"echo\",7,{next_id}]")).await;

            let mut classic = server.classic().await;
            classic.send(&format!("[\"{event}\",{body}]")).await;
            classic.send(r#"["ping",null,"after"]"#).await;
            classic.collect_until(|text| text == r#"["ping",{"pong":true},"after"]"#).await;
        }
        server.expect_alive(&mut other).await;
    }
}

// --- Rules of v1 -----------------------------------------------------------------------------------------------------

/// Sends an invalid v1 frame after a call with id 1, and checks its error and that the next id is still 2.
async fn check_rejected(text: &str, error: &str) {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    let error = serde_json::Value::from(error);
    client.exchange(text, &format!(r#"["aaw/error",{{"error":{error},"code":"bad_frame"}}]"#)).await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

#[tokio::test]
async fn an_id_that_is_not_the_next_one_is_rejected() {
    check_rejected(r#"["ping",null,1]"#, "id 1 for a call; the next is 2").await;
    check_rejected(r#"["ping",null,3]"#, "id 3 for a call; the next is 2").await;
    check_rejected(r#"["ping",null,9223372036854775807]"#, "id 9223372036854775807 for a call; the next is 2").await;
}

#[tokio::test]
async fn the_id_of_a_running_call_starts_no_second_call() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    client.send(r#"["note","twice",1]"#).await;
    assert!(client.next().await.contains("id 1 for a call; the next is 2"));
    client.send(r#"["gate/release",{"gate":"x"}]"#).await;
    client.expect(r#"["gate/hold",{"held":"x"},1]"#).await;
    client.exchange(r#"["notes",null,2]"#, r#"["notes",[],2]"#).await;
}

#[tokio::test]
async fn ids_that_a_client_cannot_use_are_rejected() {
    for id in ["0", "1.5", "\"a\"", "9223372036854775808", "1e1"] {
        let error = format!("the id (element 3) must be an integer other than 0, found {id}");
        check_rejected(&format!(r#"["ping",null,{id}]"#), &error).await;
    }
    check_rejected(r#"["ping",null,-1]"#, "a response with id -1 to a client call that was never made").await;
    check_rejected(r#"["ping",null,-1,"call"]"#, "id -1 for a call; a client's ids are 1, 2, 3 and so on").await;
}

#[tokio::test]
async fn frames_for_a_call_that_does_not_exist_are_rejected() {
    check_rejected(r#"["ping",null,null,"cancel"]"#, "kind \"cancel\" without an id (element 3)").await;
    check_rejected(r#"["ping",null,7,"cancel"]"#, "id 7 belongs to no call; the last id was 1").await;
    check_rejected(r#"["ping",1,7,"credit"]"#, "id 7 belongs to no call; the last id was 1").await;
    check_rejected(r#"["ping",1,7,"item"]"#, "id 7 belongs to no call; the last id was 1").await;
    check_rejected(r#"["ping",1,7,"end"]"#, "id 7 belongs to no call; the last id was 1").await;
    check_rejected(r#"["ping",1,1,"error"]"#, "a response with id 1 to a client call that was never made").await;
}

#[tokio::test]
async fn late_frames_for_a_finished_call_are_ignored() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    let late = [
        r#"["ping",null,1,"cancel"]"#,
        r#"["ping",5,1,"credit"]"#,
        r#"["ping",5,1,"item"]"#,
        r#"["ping",null,1,"end"]"#,
        r#"["aaw/ack",{"low":2,"pushes":0}]"#,
    ];
    for late in late {
        client.send(late).await;
        client.expect_nothing().await;
    }
    client.exchange(r#"["aaw/ping"]"#, r#"["aaw/pong",null]"#).await;
}

#[tokio::test]
async fn an_invalid_meta_fails_its_call_and_uses_up_the_id() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["ping",null,1,"call",{"timeout":"soon"}]"#).await;
    let received = client.next().await;
    assert!(
        received.starts_with(r#"["ping",{"error":"bad meta (element 5): invalid type: string \"soon\", expected u64"#),
        "{received}"
    );
    assert!(received.ends_with(r#","code":"bad_frame"},1,"error"]"#), "{received}");
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

#[tokio::test]
async fn a_call_before_the_hello_and_a_second_hello_are_rejected() {
    let server = TestServer::start().await;
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    let first = r#"["aaw/error",{"error":"the first frame must be [\"aaw/hello\", {…}]","code":"bad_frame"}]"#;
    client.exchange(r#"["ping",null,1]"#, first).await;
    client.exchange(r#"["note",1]"#, first).await;
    let object = r#"["aaw/error",{"error":"the body of aaw/hello must be an object","code":"bad_frame"}]"#;
    client.exchange(r#"["aaw/hello"]"#, object).await;
    client.send(r#"["aaw/hello",{"what":"ever"}]"#).await;
    assert!(client.next().await.starts_with(r#"["aaw/welcome","#));
    let second = r#"["aaw/error",{"error":"a second aaw/hello","code":"bad_frame"}]"#;
    client.exchange(r#"["aaw/hello",{}]"#, second).await;
    client.exchange(r#"["notes",null,1]"#, r#"["notes",[],1]"#).await;
}

#[tokio::test]
async fn v1_frames_are_rejected_in_the_classic_dialect() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    // In the classic dialect a frame with a kind is malformed: it must not run the handler.
    client.send(r#"["note","again",7,"cancel"]"#).await;
    client.call("notes", "{}").await.assert_eq("[]");
    client.exchange(r#"["aaw/hello",{}]"#, r#"["aaw/hello",{"error":"Unknown event: aaw/hello"}]"#).await;
}

#[tokio::test]
async fn a_classic_id_that_is_too_long_is_rejected() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    client.send(&format!(r#"["note","long",{:?}]"#, "x".repeat(300))).await;
    client.call("notes", "{}").await.assert_eq("[]");
}

// --- Bodies that are split off before they are parsed ----------------------------------------------------------------

#[tokio::test]
async fn a_body_of_invalid_json_is_a_bad_frame_and_does_not_use_up_the_id() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    // The frame has the shape of a call, so only parsing the body reveals the error.
    for event in ["body", "echo", "typed", "ignore", "ping", "nothing", "sleepy", "note", "nope", "auth/secret"] {
        for body in ["nul", "{]", "1 2", "\"", "{\"a\":1", "", "'a'", "1,\"cancel\"", "1,2,3,4,5"] {
            let mut client = server.v1().await;
            client.send(&format!("[\"{event}\",{body},1]")).await;
            let received = client.next().await;
            assert!(
                received.starts_with(r#"["aaw/error",{"error":""#) && received.contains("bad_frame"),
                "{event} {body}: {received}"
            );
            client.exchange(r#"["echo",7,1]"#, r#"["echo",7,1]"#).await;

            let mut client = server.classic().await;
            client.send(&format!("[\"{event}\",{body},1]")).await;
            client.exchange(r#"["echo",7,1]"#, r#"["echo",7,1]"#).await;
        }
    }
    other.call("notes", "{}").await.assert_eq("[]");
    server.expect_alive(&mut other).await;
}

// --- RFC 6455 --------------------------------------------------------------------------------------------------------

/// Sends bytes that violate the protocol, and checks that the client receives a close frame with this code.
async fn check_closes(bytes: &[u8], code: u16) {
    for protocols in ["_key", "aaw.v1"] {
        let server = TestServer::start().await;
        let mut other = server.classic().await;
        let mut client = RawConnection::websocket(server.addr, Some(protocols)).await;
        client.send(bytes).await;
        client.expect_close(code).await;
        server.expect_alive(&mut other).await;
        assert_eq!(server.handle.connections(), 1, "the closed connection is still registered");
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_closes_with_1007() {
    check_closes(&raw::masked(raw::TEXT, b"[\"ping\",\"\xFF\"]"), 1007).await;
    check_closes(&raw::masked(raw::TEXT, b"[\"ping\",\"\xC3"), 1007).await;
}

#[tokio::test]
async fn broken_framing_closes_with_1002() {
    check_closes(&raw::masked(raw::TEXT | 0x40, b"[]"), 1002).await;
    check_closes(&raw::masked(0x83, b"[]"), 1002).await;
    check_closes(&raw::masked(0x8B, b""), 1002).await;
    check_closes(&raw::unmasked(raw::TEXT, b"[\"ping\"]"), 1002).await;
    // A continuation without a message, a message within a message, a fragmented ping, and a ping that is too long.
    check_closes(&raw::masked(0x80, b"[]"), 1002).await;
    check_closes(&[raw::masked(0x01, b"["), raw::masked(raw::TEXT, b"[]")].concat(), 1002).await;
    check_closes(&raw::masked(0x09, b""), 1002).await;
    check_closes(&raw::masked(raw::PING, &[0; 126]), 1002).await;
}

#[tokio::test]
async fn a_client_that_keeps_sending_still_receives_the_close_frame() {
    let server = TestServer::start().await;
    let mut other = server.classic().await;
    let mut client = RawConnection::websocket(server.addr, None).await;
    let mut bytes = raw::unmasked(raw::TEXT, b"[\"ping\"]");
    bytes.extend(std::iter::repeat_n(b'x', 4 << 20));
    client.try_send(&bytes).await;
    client.finish().await;
    client.expect_close(1002).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_message_of_80_mebibytes_closes_with_1009() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let text = format!(r#"["echo",{:?},1]"#, "x".repeat(80 << 20));

    // The client sends everything before it reads.
    let mut client = RawConnection::websocket(server.addr, None).await;
    client.try_send(&raw::masked(raw::TEXT, text.as_bytes())).await;
    client.finish().await;
    client.expect_close(1009).await;

    // With a WebSocket library.
    let mut client = server.v1().await;
    client.try_send(Message::text(text)).await;
    client.expect_close(1009).await;

    // In many frames, each below the limit.
    let mut client = RawConnection::websocket(server.addr, None).await;
    let mut bytes = raw::masked(0x01, &[b' '; 65_536]);
    (0..32).for_each(|_| bytes.extend(raw::masked(0x00, &[b' '; 65_536])));
    client.try_send(&bytes).await;
    client.finish().await;
    client.expect_close(1009).await;

    // Only the header that announces the size.
    let mut client = RawConnection::websocket(server.addr, None).await;
    client.send(&raw::frame_header(raw::TEXT, 80 << 20, 0x80)).await;
    client.send(&[0; 4]).await;
    client.expect_close(1009).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_frame_closes_the_connection() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let mut client = RawConnection::websocket(server.addr, None).await;
    client.send(&raw::masked(raw::TEXT, b"[\"ping\",1]")[..7]).await;
    client.finish().await;
    client.expect_end().await;
    server.expect_alive(&mut other).await;
    assert_eq!(server.handle.connections(), 1);
}

// --- Names of events -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn unusual_names_are_unknown_events() {
    let server = TestServer::start().await;
    for name in [
        "",
        "constructor",
        "__proto__",
        "toString",
        "../ping",
        "./ping",
        "/ping",
        "ping/",
        "users/../ping",
        "PING",
        "ping ",
        "ping.rs",
        "_services",
        "lib",
        "users\\get",
        "aaw/login",
        "aaw/hello ",
        "aaw",
        "ping\u{0}",
        "pïng",
    ] {
        let json = serde_json::Value::from(name);
        let text = serde_json::Value::from(format!("Unknown event: {name}"));
        let mut v1 = server.v1().await;
        // Some of them are similar to an event, whose name is in the data of the error.
        let failure = v1.call(name, "null").await.value();
        assert_eq!((&failure["error"], &failure["code"]), (&text, &"unknown_event".into()));
        let mut classic = server.classic().await;
        classic.exchange(&format!("[{json},null]"), &format!(r#"[{json},{{"error":{text}}}]"#)).await;
        server.expect_alive(&mut v1).await;
    }
}

#[tokio::test]
async fn a_name_of_a_megabyte_is_shortened_in_errors_and_records() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let name = "n".repeat((1 << 20) - 100);
    let short = format!("{}…", "n".repeat(200));
    let mut v1 = server.v1().await;
    let failure = format!(r#"{{"error":"Unknown event: {short}","code":"unknown_event"}}"#);
    v1.exchange(&format!("[\"{name}\",null,1]"), &format!("[\"{short}\",{failure},1,\"error\"]")).await;
    v1.send(&format!("[\"{name}\",null]")).await;
    let received = v1.next().await;
    assert!(received.starts_with(r#"["aaw/error","#) && received.len() < 1000, "{}", aaw_tests::truncated(&received));
    let mut classic = server.classic().await;
    classic
        .exchange(&format!("[\"{name}\",null]"), &format!(r#"["{short}",{{"error":"Unknown event: {short}"}}]"#))
        .await;
    server.expect_alive(&mut other).await;
    // The call records do not contain the closed name either.
    let records = server.calls.all();
    assert!(records.iter().all(|call| call["event"].as_str().is_some_and(|event| event.len() < 1000)));
}

#[tokio::test]
async fn protected_events_are_unreachable_without_authentication() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    log.expect_line(&["auth/secret", "unreachable: authentication is not enabled"]);
    log.expect_line(&["shop/auth/secret", "unreachable: authentication is not enabled"]);
    for event in ["auth/secret", "shop/auth/secret"] {
        let text = format!("Authentication is not enabled — {event} is unreachable");
        let failure = format!(r#"{{"error":"{text}","code":"unreachable"}}"#);
        let mut v1 = server.v1().await;
        v1.call(event, "1").await.assert_eq(&failure);
        let mut classic = server.classic().await;
        classic.exchange(&format!(r#"["{event}",1]"#), &format!(r#"["{event}",{{"error":"{text}"}}]"#)).await;
        v1.call("gate/wait", r#"{"gate":"secret"}"#).await.assert_eq(r#"{"came":0,"through":0,"dropped":0}"#);
    }
    // An event with the name of the folder is not in it.
    server.v1().await.call("auth", "null").await.assert_eq(r#""open""#);
}

// --- Bodies ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_error_for_a_bad_body_names_the_field_and_the_expected_type() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    for (body, error) in [
        (r#"{"id":"x","name":"Ada"}"#, "The body does not fit at id: invalid type: string \"x\", expected i64"),
        (r#"{"id":1,"name":[]}"#, "The body does not fit at name: invalid type: sequence, expected a string"),
        (r#"{"id":1}"#, "The body does not fit: missing field `name`"),
        ("null", "The body does not fit: missing field `id`"),
        ("7", "The body does not fit: invalid type: integer `7`, expected struct Body"),
    ] {
        let error = serde_json::Value::from(error);
        client.call("typed", body).await.assert_eq(&format!(r#"{{"error":{error},"code":"bad_body"}}"#));
        server.classic().await.call("typed", body).await.assert_eq(&format!(r#"{{"error":{error}}}"#));
    }
    // The same without an id.
    client.send(r#"["typed",7]"#).await;
    client
        .expect(
            r#"["aaw/error",{"error":"The body does not fit: invalid type: integer `7`, expected struct Body","code":"bad_body","event":"typed"}]"#,
        )
        .await;
    server.expect_alive(&mut client).await;
}

// --- Panics, and messages that are too large -------------------------------------------------------------------------

#[tokio::test]
async fn a_panic_fails_only_its_call() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    for (event, panic) in [
        ("panics/at_once", "at once, with a secret"),
        ("panics/late", "late, with a secret"),
        ("panics/in_drop", "in drop, with a secret"),
        ("panics/payload", "a panic whose payload is not text"),
        ("panics/serializing", "while serializing, with a secret"),
        ("panics/plain", "plain, with a secret"),
    ] {
        server.classic().await.call(event, "null").await.assert_eq(r#"{"error":"Internal error"}"#);
        server.v1().await.call(event, "null").await.assert_eq(r#"{"error":"Internal error","code":"panic"}"#);
        let mut sender = server.v1().await;
        sender.send(&format!("[\"{event}\",null]")).await;
        sender.expect_nothing().await;
        log.expect_line(&["ERROR", event, panic]);
        server.expect_alive(&mut other).await;
    }
}

#[tokio::test]
async fn a_panic_while_a_call_is_dropped_is_contained() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["panics/when_dropped",null,1]"#).await;
    let mut other = server.v1().await;
    other.call("gate/wait", r#"{"gate":"when_dropped","came":1}"#).await;
    client.send(r#"["panics/when_dropped",null,1,"cancel"]"#).await;
    other.call("gate/wait", r#"{"gate":"when_dropped","dropped":1}"#).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    // The same when its connection closes.
    client.send(r#"["panics/when_dropped",null,3]"#).await;
    other.call("gate/wait", r#"{"gate":"when_dropped","came":2}"#).await;
    client.close().await;
    other.call("gate/wait", r#"{"gate":"when_dropped","dropped":2}"#).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_response_of_16_mebibytes_fails_only_its_call() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let body = format!(r#"{{"bytes":{}}}"#, 16 << 20);
    let error = "The response of 16777218 bytes exceeds the message limit of 1048576 bytes";
    let mut client = server.v1().await;
    client.call("big", &body).await.assert_eq(&format!(r#"{{"error":"{error}","code":"too_large"}}"#));
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    server.classic().await.call("big", &body).await.assert_eq(&format!(r#"{{"error":"{error}"}}"#));
    // The same from a handler that was pending.
    client.send(&format!(r#"["gate/hold_large",{{"gate":"x","bytes":{}}},3]"#, 2 << 20)).await;
    client.send(r#"["gate/release",{"gate":"x"}]"#).await;
    let error = "The response of 2097154 bytes exceeds the message limit of 1048576 bytes";
    client.expect(&format!(r#"["gate/hold_large",{{"error":"{error}","code":"too_large"}},3,"error"]"#)).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_push_that_is_too_large_fails_and_such_a_broadcast_is_logged() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let mut client = server.v1().await;
    client.call("pushes/large", &format!(r#"{{"bytes":{},"times":3}}"#, 2 << 20)).await.assert_eq("0");
    client.call("broadcasts/large", &format!(r#"{{"bytes":{},"times":1}}"#, 2 << 20)).await.assert_eq("null");
    log.expect_line(&["ERROR", "a broadcast was not sent", "exceeds the message limit"]);
    other.expect_nothing().await;
    // A push with a reserved name fails too.
    client.send(r#"["pushes/plain",{"event":"aaw/welcome"}]"#).await;
    client
        .exchange(
            r#"["pushes/plain",{"event":"aaw/welcome"},3]"#,
            r#"["pushes/plain",{"error":"aaw/welcome is a reserved event name","code":"not_allowed"},3,"error"]"#,
        )
        .await;
    server.expect_alive(&mut other).await;
}

// --- Start -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_error_for_a_port_in_use_names_the_remedy() {
    let server = TestServer::start().await;
    let config = Config { port: server.addr.port(), ..Config::default() };
    let error = Server::new(config).bind().await.expect_err("the port is in use").to_string();
    let expected = "the port is in use; stop the program that uses it, or choose another port (--port, Config::port)";
    assert_eq!(error, format!("cannot listen on {}: {expected}", server.addr));
    let config = Config { host: "192.0.2.1".into(), port: 0, ..Config::default() };
    let error = Server::new(config).bind().await.expect_err("not this machine").to_string();
    assert_eq!(error, "cannot listen on 192.0.2.1:0: this machine has no such address");
}

#[tokio::test]
async fn duplicate_events_stop_the_start() {
    let module = || aaw_test_events::module();
    let config = Config { port: 0, ..Config::default() };
    let error =
        Server::new(config).events(module()).events(module()).bind().await.expect_err("duplicate events").to_string();
    assert!(error.contains(": defined in the package aaw-test-events and in the package aaw-test-events"), "{error}");
}

#[tokio::test]
async fn events_with_reserved_names_stop_the_start() {
    let config = Config { port: 0, ..Config::default() };
    let events = Events::new(aaw_test_events::module()).under("aaw");
    let error = Server::new(config).events(events).bind().await.expect_err("reserved names").to_string();
    assert!(error.starts_with("the package aaw-test-events: the event name aaw/"), "{error}");
    assert!(
        error.ends_with(" is reserved: aaw and names under aaw/ belong to aaw; rename the file or folder"),
        "{error}"
    );
}

#[tokio::test]
async fn a_password_in_the_wrong_element_is_not_logged() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    for frame in [
        r#"["aaw/login","ada@example.org","hunter2"]"#,
        r#"["aaw/login",{"email":"ada@example.org"},1,"hunter2"]"#,
        r#"["aaw/login",null,1,"call","hunter2"]"#,
        r#"["aaw/login",null,1,"call",{"credit":"hunter2"}]"#,
        r#"["aaw/login","hunter2",1,"credit"]"#,
        r#"[{"aaw/login":{"password":"hunter2"}}]"#,
    ] {
        let mut client = server.v1().await;
        client.send(frame).await;
        let received = client.next().await;
        assert!(received.contains("bad_frame"), "{frame}: {received}");
        // If the id of the call is known, its error is the response, and there is no warning.
        if received.starts_with(r#"["aaw/error""#) {
            log.expect_line(&["WARN", "bad frame", &client.connection]);
        }
    }
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test]
async fn input_of_a_client_cannot_forge_a_log_line() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    for frame in ["[[0,\n\"forged\"]]", "[\"ping\",null,[\r\n\"forged\"]]", "[\"ping\",null,1,[0,\n\"forged\"]]"] {
        let mut client = server.v1().await;
        client.send(frame).await;
        let received = client.next().await;
        assert!(received.contains("bad_frame"), "{received}");
    }
    log.expect_line(&["bad frame", "the event (element 1) must be a string"]);
    assert!(!log.text().contains("forged"), "{}", log.text());
}
