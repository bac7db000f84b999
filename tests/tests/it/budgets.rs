//! What clients make the server hold: a connection, the connections of an address, all of them; over WebSockets and HTTP.

use std::net::Ipv4Addr;

use aaw_server::Config;
use aaw_tests::raw::{CLOSE, RawConnection};
use aaw_tests::{HttpRequest, MostHeld, TestServer, WireClient, until};
use serde_json::{Value, json};

const A: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The limits of these tests, in bytes.
const PER_CONNECTION: usize = 256 << 10;
const PER_ADDRESS: usize = 1 << 20;
const TOTAL: usize = 4 << 20;

/// What one connection may hold: its limit, what one call adds while it continues, and unread responses.
const MOST_OF_ONE: usize = PER_CONNECTION * 2;

/// What the connections of an address hold at most in these tests: others grow before those that are refused have had
/// their turn, in which they free what they hold.
const MOST_OF_ADDRESS: usize = PER_ADDRESS * 2;

/// An event whose response is an array of 80 KB, and its body.
const LARGE: &str = r#""streams/large",{"items":40,"bytes":2000}"#;

fn limits(config: &mut Config) {
    config.max_held_bytes = PER_CONNECTION;
    config.max_unsent_response_bytes = PER_CONNECTION / 2;
    config.max_held_bytes_per_address = PER_ADDRESS;
    config.max_total_held_bytes = TOTAL;
}

async fn websocket(server: &TestServer, from: Ipv4Addr) -> RawConnection {
    let mut raw = RawConnection::connect_from(from, server.addr).await;
    let handshake = HttpRequest::handshake(server.addr).header("Sec-WebSocket-Protocol", "aaw.v1");
    assert_eq!(handshake.send_over(&mut raw).await.status, 101);
    raw
}

/// Opens a connection that does not read the responses to 256 calls.
async fn pinning(server: &TestServer, from: Ipv4Addr) -> RawConnection {
    let mut raw = websocket(server, from).await;
    raw.send_text(r#"["aaw/hello",{}]"#).await;
    for id in 1..=256 {
        // It may be refused, and closed, before the last one.
        if !raw.try_send(&aaw_tests::raw::masked(0x81, format!("[{LARGE},{id}]").as_bytes())).await {
            break;
        }
    }
    raw
}

/// Runs calls of another client for a while, and checks their responses.
async fn run_calls(client: &mut WireClient, count: usize) {
    for _ in 0..count {
        client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    }
}

async fn until_nothing_is_held(server: &TestServer) {
    until("nothing is held", || server.handle.held_bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_hold_no_more_than_their_connections_and_their_address_may() {
    for (count, most_expected) in [(1, MOST_OF_ONE), (2, 2 * MOST_OF_ONE), (50, MOST_OF_ADDRESS)] {
        let server = TestServer::start_with(limits).await;
        let most = MostHeld::of(&server);
        let mut other = WireClient::connect_v1(server.addr).await;
        let mut pinning_clients = Vec::new();
        for _ in 0..count {
            pinning_clients.push(pinning(&server, A).await);
            run_calls(&mut other, 1).await;
        }
        until("much is held", || server.handle.held_bytes() >= PER_CONNECTION / 2).await;
        run_calls(&mut other, 500).await;
        let most = most.end().await;
        assert!(most <= most_expected, "{count} connections: {most} bytes");
        drop(pinning_clients);
        until_nothing_is_held(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_limit_of_an_address_its_greediest_connections_are_closed_and_other_clients_are_not() {
    let server = TestServer::start_with(|config| {
        limits(config);
        config.max_total_held_bytes = 100 * PER_ADDRESS;
    })
    .await;
    let mut small = websocket(&server, A).await;
    small.send_text(r#"["aaw/hello",{}]"#).await;
    small.read_frame().await;
    let mut of_b = pinning(&server, B).await;
    let mut greedy = Vec::new();
    let open = server.handle.connections();
    while server.handle.connections() >= open + greedy.len() {
        greedy.push(pinning(&server, A).await);
        assert!(greedy.len() < 100, "none was closed");
    }
    // A connection of the same address that reads, and one of another address that does not.
    small.send_text(&format!("[{LARGE},1]")).await;
    assert!(small.read_frame().await.payload.ends_with(b"xx\"],1]"));
    of_b.read_frame().await;
    for id in 1..=256 {
        let frame = of_b.read_frame().await;
        assert_ne!(frame.first, CLOSE, "{id}: {:?}", String::from_utf8_lossy(&frame.payload));
        assert!(frame.payload.starts_with(br#"["streams/large",["xx"#), "{id}");
    }
    // Those that were closed learn why, unless that would have to wait for the rest of a large frame.
    let mut ended = 0;
    for mut client in greedy {
        for _ in 0..257 {
            let Some(frame) = client.try_read_frame().await else {
                ended += 1;
                break;
            };
            if frame.first == CLOSE {
                assert_eq!(u16::from_be_bytes([frame.payload[0], frame.payload[1]]), 1013);
                ended += 1;
                break;
            }
        }
    }
    assert!(ended > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_limit_of_the_process_connections_of_many_addresses_share_it() {
    let server = TestServer::start_with(|config| {
        limits(config);
        config.max_total_held_bytes = PER_ADDRESS;
    })
    .await;
    let most = MostHeld::of(&server);
    let mut clients = Vec::new();
    for n in 1..=20 {
        clients.push(pinning(&server, Ipv4Addr::new(127, 0, 1, n)).await);
    }
    let mut other = WireClient::connect_v1(server.addr).await;
    run_calls(&mut other, 500).await;
    let most = most.end().await;
    assert!((PER_ADDRESS / 2..MOST_OF_ADDRESS).contains(&most), "{most} bytes");
    drop(clients);
    until_nothing_is_held(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_never_arrive_whole_are_counted_and_given_up_at_the_limit() {
    let server = TestServer::start_with(limits).await;
    let most = MostHeld::of(&server);
    let mut clients = Vec::new();
    let begun = aaw_tests::raw::masked(0x81, &vec![b'x'; 200 << 10]);
    for _ in 0..20 {
        let mut raw = websocket(&server, A).await;
        raw.send_text(r#"["aaw/hello",{}]"#).await;
        raw.try_send(&begun[..begun.len() - 1]).await;
        clients.push(raw);
    }
    until("some are closed", || server.handle.connections() < clients.len()).await;
    let most = most.end().await;
    assert!((PER_ADDRESS / 2..MOST_OF_ADDRESS).contains(&most), "{most} bytes");
    drop(clients);
    until_nothing_is_held(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_echoes_leave_nothing_behind() {
    let server = TestServer::start().await;
    let text = "x".repeat(1_000_000);
    let (sent, expected) = (format!(r#"["echo","{text}",1]"#), format!(r#"["echo","{text}",1]"#));
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = WireClient::connect(server.addr, None).await;
        client.exchange(&sent, &expected).await;
        clients.push(client);
    }
    until_nothing_is_held(&server).await;
    assert_eq!(server.handle.connections(), clients.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stop_hold_no_more_than_their_address_may_and_others_receive_everything() {
    let server = TestServer::start_with(limits).await;
    let mut stopped = Vec::new();
    for _ in 0..50 {
        let mut raw = websocket(&server, B).await;
        raw.send_text(r#"["aaw/hello",{}]"#).await;
        raw.read_frame().await;
        stopped.push(raw);
    }
    let mut reader = WireClient::connect_v1(server.addr).await;
    let most = MostHeld::of(&server);
    let text = "x".repeat(100);
    let mut number = 0;
    // Until the buffers of the system are full, and then for as much again.
    while server.handle.connections() > 50 {
        assert!(number < 500_000, "no reader was closed");
        for _ in 0..100 {
            number += 1;
            server.handle.emit("said", json!([number, text])).unwrap();
        }
        for expected in number - 99..=number {
            let push: Value = serde_json::from_str(&reader.next().await).unwrap();
            assert_eq!(push[1][0], expected);
        }
    }
    let most = most.end().await;
    // Pushes to a socket that is full are counted in steps of 16 KiB.
    assert!(most < MOST_OF_ADDRESS, "{most} bytes");
    drop(stopped);
    until_nothing_is_held(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_a_hello_hold_nothing_of_broadcasts() {
    let server = TestServer::start().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(websocket(&server, A).await);
    }
    let most = MostHeld::of(&server);
    for number in 0..6000 {
        server.handle.emit("news", json!([number, "x".repeat(100)])).unwrap();
    }
    assert_eq!(most.end().await, 0);
    // They are connected, and open as usual.
    for raw in &mut silent {
        raw.send_text(r#"["aaw/hello",{}]"#).await;
        assert!(raw.read_frame().await.payload.starts_with(br#"["aaw/welcome","#));
    }
}

// --- Calls ------------------------------------------------------------------------------------------------------------

/// Opens connections that send `frames` and read nothing, until one is closed. Returns the most that was held.
async fn most_held_until_one_is_closed(server: &TestServer, frames: impl Fn() -> Vec<String>) -> usize {
    let most = MostHeld::of(server);
    let mut other = server.v1().await;
    let mut clients = Vec::new();
    while server.handle.connections() > clients.len() {
        assert!(clients.len() < 100, "none was closed");
        let mut raw = websocket(server, B).await;
        raw.send_text(r#"["aaw/hello",{}]"#).await;
        for frame in frames() {
            if !raw.try_send(&aaw_tests::raw::masked(0x81, frame.as_bytes())).await {
                break;
            }
        }
        clients.push(raw);
        run_calls(&mut other, 10).await;
    }
    run_calls(&mut other, 100).await;
    let most = most.end().await;
    drop(clients);
    until_nothing_is_held(server).await;
    most
}

/// 100 connections held 375 MiB of responses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_wait_for_credit_are_counted() {
    let server = TestServer::start_with(limits).await;
    let text = "x".repeat(4000);
    let calls = || (1..=50).map(|id| format!(r#"["echo","{text}",{id},"call",{{"credit":0}}]"#)).collect();
    let most = most_held_until_one_is_closed(&server, calls).await;
    assert!((PER_ADDRESS / 2..MOST_OF_ADDRESS).contains(&most), "{most} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_run_are_counted_with_their_bodies() {
    let server = TestServer::start_with(limits).await;
    let text = "x".repeat(4000);
    let calls = || (1..=50).map(|id| format!(r#"["gate/hold",{{"gate":"never","more":"{text}"}},{id}]"#)).collect();
    let most = most_held_until_one_is_closed(&server, calls).await;
    assert!((PER_ADDRESS / 2..MOST_OF_ADDRESS).contains(&most), "{most} bytes");
    // Without bodies their tasks count.
    let calls = || (1..=256).map(|id| format!(r#"["gate/hold",{{"gate":"never"}},{id}]"#)).collect();
    let most = most_held_until_one_is_closed(&server, calls).await;
    assert!((PER_ADDRESS / 2..MOST_OF_ADDRESS).contains(&most), "{most} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_wait_queues_are_counted() {
    let server = TestServer::start_with(|config| {
        limits(config);
        config.max_concurrent_calls = 1;
    })
    .await;
    let text = "x".repeat(4000);
    let calls = || (1..=50).map(|id| format!(r#"["gate/hold",{{"gate":"never","more":"{text}"}},{id}]"#)).collect();
    let most = most_held_until_one_is_closed(&server, calls).await;
    assert!((PER_ADDRESS / 2..MOST_OF_ADDRESS).contains(&most), "{most} bytes");
}

/// 16 connections held 360 MiB of items.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_of_uploads_are_counted_until_handlers_read_them() {
    let server = TestServer::start_with(limits).await;
    let text = "x".repeat(4000);
    let calls = || {
        let call = r#"["upload/slow",{"gate":"never"},1,"call",{"in":true}]"#.to_owned();
        let item = || format!(r#"["upload/slow","{text}",1,"item"]"#);
        std::iter::once(call).chain(std::iter::repeat_with(item).take(64)).collect()
    };
    let most = most_held_until_one_is_closed(&server, calls).await;
    assert!((PER_ADDRESS / 2..MOST_OF_ADDRESS).contains(&most), "{most} bytes");
}

/// A connection alone is not refused for what its own limits bound. The limit of uploads may be the higher one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_of_one_connection_hold_no_more_than_its_address_may() {
    let server = TestServer::start_with(limits).await;
    let most = MostHeld::of(&server);
    let mut raw = websocket(&server, B).await;
    raw.send_text(r#"["aaw/hello",{}]"#).await;
    raw.send_text(r#"["upload/slow",{"gate":"never"},1,"call",{"in":true}]"#).await;
    let item = format!(r#"["upload/slow","{}",1,"item"]"#, "x".repeat(100_000));
    for _ in 0..64 {
        if !raw.try_send(&aaw_tests::raw::masked(0x81, item.as_bytes())).await {
            break;
        }
    }
    until("it is closed", || server.handle.connections() == 0).await;
    let most = most.end().await;
    assert!((PER_ADDRESS / 2..MOST_OF_ADDRESS).contains(&most), "{most} bytes");
}

/// What only handlers can free must not stop them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_and_uploads_beyond_the_limit_of_their_connection_reach_their_handlers() {
    let server = TestServer::start_with(limits).await;
    let mut client = server.v1().await;
    let (count, text) = (8, "x".repeat(PER_CONNECTION / 4));
    client.exchange(r#"["upload/slow",{"gate":"g"},1,"call",{"in":true}]"#, r#"["upload/slow",64,1,"credit"]"#).await;
    for _ in 0..count {
        client.send(&format!(r#"["upload/slow","{text}",1,"item"]"#)).await;
    }
    client.send(r#"["upload/slow",null,1,"end"]"#).await;
    until("the items are held", || server.handle.held_bytes() >= count * text.len()).await;
    server.app.gate("g").release(count + 1);
    let frames = client.collect_until(|frame| frame.ends_with(",1]")).await;
    assert_eq!(frames.last().map(|frame| frame.matches(&text).count()), Some(count));
    until_nothing_is_held(&server).await;
    for id in 2..=9 {
        client.send(&format!(r#"["gate/hold",{{"gate":"h","answer":"{text}"}},{id}]"#)).await;
    }
    until("the bodies are held", || server.handle.held_bytes() >= 8 * text.len()).await;
    server.app.gate("h").release(8);
    let mut ids = Vec::new();
    while ids.len() < 8 {
        let frame: Value = serde_json::from_str(&client.next().await).expect("a frame is JSON");
        assert_eq!(frame[1], text);
        ids.push(frame[2].clone());
    }
    until_nothing_is_held(&server).await;
}

#[tokio::test]
async fn a_few_small_calls_that_wait_count_for_nothing() {
    let server = TestServer::start_with(limits).await;
    let most = MostHeld::of(&server);
    let mut client = server.v1().await;
    for id in 1..=3 {
        client.send(&format!(r#"["gate/hold",{{"gate":"g"}},{id}]"#)).await;
    }
    client.exchange(r#"["ping",null,4]"#, r#"["ping",{"pong":true},4]"#).await;
    server.app.gate("g").release(3);
    client.collect_until(|frame| frame.ends_with(",3]")).await;
    assert_eq!(most.end().await, 0);
}

// --- HTTP -------------------------------------------------------------------------------------------------------------

/// Sends a call over HTTP, to read its response slowly or never.
async fn http_call(server: &TestServer, from: Ipv4Addr, accept: &str) -> RawConnection {
    let mut raw = RawConnection::connect_from(from, server.addr).await;
    let body = r#"{"items":10,"bytes":100000}"#;
    raw.send(&HttpRequest::post(server.addr, "/events/streams/large", body).accept(accept).bytes()).await;
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_over_http_are_counted_until_they_are_sent() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 4 << 20).await;
    for accept in ["application/json", "application/x-ndjson", "text/event-stream"] {
        let mut raw = RawConnection::connect_from(A, server.addr).await;
        let body = r#"{"items":10,"bytes":100000}"#;
        let request = HttpRequest::post(server.addr, "/events/streams/large", body).accept(accept);
        raw.send(&request.header("Connection", "close").bytes()).await;
        until("the response is held", || server.handle.held_bytes() >= 64 << 10).await;
        assert!(server.handle.held_bytes() < 3 << 20);
        assert_eq!(raw.read_head().await.status, 200);
        while raw.take(1000).await.is_some() {}
        until_nothing_is_held(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_limit_of_an_address_http_connections_that_do_not_read_are_closed() {
    let server = TestServer::start_with(|config| {
        config.max_held_bytes_per_address = 8 << 20;
    })
    .await;
    let most = MostHeld::of(&server);
    let mut other = http_call(&server, B, "application/json").await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(http_call(&server, A, "application/json").await);
    }
    let mut received = 0;
    for mut client in clients {
        let head = client.take_until(b"\r\n\r\n").await.unwrap_or_default();
        if head.starts_with(b"HTTP/1.1 200") && client.take(1_000_031).await.is_some() {
            received += 1;
        }
    }
    assert!((1..30).contains(&received), "{received} were received whole");
    let most = most.end().await;
    assert!(most < 16 << 20, "{most} bytes");
    assert_eq!(other.read_head().await.status, 200);
    assert!(other.take(1_000_031).await.is_some(), "the client of another address");
    until_nothing_is_held(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_parked_stream_holds_is_counted_and_given_up_at_the_limit() {
    let server = TestServer::start_with(|config| config.max_held_bytes_per_address = 5 << 20).await;
    let request = HttpRequest::post(server.addr, "/events/streams/large?take=3", r#"{"items":9,"bytes":600000}"#);
    let mut cursors = Vec::new();
    for expected in 1..=20 {
        let response = request.send().await;
        assert_eq!(response.status, 200);
        cursors.push(response.json()["cursor"].as_str().expect("a cursor").to_owned());
        if expected <= 3 {
            until("the items are held", || server.handle.held_bytes() >= expected * (600_000 / 4096 * 4096)).await;
        }
    }
    until("items are given up", || server.handle.held_bytes() < 5 << 20).await;
    let mut statuses = Vec::new();
    for cursor in cursors {
        let next = HttpRequest::get(server.addr, &format!("/events/streams/large?take=1&cursor={cursor}"));
        let response = next.send().await;
        statuses.push(response.status);
    }
    assert!(statuses.contains(&200), "{statuses:?}");
    assert!(statuses.iter().any(|status| *status != 200), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_a_call_that_waits_is_counted() {
    let server = TestServer::start().await;
    let body = format!(r#"{{"gate":"g","more":"{}"}}"#, "x".repeat(100_000));
    let mut raw = RawConnection::connect_from(A, server.addr).await;
    raw.send(&HttpRequest::post(server.addr, "/events/gate/hold", body.as_str()).bytes()).await;
    until("its handler waits", || server.handle.held_bytes() / 4096 == body.len() / 4096).await;
    server.app.gate("g").release(1);
    assert_eq!(raw.read_head().await.status, 200);
    until_nothing_is_held(&server).await;
}
