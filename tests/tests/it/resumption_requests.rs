//! What a server answers to hellos that ask for resumption, and to acknowledgements: valid, invalid, forged, late.

use std::net::Ipv4Addr;
use std::time::Duration;

use aaw_server::Config;
use aaw_tests::raw::{PING, PONG, RawConnection, RawFrame};
use aaw_tests::resumption::{KEY, hello, open, refused, resuming, welcomed};
use aaw_tests::{HttpRequest, TestServer, WireClient, until};
use serde_json::{Value, json};

/// Begins a state, of which the client has received one message, and breaks its socket.
async fn broken_after_one_call(server: &TestServer) -> Value {
    let (mut client, welcome) = open(server, &json!({ "key": KEY })).await;
    client.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    drop(client);
    until("the client to be away", || server.handle.away_connections() == 1).await;
    welcome["connection"].clone()
}

/// Checks that the state can still be resumed.
async fn expect_state(server: &TestServer, connection: &Value) {
    let (mut client, welcome) = open(server, &resuming(1)).await;
    assert_eq!((&welcome["resumed"], &welcome["connection"]), (&json!(true), connection), "{welcome}");
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

#[tokio::test]
async fn a_connection_goes_on_over_another_socket() {
    let server = TestServer::start().await;
    let (mut first, welcome) = open(&server, &json!({ "key": KEY })).await;
    assert_eq!(welcome["resumption"], json!({ "window": 60_000, "log": 1_048_576 }));
    first.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    first.send(r#"["gate/hold",{"gate":"x"},2]"#).await;
    until("the handler to run", || server.app.gate("x").counts().came == 1).await;
    drop(first);
    until("the client to be away", || server.handle.away_connections() == 1).await;
    server.app.gate("x").release(1);
    // The response to the first call was received, that to the second call was not.
    let (mut second, resumed) = open(&server, &resuming(1)).await;
    assert_eq!(resumed["resumption"], json!({ "window": 60_000, "log": 1_048_576, "received": 2 }));
    assert_eq!((&resumed["resumed"], &resumed["connection"]), (&json!(true), &welcome["connection"]));
    let response: Value = serde_json::from_str(&second.next().await).unwrap();
    assert_eq!((&response[0], &response[2]), (&json!("gate/hold"), &json!(2)), "{response}");
    second.exchange(r#"["ping",null,3]"#, r#"["ping",{"pong":true},3]"#).await;
    assert_eq!(server.handle.connections(), 1);
}

#[tokio::test]
async fn a_server_without_a_window_does_not_agree() {
    let server = TestServer::start_with(|config| config.resumption_window = Duration::ZERO).await;
    let (mut client, welcome) = open(&server, &json!({ "key": KEY })).await;
    assert_eq!(welcome["resumption"], Value::Null);
    client.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    drop(client);
    until("the connection to be over", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn a_state_is_over_after_the_window_and_after_a_close_frame() {
    let server = TestServer::start_with(|config| config.resumption_window = Duration::from_millis(20)).await;
    broken_after_one_call(&server).await;
    until("the state to be over", || server.handle.connections() == 0).await;
    let (mut client, welcome) = open(&server, &resuming(1)).await;
    assert_eq!((&welcome["resumed"], &welcome["resumption"]["window"]), (&json!(false), &json!(20)));
    // The new state has the next key, and counts from 1.
    client.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;

    let server = TestServer::start().await;
    let (client, _) = open(&server, &json!({ "key": KEY })).await;
    client.close().await;
    until("the state to be over", || server.handle.connections() == 0).await;
    let (_, welcome) = open(&server, &resuming(0)).await;
    assert_eq!(welcome["resumed"], false);
}

#[tokio::test]
async fn a_key_is_32_digits_and_is_not_repeated_in_an_error() {
    let server = TestServer::start().await;
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    for key in [json!("0123"), json!(&KEY.to_uppercase()), json!(format!("{KEY}0")), json!(7), json!(null)] {
        let error = refused(&mut client, &json!({ "key": key })).await;
        assert!(error.starts_with("the body of aaw/hello: ") && !error.contains("abcdef"), "{error}");
    }
    refused(&mut client, &json!({})).await;
    welcomed(&mut client, &json!({ "key": KEY })).await;
}

#[tokio::test]
async fn a_key_belongs_to_one_state() {
    let server = TestServer::start().await;
    let (mut owner, _) = open(&server, &json!({ "key": KEY })).await;
    let mut other = WireClient::connect(server.addr, Some("aaw.v1")).await;
    let error = refused(&mut other, &json!({ "key": KEY })).await;
    assert!(error.contains("another connection"), "{error}");
    // A guess finds nothing, and begins a state of its own.
    let guess = json!({ "key": "0".repeat(32), "resume": true, "received": 0, "next": KEY });
    refused(&mut other, &guess).await;
    let welcome = welcomed(&mut other, &json!({ "key": "0".repeat(32), "resume": true, "received": 0 })).await;
    assert_eq!((&welcome["resumed"], &welcome["resumption"]), (&json!(false), &Value::Null));
    owner.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
}

#[tokio::test]
async fn an_invalid_count_leaves_the_state_as_it_is() {
    let server = TestServer::start().await;
    let connection = broken_after_one_call(&server).await;
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    for received in [json!(2), json!(1_u64 << 53), json!(u64::MAX), json!(-1), json!(1.5), json!("1"), json!(null)] {
        let mut request = resuming(1);
        request["received"] = received.clone();
        let error = refused(&mut client, &request).await;
        assert!(
            error.contains("received") || error.contains("invalid type") || error.contains("invalid value"),
            "{error}"
        );
    }
    drop(client);
    expect_state(&server, &connection).await;
}

#[tokio::test]
async fn what_was_acknowledged_cannot_be_taken_back() {
    let server = TestServer::start().await;
    let (mut client, welcome) = open(&server, &json!({ "key": KEY })).await;
    client.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    client.send(r#"["aaw/ack",1]"#).await;
    client.exchange(r#"["aaw/ping"]"#, r#"["aaw/pong",null]"#).await;
    drop(client);
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    let error = refused(&mut client, &resuming(0)).await;
    assert!(error.contains("less than the last acknowledged one"), "{error}");
    drop(client);
    expect_state(&server, &welcome["connection"]).await;
}

#[tokio::test]
async fn an_acknowledgement_of_messages_that_were_never_sent_is_a_bad_frame() {
    let server = TestServer::start().await;
    let (mut client, _) = open(&server, &json!({ "key": KEY })).await;
    client.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    for bad in ["2", "-1", "1.0", "\"1\"", "null", "{}", "18446744073709551616"] {
        client.send(&format!("[\"aaw/ack\",{bad}]")).await;
        let error: Value = serde_json::from_str(&client.next().await).unwrap();
        assert_eq!(error[1]["code"], "bad_frame", "{bad}: {error}");
        // The error is a message, too.
        assert!(bad != "2" || error[1]["error"] == "message 2 was never sent; the last is 1", "{error}");
    }
    client.send_all(["[\"aaw/ack\",1]", "[\"aaw/ack\",0]", "[\"aaw/ack\",1]"]).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

#[tokio::test]
async fn the_socket_that_a_connection_leaves_is_closed_with_4001() {
    let server = TestServer::start().await;
    let (mut first, _) = open(&server, &json!({ "key": KEY })).await;
    first.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    let (mut second, welcome) = open(&server, &resuming(1)).await;
    assert_eq!(welcome["resumed"], true);
    first.expect_close(4001).await;
    let (mut third, welcome) = open(&server, &resuming(1)).await;
    assert_eq!(welcome["resumed"], true);
    second.expect_close(4001).await;
    third.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

#[tokio::test]
async fn a_hello_that_arrives_late_does_not_take_the_connection() {
    let server = TestServer::start().await;
    broken_after_one_call(&server).await;
    let attempt = |attempt: u64| {
        let mut request = resuming(1);
        request["attempt"] = attempt.into();
        request
    };
    let (mut live, _) = open(&server, &attempt(2)).await;
    let mut late = WireClient::connect(server.addr, Some("aaw.v1")).await;
    for number in [1, 2, 0] {
        let error = refused(&mut late, &attempt(number)).await;
        assert!(error.contains("attempt"), "{error}");
    }
    live.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    assert_eq!(welcomed(&mut late, &attempt(3)).await["resumed"], true);
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_resume() {
    let server = TestServer::start_with(|config| {
        config.allow_origins = vec!["https://a.example".parse().unwrap(), "https://b.example".parse().unwrap()];
    })
    .await;
    let open = async |origin: &str| {
        let handshake = HttpRequest::handshake(server.addr).header("Sec-WebSocket-Protocol", "aaw.v1");
        let (response, raw) = handshake.header("Origin", origin).open_websocket().await;
        assert_eq!(response.status, 101);
        raw
    };
    let mut first: RawConnection = open("https://a.example").await;
    first.send_text(&hello(&json!({ "key": KEY }))).await;
    first.read_frame().await;
    first.reset();
    let mut foreign = open("https://b.example").await;
    foreign.send_text(&hello(&resuming(0))).await;
    let error = "the state belongs to a page of another origin";
    foreign.expect_text(&format!(r#"["aaw/error",{{"error":"{error}","code":"bad_frame"}}]"#)).await;
    let mut own = open("https://a.example").await;
    own.send_text(&hello(&resuming(0))).await;
    let welcome = own.read_frame().await;
    assert!(String::from_utf8_lossy(&welcome.payload).contains(r#""resumed":true"#), "{welcome:?}");
}

#[tokio::test]
async fn connections_that_are_away_are_limited_and_the_greediest_address_loses_its_oldest() {
    const MAX: usize = 10;
    let total = |config: &mut Config| config.max_away_connections = MAX + 1;
    let per_address = |config: &mut Config| config.max_away_connections_per_address = MAX;
    for limit in [&total as &dyn Fn(&mut Config), &per_address] {
        let server = TestServer::start_with(limit).await;
        let connection = broken_after_one_call(&server).await;
        vanish_from_another_address(&server, 100).await;
        until("the others to be over", || server.handle.connections() <= MAX + 1).await;
        expect_state(&server, &connection).await;
    }
}

/// Begins states whose clients vanish.
async fn vanish_from_another_address(server: &TestServer, count: u32) {
    for number in 0..count {
        vanish(server, Ipv4Addr::new(127, 0, 0, 2), number).await;
    }
}

/// Begins a state whose client vanishes.
async fn vanish(server: &TestServer, from: Ipv4Addr, number: u32) {
    let mut raw = RawConnection::connect_from(from, server.addr).await;
    let handshake = HttpRequest::handshake(server.addr).header("Sec-WebSocket-Protocol", "aaw.v1");
    assert_eq!(handshake.send_over(&mut raw).await.status, 101);
    raw.send_text(&hello(&json!({ "key": format!("{number:032x}") }))).await;
    raw.read_frame().await;
    raw.reset();
}

#[tokio::test]
async fn connections_that_are_away_do_not_count_towards_the_limit() {
    let server = TestServer::start_with(|config| config.max_connections = 1).await;
    let connection = broken_after_one_call(&server).await;
    expect_state(&server, &connection).await;
    assert_eq!(HttpRequest::handshake(server.addr).send().await.status, 101);
}

#[tokio::test]
async fn a_connection_that_is_away_leaves_its_place_among_those_of_its_address() {
    let server = TestServer::start_with(|config| config.max_connections_per_address = Some(1)).await;
    let connection = broken_after_one_call(&server).await;
    // The new socket has the place, and the connection that continues on it keeps it.
    let (mut client, welcome) = open(&server, &resuming(1)).await;
    assert_eq!(&welcome["connection"], &connection);
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
    assert_eq!(HttpRequest::handshake(server.addr).send().await.status, 429);
    drop(client);
    until("the client to be away", || server.handle.away_connections() == 1).await;
    assert_eq!(HttpRequest::handshake(server.addr).send().await.status, 101);
}

/// The client's first pings are answered partly when it asks to resume: a frame that was begun is completed first.
#[tokio::test]
async fn what_the_new_socket_waits_for_comes_before_the_welcome() {
    const PINGS: usize = 5000;
    let server = TestServer::start().await;
    broken_after_one_call(&server).await;
    let mut raw = RawConnection::connect_from(Ipv4Addr::LOCALHOST, server.addr).await;
    let handshake = HttpRequest::handshake(server.addr).header("Sec-WebSocket-Protocol", "aaw.v1");
    assert_eq!(handshake.send_over(&mut raw).await.status, 101);
    for _ in 0..PINGS {
        raw.send_frame(PING, &[b'x'; 125]).await;
    }
    raw.send_text(&hello(&resuming(1))).await;
    until("the state to be resumed", || server.handle.connections() == 1 && server.handle.away_connections() == 0)
        .await;
    for _ in 0..PINGS {
        assert_eq!(raw.read_frame().await, RawFrame { first: PONG, payload: vec![b'x'; 125] });
    }
    let welcome = raw.read_frame().await;
    assert!(String::from_utf8_lossy(&welcome.payload).contains(r#""resumed":true"#), "{welcome:?}");
}

#[tokio::test]
async fn pushes_that_do_not_fit_are_a_gap() {
    let server = TestServer::start().await;
    broken_after_one_call(&server).await;
    let data = "x".repeat(2000);
    for _ in 0..200 {
        assert_eq!(server.handle.emit("news", &data).unwrap(), 1);
    }
    let (mut client, welcome) = open(&server, &resuming(1)).await;
    assert_eq!(welcome["resumed"], true);
    client.send(r#"["ping",null,2]"#).await;
    let all = client.collect_until(|text| text.starts_with(r#"["ping""#)).await;
    let news = all.iter().filter(|text| text.starts_with(r#"["news""#)).count();
    let gaps: Vec<Value> =
        all.iter().filter(|text| text.contains("aaw/gap")).map(|text| serde_json::from_str(text).unwrap()).collect();
    let lost: u64 = gaps.iter().map(|gap| gap[1]["lost"].as_u64().unwrap()).sum();
    assert_eq!((gaps.len(), news as u64 + lost), (1, 200), "{news} pushes, {gaps:?}");
    assert!((20..40).contains(&news), "64 KiB of them: {news}");
}

#[tokio::test]
async fn acknowledgements_of_each_message_and_repeated_ones_are_accepted() {
    let server = TestServer::start().await;
    let (mut client, _) = open(&server, &json!({ "key": KEY })).await;
    for id in 1..=500 {
        client.send(&format!("[\"ping\",null,{id}]")).await;
        let response = format!(r#"["ping",{{"pong":true}},{id}]"#);
        while client.next().await != response {}
        for number in [id, id, id / 2] {
            client.send(&format!("[\"aaw/ack\",{number}]")).await;
        }
    }
    drop(client);
    until("the client to be away", || server.handle.away_connections() == 1).await;
    let (mut client, welcome) = open(&server, &resuming(500)).await;
    assert_eq!((&welcome["resumed"], &welcome["resumption"]["received"]), (&json!(true), &json!(500)));
    client.exchange(r#"["ping",null,501]"#, r#"["ping",{"pong":true},501]"#).await;
}

/// Each time, the client receives all that it has not acknowledged, and asks for it again.
#[tokio::test]
async fn a_client_that_resumes_again_and_again_without_acknowledging_makes_nothing_grow() {
    let server = TestServer::start().await;
    let (mut client, _) = open(&server, &json!({ "key": KEY })).await;
    let body = "x".repeat(1000);
    let responses: Vec<String> = (1..=20).map(|id| format!(r#"["echo","{body}",{id}]"#)).collect();
    for response in &responses {
        client.send(response).await;
    }
    client.collect_until(|text| text == responses[19]).await;
    drop(client);
    let mut held = 0;
    for attempt in 1..=200 {
        let mut again = resuming(0);
        again["attempt"] = json!(attempt);
        let (mut client, welcome) = open(&server, &again).await;
        assert_eq!(welcome["resumed"], true);
        let received = client.collect_until(|text| text == responses[19]).await;
        assert!(received.iter().filter(|text| text.starts_with(r#"["echo""#)).eq(&responses), "{received:?}");
        let now = server.handle.held_bytes();
        if attempt == 10 {
            held = now;
        }
        assert!(attempt < 10 || now <= 2 * held, "{now} bytes after {attempt} times, {held} before");
    }
    until("one connection to be there", || server.handle.connections() == 1).await;
}

/// What was written is retained, so that it counts as what waits to be written does.
#[tokio::test]
async fn pushes_that_a_client_reads_and_does_not_acknowledge_are_limited() {
    const BURST: usize = 1 << 20;
    let server = TestServer::start_with(|config| config.max_push_burst_bytes = BURST).await;
    let (mut client, _) = open(&server, &json!({ "key": KEY })).await;
    let data = "x".repeat(60_000);
    for number in 0..20 {
        let reached = server.handle.emit("news", &data).unwrap();
        assert_eq!(reached, usize::from(number < BURST / 60_000), "push {number}");
        if reached == 1 {
            assert!(client.next().await.starts_with(r#"["news""#));
        }
    }
    client.expect_close(1013).await;
    until("the connection to be over", || server.handle.connections() == 0).await;
}

/// As behind a proxy, where all clients have one address: what is retained for those that read is given up first.
#[tokio::test]
async fn clients_that_read_are_not_closed_because_of_what_is_retained_for_them() {
    const LIMIT: usize = 1 << 20;
    let server = TestServer::start_with(|config| config.max_held_bytes_per_address = LIMIT).await;
    let mut clients = Vec::new();
    for number in 0..10 {
        clients.push(open(&server, &json!({ "key": format!("{number:032x}") })).await.0);
    }
    let data = "x".repeat(8000);
    // Several times the limit, of which nothing is acknowledged yet.
    for _ in 0..50 {
        server.handle.emit("news", &data).unwrap();
        for client in &mut clients {
            assert!(client.next().await.starts_with(r#"["news""#));
        }
    }
    until("the memory to be below the limit", || server.handle.held_bytes() <= LIMIT).await;
    assert_eq!(server.handle.connections(), 10);
    for client in &mut clients {
        client.exchange(r#"["ping",null,1]"#, r#"["ping",{"pong":true},1]"#).await;
    }
}

/// From one address, and from as many as there are connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes two minutes"]
async fn a_hundred_thousand_states_whose_clients_vanish_are_bounded_and_spare_others() {
    for is_from_many in [false, true] {
        // Longer than the test takes.
        let server = TestServer::start_with(|config| config.resumption_window = Duration::from_secs(1000)).await;
        let connection = broken_after_one_call(&server).await;
        for number in 0..100_000_u32 {
            let from = if is_from_many {
                Ipv4Addr::from_bits((127 << 24) + 256 + number)
            } else {
                Ipv4Addr::new(127, 0, 0, 2)
            };
            vanish(&server, from, number).await;
        }
        let limit = if is_from_many { 65_536 } else { 8192 + 1 };
        until("the others to be over", || server.handle.connections() <= limit).await;
        expect_state(&server, &connection).await;
        println!("{} bytes are held for {limit} connections", server.handle.held_bytes());
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_connections_that_are_away() {
    let mut server = TestServer::start().await;
    broken_after_one_call(&server).await;
    server.stop();
    server.stopped().await;
}

/// The task of the connection cannot answer meanwhile, and must not be replaced: the handler is still in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_whose_handler_blocks_its_thread_is_resumed_when_that_ends() {
    let server = TestServer::start().await;
    let mut other = server.v1().await;
    let (mut first, _) = open(&server, &json!({ "key": KEY })).await;
    first.send(r#"["blocks/broadcast",500,1]"#).await;
    other.expect(r#"["broadcast","before"]"#).await;
    drop(first);
    let mut twice = WireClient::connect(server.addr, Some("aaw.v1")).await;
    twice.send(&hello(&resuming(0))).await;
    let (mut second, welcome) = open(&server, &resuming(0)).await;
    assert_eq!((&welcome["resumed"], &welcome["resumption"]["received"]), (&json!(true), &json!(1)));
    second.expect(r#"["blocks/broadcast",true,1]"#).await;
    second.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}
