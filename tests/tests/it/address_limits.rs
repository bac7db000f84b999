//! What one client address may do. In most of these tests the rates are always limits; without that, they are only while
//! clients compete for the server.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use aaw_server::Config;
use aaw_tests::raw::{self, RawConnection};
use aaw_tests::{HttpRequest, HttpResponse, TestServer, WireClient, until};
use serde_json::Value;
use tokio::net::TcpSocket;

/// Another address of this machine than the one that clients have otherwise.
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Starts a server whose rates are always limits.
async fn start_limited(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(|config| {
        config.contention_delay = Duration::ZERO;
        change(config);
    })
    .await
}

/// Connects a classic client from [`OTHER`].
async fn connect_other(server: &TestServer) -> WireClient {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((OTHER, 0).into()).unwrap();
    let stream = socket.connect(server.addr).await.unwrap();
    WireClient::connect_over(stream, server.addr, Some("_other")).await
}

async fn expect_served(client: &mut WireClient) {
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

/// Checks that a response refuses with 429 and with a time to come back, in the header and in the body. Returns the text.
fn expect_429(response: &HttpResponse) -> String {
    let body: Value = serde_json::from_str(&response.body).unwrap();
    let retry_after = body["data"]["retry_after"].as_u64().unwrap();
    assert_eq!((response.status, body["code"].as_str()), (429, Some("busy")), "{response:?}");
    assert_eq!(response.header("Retry-After"), Some(&*retry_after.to_string()));
    assert!((1..60).contains(&retry_after), "{retry_after}");
    body["error"].as_str().unwrap().into()
}

#[tokio::test]
async fn connections_of_an_address_above_its_limit_get_429_until_one_closes() {
    let server = TestServer::start_with(|config| config.max_connections_per_address = Some(2)).await;
    let (mut a, b) = (server.v1().await, server.classic().await);
    let refused = expect_429(&HttpRequest::handshake(server.addr).send().await);
    assert_eq!(refused, "The limit of connections from your address is reached");
    expect_served(&mut connect_other(&server).await).await;
    expect_served(&mut a).await;
    b.close().await;
    until("its connection is closed", || server.handle.connections() <= 2).await;
    let mut c = server.classic().await;
    expect_served(&mut c).await;
}

/// Starts a server with one place for each address, which pings often.
async fn start_with_one_place() -> TestServer {
    TestServer::start_with(|config| {
        config.max_connections_per_address = Some(1);
        config.heartbeat_interval = Duration::from_millis(200);
        config.max_missed_heartbeats = 10_000;
    })
    .await
}

#[tokio::test]
async fn a_connection_that_does_not_respond_to_a_ping_leaves_its_place_to_a_new_one_of_its_address() {
    let server = start_with_one_place().await;
    let mut silent = RawConnection::websocket(server.addr, None).await;
    let began = Instant::now();
    let new = loop {
        let (response, socket) = HttpRequest::handshake(server.addr).open_websocket().await;
        if response.status == 101 {
            break socket;
        }
        expect_429(&response);
        assert!(began.elapsed() < Duration::from_secs(20), "the place remains taken");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(began.elapsed() >= Duration::from_millis(240), "it had no time to respond: {:?}", began.elapsed());
    while silent.read_frame().await.first != raw::CLOSE {}
    drop(silent);
    until("its connection is closed", || server.handle.connections() == 1).await;
    drop(new);
}

#[tokio::test]
async fn a_connection_that_responds_to_pings_keeps_its_place() {
    let server = start_with_one_place().await;
    let mut client = RawConnection::websocket(server.addr, None).await;
    for _ in 0..5 {
        assert_eq!(client.read_frame().await.first, raw::PING);
        client.send_frame(raw::PONG, b"").await;
        // The server has read the pong when it responds to what follows.
        client.send_frame(raw::PING, b"read").await;
        while client.read_frame().await.first != raw::PONG {}
        expect_429(&HttpRequest::handshake(server.addr).send().await);
    }
}

/// hyper responds to it, before it reaches any code that could count it.
#[tokio::test]
async fn requests_that_are_no_http_count() {
    let server = start_limited(|config| config.call_rate_per_address = 1).await;
    let ping = HttpRequest::post(server.addr, "/events/ping", "");
    for _ in 0..5 {
        for _ in 0..4 {
            let mut raw = RawConnection::connect(server.addr).await;
            raw.send(b"GET / HTTP/1.1\r\nnonsense\r\n\r\n").await;
            assert!(raw.take_until(b"\r\n").await.is_some_and(|line| line.starts_with(b"HTTP/1.1 400 ")));
        }
        let response = ping.send().await;
        if response.status == 429 {
            expect_429(&response);
            return;
        }
    }
    panic!("they were not counted");
}

#[tokio::test]
async fn one_address_gets_half_of_the_connections() {
    const MAX: usize = 200;
    let server = TestServer::start_with(|config| config.max_connections = MAX).await;
    let mut clients = Vec::new();
    for _ in 0..MAX / 2 {
        clients.push(RawConnection::websocket(server.addr, None).await);
    }
    expect_429(&HttpRequest::handshake(server.addr).send().await);
    // Another one has its share of the rest.
    let mut others = Vec::new();
    for _ in 0..MAX / 4 {
        others.push(connect_other(&server).await);
    }
    expect_served(&mut others[0]).await;
}

#[tokio::test]
async fn connections_beyond_the_rate_of_their_address_get_429() {
    let server = start_limited(|config| config.handshake_rate_per_address = 1).await;
    let mut statuses = Vec::new();
    let mut refused = String::new();
    for _ in 0..10 {
        let (response, _closed) = HttpRequest::handshake(server.addr).open_websocket().await;
        statuses.push(response.status);
        if response.status != 101 {
            refused = expect_429(&response);
        }
    }
    // Five at once, and perhaps one more or two while this test runs slowly.
    assert_eq!(statuses[..5], [101; 5]);
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    assert_eq!(refused, "Too many new connections from your address");
    expect_served(&mut connect_other(&server).await).await;
}

#[tokio::test]
async fn the_calls_of_one_connection_beyond_the_rate_wait() {
    let server = start_limited(|config| config.call_rate_per_address = 1000).await;
    let mut client = server.v1().await;
    let started = Instant::now();
    client.send_all((1..=3000).map(|id| format!(r#"["echo",{id},{id}]"#))).await;
    for id in 1..=3000 {
        client.expect(&format!(r#"["echo",{id},{id}]"#)).await;
    }
    // A thousand at once, and a thousand a second.
    let elapsed = started.elapsed();
    assert!(elapsed > Duration::from_millis(1700), "{elapsed:?}");
    expect_served(&mut connect_other(&server).await).await;
}

#[tokio::test]
async fn a_call_uses_as_much_of_the_rate_as_its_event_costs() {
    let server = start_limited(|config| config.call_rate_per_address = 1000).await;
    // A thousand at once, and a thousand a second: sixty calls cost 3000, or sixty.
    for (event, response, is_slow) in [("ping", r#"{"pong":true}"#, false), ("limits/costly", "50", true)] {
        let mut client = server.v1().await;
        let started = Instant::now();
        // One after another, since those that arrive together are read together.
        for id in 1..=60 {
            client.exchange(&format!(r#"["{event}",null,{id}]"#), &format!(r#"["{event}",{response},{id}]"#)).await;
        }
        let elapsed = started.elapsed();
        assert_eq!(elapsed > Duration::from_millis(1700), is_slow, "{event}: {elapsed:?}");
    }
}

#[tokio::test]
async fn calls_of_an_event_that_costs_nothing_are_not_counted() {
    let server = start_limited(|config| config.call_rate_per_address = 100).await;
    // With a cost of 1 it would take half a minute.
    let mut client = server.v1().await;
    let started = Instant::now();
    client.send_all((1..=3000).map(|id| format!(r#"["limits/free",null,{id}]"#))).await;
    for id in 1..=3000 {
        client.expect(&format!(r#"["limits/free",0,{id}]"#)).await;
    }
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
    for _ in 0..300 {
        assert_eq!(HttpRequest::post(server.addr, "/events/limits/free", "null").send().await.status, 200);
    }
}

#[tokio::test]
async fn a_request_over_http_uses_as_much_of_the_rate_as_its_event_costs() {
    for (event, has_refused) in [("limits/costly", true), ("ping", false)] {
        let server = start_limited(|config| config.call_rate_per_address = 100).await;
        let post = HttpRequest::post(server.addr, &format!("/events/{event}"), "null");
        // Concurrently: each waits behind those before it.
        let responses = futures_util::future::join_all((0..20).map(|_| post.send())).await;
        let refused: Vec<_> = responses.iter().filter(|response| response.status != 200).collect();
        assert_eq!(!refused.is_empty(), has_refused, "{event}: {refused:?}");
        for refused in refused {
            expect_429(refused);
        }
    }
}

#[tokio::test]
async fn calls_that_would_wait_for_too_long_are_refused_with_the_time_to_come_back() {
    let server = start_limited(|config| config.call_rate_per_address = 10).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.v1().await);
    }
    // The first ones take what there is for some time.
    for client in &mut clients {
        client.send_all((1..=100).map(|id| format!(r#"["echo",{id},{id}]"#))).await;
    }
    let mut late = server.v1().await;
    let mut id = 0;
    let refused = loop {
        id += 1;
        late.send(&format!(r#"["echo",{id},{id}]"#)).await;
        match late.next().await {
            response if response == format!(r#"["echo",{id},{id}]"#) => {}
            refused => break serde_json::from_str::<Value>(&refused).unwrap(),
        }
    };
    assert_eq!((&refused[1]["code"], &refused[3]), (&"busy".into(), &"error".into()), "{refused}");
    let seconds = refused[1]["data"]["retry_after"].as_u64().unwrap();
    assert_eq!(refused[1]["error"], format!("Too many calls from your address; try again in {seconds} s"));
    assert!(seconds >= 2, "{refused}");
    // Its id is used; that of a frame which is no call is not, as without a limit.
    late.send(&format!(r#"["echo",{{"a":}},{}]"#, id + 1)).await;
    assert!(late.next().await.contains("not JSON"));
    late.send(&format!(r#"["echo",1,{}]"#, id + 1)).await;
    assert!(late.next().await.contains("busy"));
    // The application learns of the call as of any other that was refused.
    let records = server.calls.all();
    assert!(records.iter().any(|record| record["error"]["code"] == "busy"), "{:?}", records.last());
    expect_served(&mut connect_other(&server).await).await;
}

#[tokio::test]
async fn requests_beyond_the_rate_of_their_address_get_429() {
    let server = start_limited(|config| config.call_rate_per_address = 1).await;
    for request in [
        // Past the router, through it, and one that is not for an event.
        HttpRequest::post(server.addr, "/events/ping", "null"),
        HttpRequest::post(server.addr, "/events/ping", "null").header("Origin", &format!("http://{}", server.addr)),
        HttpRequest::get(server.addr, "/"),
    ] {
        let mut responses = Vec::new();
        // Concurrently: each waits behind those before it.
        for response in futures_util::future::join_all((0..12).map(|_| request.send())).await {
            responses.push(response);
        }
        let refused: Vec<_> = responses.iter().filter(|response| response.status != 200).collect();
        assert!(refused.len() >= 5, "{responses:?}");
        for refused in refused {
            assert!(expect_429(refused).starts_with("Too many calls from your address; try again in "));
        }
    }
    assert_eq!(HttpRequest::get(server.addr, "/healthz").send().await.status, 200);
    expect_served(&mut connect_other(&server).await).await;
}

#[tokio::test]
async fn bytes_beyond_the_rate_are_read_later_and_arrive() {
    let server = start_limited(|config| config.input_rate_per_address = 100_000).await;
    let mut client = server.classic().await;
    let body = format!("{:?}", "x".repeat(300_000));
    let started = Instant::now();
    client.call("echo", &body).await.assert_eq(&body);
    let elapsed = started.elapsed();
    assert!(elapsed > Duration::from_millis(1500), "{elapsed:?}");
    expect_served(&mut connect_other(&server).await).await;
}

#[tokio::test]
async fn empty_frames_use_up_the_bytes_of_their_address() {
    let server = start_limited(|config| config.input_rate_per_address = 400_000).await;
    let mut client = RawConnection::websocket(server.addr, None).await;
    let started = Instant::now();
    // 70 bytes each, 1.05 MB in all. A second's worth is free.
    client.send(&raw::masked(raw::PONG, b"").repeat(15_000)).await;
    client.send_frame(raw::PING, b"last").await;
    assert_eq!(client.read_frame().await.payload, b"last");
    let elapsed = started.elapsed();
    assert!(elapsed > Duration::from_secs(1), "{elapsed:?}");
}

/// The default: a single address competes with none, so its rates are no limits.
#[tokio::test]
async fn rates_are_not_limited_while_all_clients_have_one_address() {
    let server = TestServer::start_with(|config| {
        (config.call_rate_per_address, config.handshake_rate_per_address) = (1, 1);
        config.input_rate_per_address = 1;
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(server.v1().await);
    }
    for client in &mut clients {
        client.send_all((1..=200).map(|id| format!(r#"["echo",{id},{id}]"#))).await;
        for id in 1..=200 {
            client.expect(&format!(r#"["echo",{id},{id}]"#)).await;
        }
    }
}

#[tokio::test]
async fn a_message_of_endless_fragments_is_refused() {
    let server = TestServer::start_with(|config| config.max_message_frames = 1000).await;
    let mut client = RawConnection::websocket(server.addr, None).await;
    // As many as allowed.
    client.send_frame(0x01, b"[").await;
    client.send(&raw::masked(0x00, b"").repeat(998)).await;
    client.send_frame(0x80, br#""ping",null]"#).await;
    client.send_frame(raw::PING, b"").await;
    while client.read_frame().await.first != raw::PONG {}
    client.send_frame(0x01, b"[").await;
    client.send(&raw::masked(0x00, b"").repeat(10_000)).await;
    assert_eq!(client.expect_close(1009).await, "the message consists of more than 1000 frames");
}
