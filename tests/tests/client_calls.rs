//! The server asks its clients.

use std::time::Duration;

use aaw_server::ClientCallError;
use aaw_tests::{TestServer, WireClient};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Asks the client, as a task of its own.
fn ask(
    server: &TestServer,
    client: &WireClient,
    event: &str,
    data: Value,
) -> JoinHandle<Result<Value, ClientCallError>> {
    ask_within(server, client, event, data, Duration::from_secs(30))
}

fn ask_within(
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

/// The code of the failure with which it was answered.
async fn code(asked: JoinHandle<Result<Value, ClientCallError>>) -> String {
    match asked.await.expect("no panic") {
        Err(ClientCallError::Failed(failure)) => failure.code.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

async fn answer(asked: JoinHandle<Result<Value, ClientCallError>>) -> Value {
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
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

#[tokio::test]
async fn what_the_client_says_against_it_is_told() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let asked = ask(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    client.send(r#"["confirm",{"error":"Not now","code":"busy_here","data":[7]},-1,"error"]"#).await;
    match asked.await.expect("no panic") {
        Err(ClientCallError::Failed(failure)) => {
            assert_eq!((failure.error.as_str(), failure.code.as_str()), ("Not now", "busy_here"));
            assert_eq!(failure.data.expect("data").get(), "[7]");
        }
        other => panic!("{other:?}"),
    }
    let handle = server.handle.clone();
    let id = client.connection.parse().expect("an id");
    let asked = tokio::spawn(async move { handle.call_client::<u8>(id, "confirm", 2, Duration::MAX).await });
    client.expect(r#"["confirm",2,-2]"#).await;
    client.send(r#"["confirm","no number",-2]"#).await;
    assert!(matches!(asked.await.expect("no panic"), Err(ClientCallError::BadAnswer(_))));
}

#[tokio::test]
async fn an_ask_stands_behind_what_was_sent_before() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let id = client.connection.parse().expect("an id");
    for n in 0..50 {
        server.handle.emit_to(id, "news", n).expect("it is there");
    }
    let asked = ask(&server, &client, "confirm", json!(null));
    for n in 0..50 {
        client.expect(&format!(r#"["news",{n}]"#)).await;
    }
    client.expect(r#"["confirm",null,-1]"#).await;
    client.send(r#"["confirm",true,-1]"#).await;
    assert_eq!(answer(asked).await, true);
}

#[tokio::test]
async fn a_client_that_does_not_answer_in_time_is_told_so() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let asked = ask_within(&server, &client, "confirm", json!(1), Duration::from_millis(20));
    client.expect(r#"["confirm",1,-1]"#).await;
    client.expect(r#"["confirm",null,-1,"cancel"]"#).await;
    assert_eq!(code(asked).await, "timeout");
    // Too late, and no fault.
    client.send(r#"["confirm",true,-1]"#).await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

#[tokio::test]
async fn whoever_asked_can_go() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let asked = ask(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    asked.abort();
    client.expect(r#"["confirm",null,-1,"cancel"]"#).await;
}

#[tokio::test]
async fn who_goes_answers_nothing_more() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let asked = ask(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    let id = client.connection.parse().expect("an id");
    drop(client);
    assert_eq!(code(asked).await, "no_connection");
    match server.handle.call_client::<Value>(id, "confirm", 1, Duration::MAX).await {
        Err(ClientCallError::Failed(failure)) => assert_eq!(failure.code.as_str(), "no_connection"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_stops_waits_for_no_answer() {
    let mut server = TestServer::start().await;
    let mut client = server.v1().await;
    let asked = ask(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    server.stop();
    assert_eq!(code(asked).await, "no_connection");
    client.expect_close(1001).await;
    server.stopped().await;
}

#[tokio::test]
async fn what_cannot_be_asked() {
    let server = TestServer::start_with(|config| {
        config.max_asks = 1;
        config.max_message = 1000;
    })
    .await;
    let mut client = server.v1().await;
    assert_eq!(code(ask(&server, &client, "confirm", json!("x".repeat(1000)))).await, "too_large");
    assert_eq!(code(ask(&server, &client, "aaw/session", json!(1))).await, "not_allowed");
    let first = ask(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    assert_eq!(code(ask(&server, &client, "confirm", json!(2))).await, "busy");
    client.send(r#"["confirm",true,-1]"#).await;
    assert_eq!(answer(first).await, true);
    let next = ask(&server, &client, "confirm", json!(3));
    client.expect(r#"["confirm",3,-2]"#).await;
    client.send(r#"["confirm",true,-2]"#).await;
    assert_eq!(answer(next).await, true);
}

#[tokio::test]
async fn answers_that_make_no_sense_hurt_nobody() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    for nonsense in [r#"["confirm",1,-1]"#, r#"["confirm",{"error":"x"},-9,"error"]"#, r#"["confirm",1,-1,"item"]"#] {
        client.send(nonsense).await;
        assert!(client.next().await.contains("bad_frame"), "{nonsense}");
    }
    let asked = ask(&server, &client, "confirm", json!(1));
    client.expect(r#"["confirm",1,-1]"#).await;
    client.send(r#"["confirm","no failure",-1,"error"]"#).await;
    assert_eq!(code(asked).await, "bad_frame");
    let mut other = server.v1().await;
    server.expect_alive(&mut other).await;
}

#[tokio::test]
async fn the_client_library_answers() {
    let server = TestServer::start().await;
    let client = aaw_client::connect(&server.url()).await.expect("it connects");
    let id = client.connection_id().expect("it has one").parse().expect("an id");
    let _handling = client.handle("add", |(a, b): (u32, u32)| async move {
        if a == 0 { Err(aaw_client::HandlerError::new("Nothing to add to").code("nothing")) } else { Ok(a + b) }
    });
    let add = |numbers: (u32, u32)| server.handle.call_client::<u32>(id, "add", numbers, Duration::from_secs(10));
    // Side by side, each its own.
    let (one, two, none) = tokio::join!(add((1, 2)), add((30, 4)), add((0, 1)));
    assert_eq!((one.expect("an answer"), two.expect("an answer")), (3, 34));
    assert!(matches!(none, Err(ClientCallError::Failed(failure)) if failure.code.as_str() == "nothing"));
    match server.handle.call_client::<u32>(id, "subtract", 1, Duration::from_secs(10)).await {
        Err(ClientCallError::Failed(failure)) => assert_eq!(failure.code.as_str(), "unknown_event"),
        other => panic!("{other:?}"),
    }
}
