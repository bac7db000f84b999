//! What stays behind of connections that have gone and of servers that have stopped: nothing that is not bounded.

use std::sync::Arc;

use aaw_tests::{HttpRequest, TestServer, until};

#[tokio::test]
async fn a_handler_that_outlives_its_connection_keeps_its_place() {
    let server = TestServer::start_with(|config| config.max_connections = 1).await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"}]"#).await;
    until("it to begin", || gate.counts().came == 1).await;
    client.close().await;
    until("the table to be empty", || server.handle.connections() == 0).await;
    assert_eq!(HttpRequest::handshake(server.addr).send().await.status, 503);
    gate.release(1);
    // The place is free once the handler is done and the connection has been closed.
    while HttpRequest::handshake(server.addr).send().await.status != 101 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_long_key_of_a_clients_is_echoed_whole_and_kept_short() {
    let server = TestServer::start().await;
    let key = "k".repeat(5000);
    let (response, mut raw) =
        HttpRequest::handshake(server.addr).header("Sec-WebSocket-Protocol", &key).open_websocket().await;
    assert_eq!((response.status, response.header("Sec-WebSocket-Protocol")), (101, Some(&*key)));
    raw.send_text(r#"["ping",null]"#).await;
    let told = server.calls.first_of("ping").await;
    assert!(told["client_key"].as_str().unwrap().chars().count() <= 201, "{told}");
}

#[tokio::test]
async fn services_have_been_dropped_when_a_server_has_stopped() {
    let mut server = TestServer::start().await;
    let mut client = server.v1().await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    assert!(Arc::strong_count(&server.app.notes) > 1);
    server.stop();
    server.stopped().await;
    assert_eq!(Arc::strong_count(&server.app.notes), 1, "only this test's own is left");
}
