//! Log-in with aaw-client: sessions across reconnection, and their ends.

use std::time::Duration;

use aaw_client::{CallError, Client, Config, ConnectionEvent, ConnectionEvents, Token, connect, connect_with};
use aaw_server::auth::{Auth, PasswordHasher, PasswordHasherConfig, SqliteStore};
use aaw_tests::{DEADLINE, TestServer, within};
use serde_json::{Value, json};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse";

/// Returns a store with hashing at the lowest cost, and the folder of its file.
async fn store() -> (SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let cheap = PasswordHasher::new(&PasswordHasherConfig {
        memory_kib: 64,
        iterations: 1,
        threads: 1,
        max_queued_hashes: 5000,
    })
    .expect("a config");
    (SqliteStore::open_with(folder.path().join("auth.sqlite"), cheap).await.expect("a store"), folder)
}

async fn start(store: &SqliteStore, port: u16) -> TestServer {
    let auth = Auth::new(store.clone());
    TestServer::start_with(|config| {
        config.auth = Some(auth);
        config.port = port;
    })
    .await
}

async fn whoami(client: &Client) -> Result<Value, CallError> {
    client.send_async("auth/whoami", (), DEADLINE).await
}

async fn next_event(events: &mut ConnectionEvents) -> ConnectionEvent {
    within("a connection event", || "nothing".into(), events.next()).await.expect("the client is not closed")
}

/// Returns the connection events before the next `Open`.
async fn until_open(events: &mut ConnectionEvents) -> Vec<ConnectionEvent> {
    let mut seen = Vec::new();
    loop {
        match next_event(events).await {
            ConnectionEvent::Open { .. } => return seen,
            other => seen.push(other),
        }
    }
}

#[tokio::test]
async fn a_session_survives_a_restart_of_the_server() {
    let (store, _folder) = store().await;
    let mut server = start(&store, 0).await;
    let client = connect(&server.url()).await.unwrap();
    assert!(
        matches!(whoami(&client).await, Err(CallError::Failed(failure)) if failure.code.as_str() == "not_authenticated")
    );
    let identity = client.register(EMAIL, PASSWORD).await.unwrap();
    let known = json!({ "id": identity.id, "email": EMAIL });
    assert_eq!(whoami(&client).await.unwrap(), known);

    let mut events = client.connection_events();
    server.stop();
    server.stopped().await;
    assert!(matches!(next_event(&mut events).await, ConnectionEvent::Close(_)));
    // A call made now waits until the client has reconnected and resumed its session.
    let call = tokio::spawn({
        let client = client.clone();
        async move { whoami(&client).await }
    });
    let _again = start(&store, server.addr.port()).await;
    let seen = until_open(&mut events).await;
    assert!(!seen.iter().any(|event| matches!(event, ConnectionEvent::Unauthorized(_))), "{seen:?}");
    assert_eq!(call.await.expect("no panic").unwrap(), known);
    assert_eq!(client.identity(), Some(identity));
}

#[tokio::test]
async fn an_expired_session_is_reported_on_the_next_connection() {
    let (store, _folder) = store().await;
    let server = start(&store, 0).await;
    let first = connect(&server.url()).await.unwrap();
    first.register(EMAIL, PASSWORD).await.unwrap();
    let token = first.token().expect("a token");
    first.logout().await.unwrap();
    assert!(first.identity().is_none() && first.token().is_none());

    let config = Config { token: Some(token), ..Config::default() };
    let prepared = aaw_client::prepare(&server.url(), config).unwrap();
    let mut events = prepared.connection_events();
    let client = prepared.connect().await.unwrap();
    let seen = until_open(&mut events).await;
    assert!(
        matches!(&seen[..], [ConnectionEvent::Unauthorized(failure)] if failure.error == "Session expired"),
        "{seen:?}"
    );
    assert!(client.token().is_none());
    // The client works without a session.
    assert_eq!(client.send_async::<u8>("echo", 7, DEADLINE).await.unwrap(), 7);
}

#[tokio::test]
async fn logging_out_ends_the_session_everywhere_and_notifies_only_the_others() {
    let (store, _folder) = store().await;
    let server = start(&store, 0).await;
    let one = connect(&server.url()).await.unwrap();
    one.register(EMAIL, PASSWORD).await.unwrap();
    let token = one.token().expect("a token");
    let config = Config { token: Some(Token::new(token.as_str())), ..Config::default() };
    let other = connect_with(&server.url(), config).await.unwrap();
    assert_eq!(other.identity(), one.identity());
    let (mut ones, mut others) = (one.connection_events(), other.connection_events());
    one.logout().await.unwrap();
    match next_event(&mut others).await {
        ConnectionEvent::Unauthorized(failure) => assert_eq!(failure.error, "Logged out elsewhere"),
        other => panic!("{other:?}"),
    }
    assert!(other.identity().is_none());
    assert!(matches!(whoami(&other).await, Err(CallError::Failed(_))));
    // A connection event would have arrived before this response.
    assert!(matches!(whoami(&one).await, Err(CallError::Failed(_))));
    assert!(futures_util::FutureExt::now_or_never(ones.next()).is_none());
}

#[tokio::test]
async fn a_failed_log_in_returns_the_error_of_the_server() {
    let (store, _folder) = store().await;
    let server = start(&store, 0).await;
    let client = connect(&server.url()).await.unwrap();
    match client.login(EMAIL, "wrong").await {
        Err(CallError::Failed(failure)) => assert_eq!(failure.error, "Invalid credentials"),
        other => panic!("{other:?}"),
    }
    match client.resume("00000000-0000-4000-8000-000000000000").await {
        Err(CallError::Failed(failure)) => assert_eq!(failure.error, "Session expired"),
        other => panic!("{other:?}"),
    }
    assert!(client.token().is_none());
}

#[tokio::test]
async fn calls_may_be_sent_before_the_log_in_has_returned() {
    let (store, _folder) = store().await;
    let server = start(&store, 0).await;
    let client = connect(&server.url()).await.unwrap();
    client.register(EMAIL, PASSWORD).await.unwrap();
    client.logout().await.unwrap();
    let (identity, known) = tokio::join!(client.login(EMAIL, PASSWORD), whoami(&client));
    assert_eq!(known.unwrap()["id"], Value::String(identity.unwrap().id));
}

#[tokio::test]
async fn the_token_is_kept_on_a_server_without_authentication() {
    let server = TestServer::start().await;
    let config = Config { token: Some(Token::new("t1")), auth_timeout: Duration::from_secs(5), ..Config::default() };
    let client = connect_with(&server.url(), config).await.unwrap();
    assert_eq!(client.send_async::<u8>("echo", 7, DEADLINE).await.unwrap(), 7);
    assert_eq!(client.token().expect("the token is not discarded").as_str(), "t1");
}
