//! The server asks its clients.

use std::time::Duration;

use aaw_server::AskError;
use aaw_tests::{Client, TestServer};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Asks the client, as a task of its own.
fn ask(server: &TestServer, client: &Client, event: &str, data: Value) -> JoinHandle<Result<Value, AskError>> {
    ask_within(server, client, event, data, Duration::from_secs(30))
}

fn ask_within(
    server: &TestServer,
    client: &Client,
    event: &str,
    data: Value,
    timeout: Duration,
) -> JoinHandle<Result<Value, AskError>> {
    let (handle, event) = (server.handle.clone(), event.to_owned());
    let id = client.connection.parse().expect("an id");
    tokio::spawn(async move { handle.ask(id, &event, data, timeout).await })
}

/// The code of the failure with which it was answered.
async fn code(asked: JoinHandle<Result<Value, AskError>>) -> String {
    match asked.await.expect("no panic") {
        Err(AskError::Failed(failure)) => failure.code.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

async fn answer(asked: JoinHandle<Result<Value, AskError>>) -> Value {
    asked.await.expect("no panic").expect("an answer")
}

#[tokio::test]
async fn a_client_is_asked_and_its_answer_comes_back() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let first = ask(&server, &client, "confirm", json!({ "really": true }));
    client.expect(r#"["confirm",{"really":true},-1]"#).await;
    let second = ask(&server, &client, "confirm", json!(2));
    client.expect(r#"["confirm",2,-2]"#).await;
    client.send(r#"["confirm","no",-2]"#).await;
    assert_eq!(answer(second).await, "no");
    client.send(r#"["confirm",{"yes":[1]},-1]"#).await;
    assert_eq!(answer(first).await, json!({ "yes": [1] }));
    // The same connection is a client's as ever.
    client.asks("ping", "null").await.is(r#"{"pong":true}"#);
}
