//! Sessions, against a scripted server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::scripted::{ScriptedServer, eager, pair, pair_with, soon};
use aaw_client::{CallError, Config, ConnectionEvent, ConnectionEvents, ConnectionState, OnToken, Token};

const USER: &str = r#"{"id":7,"email":"ada@example.org"}"#;
const RESUME: &str = r#"["aaw/resume",{"token":"t1"},1]"#;

fn login_response(event: &str, token: &str, id: u8) -> String {
    format!(r#"["{event}",{{"token":"{token}","user":{USER}}},{id}]"#)
}

/// A config with the token of an earlier session, and the calls of its `on_token`.
fn config() -> (Config, Arc<Mutex<Vec<Option<String>>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let record = calls.clone();
    let on_token = OnToken::new(move |token| record.lock().unwrap().push(token.map(|token| token.as_str().to_owned())));
    (Config { token: Some(Token::new("t1")), on_token: Some(on_token), ..eager() }, calls)
}

async fn next(events: &mut ConnectionEvents) -> ConnectionEvent {
    soon("an event", events.next()).await.unwrap()
}

#[tokio::test]
async fn a_session_survives_a_reconnect() {
    let (server, client, mut connection) = pair().await;
    assert_eq!(client.identity(), None);
    let script = async {
        assert_eq!(connection.read().await, r#"["aaw/login",{"email":"ada@example.org","password":"secret"},1]"#);
        connection.send(&login_response("aaw/login", "t1", 1)).await;
    };
    let (identity, ()) = tokio::join!(client.login("ada@example.org", "secret"), script);
    assert_eq!(identity.unwrap().id, "7");
    assert_eq!(client.identity().unwrap().email, "ada@example.org");
    assert_eq!(client.token().unwrap().as_str(), "t1");

    let mut events = client.connection_events();
    drop(connection);
    assert!(matches!(next(&mut events).await, ConnectionEvent::Close(_)));
    // A call made while there is no connection waits until the server has accepted the token.
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.send_async::<u8>("auth/me", (), Duration::from_secs(9)).await }
    });
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, RESUME);
    assert!(
        !matches!(client.state(), ConnectionState::Open { .. }),
        "the connection opens after the token was accepted"
    );
    connection.send(&login_response("aaw/resume", "t1", 1)).await;
    assert!(matches!(next(&mut events).await, ConnectionEvent::Open { .. }));
    assert_eq!(connection.read().await, r#"["auth/me",null,2]"#);
    connection.send(r#"["auth/me",1,2]"#).await;
    assert_eq!(call.await.unwrap(), Ok(1));
    assert!(client.identity().is_some());
}

#[tokio::test]
async fn a_failed_login_returns_the_error_and_stores_no_token() {
    let (_server, client, mut connection) = pair().await;
    let script = async {
        connection.read().await;
        let failure = r#"{"error":"Invalid credentials","code":"not_authenticated"}"#;
        connection.send(&format!(r#"["aaw/login",{failure},1,"error"]"#)).await;
    };
    match tokio::join!(client.login("a@b.c", "wrong"), script).0 {
        Err(CallError::Failed(failure)) => assert_eq!(failure.error, "Invalid credentials"),
        other => panic!("{other:?}"),
    }
    assert!(client.identity().is_none() && client.token().is_none());
}

#[tokio::test]
async fn a_configured_token_resumes_its_session() {
    let (config, calls) = config();
    let server = ScriptedServer::start().await;
    let url = server.url();
    let script = async {
        let mut connection = server.accept().await;
        assert_eq!(connection.read().await, RESUME);
        connection.send(&login_response("aaw/resume", "t2", 1)).await;
        connection
    };
    let (client, mut connection) = tokio::join!(aaw_client::connect_with(&url, config), script);
    let client = client.unwrap();
    assert_eq!(client.identity().unwrap().id, "7");
    assert_eq!(*calls.lock().unwrap(), [Some("t2".to_owned())]);
    let script = async {
        assert_eq!(connection.read().await, r#"["aaw/logout",{},2]"#);
        connection.send(r#"["aaw/logout",{"ok":true},2]"#).await;
    };
    let (done, ()) = tokio::join!(client.logout(), script);
    done.unwrap();
    assert!(client.identity().is_none() && client.token().is_none());
    assert_eq!(*calls.lock().unwrap(), [Some("t2".to_owned()), None]);
    drop(connection);
    let mut connection = server.accept().await;
    connection.send(r#"["e",null,-1]"#).await;
    assert!(connection.read().await.contains("unknown_event"), "no token is sent after a logout");
}

#[tokio::test]
async fn an_expired_session_is_reported_before_the_connection_opens() {
    let (config, calls) = config();
    let server = ScriptedServer::start().await;
    let prepared = aaw_client::prepare(&server.url(), config).unwrap();
    let mut events = prepared.connection_events();
    let client = prepared.connect_lazily();
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, RESUME);
    connection.send(r#"["aaw/resume",{"error":"Session expired","code":"not_authenticated"},1,"error"]"#).await;
    match next(&mut events).await {
        ConnectionEvent::Unauthorized(failure) => assert_eq!(failure.error, "Session expired"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(next(&mut events).await, ConnectionEvent::Open { .. }));
    assert!(client.token().is_none() && client.identity().is_none());
    assert_eq!(*calls.lock().unwrap(), [None]);
}

#[tokio::test]
async fn a_slow_resumption_keeps_the_token() {
    let (config, calls) = config();
    let (server, client, mut connection) =
        pair_with(Config { auth_timeout: Duration::from_millis(20), ..config }).await;
    // The connection is open although the resumption has no response; calls are sent.
    assert_eq!(connection.read().await, RESUME);
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.send_async::<u8>("e", (), Duration::from_secs(9)).await }
    });
    assert_eq!(connection.read().await, r#"["e",null,2]"#);
    connection.send(r#"["e",1,2]"#).await;
    assert_eq!(call.await.unwrap(), Ok(1));
    assert_eq!(client.token().unwrap().as_str(), "t1");
    drop(connection);
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, RESUME, "the next connection tries again");
    assert!(calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_session_ended_elsewhere_is_reported() {
    let (_server, client, mut connection) = pair().await;
    let script = async {
        assert_eq!(connection.read().await, RESUME);
        connection.send(&login_response("aaw/resume", "t1", 1)).await;
    };
    let (identity, ()) = tokio::join!(client.resume("t1"), script);
    identity.unwrap();
    let mut events = client.connection_events();
    connection.send(r#"["aaw/session",{"ended":"logout"}]"#).await;
    match next(&mut events).await {
        ConnectionEvent::Unauthorized(failure) => assert_eq!(failure.error, "Logged out elsewhere"),
        other => panic!("{other:?}"),
    }
    assert!(client.token().is_none() && client.identity().is_none());
}

#[tokio::test]
async fn registering_logs_in() {
    let (_server, client, mut connection) = pair().await;
    let script = async {
        assert_eq!(connection.read().await, r#"["aaw/register",{"email":"ada@example.org","password":"secret"},1]"#);
        connection.send(&login_response("aaw/register", "t1", 1)).await;
    };
    let (identity, ()) = tokio::join!(client.register("ada@example.org", "secret"), script);
    assert_eq!(identity.unwrap(), client.identity().unwrap());
}
