//! Limits: message sizes, concurrent calls and the wait queue, cancellation and timeouts, clients that do not read,
//! silent clients.

use std::time::Duration;

use aaw_tests::raw::{self, RawConnection};
use aaw_tests::{DEADLINE, HttpRequest, MostHeld, TestServer, WireClient, until};
use serde_json::Value;

/// Longer than any test takes, for timeouts that must not expire.
const NEVER: Duration = Duration::from_secs(3600);

/// Connects a WebSocket that reads only when the test does.
async fn connect_raw(server: &TestServer, protocols: &str) -> RawConnection {
    let mut client = RawConnection::websocket(server.addr, Some(protocols)).await;
    if protocols.contains("aaw.v1") {
        client.send_text(r#"["aaw/hello",{}]"#).await;
        assert!(client.read_frame().await.payload.starts_with(br#"["aaw/welcome","#));
    }
    client
}

/// Gives the server time to do what it must not do, with calls on another connection.
async fn let_server_run(other: &mut WireClient) {
    for _ in 0..100 {
        other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    }
}

/// Twice what the buffers of the system hold.
const FLOOD_LIMIT: usize = 64 << 20;

/// Sends a frame repeatedly until the socket has taken nothing for a while, or the limit is reached. Returns the bytes
/// sent.
async fn flood(client: &mut RawConnection, frame: &[u8], other: &mut WireClient) -> usize {
    let frames = frame.repeat(1000);
    let (mut sent, mut full) = (0, 0);
    while full < 50 && sent < FLOOD_LIMIT {
        match client.send_now(&frames[sent % frames.len()..]) {
            0 => {
                full += 1;
                other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
            }
            more => (sent, full) = (sent + more, 0),
        }
    }
    sent
}

// --- The welcome, and the size of messages ---------------------------------------------------------------------------

#[tokio::test]
async fn the_welcome_contains_the_limits() {
    for (change, expected) in [
        (None, r#"{"calls":256,"line":1048576,"message":1048576}"#),
        (Some((7, 800, 900)), r#"{"calls":7,"line":800,"message":900}"#),
    ] {
        let server = TestServer::start_with(|config| {
            if let Some((calls, line, message)) = change {
                (config.max_concurrent_calls, config.max_queued_call_bytes, config.max_message_bytes) =
                    (calls, line, message);
            }
        })
        .await;
        let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
        client.send(r#"["aaw/hello",{}]"#).await;
        let welcome: Value = serde_json::from_str(&client.next().await).unwrap();
        assert_eq!(welcome[1]["limits"], serde_json::from_str::<Value>(expected).unwrap());
        assert_eq!(welcome[1]["resumed"], false);
    }
}

#[tokio::test]
async fn a_message_may_be_as_large_as_the_limit() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 1000).await;
    let mut client = server.classic().await;
    let body = "x".repeat(1000 - r#"["echo",""]"#.len());
    client.exchange(&format!(r#"["echo","{body}"]"#), &format!(r#"["echo","{body}"]"#)).await;
    // The limit applies to responses too.
    let mut v1 = server.v1().await;
    let body = format!(r#"{{"bytes":{}}}"#, 1000 - r#"["big","",1]"#.len());
    assert!(v1.call("big", &body).await.0.starts_with("\"xxx"));
    let body = format!(r#"{{"bytes":{}}}"#, 1001 - r#"["big","",1]"#.len());
    let error = r#"{"error":"The response exceeds the message limit of 1000 bytes","code":"too_large"}"#;
    v1.call("big", &body).await.assert_eq(error);
    client.send(&format!(r#"["echo",{:?}]"#, "x".repeat(990))).await;
    client.expect_close(1009).await;
    server.expect_alive(&mut v1).await;
}

// --- Concurrent calls, and the wait queue ----------------------------------------------------------------------------

#[tokio::test]
async fn calls_above_the_limit_wait_in_the_queue() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    client.send_all((1..=300).map(|id| format!(r#"["gate/hold",{{"gate":"x","answer":{id}}},{id}]"#))).await;
    // Frames other than calls are still handled.
    client.exchange(r#"["aaw/ping"]"#, r#"["aaw/pong",null]"#).await;
    assert_eq!(gate.counts().came, 256);
    // A finished call lets the next one start.
    gate.release(1);
    client.expect(r#"["gate/hold",1,1]"#).await;
    client.exchange(r#"["aaw/ping"]"#, r#"["aaw/pong",null]"#).await;
    assert_eq!(gate.counts().came, 257);
    gate.release(299);
    for id in 2..=300 {
        client.expect(&format!(r#"["gate/hold",{id},{id}]"#)).await;
    }
    // The limit is per connection.
    server.classic().await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

#[tokio::test]
async fn calls_of_a_classic_client_are_limited_too() {
    let server = TestServer::start_with(|config| config.max_concurrent_calls = 2).await;
    let gate = server.app.gate("x");
    let mut client = server.classic().await;
    client.send_all((0..5).map(|n| format!(r#"["gate/hold",{{"gate":"x","answer":{n}}},"{n}"]"#))).await;
    client.send(r#"["note","queued"]"#).await;
    let mut other = server.classic().await;
    let_server_run(&mut other).await;
    assert_eq!(gate.counts().came, 2);
    other.call("notes", "{}").await.assert_eq("[]");
    gate.release(5);
    for n in 0..5 {
        client.expect(&format!(r#"["gate/hold",{n},"{n}"]"#)).await;
    }
    client.call("notes", "{}").await.assert_eq(r#"["queued"]"#);
}

#[tokio::test]
async fn the_wait_queue_is_first_in_first_out() {
    let server = TestServer::start_with(|config| config.max_concurrent_calls = 1).await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    // Calls with and without an id are in one queue, and handlers that return immediately do not overtake others.
    client
        .send_all((2..=101).map(|id| match id % 2 {
            0 => format!(r#"["note",{id},{id}]"#),
            _ => format!(r#"["sleepy",{id},{id}]"#),
        }))
        .await;
    client.send(r#"["note","send"]"#).await;
    client.send(r#"["notes",null,102]"#).await;
    server.app.gate("x").release(1);
    client.expect(r#"["gate/hold",{"held":"x"},1]"#).await;
    for id in 2..=101 {
        let expected = if id % 2 == 0 { format!(r#"["note",null,{id}]"#) } else { format!(r#"["sleepy",{id},{id}]"#) };
        client.expect(&expected).await;
    }
    let mut notes: Vec<Value> = (2..=101).filter(|id| id % 2 == 0).map(Value::from).collect();
    notes.push("send".into());
    client.expect(&format!(r#"["notes",{},102]"#, Value::from(notes))).await;
}

#[tokio::test]
async fn a_full_wait_queue_rejects_the_call_as_busy() {
    let server =
        TestServer::start_with(|config| (config.max_concurrent_calls, config.max_queued_call_bytes) = (1, 4000)).await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    let text = "x".repeat(1500);
    client.send(&format!(r#"["echo","{text}",2]"#)).await;
    client.send(&format!(r#"["echo","{text}",3]"#)).await;
    let busy = r#"{"error":"Too many calls: 1 run and the wait queue is full","code":"busy"}"#;
    client.exchange(&format!(r#"["echo","{text}",4]"#), &format!(r#"["echo",{busy},4,"error"]"#)).await;
    let failure = busy.replace('}', r#","event":"note"}"#);
    client.exchange(&format!(r#"["note","{text}"]"#), &format!(r#"["aaw/error",{failure}]"#)).await;
    // A smaller call still fits into the queue.
    client.send(r#"["echo",5,5]"#).await;
    server.app.gate("x").release(1);
    client.expect(r#"["gate/hold",{"held":"x"},1]"#).await;
    client.expect(&format!(r#"["echo","{text}",2]"#)).await;
    client.expect(&format!(r#"["echo","{text}",3]"#)).await;
    client.expect(r#"["echo",5,5]"#).await;
    client.exchange(r#"["echo",6,6]"#, r#"["echo",6,6]"#).await;
}

#[tokio::test]
async fn the_default_wait_queue_holds_a_mebibyte() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send_all((1..=256).map(|id| format!(r#"["gate/hold",{{"gate":"x"}},{id}]"#))).await;
    let text = "x".repeat(100_000);
    client.send_all((257..=267).map(|id| format!(r#"["echo","{text}",{id}]"#))).await;
    let busy = r#"{"error":"Too many calls: 256 run and the wait queue is full","code":"busy"}"#;
    client.expect(&format!(r#"["echo",{busy},267,"error"]"#)).await;
    server.app.gate("x").release(256);
    let rest = client.collect_until(|text| text.ends_with(",266]")).await;
    assert_eq!(rest.len(), 266);
}

#[tokio::test]
async fn the_bodies_of_running_calls_are_limited_in_bytes() {
    let server = TestServer::start_with(|config| config.max_running_call_bytes = 10_000).await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    let pad = "x".repeat(4000);
    client.send_all((1..=6).map(|id| format!(r#"["gate/hold",{{"gate":"x","pad":"{pad}"}},{id}]"#))).await;
    client.exchange(r#"["aaw/ping"]"#, r#"["aaw/pong",null]"#).await;
    assert!((2..=3).contains(&gate.counts().came), "{:?}", gate.counts());
    gate.release(6);
    for id in 1..=6 {
        client.expect(&format!(r#"["gate/hold",{{"held":"x"}},{id}]"#)).await;
    }
    // A single call above the limit still runs.
    let pad = "x".repeat(20_000);
    client.send(&format!(r#"["gate/hold",{{"gate":"x","pad":"{pad}"}},7]"#)).await;
    gate.release(1);
    client.expect(r#"["gate/hold",{"held":"x"},7]"#).await;
}

// --- Cancellation and timeouts ---------------------------------------------------------------------------------------

#[tokio::test]
async fn a_cancel_drops_the_handler_and_has_no_response() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    client.send(r#"["gate/hold",{"gate":"x"},2]"#).await;
    client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    client
        .exchange(
            r#"["gate/wait",{"gate":"x","dropped":1},3]"#,
            r#"["gate/wait",{"came":2,"through":0,"dropped":1},3]"#,
        )
        .await;
    gate.release(1);
    client.expect(r#"["gate/hold",{"held":"x"},2]"#).await;
    // A second cancel is ignored.
    client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    client.exchange(r#"["echo",4,4]"#, r#"["echo",4,4]"#).await;
}

#[tokio::test]
async fn a_cancel_removes_a_queued_call_and_lets_the_next_one_start() {
    let server = TestServer::start_with(|config| config.max_concurrent_calls = 1).await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    client.send(r#"["note","cancelled",2]"#).await;
    client.send(r#"["note","kept",3]"#).await;
    client.send(r#"["note",null,2,"cancel"]"#).await;
    client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    client.expect(r#"["note",null,3]"#).await;
    client.exchange(r#"["notes",null,4]"#, r#"["notes",["kept"],4]"#).await;
}

#[tokio::test]
async fn a_disconnect_drops_the_handlers_of_calls() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    // By a close frame, the end of TCP, a reset, a protocol violation.
    for n in 1..=4 {
        let mut client = RawConnection::websocket(server.addr, Some("x")).await;
        client.send_text(r#"["gate/hold",{"gate":"x"},"id"]"#).await;
        until("the call to run", || gate.counts().came == n).await;
        match n {
            1 => client.send_frame(raw::CLOSE, &1000u16.to_be_bytes()).await,
            2 => client.finish().await,
            3 => client.reset(),
            _ => client.send(&raw::unmasked(raw::TEXT, b"[]")).await,
        }
        until("the handler to be dropped", || gate.counts().dropped == n).await;
    }
    until("all connections to be removed", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn a_handler_called_without_an_id_outlives_its_connection() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    // Without an id: the client does not wait for a response, and expects the event to run.
    client.send(r#"["gate/hold",{"gate":"x"}]"#).await;
    until("the handler to run", || gate.counts().came == 1).await;
    client.close().await;
    gate.release(1);
    until("the handler to finish", || gate.counts().through == 1).await;
}

#[tokio::test]
async fn a_handler_without_a_connection_is_dropped_after_the_linger_time() {
    let server = TestServer::start_with(|config| config.linger_timeout = Duration::from_millis(20)).await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"}]"#).await;
    until("the handler to run", || gate.counts().came == 1).await;
    client.close().await;
    until("the handler to be dropped", || gate.counts().dropped == 1).await;
}

#[tokio::test]
async fn a_call_times_out() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    let failure = r#"{"error":"The call did not complete within its timeout","code":"timeout"}"#;
    client
        .exchange(
            r#"["gate/hold",{"gate":"x"},1,"call",{"timeout":20}]"#,
            &format!(r#"["gate/hold",{failure},1,"error"]"#),
        )
        .await;
    until("the handler to be dropped", || gate.counts().dropped == 1).await;
    // A call within its timeout is not affected, and a huge timeout does not overflow.
    client.exchange(r#"["echo",2,2,"call",{"timeout":20000}]"#, r#"["echo",2,2]"#).await;
    client.send(r#"["gate/hold",{"gate":"x"},3,"call",{"timeout":18446744073709551615}]"#).await;
    gate.release(1);
    client.expect(r#"["gate/hold",{"held":"x"},3]"#).await;
}

#[tokio::test]
async fn the_timeout_of_a_call_includes_its_time_in_the_queue() {
    let server = TestServer::start_with(|config| config.max_concurrent_calls = 1).await;
    let mut client = server.v1().await;
    let failure = r#"{"error":"The call did not complete within its timeout","code":"timeout"}"#;
    client.send(r#"["gate/hold",{"gate":"x"},1,"call",{"timeout":30}]"#).await;
    client.send(r#"["note","too late",2,"call",{"timeout":10}]"#).await;
    client.expect(&format!(r#"["gate/hold",{failure},1,"error"]"#)).await;
    client.expect(&format!(r#"["note",{failure},2,"error"]"#)).await;
    client.exchange(r#"["notes",null,3]"#, r#"["notes",[],3]"#).await;
}

// --- Clients that do not read ----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_client_that_never_reads_its_pushes_is_closed_and_delays_no_other() {
    let server = TestServer::start().await;
    let mut other = server.classic().await;
    let mut sender = server.v1().await;
    let mut unread = connect_raw(&server, "_client").await;
    let frame = format!(r#"["broadcast","{}"]"#, "x".repeat(50_000));
    let mut sent = 0;
    while server.handle.connections() == 3 {
        sender.call("broadcasts/large", r#"{"bytes":50000,"times":1}"#).await.assert_eq("null");
        // A client that reads receives it at once.
        other.expect(&frame).await;
        sent += 1;
        assert!(sent < 1000, "50 MB are queued for a client that does not read");
    }
    // The connection is removed. A client that reads later still receives the close frame.
    let mut received = 0;
    let close = loop {
        let next = unread.read_frame().await;
        if next.first == raw::CLOSE {
            break next;
        }
        assert!(next.payload == frame.as_bytes());
        received += 1;
    };
    assert_eq!(close.payload[..2], 1013u16.to_be_bytes());
    assert!(received < sent);
    unread.expect_end().await;
    sender.send(r#"["broadcasts/others","after"]"#).await;
    other.expect(r#"["broadcast","after"]"#).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn pushes_to_a_client_that_does_not_read_fail() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let mut unread = connect_raw(&server, "_client").await;
    unread.send_text(r#"["pushes/large",{"bytes":100000,"times":500}]"#).await;
    let accepted = server.calls.first_of("pushes/large").await["result"].as_u64().unwrap();
    // Pushes are accepted up to the burst limit.
    assert!((1..250).contains(&accepted), "{accepted}");
    until("the connection to be closed", || server.handle.connections() == 1).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_burst_of_pushes_below_the_limit_is_delivered() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["pushes/large",{"bytes":10000,"times":100},1]"#).await;
    let frame = format!(r#"["large","{}"]"#, "x".repeat(10_000));
    for _ in 0..100 {
        client.expect(&frame).await;
    }
    client.expect(r#"["pushes/large",100,1]"#).await;
}

#[tokio::test]
async fn a_burst_of_megabytes_is_delivered_to_a_client_that_reads() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["pushes/large",{"bytes":100000,"times":100},1]"#).await;
    let frame = format!(r#"["large","{}"]"#, "x".repeat(100_000));
    for _ in 0..100 {
        client.expect(&frame).await;
    }
    client.expect(r#"["pushes/large",100,1]"#).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_a_burst_in_time_is_closed() {
    let server = TestServer::start_with(|config| config.push_backlog_timeout = Duration::from_millis(50)).await;
    let mut other = server.v1().await;
    let mut unread = connect_raw(&server, "_client").await;
    // More than the buffers of the system hold, and less than the burst limit.
    unread.send_text(r#"["pushes/large",{"bytes":100000,"times":140}]"#).await;
    assert_eq!(server.calls.first_of("pushes/large").await["result"], 140);
    until("the connection to be closed", || server.handle.connections() == 1).await;
    while unread.read_frame().await.first != raw::CLOSE {}
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_single_push_above_the_limit_is_delivered() {
    let server = TestServer::start_with(|config| config.max_push_burst_bytes = 10).await;
    let mut client = server.v1().await;
    client.send(r#"["pushes/plain",{"event":"longer than ten bytes"}]"#).await;
    client.expect(r#"["longer than ten bytes",null]"#).await;
    client.send(r#"["pushes/plain",{"event":"one of three that do not fit","times":3}]"#).await;
    // The first of them may or may not be sent.
    client.drain_until_close(1013).await;
}

#[tokio::test]
async fn unread_responses_pause_further_calls_without_closing() {
    const CALLS: usize = 500;
    let server = TestServer::start_with(|config| config.write_timeout = NEVER).await;
    let mut other = server.v1().await;
    let mut unread = connect_raw(&server, "aaw.v1").await;
    for id in 1..=CALLS {
        unread.send_text(&format!(r#"["big",{{"bytes":100000}},{id}]"#)).await;
    }
    until("the first call to finish", || server.calls.all().iter().any(|call| call["event"] == "big")).await;
    let_server_run(&mut other).await;
    let started = server.calls.all().iter().filter(|call| call["event"] == "big").count();
    assert!(started < CALLS / 4, "{started} responses of 100 kB for a client that does not read");
    // Other frames are still handled: the cancelled call never runs.
    unread.send_text(&format!(r#"["big",null,{CALLS},"cancel"]"#)).await;
    let_server_run(&mut other).await;
    for id in 1..CALLS {
        let frame = unread.read_frame().await;
        assert!(frame.payload.ends_with(format!(",{id}]").as_bytes()), "the response to call {id}");
        assert!(frame.payload.len() > 100_000);
    }
    unread.send_text(&format!(r#"["ping",null,{}]"#, CALLS + 1)).await;
    unread.expect_text(&format!(r#"["ping",{{"pong":true}},{}]"#, CALLS + 1)).await;
}

#[tokio::test]
async fn unread_errors_pause_reading_from_the_client() {
    let server = TestServer::start_with(|config| config.write_timeout = NEVER).await;
    let mut other = server.v1().await;
    for frame in ["not a frame", r#"["unknown",1,1]"#, r#"["aaw/ping"]"#, r#"["unknown",1]"#] {
        let mut unread = connect_raw(&server, "aaw.v1").await;
        let sent = flood(&mut unread, &raw::masked(raw::TEXT, frame.as_bytes()), &mut other).await;
        assert!(sent < FLOOD_LIMIT, "{sent} bytes of {frame}");
    }
    until("the other connections to be removed", || server.handle.connections() == 1).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn many_pings_do_not_delay_other_clients() {
    let server = TestServer::start_with(|config| config.write_timeout = NEVER).await;
    let mut other = server.v1().await;
    let mut client = connect_raw(&server, "aaw.v1").await;
    // Each pong replaces the one that has not been sent yet.
    flood(&mut client, &raw::masked(raw::PING, &[b'p'; 125]), &mut other).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_floods_does_not_starve_others() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let mut client = server.v1().await;
    let flood = tokio::spawn(async move {
        client.send_all((1..=100_000).map(|id| format!(r#"["echo",{id},{id}]"#))).await;
        client.collect_until(|text| text.ends_with(",100000]")).await.len()
    });
    until("the flood to start", || server.calls.all().len() > 10).await;
    // They return long before the flood is over.
    for _ in 0..3 {
        other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    }
    assert!(server.calls.all().len() < 100_000, "the flood was over first");
    assert_eq!(flood.await.expect("all calls return"), 100_000);
}

#[tokio::test]
async fn a_connection_is_closed_after_the_write_timeout() {
    let server = TestServer::start_with(|config| config.write_timeout = Duration::from_millis(100)).await;
    let mut other = server.v1().await;
    let mut unread = connect_raw(&server, "aaw.v1").await;
    for id in 1..=200 {
        unread.send_text(&format!(r#"["big",{{"bytes":100000}},{id}]"#)).await;
    }
    until("the connection to be closed", || server.handle.connections() == 1).await;
    server.expect_alive(&mut other).await;
}

// --- Silent clients, and the number of connections -------------------------------------------------------------------

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let server = TestServer::start_with(|config| config.handshake_timeout = Duration::from_millis(50)).await;
    let mut other = server.classic().await;
    let mut silent = RawConnection::connect(server.addr).await;
    while silent.take(1).await.is_some() {}
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_request_that_arrives_byte_by_byte_is_closed() {
    let server = TestServer::start_with(|config| config.handshake_timeout = Duration::from_millis(50)).await;
    let mut other = server.classic().await;
    let mut slow = RawConnection::connect(server.addr).await;
    slow.send(b"GET / HTTP/1.1\r\nX: ").await;
    let started = std::time::Instant::now();
    // Progress does not extend the time limit. Paced by the calls of the other connection.
    while slow.try_send(b"x").await {
        other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        assert!(started.elapsed() < DEADLINE);
    }
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn an_http_connection_is_kept_open_for_its_own_time_between_requests() {
    let server = TestServer::start_with(|config| {
        config.handshake_timeout = Duration::from_millis(50);
        config.keep_alive_timeout = Duration::from_secs(2);
    })
    .await;
    let ping = || HttpRequest::post(server.addr, "/events/ping", "");
    let mut raw = RawConnection::connect(server.addr).await;
    let response = ping().send_over(&mut raw).await;
    assert_eq!((response.header("Connection"), response.header("Keep-Alive")), (Some("keep-alive"), Some("timeout=2")));
    // Far longer than the time limit of the first request.
    let mut silent = RawConnection::connect(server.addr).await;
    silent.expect_end().await;
    assert_eq!(ping().send_over(&mut raw).await.status, 200);
    // From the last response on, whatever arrives of the next request.
    let started = std::time::Instant::now();
    raw.send(b"GET / HTTP/1.1\r\n").await;
    raw.expect_end().await;
    let elapsed = started.elapsed();
    assert!(elapsed > Duration::from_millis(1900) && elapsed < DEADLINE, "{elapsed:?}");
}

#[tokio::test]
async fn a_long_call_and_a_slow_reader_are_not_idle() {
    let server = TestServer::start_with(|config| {
        config.handshake_timeout = Duration::from_millis(50);
        config.keep_alive_timeout = Duration::from_millis(50);
    })
    .await;
    let hold = HttpRequest::post(server.addr, "/events/gate/hold", r#"{"gate":"x"}"#).start().await;
    until("the handler to run", || server.app.gate("x").counts().came == 1).await;
    let large = HttpRequest::post(server.addr, "/events/streams/large", r#"{"items":40,"bytes":500000}"#);
    let mut slow = large.accept("application/x-ndjson").start().await;
    for _ in 0..3 {
        // Several times the time limit.
        RawConnection::connect(server.addr).await.expect_end().await;
    }
    assert_eq!(server.app.gate("x").counts().dropped, 0);
    let mut received = 0;
    while let Some(bytes) = slow.take(1000).await {
        received += bytes.len();
    }
    assert!(received > 20_000_000 - 1000, "{received}");
    drop(hold);
    until("the handler to be dropped", || server.app.gate("x").counts().dropped == 1).await;
}

#[tokio::test]
async fn keep_alive_is_announced_only_while_the_connection_stays_open() {
    let server = TestServer::start().await;
    let ping = || HttpRequest::post(server.addr, "/events/ping", "");
    assert_eq!(ping().send().await.header("Keep-Alive"), Some("timeout=75"));
    let last = ping().header("Connection", "close").send().await;
    assert_eq!((last.headers("Connection"), last.header("Keep-Alive")), (vec!["close"], None));
    let upgraded = HttpRequest::handshake(server.addr).send().await;
    assert_eq!((upgraded.header("Connection"), upgraded.header("Keep-Alive")), (Some("upgrade"), None));
    let never = TestServer::start_with(|config| config.keep_alive_timeout = Duration::ZERO).await;
    let (only, mut raw) = HttpRequest::post(never.addr, "/events/ping", "").open_websocket().await;
    assert_eq!((only.status, only.headers("Connection"), only.header("Keep-Alive")), (200, vec!["close"], None));
    raw.expect_end().await;
    let forever = TestServer::start_with(|config| config.keep_alive_timeout = Duration::MAX).await;
    assert_eq!(HttpRequest::post(forever.addr, "/events/ping", "").send().await.status, 200);
}

#[tokio::test]
async fn a_v1_client_without_a_hello_is_closed_with_1002() {
    let server = TestServer::start_with(|config| config.handshake_timeout = Duration::from_millis(50)).await;
    let mut other = server.v1().await;
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    assert_eq!(client.expect_close(1002).await, "no aaw/hello in time");
    // Frames before the hello do not extend the time limit.
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    client.send(r#"["ping",null,1]"#).await;
    client.next().await;
    client.expect_close(1002).await;
    // Classic connections send no hello, so the time limit does not apply to them.
    let mut classic = server.classic().await;
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    client.expect_close(1002).await;
    classic.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_client_that_misses_two_pings_is_closed() {
    let server = TestServer::start_with(|config| config.heartbeat_interval = Duration::from_millis(30)).await;
    let mut unread = RawConnection::websocket(server.addr, Some("_client")).await;
    unread.send_text(r#"["gate/hold",{"gate":"x"}]"#).await;
    for _ in 0..2 {
        let frame = unread.read_frame().await;
        assert_eq!((frame.first, frame.payload.len()), (raw::PING, 0));
    }
    let reason = unread.expect_close(1001).await;
    assert_eq!(reason, "no sign of life");
    assert_eq!(server.handle.connections(), 0);
    assert_eq!(server.app.gate("x").counts().dropped, 1);
}

#[tokio::test]
async fn a_client_that_responds_to_pings_stays_connected() {
    let server = TestServer::start_with(|config| config.heartbeat_interval = Duration::from_millis(30)).await;
    let mut client = RawConnection::websocket(server.addr, Some("_client")).await;
    for _ in 0..6 {
        assert_eq!(client.read_frame().await.first, raw::PING);
        client.send_frame(raw::PONG, b"").await;
    }
    // Any other frame counts too.
    for n in 0..6 {
        assert_eq!(client.read_frame().await.first, raw::PING);
        client.send_text(&format!(r#"["echo",{n}]"#)).await;
        client.expect_text(&format!(r#"["echo",{n}]"#)).await;
    }
    assert_eq!(server.handle.connections(), 1);
}

#[tokio::test]
async fn connections_above_the_limit_get_503_until_one_closes() {
    let server = TestServer::start_with(|config| config.max_connections = 2).await;
    let (mut a, b) = (server.v1().await, server.classic().await);
    let refused = HttpRequest::handshake(server.addr).send().await;
    assert_eq!((refused.failure(), refused.header("Retry-After")), ((503, "busy".into()), Some("5")));
    a.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    b.close().await;
    let mut c = server.classic().await;
    c.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    // A connection without a request counts too.
    c.close().await;
    let _silent = RawConnection::connect(server.addr).await;
    assert_eq!(HttpRequest::handshake(server.addr).send().await.status, 503);
}

/// 64 arrays that are gathered side by side held 64 times the memory of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_under_construction_occupy_bounded_memory() {
    const LIMIT: usize = 256 << 10;
    let server = TestServer::start_with(|config| {
        (config.max_held_bytes, config.max_unsent_response_bytes) = (LIMIT, LIMIT / 2);
    })
    .await;
    let mut clients = [server.v1().await, server.v1().await];
    // Arrays of 39 KB.
    let expected = format!("[{}]", (1..=8000).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    for client in &mut clients {
        client.send_all((1..=64).map(|id| format!(r#"["streams/count",{{"to":8000}},{id}]"#))).await;
    }
    let most = MostHeld::of(&server);
    for client in &mut clients {
        let mut ids: Vec<u64> = Vec::new();
        while ids.len() < 64 {
            let frame: Value = serde_json::from_str(&client.next().await).expect("a frame is JSON");
            assert_eq!(frame[1].to_string(), expected);
            ids.push(frame[2].as_u64().expect("an id"));
        }
        ids.sort_unstable();
        assert_eq!(ids, (1..=64).collect::<Vec<_>>(), "each call has one response");
    }
    let most = most.end().await;
    // Each connection: the limit, and what is written behind it by a call that continues.
    assert!(most < clients.len() * 2 * LIMIT, "{most} bytes");
    until("nothing is held", || server.handle.held_bytes() == 0).await;
}
