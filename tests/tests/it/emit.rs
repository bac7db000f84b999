//! Pushes from anywhere in a program, with `Handle::emit`.

use aaw_server::EmitError;
use aaw_tests::{TestServer, WireClient};
use serde_json::json;

#[tokio::test]
async fn emit_reaches_all_connections_and_emit_to_reaches_one() {
    let server = TestServer::start().await;
    assert_eq!(server.handle.emit("news", 0).unwrap(), 0);
    let (mut one, mut other) = (server.v1().await, server.classic().await);
    other.expect_nothing().await;
    assert_eq!(server.handle.emit("news", json!({ "a": 1 })).unwrap(), 2);
    one.expect(r#"["news",{"a":1}]"#).await;
    other.expect(r#"["news",{"a":1}]"#).await;
    let id = one.connection.parse().unwrap();
    server.handle.emit_to(id, "news", "for you").unwrap();
    one.expect(r#"["news","for you"]"#).await;
    other.expect_nothing().await;
    one.close().await;
    aaw_tests::until("one connection", || server.handle.connections() == 1).await;
    match server.handle.emit_to(id, "news", 1) {
        Err(EmitError::Refused(failure)) => assert_eq!(failure.code.as_str(), "no_connection"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn pushes_that_cannot_be_sent_fail() {
    let server = TestServer::start_with(|config| config.max_message_bytes = 1000).await;
    let code = |sent: Result<usize, EmitError>| match sent {
        Err(EmitError::Refused(failure)) => failure.code.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(server.handle.emit("aaw/welcome", 1)), "not_allowed");
    assert_eq!(code(server.handle.emit("news", "x".repeat(1000))), "too_large");
    let not_json = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(matches!(server.handle.emit("news", &not_json), Err(EmitError::Serialize(_))));
}

#[tokio::test]
async fn a_call_that_follows_the_hello_at_once_can_push_to_its_connection() {
    let server = TestServer::start().await;
    let mut client = WireClient::connect(server.addr, Some("aaw.v1")).await;
    client.send_all([r#"["aaw/hello",{}]"#, r#"["pushes/answering",{},1]"#]).await;
    assert!(client.next().await.starts_with(r#"["aaw/welcome","#));
    for expected in [r#"["step",1]"#, r#"["step",2]"#, r#"["pushes/answering",3,1]"#] {
        client.expect(expected).await;
    }
}
