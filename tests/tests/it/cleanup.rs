//! Cleanup: what remains of closed connections and stopped servers is bounded.

use std::sync::Arc;

use aaw_tests::{HttpRequest, TestServer, until};

#[tokio::test]
async fn a_handler_that_outlives_its_connection_counts_as_a_connection() {
    let server = TestServer::start_with(|config| config.max_connections = 1).await;
    let gate = server.app.gate("x");
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"}]"#).await;
    until("the handler to run", || gate.counts().came == 1).await;
    client.close().await;
    until("the connection to be removed", || server.handle.connections() == 0).await;
    assert_eq!(HttpRequest::handshake(server.addr).send().await.status, 503);
    gate.release(1);
    // The connection stops to count once its handler has finished.
    while HttpRequest::handshake(server.addr).send().await.status != 101 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_long_client_key_is_echoed_completely_and_recorded_truncated() {
    let server = TestServer::start().await;
    let key = "k".repeat(5000);
    let (response, mut raw) =
        HttpRequest::handshake(server.addr).header("Sec-WebSocket-Protocol", &key).open_websocket().await;
    assert_eq!((response.status, response.header("Sec-WebSocket-Protocol")), (101, Some(&*key)));
    raw.send_text(r#"["ping",null]"#).await;
    let record = server.calls.first_of("ping").await;
    assert!(record["client_key"].as_str().unwrap().chars().count() <= 201, "{record}");
}

#[tokio::test]
async fn services_are_dropped_when_the_server_has_stopped() {
    let mut server = TestServer::start().await;
    let mut client = server.v1().await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    assert!(Arc::strong_count(&server.app.notes) > 1);
    server.stop();
    server.stopped().await;
    assert_eq!(Arc::strong_count(&server.app.notes), 1, "the server still holds its services");
}
