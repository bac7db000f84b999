//! What fills up, and what then (WIRE); time that runs out; cancellation.

use std::time::Duration;

use aaw_tests::raw::{self, RawConnection};
use aaw_tests::{DEADLINE, HttpRequest, TestServer, WireClient, until};
use serde_json::Value;

/// Longer than any test takes: what must not happen by itself.
const NEVER: Duration = Duration::from_secs(3600);

/// A WebSocket whose client reads only what it is told to.
async fn deaf(server: &TestServer, protocols: &str) -> RawConnection {
    let mut client = RawConnection::websocket(server.addr, Some(protocols)).await;
    if protocols.contains("aaw.v1") {
        client.send_text(r#"["aaw/hello",{}]"#).await;
        assert!(client.read_frame().await.payload.starts_with(br#"["aaw/welcome","#));
    }
    client
}

/// As many turns of the server as it may need to do what it should not.
async fn let_it_run(other: &mut WireClient) {
    for _ in 0..100 {
        other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    }
}

/// More than the system's buffers take, twice over.
const MOST: usize = 64 << 20;

/// Sends a frame again and again, until for long nothing more goes in, or it was too much. Gives the bytes that went in.
async fn flood(deaf: &mut RawConnection, frame: &[u8], other: &mut WireClient) -> usize {
    let frames = frame.repeat(1000);
    let (mut sent, mut full) = (0, 0);
    while full < 50 && sent < MOST {
        match deaf.send_now(&frames[sent % frames.len()..]) {
            0 => {
                full += 1;
                other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
            }
            more => (sent, full) = (sent + more, 0),
        }
    }
    sent
}

// --- The welcome, and the size of messages ----------------------------------------------------------------------------

#[tokio::test]
async fn the_welcome_tells_the_limits() {
    for (change, expected) in [
        (None, r#"{"calls":256,"line":1048576,"message":1048576}"#),
        (Some((7, 800, 900)), r#"{"calls":7,"line":800,"message":900}"#),
    ] {
        let server = TestServer::start_with(|config| {
            if let Some((calls, line, message)) = change {
                (config.max_calls, config.max_line, config.max_message) = (calls, line, message);
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
async fn a_message_may_be_as_large_as_the_limit_and_no_byte_more() {
    let server = TestServer::start_with(|config| config.max_message = 1000).await;
    let mut client = server.classic().await;
    let body = "x".repeat(1000 - r#"["echo",""]"#.len());
    client.exchange(&format!(r#"["echo","{body}"]"#), &format!(r#"["echo","{body}"]"#)).await;
    // An answer of one byte more than the question is too large, though the question is not.
    let mut v1 = server.v1().await;
    let body = format!(r#"{{"bytes":{}}}"#, 1000 - r#"["big","",1]"#.len());
    assert!(v1.call("big", &body).await.0.starts_with("\"xxx"));
    let body = format!(r#"{{"bytes":{}}}"#, 1001 - r#"["big","",1]"#.len());
    let error = r#"{"error":"The answer is larger than a message may be (1000 bytes)","code":"too_large"}"#;
    v1.call("big", &body).await.assert_eq(error);
    client.send(&format!(r#"["echo",{:?}]"#, "x".repeat(990))).await;
    client.expect_close(1009).await;
    server.expect_alive(&mut v1).await;
}

// --- Calls in flight --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn past_256_calls_further_ones_wait_in_line() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    client.send_all((1..=300).map(|id| format!(r#"["gate/hold",{{"gate":"x","answer":{id}}},{id}]"#))).await;
    // Whatever is no call is read all the same.
    client.exchange(r#"["aaw/ping"]"#, r#"["aaw/pong",null]"#).await;
    assert_eq!(gate.counts().came, 256);
    // One that is done makes room for one.
    gate.release(1);
    client.expect(r#"["gate/hold",1,1]"#).await;
    client.exchange(r#"["aaw/ping"]"#, r#"["aaw/pong",null]"#).await;
    assert_eq!(gate.counts().came, 257);
    gate.release(299);
    for id in 2..=300 {
        client.expect(&format!(r#"["gate/hold",{id},{id}]"#)).await;
    }
    // Another connection has its own.
    server.classic().await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

#[tokio::test]
async fn calls_of_a_classic_client_are_bounded_too() {
    let server = TestServer::start_with(|config| config.max_calls = 2).await;
    let gate = server.app.gate("x");
    let mut client = server.classic().await;
    client.send_all((0..5).map(|n| format!(r#"["gate/hold",{{"gate":"x","answer":{n}}},"{n}"]"#))).await;
    client.send(r#"["note","in line"]"#).await;
    let mut other = server.classic().await;
    let_it_run(&mut other).await;
    assert_eq!(gate.counts().came, 2);
    other.call("notes", "{}").await.assert_eq("[]");
    gate.release(5);
    for n in 0..5 {
        client.expect(&format!(r#"["gate/hold",{n},"{n}"]"#)).await;
    }
    client.call("notes", "{}").await.assert_eq(r#"["in line"]"#);
}

#[tokio::test]
async fn the_line_is_first_in_first_out() {
    let server = TestServer::start_with(|config| config.max_calls = 1).await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    // Calls and sends in one line; what could run at once does not overtake what came before.
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
async fn past_the_line_a_call_is_refused_as_busy() {
    let server = TestServer::start_with(|config| (config.max_calls, config.max_line) = (1, 4000)).await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    let text = "x".repeat(1500);
    client.send(&format!(r#"["echo","{text}",2]"#)).await;
    client.send(&format!(r#"["echo","{text}",3]"#)).await;
    let busy = r#"{"error":"Too many calls: 1 run and the line is full","code":"busy"}"#;
    client.exchange(&format!(r#"["echo","{text}",4]"#), &format!(r#"["echo",{busy},4,"error"]"#)).await;
    let told = busy.replace('}', r#","event":"note"}"#);
    client.exchange(&format!(r#"["note","{text}"]"#), &format!(r#"["aaw/error",{told}]"#)).await;
    // One that fits still waits, behind the others.
    client.send(r#"["echo",5,5]"#).await;
    server.app.gate("x").release(1);
    client.expect(r#"["gate/hold",{"held":"x"},1]"#).await;
    client.expect(&format!(r#"["echo","{text}",2]"#)).await;
    client.expect(&format!(r#"["echo","{text}",3]"#)).await;
    client.expect(r#"["echo",5,5]"#).await;
    client.exchange(r#"["echo",6,6]"#, r#"["echo",6,6]"#).await;
}

#[tokio::test]
async fn a_line_of_a_mebibyte_then_busy() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send_all((1..=256).map(|id| format!(r#"["gate/hold",{{"gate":"x"}},{id}]"#))).await;
    let text = "x".repeat(100_000);
    client.send_all((257..=267).map(|id| format!(r#"["echo","{text}",{id}]"#))).await;
    let busy = r#"{"error":"Too many calls: 256 run and the line is full","code":"busy"}"#;
    client.expect(&format!(r#"["echo",{busy},267,"error"]"#)).await;
    server.app.gate("x").release(256);
    let rest = client.collect_until(|text| text.ends_with(",266]")).await;
    assert_eq!(rest.len(), 266);
}

#[tokio::test]
async fn calls_of_large_bodies_wait_in_line_sooner() {
    let server = TestServer::start_with(|config| config.max_running = 10_000).await;
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
    // One that is larger than the bound still runs.
    let pad = "x".repeat(20_000);
    client.send(&format!(r#"["gate/hold",{{"gate":"x","pad":"{pad}"}},7]"#)).await;
    gate.release(1);
    client.expect(r#"["gate/hold",{"held":"x"},7]"#).await;
}

// --- Cancellation and time --------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_cancel_drops_the_handler_and_is_not_answered() {
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
    // Twice is no fault.
    client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    client.exchange(r#"["echo",4,4]"#, r#"["echo",4,4]"#).await;
}

#[tokio::test]
async fn a_cancel_makes_room_for_what_waits_and_takes_what_waits_out_of_the_line() {
    let server = TestServer::start_with(|config| config.max_calls = 1).await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    client.send(r#"["note","cancelled",2]"#).await;
    client.send(r#"["note","stays",3]"#).await;
    client.send(r#"["note",null,2,"cancel"]"#).await;
    client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    client.expect(r#"["note",null,3]"#).await;
    client.exchange(r#"["notes",null,4]"#, r#"["notes",["stays"],4]"#).await;
}

#[tokio::test]
async fn who_goes_takes_its_handlers_along() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    // With a goodbye, by closing TCP, by a reset, by breaking the rules.
    for n in 1..=4 {
        let mut client = RawConnection::websocket(server.addr, Some("x")).await;
        client.send_text(r#"["gate/hold",{"gate":"x"},"id"]"#).await;
        until("the call to begin", || gate.counts().came == n).await;
        match n {
            1 => client.send_frame(raw::CLOSE, &1000u16.to_be_bytes()).await,
            2 => client.finish().await,
            3 => client.reset(),
            _ => client.send(&raw::unmasked(raw::TEXT, b"[]")).await,
        }
        until("its handler to be dropped", || gate.counts().dropped == n).await;
    }
    until("all to be gone", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn a_send_goes_on_when_its_sender_has_gone() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    // Without an id, so nobody waits for it: who sends and leaves wants it done.
    client.send(r#"["gate/hold",{"gate":"x"}]"#).await;
    until("it to begin", || gate.counts().came == 1).await;
    client.close().await;
    gate.release(1);
    until("it to be done", || gate.counts().through == 1).await;
}

#[tokio::test]
async fn a_send_whose_sender_has_gone_does_not_go_on_for_ever() {
    let server = TestServer::start_with(|config| config.linger = Duration::from_millis(20)).await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"}]"#).await;
    until("it to begin", || gate.counts().came == 1).await;
    client.close().await;
    until("it to be dropped", || gate.counts().dropped == 1).await;
}

#[tokio::test]
async fn a_call_ends_when_its_time_is_over() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    let failure = r#"{"error":"The handler did not end within the time its caller gave it","code":"timeout"}"#;
    client
        .exchange(
            r#"["gate/hold",{"gate":"x"},1,"call",{"timeout":20}]"#,
            &format!(r#"["gate/hold",{failure},1,"error"]"#),
        )
        .await;
    until("the handler to be dropped", || gate.counts().dropped == 1).await;
    // One that is fast enough hears nothing of it, one without end has none.
    client.exchange(r#"["echo",2,2,"call",{"timeout":20000}]"#, r#"["echo",2,2]"#).await;
    client.send(r#"["gate/hold",{"gate":"x"},3,"call",{"timeout":18446744073709551615}]"#).await;
    gate.release(1);
    client.expect(r#"["gate/hold",{"held":"x"},3]"#).await;
}

#[tokio::test]
async fn a_calls_time_runs_while_it_waits_in_line() {
    let server = TestServer::start_with(|config| config.max_calls = 1).await;
    let mut client = server.v1().await;
    let failure = r#"{"error":"The handler did not end within the time its caller gave it","code":"timeout"}"#;
    client.send(r#"["gate/hold",{"gate":"x"},1,"call",{"timeout":30}]"#).await;
    client.send(r#"["note","too late",2,"call",{"timeout":10}]"#).await;
    client.expect(&format!(r#"["gate/hold",{failure},1,"error"]"#)).await;
    client.expect(&format!(r#"["note",{failure},2,"error"]"#)).await;
    client.exchange(r#"["notes",null,3]"#, r#"["notes",[],3]"#).await;
}

// --- Clients that do not read -----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_client_that_never_reads_is_closed_by_pushes_and_slows_nobody() {
    let server = TestServer::start().await;
    let mut other = server.classic().await;
    let mut sender = server.v1().await;
    let mut deaf = deaf(&server, "_deaf").await;
    let frame = format!(r#"["broadcast","{}"]"#, "x".repeat(50_000));
    let mut sent = 0;
    while server.handle.connections() == 3 {
        sender.call("broadcasts/large", r#"{"bytes":50000,"times":1}"#).await.assert_eq("null");
        // It arrives at once at whoever reads.
        other.expect(&frame).await;
        sent += 1;
        assert!(sent < 1000, "50 MB wait for a client that does not read");
    }
    // It is out of the table, and once it reads it is told why.
    let mut got = 0;
    let close = loop {
        let next = deaf.read_frame().await;
        if next.first == raw::CLOSE {
            break next;
        }
        assert!(next.payload == frame.as_bytes());
        got += 1;
    };
    assert_eq!(close.payload[..2], 1013u16.to_be_bytes());
    assert!(got < sent);
    deaf.expect_end().await;
    sender.send(r#"["broadcasts/others","after"]"#).await;
    other.expect(r#"["broadcast","after"]"#).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn whoever_pushes_to_a_client_that_does_not_read_is_told() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let mut deaf = deaf(&server, "_deaf").await;
    deaf.send_text(r#"["pushes/large",{"bytes":100000,"times":500}]"#).await;
    let went_well = server.calls.first_of("pushes/large").await["result"].as_u64().unwrap();
    // A burst is taken, the rest is not.
    assert!((1..250).contains(&went_well), "{went_well}");
    until("it to be closed", || server.handle.connections() == 1).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_burst_of_pushes_below_the_bound_is_taken() {
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
async fn a_burst_of_megabytes_is_taken_by_a_client_that_reads() {
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
async fn a_client_that_does_not_read_for_too_long_is_closed_though_it_was_but_one_burst() {
    let server = TestServer::start_with(|config| config.push_patience = Duration::from_millis(50)).await;
    let mut other = server.v1().await;
    let mut deaf = deaf(&server, "_deaf").await;
    // More than the system's buffers hold, less than may wait at all.
    deaf.send_text(r#"["pushes/large",{"bytes":100000,"times":140}]"#).await;
    assert_eq!(server.calls.first_of("pushes/large").await["result"], 140);
    until("it to be closed", || server.handle.connections() == 1).await;
    while deaf.read_frame().await.first != raw::CLOSE {}
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn one_push_always_fits() {
    let server = TestServer::start_with(|config| config.max_push_burst = 10).await;
    let mut client = server.v1().await;
    client.send(r#"["pushes/plain",{"event":"longer than ten bytes"}]"#).await;
    client.expect(r#"["longer than ten bytes",null]"#).await;
    client.send(r#"["pushes/plain",{"event":"one of three that do not fit","times":3}]"#).await;
    // Whether the first goes out is left open.
    client.drain_until_close(1013).await;
}

#[tokio::test]
async fn answers_that_are_not_read_stop_further_calls_and_close_nothing() {
    const CALLS: usize = 500;
    let server = TestServer::start_with(|config| config.write_timeout = NEVER).await;
    let mut other = server.v1().await;
    let mut deaf = deaf(&server, "aaw.v1").await;
    for id in 1..=CALLS {
        deaf.send_text(&format!(r#"["big",{{"bytes":100000}},{id}]"#)).await;
    }
    until("the first to be answered", || server.calls.all().iter().any(|call| call["event"] == "big")).await;
    let_it_run(&mut other).await;
    let started = server.calls.all().iter().filter(|call| call["event"] == "big").count();
    assert!(started < CALLS / 4, "{started} answers of 100 kB for a client that does not read");
    // What is no call is taken up still: this one never runs.
    deaf.send_text(&format!(r#"["big",null,{CALLS},"cancel"]"#)).await;
    let_it_run(&mut other).await;
    for id in 1..CALLS {
        let frame = deaf.read_frame().await;
        assert!(frame.payload.ends_with(format!(",{id}]").as_bytes()), "the answer of call {id}");
        assert!(frame.payload.len() > 100_000);
    }
    deaf.send_text(&format!(r#"["ping",null,{}]"#, CALLS + 1)).await;
    deaf.expect_text(&format!(r#"["ping",{{"pong":true}},{}]"#, CALLS + 1)).await;
}

#[tokio::test]
async fn a_client_that_reads_no_refusals_is_read_no_more() {
    let server = TestServer::start_with(|config| config.write_timeout = NEVER).await;
    let mut other = server.v1().await;
    for frame in ["no frame", r#"["unknown",1,1]"#, r#"["aaw/ping"]"#, r#"["unknown",1]"#] {
        let mut deaf = deaf(&server, "aaw.v1").await;
        let sent = flood(&mut deaf, &raw::masked(raw::TEXT, frame.as_bytes()), &mut other).await;
        assert!(sent < MOST, "{sent} bytes of {frame}");
    }
    until("the others to go", || server.handle.connections() == 1).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn many_pings_are_no_calls_and_hold_up_nobody() {
    let server = TestServer::start_with(|config| config.write_timeout = NEVER).await;
    let mut other = server.v1().await;
    let mut client = deaf(&server, "aaw.v1").await;
    // Each pong takes the place of the one before: they need no room.
    flood(&mut client, &raw::masked(raw::PING, &[b'p'; 125]), &mut other).await;
    server.expect_alive(&mut other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_floods_leaves_room_for_others() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let mut client = server.v1().await;
    let flood = tokio::spawn(async move {
        client.send_all((1..=100_000).map(|id| format!(r#"["echo",{id},{id}]"#))).await;
        client.collect_until(|text| text.ends_with(",100000]")).await.len()
    });
    until("the flood to begin", || server.calls.all().len() > 10).await;
    // Answered long before the flood is over.
    for _ in 0..3 {
        other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    }
    assert!(server.calls.all().len() < 100_000, "the flood was over first");
    assert_eq!(flood.await.expect("all is answered"), 100_000);
}

#[tokio::test]
async fn a_connection_to_which_nothing_can_be_written_is_closed() {
    let server = TestServer::start_with(|config| config.write_timeout = Duration::from_millis(100)).await;
    let mut other = server.v1().await;
    let mut deaf = deaf(&server, "aaw.v1").await;
    for id in 1..=200 {
        deaf.send_text(&format!(r#"["big",{{"bytes":100000}},{id}]"#)).await;
    }
    until("it to be closed", || server.handle.connections() == 1).await;
    server.expect_alive(&mut other).await;
}

// --- Silence ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_connection_that_says_nothing_is_hung_up_on() {
    let server = TestServer::start_with(|config| config.handshake_timeout = Duration::from_millis(50)).await;
    let mut other = server.classic().await;
    let mut silent = RawConnection::connect(server.addr).await;
    while silent.take(1).await.is_some() {}
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_header_that_comes_byte_by_byte_is_hung_up_on() {
    let server = TestServer::start_with(|config| config.handshake_timeout = Duration::from_millis(50)).await;
    let mut other = server.classic().await;
    let mut slow = RawConnection::connect(server.addr).await;
    slow.send(b"GET / HTTP/1.1\r\nX: ").await;
    let begun = std::time::Instant::now();
    // Each byte is a sign of life, and does not count as one. As slow as the other connection's answers.
    while slow.try_send(b"x").await {
        other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        assert!(begun.elapsed() < DEADLINE);
    }
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_v1_client_that_says_no_hello_is_told_1002() {
    let server = TestServer::start_with(|config| config.handshake_timeout = Duration::from_millis(50)).await;
    let mut other = server.v1().await;
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    assert_eq!(client.expect_close(1002).await, "no aaw/hello in time");
    // What is none does not count.
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    client.send(r#"["ping",null,1]"#).await;
    client.next().await;
    client.expect_close(1002).await;
    // Classic clients need none: this one is older than one that was told.
    let mut classic = server.classic().await;
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    client.expect_close(1002).await;
    classic.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn a_client_that_answers_no_pings_is_gone_after_two() {
    let server = TestServer::start_with(|config| config.heartbeat = Duration::from_millis(30)).await;
    let mut deaf = RawConnection::websocket(server.addr, Some("_deaf")).await;
    deaf.send_text(r#"["gate/hold",{"gate":"x"}]"#).await;
    for _ in 0..2 {
        let frame = deaf.read_frame().await;
        assert_eq!((frame.first, frame.payload.len()), (raw::PING, 0));
    }
    let reason = deaf.expect_close(1001).await;
    assert_eq!(reason, "no sign of life");
    assert_eq!(server.handle.connections(), 0);
    assert_eq!(server.app.gate("x").counts().dropped, 1);
}

#[tokio::test]
async fn a_client_that_answers_pings_stays() {
    let server = TestServer::start_with(|config| config.heartbeat = Duration::from_millis(30)).await;
    let mut client = RawConnection::websocket(server.addr, Some("_there")).await;
    for _ in 0..6 {
        assert_eq!(client.read_frame().await.first, raw::PING);
        client.send_frame(raw::PONG, b"").await;
    }
    // Anything else is a sign of life too.
    for n in 0..6 {
        assert_eq!(client.read_frame().await.first, raw::PING);
        client.send_text(&format!(r#"["echo",{n}]"#)).await;
        client.expect_text(&format!(r#"["echo",{n}]"#)).await;
    }
    assert_eq!(server.handle.connections(), 1);
}

#[tokio::test]
async fn past_the_most_connections_one_is_told_503_until_another_has_gone() {
    let server = TestServer::start_with(|config| config.max_connections = 2).await;
    let (mut a, b) = (server.v1().await, server.classic().await);
    let refused = HttpRequest::handshake(server.addr).send().await;
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("5")));
    a.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    b.close().await;
    let mut c = server.classic().await;
    c.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    // One that has sent no request yet takes a place as well.
    c.close().await;
    let _silent = RawConnection::connect(server.addr).await;
    assert_eq!(HttpRequest::handshake(server.addr).send().await.status, 503);
}
