//! A18: aaw-client stays logged in at our server.

use std::time::Duration;

use aaw_client::{CallError, Client, Config, ConnectionEvent, ConnectionEvents, Token, connect, connect_with};
use aaw_server::auth::{Auth, Passwords, PasswordsConfig, SqliteStore};
use aaw_tests::{DEADLINE, TestServer, within};
use serde_json::{Value, json};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse";

/// A store whose hashing costs next to nothing, and the folder of its file.
async fn store() -> (SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let cheap =
        Passwords::new(&PasswordsConfig { memory: 64, passes: 1, threads: 1, waiting: 5000 }).expect("a config");
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

async fn who(client: &Client) -> Result<Value, CallError> {
    client.send_async("auth/whoami", (), DEADLINE).await
}

async fn change(changes: &mut ConnectionEvents) -> ConnectionEvent {
    within("a change of the connection", || "nothing".into(), changes.next()).await.expect("the client goes on")
}

/// Everything up to the next connection.
async fn until_open(changes: &mut ConnectionEvents) -> Vec<ConnectionEvent> {
    let mut seen = Vec::new();
    loop {
        match change(changes).await {
            ConnectionEvent::Open { .. } => return seen,
            other => seen.push(other),
        }
    }
}

#[tokio::test]
async fn a_login_outlives_the_server() {
    let (store, _folder) = store().await;
    let mut server = start(&store, 0).await;
    let client = connect(&server.url()).await.unwrap();
    assert!(
        matches!(who(&client).await, Err(CallError::Failed(failure)) if failure.code.as_str() == "not_authenticated")
    );
    let identity = client.register(EMAIL, PASSWORD).await.unwrap();
    let known = json!({ "id": identity.id, "email": EMAIL });
    assert_eq!(who(&client).await.unwrap(), known);

    let mut changes = client.connection_events();
    server.stop();
    server.stopped().await;
    assert!(matches!(change(&mut changes).await, ConnectionEvent::Close(_)));
    // Made now, it waits for the connection, and for the session on it.
    let asked = tokio::spawn({
        let client = client.clone();
        async move { who(&client).await }
    });
    let _again = start(&store, server.addr.port()).await;
    let seen = until_open(&mut changes).await;
    assert!(!seen.iter().any(|change| matches!(change, ConnectionEvent::Unauthorized(_))), "{seen:?}");
    assert_eq!(asked.await.expect("no panic").unwrap(), known);
    assert_eq!(client.identity(), Some(identity));
}

#[tokio::test]
async fn a_session_that_is_gone_is_told_on_the_next_connection() {
    let (store, _folder) = store().await;
    let server = start(&store, 0).await;
    let first = connect(&server.url()).await.unwrap();
    first.register(EMAIL, PASSWORD).await.unwrap();
    let token = first.token().expect("a token");
    first.logout().await.unwrap();
    assert!(first.identity().is_none() && first.token().is_none());

    let config = Config { token: Some(token), ..Config::default() };
    let prepared = aaw_client::prepare(&server.url(), config).unwrap();
    let mut changes = prepared.connection_events();
    let client = prepared.connect().await.unwrap();
    let seen = until_open(&mut changes).await;
    assert!(matches!(&seen[..], [ConnectionEvent::Unauthorized(why)] if why.error == "Session expired"), "{seen:?}");
    assert!(client.token().is_none());
    // It is a client like others.
    assert_eq!(client.send_async::<u8>("echo", 7, DEADLINE).await.unwrap(), 7);
}

#[tokio::test]
async fn who_logs_out_is_out_everywhere_and_only_the_others_are_told() {
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
    match change(&mut others).await {
        ConnectionEvent::Unauthorized(why) => assert_eq!(why.error, "Logged out elsewhere"),
        other => panic!("{other:?}"),
    }
    assert!(other.identity().is_none());
    assert!(matches!(who(&other).await, Err(CallError::Failed(_))));
    // Had there been something to tell, it would have come before this answer.
    assert!(matches!(who(&one).await, Err(CallError::Failed(_))));
    assert!(futures_util::FutureExt::now_or_never(ones.next()).is_none());
}

#[tokio::test]
async fn wrong_credentials_are_told_in_the_servers_words() {
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
async fn calls_behind_a_login_need_not_wait_for_it() {
    let (store, _folder) = store().await;
    let server = start(&store, 0).await;
    let client = connect(&server.url()).await.unwrap();
    client.register(EMAIL, PASSWORD).await.unwrap();
    client.logout().await.unwrap();
    let (identity, known) = tokio::join!(client.login(EMAIL, PASSWORD), who(&client));
    assert_eq!(known.unwrap()["id"], Value::String(identity.unwrap().id));
}

#[tokio::test]
async fn a_server_without_log_ins_is_no_reason_to_forget_a_token() {
    let server = TestServer::start().await;
    let config = Config { token: Some(Token::new("t1")), auth_timeout: Duration::from_secs(5), ..Config::default() };
    let client = connect_with(&server.url(), config).await.unwrap();
    assert_eq!(client.send_async::<u8>("echo", 7, DEADLINE).await.unwrap(), 7);
    assert_eq!(client.token().expect("it is kept").as_str(), "t1");
}
