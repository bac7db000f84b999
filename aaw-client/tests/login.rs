//! Logged in at a scripted server.

// Test code: a panic is how it says no.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aaw_client::{CallError, Config, ConnectionEvent, ConnectionEvents, OnToken, State, Token};
use scripted::{Server, eager, pair, pair_with, soon};

const USER: &str = r#"{"id":7,"email":"ada@example.org"}"#;
const RESUME: &str = r#"["aaw/resume",{"token":"t1"},1]"#;

fn answer(event: &str, token: &str, id: u8) -> String {
    format!(r#"["{event}",{{"token":"{token}","user":{USER}}},{id}]"#)
}

/// With a token from before, and whatever the hook is told.
fn config() -> (Config, Arc<Mutex<Vec<Option<String>>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let hook = OnToken::new(move |token| tell.lock().unwrap().push(token.map(|token| token.as_str().to_owned())));
    (Config { token: Some(Token::new("t1")), on_token: Some(hook), ..eager() }, told)
}

async fn change(changes: &mut ConnectionEvents) -> ConnectionEvent {
    soon("a change", changes.next()).await.unwrap()
}

#[tokio::test]
async fn a_login_is_kept_across_connections() {
    let (server, client, mut peer) = pair().await;
    assert_eq!(client.identity(), None);
    let script = async {
        assert_eq!(peer.read().await, r#"["aaw/login",{"email":"ada@example.org","password":"secret"},1]"#);
        peer.send(&answer("aaw/login", "t1", 1)).await;
    };
    let (identity, ()) = tokio::join!(client.login("ada@example.org", "secret"), script);
    assert_eq!(identity.unwrap().id, "7");
    assert_eq!(client.identity().unwrap().email, "ada@example.org");
    assert_eq!(client.token().unwrap().as_str(), "t1");

    let mut changes = client.connection_events();
    drop(peer);
    assert!(matches!(change(&mut changes).await, ConnectionEvent::Close(_)));
    // Made while there is no connection, the call still waits for the token to be taken.
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.send_async::<u8>("auth/me", (), Duration::from_secs(9)).await }
    });
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, RESUME);
    assert!(!matches!(client.state(), State::Open { .. }), "not before the token is taken");
    peer.send(&answer("aaw/resume", "t1", 1)).await;
    assert!(matches!(change(&mut changes).await, ConnectionEvent::Open { .. }));
    assert_eq!(peer.read().await, r#"["auth/me",null,2]"#);
    peer.send(r#"["auth/me",1,2]"#).await;
    assert_eq!(call.await.unwrap(), Ok(1));
    assert!(client.identity().is_some());
}

#[tokio::test]
async fn a_login_that_fails_is_told_and_nothing_is_kept() {
    let (_server, client, mut peer) = pair().await;
    let script = async {
        peer.read().await;
        let failure = r#"{"error":"Invalid credentials","code":"not_authenticated"}"#;
        peer.send(&format!(r#"["aaw/login",{failure},1,"error"]"#)).await;
    };
    match tokio::join!(client.login("a@b.c", "wrong"), script).0 {
        Err(CallError::Failed(failure)) => assert_eq!(failure.error, "Invalid credentials"),
        other => panic!("{other:?}"),
    }
    assert!(client.identity().is_none() && client.token().is_none());
}

#[tokio::test]
async fn a_token_from_before_is_shown_and_kept() {
    let (config, told) = config();
    let server = Server::start().await;
    let url = server.url();
    let script = async {
        let mut peer = server.accept_silently().await;
        assert_eq!(peer.read().await, RESUME);
        peer.send(r#"["aaw/welcome",{"connection":"c1"}]"#).await;
        peer.send(&answer("aaw/resume", "t2", 1)).await;
        peer
    };
    let (client, mut peer) = tokio::join!(aaw_client::connect_with(&url, config), script);
    let client = client.unwrap();
    assert_eq!(client.identity().unwrap().id, "7");
    assert_eq!(*told.lock().unwrap(), [Some("t2".to_owned())]);
    let script = async {
        assert_eq!(peer.read().await, r#"["aaw/logout",{},2]"#);
        peer.send(r#"["aaw/logout",{"ok":true},2]"#).await;
    };
    let (done, ()) = tokio::join!(client.logout(), script);
    done.unwrap();
    assert!(client.identity().is_none() && client.token().is_none());
    assert_eq!(*told.lock().unwrap(), [Some("t2".to_owned()), None]);
    drop(peer);
    let mut peer = server.accept().await;
    peer.send(r#"["e",null,-1]"#).await;
    assert!(peer.read().await.contains("unknown_event"), "no token comes before");
}

#[tokio::test]
async fn an_expired_session_is_told_before_the_connection_opens() {
    let (config, told) = config();
    let server = Server::start().await;
    let prepared = aaw_client::prepare(&server.url(), config).unwrap();
    let mut changes = prepared.connection_events();
    let client = prepared.connect_lazily();
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, RESUME);
    peer.send(r#"["aaw/resume",{"error":"Session expired","code":"not_authenticated"},1,"error"]"#).await;
    match change(&mut changes).await {
        ConnectionEvent::Unauthorized(failure) => assert_eq!(failure.error, "Session expired"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(change(&mut changes).await, ConnectionEvent::Open { .. }));
    assert!(client.token().is_none() && client.identity().is_none());
    assert_eq!(*told.lock().unwrap(), [None]);
}

#[tokio::test]
async fn a_slow_server_logs_nobody_out() {
    let (config, told) = config();
    let (server, client, mut peer) = pair_with(Config { auth_timeout: Duration::from_millis(20), ..config }).await;
    // The connection opened though nobody has answered; calls go out.
    assert_eq!(peer.read().await, RESUME);
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.send_async::<u8>("e", (), Duration::from_secs(9)).await }
    });
    assert_eq!(peer.read().await, r#"["e",null,2]"#);
    peer.send(r#"["e",1,2]"#).await;
    assert_eq!(call.await.unwrap(), Ok(1));
    assert_eq!(client.token().unwrap().as_str(), "t1");
    drop(peer);
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, RESUME, "the next connection tries again");
    assert!(told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_session_that_ends_elsewhere_is_told() {
    let (_server, client, mut peer) = pair().await;
    let script = async {
        assert_eq!(peer.read().await, RESUME);
        peer.send(&answer("aaw/resume", "t1", 1)).await;
    };
    let (identity, ()) = tokio::join!(client.resume("t1"), script);
    identity.unwrap();
    let mut changes = client.connection_events();
    peer.send(r#"["aaw/session",{"ended":"logout"}]"#).await;
    match change(&mut changes).await {
        ConnectionEvent::Unauthorized(failure) => assert_eq!(failure.error, "Logged out elsewhere"),
        other => panic!("{other:?}"),
    }
    assert!(client.token().is_none() && client.identity().is_none());
}

#[tokio::test]
async fn to_register_is_to_log_in() {
    let (_server, client, mut peer) = pair().await;
    let script = async {
        assert_eq!(peer.read().await, r#"["aaw/register",{"email":"ada@example.org","password":"secret"},1]"#);
        peer.send(&answer("aaw/register", "t1", 1)).await;
    };
    let (identity, ()) = tokio::join!(client.register("ada@example.org", "secret"), script);
    assert_eq!(identity.unwrap(), client.identity().unwrap());
}
