//! Calls: event names, responses, one-way events, services, missing bodies, errors, and order.

use aaw_tests::{HttpRequest, TestServer, WireClient, raw};
use serde_json::Value;

/// Makes a call in each dialect, and checks that both return this response.
async fn check(event: &str, body: &str, response: &str) {
    let server = TestServer::start().await;
    server.classic().await.call(event, body).await.assert_eq(response);
    server.v1().await.call(event, body).await.assert_eq(response);
}

// --- Names of events -------------------------------------------------------------------------------------------------

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
async fn files_with_a_leading_underscore_are_not_events() {
    let server = TestServer::start().await;
    server
        .v1()
        .await
        .call("_services", "{}")
        .await
        .assert_eq(r#"{"error":"Unknown event: _services","code":"unknown_event"}"#);
}

#[tokio::test]
async fn the_response_of_a_call_that_waits_repeats_its_name_as_it_was_written() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    client.exchange(r#"["yi\u0065lds",7]"#, r#"["yi\u0065lds",7]"#).await;
    client.exchange(r#"["yi\u0065lds",[8],"id"]"#, r#"["yi\u0065lds",[8],"id"]"#).await;
    let mut client = server.v1().await;
    client.exchange(r#"["yi\u0065lds","",1]"#, r#"["yi\u0065lds","",1]"#).await;
}

/// On one worker thread, which runs a task that was woken last before those that were ready earlier.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_that_complete_together_are_answered_with_one_write() {
    const CALLS: usize = 12;
    let server = TestServer::start().await;
    let (_, mut raw) =
        HttpRequest::handshake(server.addr).header("Sec-WebSocket-Protocol", "aaw.v1").open_websocket().await;
    raw.send_text(r#"["aaw/hello",{}]"#).await;
    raw.read_frame().await;
    for round in 0..10 {
        let texts = (1..=CALLS).map(|call| format!(r#"["yields",{call},{}]"#, round * CALLS + call));
        let calls: Vec<u8> = texts.clone().flat_map(|text| raw::masked(raw::TEXT, text.as_bytes())).collect();
        raw.send(&calls).await;
        // In any order, so that only their number and length are compared.
        let mut responses: Vec<_> = texts.map(|text| raw::unmasked(raw::TEXT, text.as_bytes())).collect();
        let mut received = raw.read_once().await;
        assert_eq!(received.len(), responses.concat().len(), "what one write contains");
        while !received.is_empty() {
            let at = responses.iter().position(|response| received.starts_with(response)).expect("a response");
            received.drain(..responses.swap_remove(at).len());
        }
    }
}

// --- Responses -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_call_returns_the_value_of_its_handler() {
    check("ping", "null", r#"{"pong":true}"#).await;
    check("nothing", "{}", "null").await;
    check("typed", r#"{"name":"Ada","id":-7,"more":1}"#, r#"{"id":-7,"name":"Ada"}"#).await;
}

#[tokio::test]
async fn json_is_passed_through_byte_for_byte() {
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
async fn a_handler_that_is_pending_returns_its_response_later() {
    check("sleepy", r#"{"a":[1]}"#, r#"{"a":[1]}"#).await;
}

#[tokio::test]
async fn a_response_of_almost_a_mebibyte_is_returned() {
    let bytes = (1 << 20) - 100;
    let response = format!("\"{}\"", "x".repeat(bytes));
    check("big", &format!(r#"{{"bytes":{bytes}}}"#), &response).await;
    check("echo", &response, &response).await;
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
async fn white_space_in_a_frame_is_ignored() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.exchange(" [ \"echo\" , {\"a\": 1} , 1 ] ", "[\"echo\",{\"a\": 1},1]").await;
    client.exchange("[\"echo\",\n7\t,2]", "[\"echo\",7,2]").await;
}

#[tokio::test]
async fn a_call_may_name_its_kind() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.exchange(r#"["echo",7,1,"call"]"#, r#"["echo",7,1]"#).await;
    client.exchange(r#"["echo",7,2,"call",{"timeout":5000,"unknown":[1]}]"#, r#"["echo",7,2]"#).await;
}

#[tokio::test]
async fn a_call_with_credit_returns_one_item_and_the_end() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.exchange(r#"["echo",7,1,"call",{"credit":10}]"#, r#"["echo",7,1,"item"]"#).await;
    client.expect(r#"["echo",null,1,"end"]"#).await;
    client.exchange(r#"["sleepy",8,2,"call",{"credit":10}]"#, r#"["sleepy",8,2,"item"]"#).await;
    client.expect(r#"["sleepy",null,2,"end"]"#).await;
    client.exchange(r#"["note",8,3,"call",{"credit":1}]"#, r#"["note",null,3,"end"]"#).await;
}

// --- One-way events --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_one_way_event_runs_and_returns_nothing() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    client.send(r#"["note","classic"]"#).await;
    client.call("notes", "{}").await.assert_eq(r#"["classic"]"#);
    let mut client = server.v1().await;
    client.send(r#"["note","v1"]"#).await;
    client.call("notes", "{}").await.assert_eq(r#"["classic","v1"]"#);
}

#[tokio::test]
async fn a_one_way_event_called_with_an_id_returns_null_after_it_has_run() {
    let server = TestServer::start().await;
    server.classic().await.exchange(r#"["note",1,"x"]"#, r#"["note",null,"x"]"#).await;
    server.v1().await.exchange(r#"["note",2,1]"#, r#"["note",null,1]"#).await;
    server.classic().await.call("notes", "{}").await.assert_eq("[1,2]");
}

#[tokio::test]
async fn null_stands_for_a_missing_body_also_for_a_handler_that_takes_the_body_as_it_is() {
    let server = TestServer::start().await;
    for client in [&mut server.v1().await, &mut server.classic().await] {
        for (id, frame) in [r#"["echo",null,1]"#, r#"["echo", null ,2]"#].into_iter().enumerate() {
            client.exchange(frame, &format!(r#"["echo",{{}},{}]"#, id + 1)).await;
        }
        client.exchange(r#"["echo",[null],3]"#, r#"["echo",[null],3]"#).await;
    }
    server.classic().await.exchange(r#"["echo"]"#, r#"["echo",{}]"#).await;
    // An item of a stream.
    let mut client = server.v1().await;
    client.exchange(r#"["echo",null,1,"call",{"credit":1}]"#, r#"["echo",{},1,"item"]"#).await;
}

#[tokio::test]
async fn a_unary_event_without_an_id_runs_in_v1_and_returns_nothing() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["gate/release",{"gate":"x"}]"#).await;
    client.call("gate/hold", r#"{"gate":"x"}"#).await.assert_eq(r#"{"held":"x"}"#);
}

#[tokio::test]
async fn a_failed_one_way_event_reports_the_error_to_a_call_with_an_id() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    // Without an id the classic dialect returns the error too. No call of the original client waits for it.
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

// --- Services --------------------------------------------------------------------------------------------------------

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
async fn a_push_to_the_caller_reaches_no_other_connection() {
    let server = TestServer::start().await;
    let (mut a, mut b) = (server.v1().await, server.classic().await);
    a.exchange(r#"["pushes/plain",{"event":"notified","data":{"a":1}}]"#, r#"["notified",{"a":1}]"#).await;
    b.expect_nothing().await;
    b.exchange(r#"["pushes/plain",{"event":"notified","data":2}]"#, r#"["notified",2]"#).await;
    a.expect_nothing().await;
}

#[tokio::test]
async fn a_push_can_be_sent_after_the_call_has_ended() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.call("gate/later", r#"{"gate":"x"}"#).await.assert_eq("null");
    // Sent one-way: the push may arrive before the response to the call that opens the gate.
    client.send(r#"["gate/release",{"gate":"x"}]"#).await;
    client.expect(r#"["later",null]"#).await;
}

#[tokio::test]
async fn a_push_to_a_closed_connection_fails() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let mut client = server.v1().await;
    client.call("gate/later", r#"{"gate":"x"}"#).await.assert_eq("null");
    client.close().await;
    other.call("gate/release", r#"{"gate":"x"}"#).await.assert_eq("null");
    let counts = other.call("gate/wait", r#"{"gate":"later/unreachable","through":1}"#).await;
    counts.assert_eq(r#"{"came":1,"through":1,"dropped":0}"#);
}

// --- Missing bodies --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_missing_body_and_null_arrive_as_an_empty_object() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    client.exchange(r#"["body"]"#, r#"["body",{}]"#).await;
    client.exchange(r#"["body",null]"#, r#"["body",{}]"#).await;
    client.exchange(r#"["body", null ]"#, r#"["body",{}]"#).await;
    let mut client = server.v1().await;
    client.exchange(r#"["body",null,1]"#, r#"["body",{},1]"#).await;
    // Values that are falsy in JavaScript arrive unchanged.
    for falsy in ["0", "false", "\"\"", "[]"] {
        check("body", falsy, falsy).await;
    }
}

// --- Errors ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_error_for_an_unknown_event_contains_its_name() {
    let server = TestServer::start().await;
    server.classic().await.exchange(r#"["unknown",1]"#, r#"["unknown",{"error":"Unknown event: unknown"}]"#).await;
    server.classic().await.exchange(r#"["unknown",1,2]"#, r#"["unknown",{"error":"Unknown event: unknown"},2]"#).await;
    let mut client = server.v1().await;
    client
        .exchange(
            r#"["unknown",1,1]"#,
            r#"["unknown",{"error":"Unknown event: unknown","code":"unknown_event"},1,"error"]"#,
        )
        .await;
    client
        .exchange(
            r#"["unknown",1]"#,
            r#"["aaw/error",{"error":"Unknown event: unknown","code":"unknown_event","event":"unknown"}]"#,
        )
        .await;
}

#[tokio::test]
async fn the_error_for_an_unknown_event_suggests_similar_public_names() {
    let server = TestServer::start().await;
    let pong = r#"{"error":"Unknown event: pong","code":"unknown_event","data":{"did_you_mean":["ping"]}"#;
    let mut client = server.v1().await;
    client.exchange(r#"["pong",1,1]"#, &format!(r#"["pong",{pong}}},1,"error"]"#)).await;
    client.exchange(r#"["pong",1]"#, &format!(r#"["aaw/error",{pong},"event":"pong"}}]"#)).await;
    // A protected event is not named, and neither is one of the server.
    for name in ["auth/secre", "secret", "aaw/login"] {
        let failure = format!(r#"{{"error":"Unknown event: {name}","code":"unknown_event"}}"#);
        server.v1().await.call(name, "null").await.assert_eq(&failure);
    }
    // A classic client receives the text alone.
    server.classic().await.exchange(r#"["pong",1]"#, r#"["pong",{"error":"Unknown event: pong"}]"#).await;
}

#[tokio::test]
async fn a_handlers_error_reaches_the_caller_with_code_and_data() {
    let body = r#"{"error":"Something \"went\" wrong","code":"my_code","data":{"a":[1]}}"#;
    let server = TestServer::start().await;
    let call = format!("[\"fails/with\",{body}");
    server
        .classic()
        .await
        .exchange(&format!("{call}]"), r#"["fails/with",{"error":"Something \"went\" wrong"}]"#)
        .await;
    let expected = r#"["fails/with",{"error":"Something \"went\" wrong","code":"my_code","data":{"a":[1]}},1,"error"]"#;
    server.v1().await.exchange(&format!("{call},1]"), expected).await;
    let expected = r#"["fails/with",{"error":"no","code":"handler"},1,"error"]"#;
    server.v1().await.exchange(r#"["fails/with",{"error":"no"},1]"#, expected).await;
}

#[tokio::test]
async fn an_internal_error_is_logged_and_hidden_from_the_caller() {
    let log = aaw_tests::LogCapture::start();
    let server = TestServer::start().await;
    server.classic().await.call("fails/question", "{}").await.assert_eq(r#"{"error":"Internal error"}"#);
    server.v1().await.call("fails/question", "{}").await.assert_eq(r#"{"error":"Internal error","code":"internal"}"#);
    server.v1().await.call("fails/no_json", "{}").await.assert_eq(r#"{"error":"Internal error","code":"internal"}"#);
    log.expect_line(&["fails/question", "the disk's secret"]);
}

// --- Independent calls and connections -------------------------------------------------------------------------------

#[tokio::test]
async fn two_calls_of_one_event_complete_out_of_order_with_their_own_responses() {
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
async fn a_push_with_the_name_of_the_called_event_is_not_its_response() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"a"},1]"#).await;
    // The push has no id, so it cannot be mistaken for the response.
    client.exchange(r#"["pushes/plain",{"event":"gate/hold","data":"push"}]"#, r#"["gate/hold","push"]"#).await;
    client.send(r#"["gate/release",{"gate":"a"}]"#).await;
    client.expect(r#"["gate/hold",{"held":"a"},1]"#).await;
}

#[tokio::test]
async fn a_client_can_neither_choose_its_connection_id_nor_replace_a_connection() {
    let server = TestServer::start().await;
    let mut a = WireClient::connect(server.addr, Some("_same")).await;
    let mut b = WireClient::connect(server.addr, Some("_same")).await;
    let (id_a, id_b) = (a.call("whoami", "{}").await, b.call("whoami", "{}").await);
    assert_ne!(id_a, id_b);
    assert!(!id_a.0.contains("_same"));
    // Nor can it be chosen in the hello.
    let mut c = WireClient::connect(server.addr, Some("_same,aaw.v1")).await;
    let id = id_a.value();
    let id = id.as_str().unwrap();
    c.send(&format!(r#"["aaw/hello",{{"connection":"{id}","session":"{id}","id":"{id}"}}]"#)).await;
    let welcome: Value = serde_json::from_str(&c.next().await).unwrap();
    assert_ne!(welcome[1]["connection"], id);
    // Both connections with the same key are open, and closing one does not affect the others.
    a.send(r#"["broadcasts/others",1]"#).await;
    b.expect(r#"["broadcast",1]"#).await;
    a.close().await;
    c.expect(r#"["broadcast",1]"#).await;
    c.send(r#"["broadcasts/others",2]"#).await;
    b.expect(r#"["broadcast",2]"#).await;
}

// --- Order -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn pushes_of_a_handler_arrive_before_its_response() {
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
async fn pushes_of_a_handler_arrive_before_its_response_on_every_thread() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    const CALLS: i64 = 500;
    client.send_all((1..=CALLS).map(|id| format!(r#"["pushes/answering",{{"late":{}}},{id}]"#, id % 2 == 0))).await;
    let mut pushed = [0; 2];
    for responses in 0..CALLS {
        let seen = client.collect_until(|text| text.starts_with("[\"pushes")).await;
        for step in [0, 1] {
            pushed[step] += seen.iter().filter(|text| **text == format!("[\"step\",{}]", step + 1)).count();
            assert!(pushed[step] > responses as usize, "response {responses} overtook a push");
        }
    }
    assert_eq!(pushed, [CALLS as usize; 2]);
}

#[tokio::test]
async fn calls_start_in_the_order_in_which_they_arrive() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    // In one write, so that the server reads many frames at once.
    let mut frames: Vec<_> = (0..1000).map(|n| format!(r#"["note",{n}]"#)).collect();
    frames.push(r#"["notes",null,1]"#.into());
    client.send_all(frames).await;
    let all: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
    client.expect(&format!(r#"["notes",[{}],1]"#, all.join(","))).await;
}

#[tokio::test]
async fn responses_of_handlers_that_are_never_pending_are_in_order() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send_all((1..=1000).map(|id| format!(r#"["echo",{id},{id}]"#))).await;
    for id in 1..=1000 {
        client.expect(&format!(r#"["echo",{id},{id}]"#)).await;
    }
}

#[tokio::test]
async fn calls_of_one_connection_run_concurrently() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send_all((1..=100).map(|id| format!(r#"["gate/hold",{{"gate":"x","answer":{id}}},{id}]"#))).await;
    let mut other = server.v1().await;
    other.call("gate/wait", r#"{"gate":"x","came":100}"#).await;
    other.call("gate/release", r#"{"gate":"x","many":100}"#).await.assert_eq("null");
    let mut responses = Vec::new();
    for _ in 1..=100 {
        responses.push(client.next().await);
    }
    responses.sort();
    let mut expected: Vec<_> = (1..=100).map(|id| format!(r#"["gate/hold",{id},{id}]"#)).collect();
    expected.sort();
    assert_eq!(responses, expected);
}

#[tokio::test]
async fn a_message_may_be_fragmented_and_several_may_arrive_in_one_read() {
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
    // One byte per write.
    for byte in raw::masked(raw::TEXT, r#"["echo","ü"]"#.as_bytes()) {
        client.send(&[byte]).await;
    }
    client.expect_text(r#"["echo","ü"]"#).await;
    // Two frames in one write.
    let two: Vec<u8> =
        ["[\"echo\",1]", "[\"echo\",2]"].iter().flat_map(|text| raw::masked(raw::TEXT, text.as_bytes())).collect();
    client.send(&two).await;
    client.expect_text(r#"["echo",1]"#).await;
    client.expect_text(r#"["echo",2]"#).await;
}

#[tokio::test]
async fn calls_may_arrive_in_the_same_read_as_the_handshake() {
    let server = TestServer::start().await;
    let mut client = aaw_tests::RawConnection::connect(server.addr).await;
    let mut bytes = HttpRequest::handshake(server.addr).header("Sec-WebSocket-Protocol", "aaw.v1").bytes();
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
