//! What makes no sense, and what it gets. After each of them the server and another connection go on.

use aaw_server::{Config, Server};
use aaw_tests::raw::{self, RawConnection};
use aaw_tests::{LogCapture, TestServer, WireClient};
use tokio_tungstenite::tungstenite::Message;

/// A frame that is none, in both dialects: v1 is told why, classic nothing; the connections go on.
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

// --- No frames --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn what_is_not_json() {
    check_bad_frame("hello", "not JSON: expected value at line 1 column 1").await;
    check_bad_frame("", "not JSON: EOF while parsing a value at line 1 column 0").await;
    check_bad_frame(r#"["ping",nul]"#, "not JSON: expected ident at line 1 column 12").await;
    check_bad_frame(r#"["ping",1"#, "not JSON: EOF while parsing a list at line 1 column 9").await;
    check_bad_frame(r#"["ping",1] x"#, "not JSON: trailing characters at line 1 column 12").await;
}

#[tokio::test]
async fn what_is_no_array() {
    let expected = "expected a JSON array [event, data, id, kind, meta], found";
    check_bad_frame("{}", &format!("{expected} an object")).await;
    check_bad_frame("null", &format!("{expected} null")).await;
    check_bad_frame("7", &format!("{expected} a number")).await;
    check_bad_frame(r#""ping""#, &format!("{expected} a string")).await;
}

#[tokio::test]
async fn no_event_and_an_event_that_is_no_string() {
    check_bad_frame("[]", "an empty array; expected [event, data, …]").await;
    for no_string in ["null", "7", "{}", "[\"ping\"]", "true"] {
        let error = format!("the event (element 1) must be a string, found {no_string}");
        check_bad_frame(&format!("[{no_string},1]"), &error).await;
    }
}

#[tokio::test]
async fn an_id_that_is_neither_string_nor_number() {
    for no_id in ["{}", "[1]", "true"] {
        let error = format!("the id (element 3) must be a string or a number, found {no_id}");
        check_bad_frame(&format!(r#"["ping",null,{no_id}]"#), &error).await;
    }
}

#[tokio::test]
async fn a_kind_that_nobody_knows() {
    let known = "(element 4); known are call, error, item, end, credit, cancel";
    check_bad_frame(r#"["ping",null,1,"shout"]"#, &format!("unknown kind \"shout\" {known}")).await;
    check_bad_frame(r#"["ping",null,1,7]"#, &format!("unknown kind 7 {known}")).await;
}

#[tokio::test]
async fn too_many_elements_and_a_meta_that_is_no_object() {
    let error = "more than 5 elements; expected [event, data, id, kind, meta]";
    check_bad_frame(r#"["ping",null,1,"call",{},6]"#, error).await;
    check_bad_frame(r#"["ping",null,1,"call",[]]"#, "bad meta (element 5): expected an object, found an array").await;
}

#[tokio::test]
async fn a_binary_message() {
    check_bad_message(Message::binary(&b"[\"ping\",null,1]"[..]), "a binary message; expected text").await;
}

#[tokio::test]
async fn brackets_that_nest_a_hundred_thousand_deep() {
    let open = "[".repeat(100_000);
    let whole = format!("{open}{}", "]".repeat(100_000));
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    for text in [&open, &whole] {
        let mut v1 = server.v1().await;
        v1.send(text).await;
        let told = v1.next().await;
        assert!(told.starts_with(r#"["aaw/error",{"error":"#) && told.contains("bad_frame"), "{told}");
        v1.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        server.expect_alive(&mut other).await;
    }
}

#[tokio::test]
async fn a_body_that_nests_a_hundred_thousand_deep() {
    let open = "[".repeat(100_000);
    let whole = format!("{open}{}", "]".repeat(100_000));
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    // Handlers that look at it, that pass it on, that ignore it.
    for event in ["body", "echo", "ignore", "nope"] {
        for body in [&open, &whole] {
            let mut v1 = server.v1().await;
            v1.send(&format!("[\"{event}\",{body},1]")).await;
            let told = v1.next().await;
            // An answer to the call or, where it is no JSON, to the frame.
            assert!(told.starts_with(&format!("[\"{event}\",")) || told.contains("bad_frame"), "{event}: {told}");
            let next_id = if told.contains("bad_frame") { 1 } else { 2 };
            v1.exchange(&format!("[\"echo\",7,{next_id}]"), &format!("[\"echo\",7,{next_id}]")).await;

            let mut classic = server.classic().await;
            classic.send(&format!("[\"{event}\",{body}]")).await;
            classic.send(r#"["ping",null,"after"]"#).await;
            classic.collect_until(|text| text == r#"["ping",{"pong":true},"after"]"#).await;
        }
        server.expect_alive(&mut other).await;
    }
}

// --- v1's rules -------------------------------------------------------------------------------------------------------

/// In v1 only: a frame out of place after a call with id 1; then id 2 is still the next.
async fn check_out_of_place(text: &str, error: &str) {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    let error = serde_json::Value::from(error);
    client.exchange(text, &format!(r#"["aaw/error",{{"error":{error},"code":"bad_frame"}}]"#)).await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

#[tokio::test]
async fn an_id_used_twice_or_skipped() {
    check_out_of_place(r#"["ping",null,1]"#, "id 1 for a call; the next is 2").await;
    check_out_of_place(r#"["ping",null,3]"#, "id 3 for a call; the next is 2").await;
    check_out_of_place(r#"["ping",null,9223372036854775807]"#, "id 9223372036854775807 for a call; the next is 2")
        .await;
}

#[tokio::test]
async fn an_id_used_twice_while_its_call_runs_runs_nothing() {
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
async fn ids_that_cannot_be_a_clients() {
    for id in ["0", "1.5", "\"a\"", "9223372036854775808", "1e1"] {
        let error = format!("the id (element 3) must be an integer other than 0, found {id}");
        check_out_of_place(&format!(r#"["ping",null,{id}]"#), &error).await;
    }
    check_out_of_place(r#"["ping",null,-1]"#, "an answer with id -1 to a call that was never made").await;
    check_out_of_place(r#"["ping",null,-1,"call"]"#, "id -1 for a call; a client's ids are 1, 2, 3 and so on").await;
}

#[tokio::test]
async fn kinds_without_a_call() {
    check_out_of_place(r#"["ping",null,null,"cancel"]"#, "kind \"cancel\" without an id (element 3)").await;
    check_out_of_place(r#"["ping",null,7,"cancel"]"#, "id 7 names no call; the last was 1").await;
    check_out_of_place(r#"["ping",1,7,"credit"]"#, "id 7 names no call; the last was 1").await;
    check_out_of_place(r#"["ping",1,7,"item"]"#, "id 7 names no call; the last was 1").await;
    check_out_of_place(r#"["ping",1,7,"end"]"#, "id 7 names no call; the last was 1").await;
    check_out_of_place(r#"["ping",1,1,"error"]"#, "an answer with id 1 to a call that was never made").await;
}

#[tokio::test]
async fn what_comes_too_late_is_no_fault() {
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
async fn a_meta_of_a_wrong_type_fails_its_call_and_takes_the_id() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["ping",null,1,"call",{"timeout":"soon"}]"#).await;
    let told = client.next().await;
    assert!(
        told.starts_with(r#"["ping",{"error":"bad meta (element 5): invalid type: string \"soon\", expected u64"#),
        "{told}"
    );
    assert!(told.ends_with(r#","code":"bad_frame"},1,"error"]"#), "{told}");
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

#[tokio::test]
async fn a_call_before_the_hello_and_a_second_hello() {
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
async fn a_classic_client_that_speaks_v1_is_not_understood() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    // A frame with a kind would run the handler again.
    client.send(r#"["note","again",7,"cancel"]"#).await;
    client.call("notes", "{}").await.assert_eq("[]");
    client.exchange(r#"["aaw/hello",{}]"#, r#"["aaw/hello",{"error":"Unknown event: aaw/hello"}]"#).await;
}

#[tokio::test]
async fn a_classic_id_without_end_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    client.send(&format!(r#"["note","long",{:?}]"#, "x".repeat(300))).await;
    client.call("notes", "{}").await.assert_eq("[]");
}

// --- Bodies that are split off before anybody has parsed them ---------------------------------------------------------

#[tokio::test]
async fn a_body_that_is_no_json_is_a_bad_frame_and_its_id_can_be_used_again() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    // The frame's shape is a call's, so that only its body can tell.
    for event in ["body", "echo", "typed", "ignore", "ping", "nothing", "sleepy", "note", "nope", "auth/secret"] {
        for body in ["nul", "{]", "1 2", "\"", "{\"a\":1", "", "'a'", "1,\"cancel\"", "1,2,3,4,5"] {
            let mut client = server.v1().await;
            client.send(&format!("[\"{event}\",{body},1]")).await;
            let told = client.next().await;
            assert!(
                told.starts_with(r#"["aaw/error",{"error":""#) && told.contains("bad_frame"),
                "{event} {body}: {told}"
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

// --- RFC 6455 ---------------------------------------------------------------------------------------------------------

/// Bytes that break a rule: the client sees a close frame with this code.
async fn check_closes(bytes: &[u8], code: u16) {
    for protocols in ["_key", "aaw.v1"] {
        let server = TestServer::start().await;
        let mut other = server.classic().await;
        let mut client = RawConnection::websocket(server.addr, Some(protocols)).await;
        client.send(bytes).await;
        client.expect_close(code).await;
        server.expect_alive(&mut other).await;
        assert_eq!(server.handle.connections(), 1, "who broke the rules is in no table");
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
    // A continuation of nothing; a message within a message; a ping in pieces, and one that is too long.
    check_closes(&raw::masked(0x80, b"[]"), 1002).await;
    check_closes(&[raw::masked(0x01, b"["), raw::masked(raw::TEXT, b"[]")].concat(), 1002).await;
    check_closes(&raw::masked(0x09, b""), 1002).await;
    check_closes(&raw::masked(raw::PING, &[0; 126]), 1002).await;
}

#[tokio::test]
async fn the_close_frame_is_seen_though_the_client_goes_on_sending() {
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
async fn a_message_of_80_mebibytes_closes_with_1009_which_the_client_sees() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let text = format!(r#"["echo",{:?},1]"#, "x".repeat(80 << 20));

    // All of it is on its way before anybody reads.
    let mut client = RawConnection::websocket(server.addr, None).await;
    client.try_send(&raw::masked(raw::TEXT, text.as_bytes())).await;
    client.finish().await;
    client.expect_close(1009).await;

    // A real client.
    let mut client = server.v1().await;
    client.try_send(Message::text(text)).await;
    client.expect_close(1009).await;

    // In many frames, each of which is small enough.
    let mut client = RawConnection::websocket(server.addr, None).await;
    let mut bytes = raw::masked(0x01, &[b' '; 65_536]);
    (0..32).for_each(|_| bytes.extend(raw::masked(0x00, &[b' '; 65_536])));
    client.try_send(&bytes).await;
    client.finish().await;
    client.expect_close(1009).await;

    // Only promised.
    let mut client = RawConnection::websocket(server.addr, None).await;
    client.send(&raw::frame_header(raw::TEXT, 80 << 20, 0x80)).await;
    client.send(&[0; 4]).await;
    client.expect_close(1009).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_client_that_ends_in_the_middle_of_a_frame_is_gone() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let mut client = RawConnection::websocket(server.addr, None).await;
    client.send(&raw::masked(raw::TEXT, b"[\"ping\",1]")[..7]).await;
    client.finish().await;
    client.expect_end().await;
    server.expect_alive(&mut other).await;
    assert_eq!(server.handle.connections(), 1);
}

// --- Names ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn names_that_no_event_has() {
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
        v1.call(name, "null").await.assert_eq(&format!(r#"{{"error":{text},"code":"unknown_event"}}"#));
        let mut classic = server.classic().await;
        classic.exchange(&format!("[{json},null]"), &format!(r#"[{json},{{"error":{text}}}]"#)).await;
        server.expect_alive(&mut v1).await;
    }
}

#[tokio::test]
async fn a_name_of_a_megabyte_is_answered_briefly() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let name = "n".repeat((1 << 20) - 100);
    let short = format!("{}…", "n".repeat(200));
    let mut v1 = server.v1().await;
    let failure = format!(r#"{{"error":"Unknown event: {short}","code":"unknown_event"}}"#);
    v1.exchange(&format!("[\"{name}\",null,1]"), &format!("[\"{short}\",{failure},1,\"error\"]")).await;
    v1.send(&format!("[\"{name}\",null]")).await;
    let told = v1.next().await;
    assert!(told.starts_with(r#"["aaw/error","#) && told.len() < 1000, "{}", aaw_tests::truncated(&told));
    let mut classic = server.classic().await;
    classic
        .exchange(&format!("[\"{name}\",null]"), &format!(r#"["{short}",{{"error":"Unknown event: {short}"}}]"#))
        .await;
    server.expect_alive(&mut other).await;
    // Nor does the log keep it.
    let kept = server.calls.all();
    assert!(kept.iter().all(|call| call["event"].as_str().is_some_and(|event| event.len() < 1000)));
}

#[tokio::test]
async fn events_behind_auth_cannot_be_reached() {
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
    // Called like the folder, but in none.
    server.v1().await.call("auth", "null").await.assert_eq(r#""open""#);
}

// --- Bodies -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_body_that_does_not_fit_names_the_field_and_what_was_expected() {
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
    // A send of it, too.
    client.send(r#"["typed",7]"#).await;
    client
        .expect(
            r#"["aaw/error",{"error":"The body does not fit: invalid type: integer `7`, expected struct Body","code":"bad_body","event":"typed"}]"#,
        )
        .await;
    server.expect_alive(&mut client).await;
}

// --- Handlers ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_panic_ends_its_call_and_nothing_else() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    for (event, said) in [
        ("panics/at_once", "at once, with a secret"),
        ("panics/late", "late, with a secret"),
        ("panics/in_drop", "in drop, with a secret"),
        ("panics/payload", "a panic whose payload is no text"),
        ("panics/serializing", "while serialising, with a secret"),
        ("panics/plain", "plain, with a secret"),
    ] {
        server.classic().await.call(event, "null").await.assert_eq(r#"{"error":"Internal error"}"#);
        server.v1().await.call(event, "null").await.assert_eq(r#"{"error":"Internal error","code":"panic"}"#);
        let mut sender = server.v1().await;
        sender.send(&format!("[\"{event}\",null]")).await;
        sender.expect_nothing().await;
        log.expect_line(&["ERROR", event, said]);
        server.expect_alive(&mut other).await;
    }
}

#[tokio::test]
async fn a_panic_while_a_call_is_cancelled_hurts_nobody() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["panics/when_dropped",null,1]"#).await;
    let mut other = server.v1().await;
    other.call("gate/wait", r#"{"gate":"when_dropped","came":1}"#).await;
    client.send(r#"["panics/when_dropped",null,1,"cancel"]"#).await;
    other.call("gate/wait", r#"{"gate":"when_dropped","dropped":1}"#).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    // And with its connection.
    client.send(r#"["panics/when_dropped",null,3]"#).await;
    other.call("gate/wait", r#"{"gate":"when_dropped","came":2}"#).await;
    client.close().await;
    other.call("gate/wait", r#"{"gate":"when_dropped","dropped":2}"#).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn an_answer_of_100_mebibytes_is_too_large_for_that_call_alone() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let body = format!(r#"{{"bytes":{}}}"#, 100 << 20);
    let error = "The answer has 104857602 bytes, and a message may have 1048576";
    let mut client = server.v1().await;
    client.call("big", &body).await.assert_eq(&format!(r#"{{"error":"{error}","code":"too_large"}}"#));
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    server.classic().await.call("big", &body).await.assert_eq(&format!(r#"{{"error":"{error}"}}"#));
    // Late, too.
    client.send(&format!(r#"["gate/hold_large",{{"gate":"x","bytes":{}}},3]"#, 2 << 20)).await;
    client.send(r#"["gate/release",{"gate":"x"}]"#).await;
    let error = "The answer has 2097154 bytes, and a message may have 1048576";
    client.expect(&format!(r#"["gate/hold_large",{{"error":"{error}","code":"too_large"}},3,"error"]"#)).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_push_that_is_too_large_fails_in_its_handler_and_a_broadcast_is_logged() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let mut client = server.v1().await;
    client.call("pushes/large", &format!(r#"{{"bytes":{},"times":3}}"#, 2 << 20)).await.assert_eq("0");
    client.call("broadcasts/large", &format!(r#"{{"bytes":{},"times":1}}"#, 2 << 20)).await.assert_eq("null");
    log.expect_line(&["ERROR", "a broadcast was not sent", "larger than a message may be"]);
    other.expect_nothing().await;
    // Nor does an event of aaw's own name go out.
    client.send(r#"["pushes/plain",{"event":"aaw/welcome"}]"#).await;
    client
        .exchange(
            r#"["pushes/plain",{"event":"aaw/welcome"},3]"#,
            r#"["pushes/plain",{"error":"aaw/welcome is a name of aaw's own","code":"not_allowed"},3,"error"]"#,
        )
        .await;
    server.expect_alive(&mut other).await;
}

// --- Start ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_port_in_use_says_so() {
    let server = TestServer::start().await;
    let config = Config { port: server.addr.port(), ..Config::default() };
    let error = Server::new(config).bind().await.expect_err("the port is in use").to_string();
    let expected = "the port is in use; stop what uses it, or choose another (--port, Config::port)";
    assert_eq!(error, format!("cannot listen on {}: {expected}", server.addr));
    let config = Config { host: "192.0.2.1".into(), port: 0, ..Config::default() };
    let error = Server::new(config).bind().await.expect_err("not this machine").to_string();
    assert_eq!(error, "cannot listen on 192.0.2.1:0: this machine has no such address");
}

#[tokio::test]
async fn two_events_of_one_name_stop_the_start() {
    let twice = || aaw_test_events::module();
    let config = Config { port: 0, ..Config::default() };
    let error = Server::new(config).events(twice()).events(twice()).bind().await.expect_err("twice").to_string();
    assert!(
        error.contains("is there twice: in the package aaw-test-events and in the package aaw-test-events"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_client_says_begins_no_line_of_the_log() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    for frame in ["[[0,\n\"forged\"]]", "[\"ping\",null,[\r\n\"forged\"]]", "[\"ping\",null,1,[0,\n\"forged\"]]"] {
        let mut client = server.v1().await;
        client.send(frame).await;
        let told = client.next().await;
        assert!(told.contains("bad_frame"), "{told}");
    }
    log.expect_line(&["bad frame", "forged"]);
    assert!(!log.text().lines().any(|line| line.starts_with("\"forged")), "{}", log.text());
}
