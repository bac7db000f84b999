//! Client calls: the server calls its clients.

use std::time::Duration;

use aaw_server::ClientCallError;
use aaw_tests::{TestServer, WireClient};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Calls the client from a new task.
fn call_client(
    server: &TestServer,
    client: &WireClient,
    event: &str,
    data: Value,
) -> JoinHandle<Result<Value, ClientCallError>> {
    call_client_within(server, client, event, data, Duration::from_secs(30))
}

fn call_client_within(
    server: &TestServer,
    client: &WireClient,
    event: &str,
    data: Value,
    timeout: Duration,
) -> JoinHandle<Result<Value, ClientCallError>> {
    let (handle, event) = (server.handle.clone(), event.to_owned());
    let id = client.connection.parse().expect("an id");
    tokio::spawn(async move { handle.call_client(id, &event, data, timeout).await })
}

/// Returns the error code of a client call.
async fn code(call: JoinHandle<Result<Value, ClientCallError>>) -> String {
    match call.await.expect("no panic") {
        Err(ClientCallError::Failed(failure)) => failure.code.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

async fn response(call: JoinHandle<Result<Value, ClientCallError>>) -> Value {
    call.await.expect("no panic").expect("a response")
}

#[tokio::test]
async fn a_client_call_returns_the_response_of_the_client() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let first = call_client(&server, &client, "confirm", json!({ "really": true }));
    client.expect(r#"["confirm",{"really":true},-1]"#).await;
    let second = call_client(&server, &client, "confirm", json!(2));
    client.expect(r#"["confirm",2,-2]"#).await;
    client.send(r#"["confirm","no",-2]"#).await;
    assert_eq!(response(second).await, "no");
    client.send(r#"["confirm",{"yes":[1]},-1]"#).await;
    assert_eq!(response(first).await, json!({ "yes": [1] }));
    // The client can still call the server.
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

#[tokio::test]
async fn an_error_of_the_client_is_returned() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let call = call_client(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    client.send(r#"["confirm",{"error":"Not now","code":"busy_here","data":[7]},-1,"error"]"#).await;
    match call.await.expect("no panic") {
        Err(ClientCallError::Failed(failure)) => {
            assert_eq!((failure.error.as_str(), failure.code.as_str()), ("Not now", "busy_here"));
            assert_eq!(failure.data.expect("data").get(), "[7]");
        }
        other => panic!("{other:?}"),
    }
    let handle = server.handle.clone();
    let id = client.connection.parse().expect("an id");
    let call = tokio::spawn(async move { handle.call_client::<u8>(id, "confirm", 2, Duration::MAX).await });
    client.expect(r#"["confirm",2,-2]"#).await;
    client.send(r#"["confirm","no number",-2]"#).await;
    assert!(matches!(call.await.expect("no panic"), Err(ClientCallError::BadResponse(_))));
}

#[tokio::test]
async fn a_client_call_is_sent_after_earlier_pushes() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let id = client.connection.parse().expect("an id");
    for n in 0..50 {
        server.handle.emit_to(id, "news", n).expect("it is connected");
    }
    let call = call_client(&server, &client, "confirm", json!(null));
    for n in 0..50 {
        client.expect(&format!(r#"["news",{n}]"#)).await;
    }
    client.expect(r#"["confirm",null,-1]"#).await;
    client.send(r#"["confirm",true,-1]"#).await;
    assert_eq!(response(call).await, true);
}

#[tokio::test]
async fn a_client_call_that_times_out_is_cancelled() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let call = call_client_within(&server, &client, "confirm", json!(1), Duration::from_millis(20));
    client.expect(r#"["confirm",1,-1]"#).await;
    client.expect(r#"["confirm",null,-1,"cancel"]"#).await;
    assert_eq!(code(call).await, "timeout");
    // A late response is not an error.
    client.send(r#"["confirm",true,-1]"#).await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

#[tokio::test]
async fn dropping_the_future_cancels_the_client_call() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let call = call_client(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    call.abort();
    client.expect(r#"["confirm",null,-1,"cancel"]"#).await;
}

#[tokio::test]
async fn a_client_call_fails_when_the_client_disconnects() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let call = call_client(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    let id = client.connection.parse().expect("an id");
    drop(client);
    assert_eq!(code(call).await, "no_connection");
    match server.handle.call_client::<Value>(id, "confirm", 1, Duration::MAX).await {
        Err(ClientCallError::Failed(failure)) => assert_eq!(failure.code.as_str(), "no_connection"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_client_calls() {
    let mut server = TestServer::start().await;
    let mut client = server.v1().await;
    let call = call_client(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    server.stop();
    assert_eq!(code(call).await, "no_connection");
    client.expect_close(1001).await;
    server.stopped().await;
}

#[tokio::test]
async fn client_calls_that_cannot_be_sent_fail() {
    let server = TestServer::start_with(|config| {
        config.max_client_calls = 1;
        config.max_message_bytes = 1000;
    })
    .await;
    let mut client = server.v1().await;
    assert_eq!(code(call_client(&server, &client, "confirm", json!("x".repeat(1000)))).await, "too_large");
    assert_eq!(code(call_client(&server, &client, "aaw/session", json!(1))).await, "not_allowed");
    let first = call_client(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    assert_eq!(code(call_client(&server, &client, "confirm", json!(2))).await, "busy");
    client.send(r#"["confirm",true,-1]"#).await;
    assert_eq!(response(first).await, true);
    let next = call_client(&server, &client, "confirm", json!(3));
    client.expect(r#"["confirm",3,-2]"#).await;
    client.send(r#"["confirm",true,-2]"#).await;
    assert_eq!(response(next).await, true);
}

#[tokio::test]
async fn invalid_responses_are_bad_frames() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    for frame in [r#"["confirm",1,-1]"#, r#"["confirm",{"error":"x"},-9,"error"]"#, r#"["confirm",1,-1,"item"]"#] {
        client.send(frame).await;
        assert!(client.next().await.contains("bad_frame"), "{frame}");
    }
    let call = call_client(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    client.send(r#"["confirm","no failure",-1,"error"]"#).await;
    assert_eq!(code(call).await, "bad_frame");
    let mut other = server.v1().await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn the_client_library_handles_client_calls() {
    let server = TestServer::start().await;
    let client = aaw_client::connect(&server.url()).await.expect("it connects");
    let id = client.connection_id().expect("it has one").parse().expect("an id");
    let _handling = client.handle("add", |(a, b): (u32, u32)| async move {
        if a == 0 { Err(aaw_client::HandlerError::new("Nothing to add to").with_code("nothing")) } else { Ok(a + b) }
    });
    let add = |numbers: (u32, u32)| server.handle.call_client::<u32>(id, "add", numbers, Duration::from_secs(10));
    // Concurrent calls get their own responses.
    let (one, two, none) = tokio::join!(add((1, 2)), add((30, 4)), add((0, 1)));
    assert_eq!((one.expect("a response"), two.expect("a response")), (3, 34));
    assert!(matches!(none, Err(ClientCallError::Failed(failure)) if failure.code.as_str() == "nothing"));
    match server.handle.call_client::<u32>(id, "subtract", 1, Duration::from_secs(10)).await {
        Err(ClientCallError::Failed(failure)) => assert_eq!(failure.code.as_str(), "unknown_event"),
        other => panic!("{other:?}"),
    }
}
