//! A1 to A5, A8, A12, and order: calls and what they are answered with.

use aaw_tests::{TestServer, WireClient, raw};
use serde_json::Value;

/// One call in both dialects: the same body, the same answer.
async fn check(event: &str, body: &str, answer: &str) {
    let server = TestServer::start().await;
    server.classic().await.call(event, body).await.assert_eq(answer);
    server.v1().await.call(event, body).await.assert_eq(answer);
}

// --- A1: names --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_path_of_a_file_is_the_name_of_its_event() {
    check("users/get", "{}", r#""users/get""#).await;
    check("users", "{}", r#""users""#).await;
    check("deep/er/still/v1.2-x", "{}", r#""deep/er/still/v1.2-x""#).await;
}

#[tokio::test]
async fn a_name_is_compared_as_text_and_not_as_json() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    client.exchange(r#"["p\u0069ng",null]"#, r#"["p\u0069ng",{"pong":true}]"#).await;
    let mut client = server.v1().await;
    client.exchange(r#"["p\u0069ng",null,1]"#, r#"["p\u0069ng",{"pong":true},1]"#).await;
}

#[tokio::test]
async fn files_with_a_leading_underscore_are_no_events() {
    let server = TestServer::start().await;
    server
        .v1()
        .await
        .call("_services", "{}")
        .await
        .assert_eq(r#"{"error":"Unknown event: _services","code":"unknown_event"}"#);
}

// --- A2: answers ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_handler_answers() {
    check("ping", "null", r#"{"pong":true}"#).await;
    check("nothing", "{}", "null").await;
    check("typed", r#"{"name":"Ada","id":-7,"more":1}"#, r#"{"id":-7,"name":"Ada"}"#).await;
}

#[tokio::test]
async fn json_is_passed_on_byte_for_byte() {
    for body in [
        r#"{"a":1,"ü":[null,"x"],"a":2}"#,
        "12345678901234567890123456789.000e-700",
        r#""\u0000\ud83d\ude00\/ 😀 \u2028""#,
        "[ 1 ,\t{ } ]",
        "[[[[[[[[[[]]]]]]]]]]",
        r#""],1]""#,
        "true",
    ] {
        check("echo", body, body).await;
    }
}

#[tokio::test]
async fn a_handler_that_waits_answers_too() {
    check("sleepy", r#"{"a":[1]}"#, r#"{"a":[1]}"#).await;
}

#[tokio::test]
async fn an_answer_of_almost_a_mebibyte_arrives_whole() {
    let bytes = (1 << 20) - 100;
    let answer = format!("\"{}\"", "x".repeat(bytes));
    check("big", &format!(r#"{{"bytes":{bytes}}}"#), &answer).await;
    check("echo", &answer, &answer).await;
}

#[tokio::test]
async fn a_classic_id_comes_back_byte_for_byte() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    for id in ["1", "\"a-b\"", "1.50", "-0", "1e3", r#""\u0041\"""#, "123456789012345678901234567890"] {
        client.exchange(&format!("[\"echo\",7,{id}]"), &format!("[\"echo\",7,{id}]")).await;
        client
            .exchange(
                &format!("[\"explode\",null,{id}]"),
                &format!("[\"explode\",{{\"error\":\"Unknown event: explode\"}},{id}]"),
            )
            .await;
    }
    client.exchange(r#"["echo",7,null]"#, r#"["echo",7]"#).await;
}

#[tokio::test]
async fn white_space_around_a_frame_means_nothing() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.exchange(" [ \"echo\" , {\"a\": 1} , 1 ] ", "[\"echo\",{\"a\": 1},1]").await;
    client.exchange("[\"echo\",\n7\t,2]", "[\"echo\",7,2]").await;
}

#[tokio::test]
async fn a_call_can_say_that_it_is_one() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.exchange(r#"["echo",7,1,"call"]"#, r#"["echo",7,1]"#).await;
    client.exchange(r#"["echo",7,2,"call",{"timeout":5000,"unknown":[1]}]"#, r#"["echo",7,2]"#).await;
}

#[tokio::test]
async fn a_call_with_credit_is_answered_with_one_item_and_the_end() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.exchange(r#"["echo",7,1,"call",{"credit":10}]"#, r#"["echo",7,1,"item"]"#).await;
    client.expect(r#"["echo",null,1,"end"]"#).await;
    client.exchange(r#"["sleepy",8,2,"call",{"credit":10}]"#, r#"["sleepy",8,2,"item"]"#).await;
    client.expect(r#"["sleepy",null,2,"end"]"#).await;
    client.exchange(r#"["note",8,3,"call",{"credit":1}]"#, r#"["note",null,3,"end"]"#).await;
}

// --- A3: plain events -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_plain_event_runs_and_answers_nothing() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    client.send(r#"["note","classic"]"#).await;
    client.call("notes", "{}").await.assert_eq(r#"["classic"]"#);
    let mut client = server.v1().await;
    client.send(r#"["note","v1"]"#).await;
    client.call("notes", "{}").await.assert_eq(r#"["classic","v1"]"#);
}

#[tokio::test]
async fn a_plain_event_with_an_id_answers_null_once_it_has_run() {
    let server = TestServer::start().await;
    server.classic().await.exchange(r#"["note",1,"x"]"#, r#"["note",null,"x"]"#).await;
    server.v1().await.exchange(r#"["note",2,1]"#, r#"["note",null,1]"#).await;
    server.classic().await.call("notes", "{}").await.assert_eq("[1,2]");
}

#[tokio::test]
async fn an_answering_event_without_an_id_runs_in_v1_and_answers_nobody() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["gate/release",{"gate":"x"}]"#).await;
    client.call("gate/hold", r#"{"gate":"x"}"#).await.assert_eq(r#"{"held":"x"}"#);
}

#[tokio::test]
async fn a_plain_event_that_fails_hurts_nobody_and_is_told_to_who_asks() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    // As an answer without an id, which no call waits for in the original's client.
    client.exchange(r#"["fails/plain",null]"#, r#"["fails/plain",{"error":"a plain event failed"}]"#).await;
    client.exchange(r#"["fails/plain",null,5]"#, r#"["fails/plain",{"error":"a plain event failed"},5]"#).await;
    let mut client = server.v1().await;
    client.send(r#"["fails/plain",null]"#).await;
    client
        .exchange(
            r#"["fails/plain",null,1]"#,
            r#"["fails/plain",{"error":"a plain event failed","code":"handler"},1,"error"]"#,
        )
        .await;
}

// --- A4: services -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn services_are_built_once_for_all_connections() {
    let server = TestServer::start().await;
    server.classic().await.call("gate/release", r#"{"gate":"x","many":2}"#).await.assert_eq("null");
    server.v1().await.call("gate/hold", r#"{"gate":"x"}"#).await.assert_eq(r#"{"held":"x"}"#);
    server.v1().await.call("gate/wait", r#"{"gate":"x"}"#).await.assert_eq(r#"{"came":1,"through":1,"dropped":0}"#);
}

#[tokio::test]
async fn a_handler_sees_its_own_connection_and_the_welcome_names_it() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.v1().await, server.v1().await);
    let (id_a, id_b) = (a.connection.clone(), b.connection.clone());
    assert_ne!(id_a, id_b);
    a.call("whoami", "{}").await.assert_eq(&format!("{id_a:?}"));
    b.call("whoami", "{}").await.assert_eq(&format!("{id_b:?}"));
    a.call("whoami", "{}").await.assert_eq(&format!("{id_a:?}"));
}

#[tokio::test]
async fn an_event_can_be_sent_to_the_caller_and_reaches_nobody_else() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.v1().await, server.classic().await);
    a.exchange(r#"["pushes/plain",{"event":"notified","data":{"a":1}}]"#, r#"["notified",{"a":1}]"#).await;
    b.expect_nothing().await;
    b.exchange(r#"["pushes/plain",{"event":"notified","data":2}]"#, r#"["notified",2]"#).await;
    a.expect_nothing().await;
}

#[tokio::test]
async fn an_event_can_be_sent_after_the_call_has_ended() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.call("gate/later", r#"{"gate":"x"}"#).await.assert_eq("null");
    // Its task may be faster than the answer of the call that lets it go on.
    client.send(r#"["gate/release",{"gate":"x"}]"#).await;
    client.expect(r#"["later",null]"#).await;
}

#[tokio::test]
async fn an_event_for_a_connection_that_has_gone_is_an_error_of_its_sender() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let mut client = server.v1().await;
    client.call("gate/later", r#"{"gate":"x"}"#).await.assert_eq("null");
    client.close().await;
    other.call("gate/release", r#"{"gate":"x"}"#).await.assert_eq("null");
    let told = other.call("gate/wait", r#"{"gate":"later/unreachable","through":1}"#).await;
    told.assert_eq(r#"{"came":1,"through":1,"dropped":0}"#);
}

// --- A5: no body ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_missing_body_and_null_arrive_as_an_empty_object() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    client.exchange(r#"["body"]"#, r#"["body",{}]"#).await;
    client.exchange(r#"["body",null]"#, r#"["body",{}]"#).await;
    client.exchange(r#"["body", null ]"#, r#"["body",{}]"#).await;
    let mut client = server.v1().await;
    client.exchange(r#"["body",null,1]"#, r#"["body",{},1]"#).await;
    // What is false in JavaScript is a body here.
    for falsy in ["0", "false", "\"\"", "[]"] {
        check("body", falsy, falsy).await;
    }
}

// --- A8: failures -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_unknown_event_is_named() {
    let server = TestServer::start().await;
    server.classic().await.exchange(r#"["nope",1]"#, r#"["nope",{"error":"Unknown event: nope"}]"#).await;
    server.classic().await.exchange(r#"["nope",1,2]"#, r#"["nope",{"error":"Unknown event: nope"},2]"#).await;
    let mut client = server.v1().await;
    client
        .exchange(r#"["nope",1,1]"#, r#"["nope",{"error":"Unknown event: nope","code":"unknown_event"},1,"error"]"#)
        .await;
    client
        .exchange(
            r#"["nope",1]"#,
            r#"["aaw/error",{"error":"Unknown event: nope","code":"unknown_event","event":"nope"}]"#,
        )
        .await;
}

#[tokio::test]
async fn a_handlers_error_reaches_the_caller_with_code_and_data() {
    let body = r#"{"error":"Something \"went\" wrong","code":"my_code","data":{"a":[1]}}"#;
    let server = TestServer::start().await;
    let asked = format!("[\"fails/with\",{body}");
    server
        .classic()
        .await
        .exchange(&format!("{asked}]"), r#"["fails/with",{"error":"Something \"went\" wrong"}]"#)
        .await;
    let answer = r#"["fails/with",{"error":"Something \"went\" wrong","code":"my_code","data":{"a":[1]}},1,"error"]"#;
    server.v1().await.exchange(&format!("{asked},1]"), answer).await;
    let plain = r#"["fails/with",{"error":"no","code":"handler"},1,"error"]"#;
    server.v1().await.exchange(r#"["fails/with",{"error":"no"},1]"#, plain).await;
}

#[tokio::test]
async fn what_a_library_said_is_not_told() {
    let log = aaw_tests::LogCapture::start();
    let server = TestServer::start().await;
    server.classic().await.call("fails/question", "{}").await.assert_eq(r#"{"error":"Internal error"}"#);
    server.v1().await.call("fails/question", "{}").await.assert_eq(r#"{"error":"Internal error","code":"handler"}"#);
    server.v1().await.call("fails/no_json", "{}").await.assert_eq(r#"{"error":"Internal error","code":"handler"}"#);
    log.expect_line(&["fails/question", "the disk's secret"]);
}

// --- A12: what the original does not do -------------------------------------------------------------------------------

#[tokio::test]
async fn two_calls_of_one_event_are_answered_out_of_order_each_with_its_own() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"a","answer":"first"},1]"#).await;
    client.send(r#"["gate/hold",{"gate":"b","answer":"second"},2]"#).await;
    client.send(r#"["gate/release",{"gate":"b"}]"#).await;
    client.expect(r#"["gate/hold","second",2]"#).await;
    client.send(r#"["gate/release",{"gate":"a"}]"#).await;
    client.expect(r#"["gate/hold","first",1]"#).await;

    let mut client = server.classic().await;
    client.send(r#"["gate/hold",{"gate":"a","answer":"first"},"one"]"#).await;
    client.send(r#"["gate/hold",{"gate":"b","answer":"second"},"two"]"#).await;
    client.exchange(r#"["gate/release",{"gate":"b"},3]"#, r#"["gate/release",null,3]"#).await;
    client.expect(r#"["gate/hold","second","two"]"#).await;
    client.exchange(r#"["gate/release",{"gate":"a"},4]"#, r#"["gate/release",null,4]"#).await;
    client.expect(r#"["gate/hold","first","one"]"#).await;
}

#[tokio::test]
async fn a_push_of_an_events_own_name_is_no_answer() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"a"},1]"#).await;
    // The push has no id, so nobody can take it for the answer.
    client.exchange(r#"["pushes/plain",{"event":"gate/hold","data":"push"}]"#, r#"["gate/hold","push"]"#).await;
    client.send(r#"["gate/release",{"gate":"a"}]"#).await;
    client.expect(r#"["gate/hold",{"held":"a"},1]"#).await;
}

#[tokio::test]
async fn nobody_chooses_its_connections_id_nor_displaces_another() {
    let server = TestServer::start().await;
    let mut a = WireClient::connect(server.addr, Some("_same")).await;
    let mut b = WireClient::connect(server.addr, Some("_same")).await;
    let (id_a, id_b) = (a.call("whoami", "{}").await, b.call("whoami", "{}").await);
    assert_ne!(id_a, id_b);
    assert!(!id_a.0.contains("_same"));
    // A hello cannot either.
    let mut c = WireClient::connect(server.addr, Some("_same,aaw.v1")).await;
    let id = id_a.value();
    let id = id.as_str().unwrap();
    c.send(&format!(r#"["aaw/hello",{{"connection":"{id}","session":"{id}","id":"{id}"}}]"#)).await;
    let welcome: Value = serde_json::from_str(&c.next().await).unwrap();
    assert_ne!(welcome[1]["connection"], id);
    // Both are there still, and one that goes takes nobody with it.
    a.send(r#"["broadcasts/others",1]"#).await;
    b.expect(r#"["broadcast",1]"#).await;
    a.close().await;
    c.expect(r#"["broadcast",1]"#).await;
    c.send(r#"["broadcasts/others",2]"#).await;
    b.expect(r#"["broadcast",2]"#).await;
}

// --- Order ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn what_a_handler_pushes_arrives_before_its_answer() {
    let server = TestServer::start().await;
    for body in [r#"{"late":false}"#, r#"{"late":true}"#] {
        let mut client = server.v1().await;
        client.send(&format!(r#"["pushes/answering",{body},1]"#)).await;
        for expected in [r#"["step",1]"#, r#"["step",2]"#, r#"["pushes/answering",3,1]"#] {
            client.expect(expected).await;
        }
        let mut client = server.classic().await;
        client.send(&format!(r#"["pushes/answering",{body}]"#)).await;
        for expected in [r#"["step",1]"#, r#"["step",2]"#, r#"["pushes/answering",3]"#] {
            client.expect(expected).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_pushes_arrives_before_its_answer_whatever_thread_it_runs_on() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    const CALLS: i64 = 500;
    client.send_all((1..=CALLS).map(|id| format!(r#"["pushes/answering",{{"late":{}}},{id}]"#, id % 2 == 0))).await;
    let mut pushed = [0; 2];
    for answered in 0..CALLS {
        let seen = client.collect_until(|text| text.starts_with("[\"pushes")).await;
        for step in [0, 1] {
            pushed[step] += seen.iter().filter(|text| **text == format!("[\"step\",{}]", step + 1)).count();
            assert!(pushed[step] > answered as usize, "answer {answered} overtook a push");
        }
    }
    assert_eq!(pushed, [CALLS as usize; 2]);
}

#[tokio::test]
async fn calls_are_taken_up_in_the_order_in_which_they_came() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    // In one piece, so that the server reads many at a time.
    let mut frames: Vec<_> = (0..1000).map(|n| format!(r#"["note",{n}]"#)).collect();
    frames.push(r#"["notes",null,1]"#.into());
    client.send_all(frames).await;
    let all: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
    client.expect(&format!(r#"["notes",[{}],1]"#, all.join(","))).await;
}

#[tokio::test]
async fn answers_of_calls_that_need_not_wait_come_in_order() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send_all((1..=1000).map(|id| format!(r#"["echo",{id},{id}]"#))).await;
    for id in 1..=1000 {
        client.expect(&format!(r#"["echo",{id},{id}]"#)).await;
    }
}

#[tokio::test]
async fn calls_of_one_connection_run_side_by_side() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send_all((1..=100).map(|id| format!(r#"["gate/hold",{{"gate":"x","answer":{id}}},{id}]"#))).await;
    let mut other = server.v1().await;
    other.call("gate/wait", r#"{"gate":"x","came":100}"#).await;
    other.call("gate/release", r#"{"gate":"x","many":100}"#).await.assert_eq("null");
    let mut answers = Vec::new();
    for _ in 1..=100 {
        answers.push(client.next().await);
    }
    answers.sort();
    let mut expected: Vec<_> = (1..=100).map(|id| format!(r#"["gate/hold",{id},{id}]"#)).collect();
    expected.sort();
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn a_frame_may_come_in_pieces_and_several_in_one() {
    let server = TestServer::start().await;
    let mut client = aaw_tests::RawConnection::websocket(server.addr, Some("x")).await;
    // A message of three frames, with a ping between them.
    client.send_frame(0x01, b"[\"echo\",").await;
    client.send_frame(raw::PING, b"between").await;
    client.send_frame(0x00, b"[1,2").await;
    client.send_frame(0x80, b"]]").await;
    let pong = client.read_frame().await;
    assert_eq!((pong.first, pong.payload.as_slice()), (raw::PONG, &b"between"[..]));
    client.expect_text(r#"["echo",[1,2]]"#).await;
    // Byte by byte.
    for byte in raw::masked(raw::TEXT, r#"["echo","ü"]"#.as_bytes()) {
        client.send(&[byte]).await;
    }
    client.expect_text(r#"["echo","ü"]"#).await;
    // Two in one write.
    let two: Vec<u8> =
        ["[\"echo\",1]", "[\"echo\",2]"].iter().flat_map(|text| raw::masked(raw::TEXT, text.as_bytes())).collect();
    client.send(&two).await;
    client.expect_text(r#"["echo",1]"#).await;
    client.expect_text(r#"["echo",2]"#).await;
}

#[tokio::test]
async fn calls_may_come_with_the_handshake_in_one_piece() {
    let server = TestServer::start().await;
    let mut client = aaw_tests::RawConnection::connect(server.addr).await;
    let mut bytes = aaw_tests::HttpRequest::handshake(server.addr).header("Sec-WebSocket-Protocol", "aaw.v1").bytes();
    for text in [r#"["aaw/hello",{}]"#, r#"["echo",1,1]"#, r#"["echo",2,2]"#] {
        bytes.extend(raw::masked(raw::TEXT, text.as_bytes()));
    }
    client.send(&bytes).await;
    assert_eq!(client.read_response().await.status, 101);
    let welcome = client.read_frame().await;
    assert!(welcome.payload.starts_with(br#"["aaw/welcome","#));
    client.expect_text(r#"["echo",1,1]"#).await;
    client.expect_text(r#"["echo",2,2]"#).await;
}
