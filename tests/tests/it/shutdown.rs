//! Graceful shutdown: the server stops accepting, lets calls finish, and aborts them at a deadline.

use std::time::{Duration, Instant};

use aaw_tests::{HttpRequest, RawConnection, TestServer, WireClient, until};
use tokio::net::TcpStream;

const STOPPING: &str = r#"{"error":"The server is stopping","code":"busy"}"#;

#[tokio::test]
async fn idle_connections_close_with_1001_and_serve_returns() {
    let mut server = TestServer::start().await;
    let (mut v1, mut classic) = (server.v1().await, server.classic().await);
    let mut silent = WireClient::connect(server.addr, Some("aaw.v1")).await;
    server.stop();
    assert_eq!(v1.expect_close(1001).await, "the server is stopping");
    classic.expect_close(1001).await;
    // A connection without a hello is closed at once too.
    silent.expect_close(1001).await;
    server.stopped().await;
    assert_eq!(server.handle.connections(), 0);
}

#[tokio::test]
async fn running_calls_finish_and_new_ones_are_rejected() {
    let mut server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    let mut other = server.classic().await;
    other.call("gate/wait", r#"{"gate":"x","came":1}"#).await;
    other.send(r#"["gate/hold",{"gate":"y"},"y"]"#).await;
    until("the handler to run", || server.app.gate("y").counts().came == 1).await;
    server.stop();
    // Until the shutdown has started, calls still succeed.
    let mut id = 2;
    loop {
        client.send(&format!(r#"["ping",null,{id}]"#)).await;
        let response = client.next().await;
        if response == format!(r#"["ping",{STOPPING},{id},"error"]"#) {
            break;
        }
        assert_eq!(response, format!(r#"["ping",{{"pong":true}},{id}]"#));
        id += 1;
    }
    other.exchange(r#"["ping",null,7]"#, r#"["ping",{"error":"The server is stopping"},7]"#).await;
    client.send(r#"["note",1]"#).await;
    assert!(client.next().await.starts_with(r#"["aaw/error",{"error":"The server is stopping""#));
    // New connections are refused.
    until("the listener to be closed", || std::net::TcpStream::connect(server.addr).is_err()).await;
    assert!(TcpStream::connect(server.addr).await.is_err());
    // Running calls finish, and then their connections close.
    server.app.gate("x").release(1);
    client.expect(r#"["gate/hold",{"held":"x"},1]"#).await;
    client.expect_close(1001).await;
    server.app.gate("y").release(1);
    other.expect(r#"["gate/hold",{"held":"y"},"y"]"#).await;
    other.expect_close(1001).await;
    server.stopped().await;
}

#[tokio::test]
async fn responses_during_the_shutdown_arrive_before_the_close_frame() {
    let mut server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send_all((1..=50).map(|id| format!(r#"["sleepy",{id},{id}]"#))).await;
    server.calls.first_of("sleepy").await;
    server.stop();
    let responses = client.drain_until_close(1001).await;
    let mut ids: Vec<u32> = responses
        .iter()
        .map(|response| serde_json::from_str::<serde_json::Value>(response).unwrap()[2].as_u64().unwrap() as u32)
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=50).collect::<Vec<_>>());
    server.stopped().await;
}

#[tokio::test]
async fn queued_calls_are_rejected() {
    let mut server = TestServer::start_with(|config| config.max_concurrent_calls = 1).await;
    let mut client = server.v1().await;
    client.send_all([r#"["gate/hold",{"gate":"x"},1]"#, r#"["note","queued",2]"#, r#"["note","queued"]"#]).await;
    let mut other = server.classic().await;
    other.call("gate/wait", r#"{"gate":"x","came":1}"#).await;
    server.stop();
    client.expect(&format!(r#"["note",{STOPPING},2,"error"]"#)).await;
    assert!(client.next().await.starts_with(r#"["aaw/error",{"error":"The server is stopping""#));
    client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    client.expect_close(1001).await;
    other.expect_close(1001).await;
    server.stopped().await;
    let calls = server.calls.all();
    let refused: Vec<_> =
        calls.iter().filter(|call| call["event"] == "note").map(|call| &call["error"]["code"]).collect();
    assert_eq!(refused, ["busy", "busy"], "both have a record of the rejection");
}

#[tokio::test]
async fn streams_end_first_and_calls_may_finish() {
    let mut server = TestServer::start_with(|config| config.stream_shutdown_timeout = Duration::from_millis(50)).await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    client.send(r#"["streams/gated",{"gate":"s"},2,"call",{"credit":5}]"#).await;
    let mut other = server.v1().await;
    other.call("gate/wait", r#"{"gate":"x","came":1}"#).await;
    server.stop();
    client.expect(r#"["streams/gated",{"error":"The server is stopping","code":"stopping"},2,"error"]"#).await;
    server.app.gate("x").release(1);
    client.expect(r#"["gate/hold",{"held":"x"},1]"#).await;
    client.expect_close(1001).await;
    server.stopped().await;
    assert_eq!(server.calls.first_of("streams/gated").await["error"]["code"], "cancelled");
}

#[tokio::test]
async fn endless_streams_and_silent_clients_do_not_make_a_shutdown_longer_than_its_timeout() {
    let mut server = TestServer::start().await;
    let mut reader = server.v1().await;
    reader.send(r#"["streams/endless",{},1,"call",{"credit":1000000000}]"#).await;
    let request = HttpRequest::post(server.addr, "/events/streams/endless", "{}").accept("text/event-stream");
    let _unread = request.start().await;
    // It sends without end, and does not answer the close frame.
    let mut sender = RawConnection::websocket(server.addr, None).await;
    sender.send_text(r#"["gate/hold",{"gate":"x"}]"#).await;
    let started = Instant::now();
    server.stop();
    server.stopped().await;
    assert!(started.elapsed() < Duration::from_millis(9500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_running_handler_is_dropped_at_the_deadline() {
    let mut server = TestServer::start_with(|config| config.shutdown_timeout = Duration::from_millis(50)).await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    let mut other = server.v1().await;
    other.call("gate/wait", r#"{"gate":"x","came":1}"#).await;
    server.stop();
    other.expect_close(1001).await;
    client.expect_close(1001).await;
    server.stopped().await;
    let record = server.calls.first_of("gate/hold").await;
    assert_eq!(record["error"]["code"], "cancelled");
}

#[tokio::test]
async fn a_client_that_returns_no_close_frame_is_disconnected_after_the_close_timeout() {
    let mut server = TestServer::start_with(|config| config.close_timeout = Duration::from_millis(50)).await;
    let mut unread = RawConnection::websocket(server.addr, None).await;
    server.stop();
    let close = unread.read_frame().await;
    assert_eq!(close.payload[..2], 1001u16.to_be_bytes());
    server.stopped().await;
}

#[tokio::test]
async fn an_incomplete_request_does_not_delay_the_shutdown() {
    let mut server = TestServer::start_with(|config| config.handshake_timeout = Duration::from_secs(3600)).await;
    let mut half = RawConnection::connect(server.addr).await;
    half.send(&HttpRequest::handshake(server.addr).bytes()[..30]).await;
    let mut silent = RawConnection::connect(server.addr).await;
    // The server has accepted both, because it has accepted a later connection.
    server.classic().await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    server.stop();
    half.expect_end().await;
    silent.expect_end().await;
    server.stopped().await;
}

#[tokio::test]
async fn the_port_is_free_after_the_shutdown() {
    let mut server = TestServer::start().await;
    let addr = server.addr;
    let mut client = server.v1().await;
    server.stop();
    client.expect_close(1001).await;
    server.stopped().await;
    let again = TestServer::start_with(|config| config.port = addr.port()).await;
    again.v1().await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}
