//! Graceful shutdown for HTTP: running requests finish until the deadline, and idle or slow connections do not delay
//! it.

use std::time::Duration;

use aaw_tests::http::{self, HttpRequest};
use aaw_tests::{RawConnection, TestServer, until};

fn hold(server: &TestServer, accept: &str) -> HttpRequest {
    HttpRequest::post(server.addr, "/events/gate/hold", r#"{"gate":"x"}"#).accept(accept)
}

async fn wait_until_running(server: &TestServer, many: u64) {
    until("the handlers to run", || server.app.gate("x").counts().came == many).await;
}

#[tokio::test]
async fn running_requests_finish_and_idle_connections_close_at_once() {
    let mut server = TestServer::start().await;
    let mut idle = RawConnection::connect(server.addr).await;
    HttpRequest::post(server.addr, "/events/ping", "").send_over(&mut idle).await;
    let mut half = RawConnection::connect(server.addr).await;
    HttpRequest::post(server.addr, "/events/ping", "").send_over(&mut half).await;
    half.send(b"POST /events/ping HTTP/1.1\r\nHost: loc").await;
    let raw = hold(&server, "application/json").start().await;
    wait_until_running(&server, 1).await;
    server.stop();
    idle.expect_end().await;
    half.expect_end().await;
    server.app.gate("x").release(1);
    let (head, mut body) = http::open_response(raw).await;
    assert_eq!((head.status, head.headers("connection"), head.header("keep-alive")), (200, vec!["close"], None));
    assert_eq!(body.rest().await, br#"{"held":"x"}"#);
    body.into_raw().expect_end().await;
    server.stopped().await;
}

#[tokio::test]
async fn requests_that_still_run_at_the_deadline_fail_as_stopping() {
    let mut server = TestServer::start_with(|config| config.shutdown_timeout = Duration::from_millis(50)).await;
    let json = hold(&server, "application/json").start().await;
    let lines = hold(&server, "application/x-ndjson").start().await;
    let events = hold(&server, "text/event-stream").start().await;
    let polling = HttpRequest::post(server.addr, "/events/gate/hold?take=1", r#"{"gate":"x"}"#).start().await;
    wait_until_running(&server, 4).await;
    server.app.gate("s").release(1);
    let stream =
        HttpRequest::post(server.addr, "/events/streams/gated", r#"{"gate":"s"}"#).accept("application/x-ndjson");
    let (_, mut stream) = stream.open().await;
    assert_eq!(stream.line().await.as_deref(), Some("1"));
    server.stop();
    for raw in [json, lines, polling] {
        let (head, mut body) = http::open_response(raw).await;
        assert_eq!(head.status, 503);
        assert_eq!(body.rest().await, br#"{"error":"The server is stopping","code":"stopping"}"#);
    }
    let (_, mut events) = http::open_response(events).await;
    let block = events.block().await.unwrap();
    assert!(block.starts_with("event: failed\nid: end\n") && block.contains("stopping"), "{block}");
    assert_eq!(events.block().await, None);
    assert_eq!(stream.line().await.as_deref(), Some(r#"{"error":"The server is stopping","code":"stopping"}"#));
    assert_eq!(stream.line().await, None);
    server.stopped().await;
    assert_eq!(server.app.gate("x").counts().dropped, 4);
    assert_eq!(server.calls.first_of("gate/hold").await["error"]["code"], "cancelled");
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_delay_the_shutdown() {
    let mut server = TestServer::start_with(|config| {
        config.shutdown_timeout = Duration::from_millis(50);
        config.close_timeout = Duration::from_millis(50);
    })
    .await;
    let request =
        HttpRequest::post(server.addr, "/events/streams/endless", r#"{"gate":"x"}"#).accept("text/event-stream");
    let _unread = request.start().await;
    until("the handlers to run", || server.app.gate("x").counts().items > 1000).await;
    server.stop();
    server.stopped().await;
    assert_eq!(server.app.gate("x").counts().over, 1);
}
