//! The HTTP request behind a connection or a call, as handlers read it; and log-ins by it, without a store.

use aaw_server::Config;
use aaw_server::auth::{Auth, Email, Password, SqliteStore};
use aaw_tests::resumption::{KEY, hello, next_refusal, open, resuming, welcomed};
use aaw_tests::{HttpRequest, LogCapture, TestServer, WireClient, until};
use serde_json::{Value, json};

use crate::binary::{package, serve};

async fn start(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with_events(vec![aaw_test_handshakes::module().into()], change).await
}

/// A server whose events log their callers in.
async fn start_with_own_log_ins() -> TestServer {
    start(|config| config.auth = Some(Auth::own_log_ins())).await
}

async fn connect(server: &TestServer, target: &str, headers: &[(&str, &str)]) -> WireClient {
    let mut client = WireClient::connect_to(server.addr, target, headers).await;
    client.greet().await;
    client
}

const NOT_AUTHENTICATED: &str = r#"{"error":"Not authenticated","code":"not_authenticated"}"#;

// --- What handlers see -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_call_sees_the_handshake_of_its_connection() {
    let log = LogCapture::start();
    let server = start(|_| {}).await;
    let headers = [("X-Test", "a-secret"), ("Cookie", "x=1; session=\"b-secret\"")];
    let mut client = connect(&server, "/chat?room=c-secret%21", &headers).await;
    let seen = client.call("seen", "null").await.value();
    let expected = json!({
        "header": "a-secret", "cookie": "b-secret", "query": "c-secret!", "host": server.addr.to_string(), "path": "/chat",
        "peer": "127.0.0.1", "secure": false,
    });
    assert_eq!(seen, expected);
    let mut other = connect(&server, "/", &[]).await;
    assert_eq!(other.call("seen", "null").await.value()["header"], Value::Null);
    log.expect_line(&["connected"]);
    assert!(!log.text().contains("-secret"), "{}", log.text());
}

#[tokio::test]
async fn a_call_over_http_sees_its_own_request() {
    let server = start(|_| {}).await;
    let request = HttpRequest::post(server.addr, "/events/seen?room=7", "")
        .header("X-Test", "http")
        .header("Cookie", "session=t");
    let seen = request.send().await.json();
    let expected = json!({
        "header": "http", "cookie": "t", "query": "7", "host": server.addr.to_string(), "path": "/events/seen",
        "peer": "127.0.0.1", "secure": false,
    });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn behind_a_trusted_proxy_a_call_sees_its_client_and_what_that_has_requested() {
    let server = start(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        config.allow_hosts = vec!["api.example.org".parse().unwrap()];
    })
    .await;
    let headers =
        [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "api.example.org")];
    let expected = ["203.0.113.7".into(), true.into(), Value::from("api.example.org")];
    let check = |seen: Value| assert_eq!(["peer", "secure", "host"].map(|name| seen[name].clone()), expected);
    check(connect(&server, "/", &headers).await.call("seen", "null").await.value());
    let post = HttpRequest::post(server.addr, "/events/seen", "");
    check(headers.iter().fold(post, |post, (name, value)| post.header(name, value)).send().await.json());
}

#[tokio::test]
async fn a_request_that_is_too_large_to_be_kept_is_refused() {
    let server = start(|config| config.max_handshake_bytes = 400).await;
    let large = "x".repeat(400);
    let response = HttpRequest::handshake(server.addr).header("X-Test", &large).send().await;
    assert_eq!(response.status, 431);
    assert!(response.body.contains("at most 400 are accepted"), "{}", response.body);
    let response = HttpRequest::post(server.addr, "/events/seen", "").header("X-Test", &large).send().await;
    assert_eq!(response.failure(), (431, "too_large".into()));
    // Servers whose events do not read it keep nothing, and have no such limit.
    let server = TestServer::start_with(|config| config.max_handshake_bytes = 0).await;
    server.v1().await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

// --- Log-ins of the application --------------------------------------------------------------------------------------

#[tokio::test]
async fn open_logs_the_caller_in_by_a_header_a_cookie_or_the_query() {
    let log = LogCapture::start();
    let server = start_with_own_log_ins().await;
    for (target, headers) in [
        ("/", &[("Authorization", "Bearer valid-ada")][..]),
        ("/", &[("Cookie", "theme=dark; token=valid-ada")]),
        ("/?token=valid%2Dada", &[]),
    ] {
        let mut client = connect(&server, target, headers).await;
        client.call("auth/whoami", "null").await.assert_eq(r#""ada""#);
    }
    let mut anonymous = connect(&server, "/", &[]).await;
    anonymous.call("auth/whoami", "null").await.assert_eq(NOT_AUTHENTICATED);
    let mut refused = WireClient::connect_to(server.addr, "/", &[("Authorization", "Bearer other")]).await;
    refused.send(r#"["aaw/hello",{}]"#).await;
    refused.next().await;
    assert_eq!(refused.expect_close(1008).await, "The token is invalid");
    assert!(!log.text().contains("valid-ada") && !log.text().contains("Bearer"), "{}", log.text());
}

#[tokio::test]
async fn a_session_of_a_connection_ends_with_it_and_its_token_resumes_nothing() {
    let server = start_with_own_log_ins().await;
    let mut client = connect(&server, "/", &[]).await;
    let logged_in = client.call("badge", r#""valid-ada""#).await.value();
    assert_eq!(logged_in["user"]["id"], "ada");
    client.call("auth/whoami", "null").await.assert_eq(r#""ada""#);
    let resume = json!({ "token": logged_in["token"] }).to_string();
    let mut other = connect(&server, "/", &[]).await;
    let expired = r#"{"error":"Session expired","code":"not_authenticated"}"#;
    other.call("aaw/resume", &resume).await.assert_eq(expired);
    client.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    client.call("auth/whoami", "null").await.assert_eq(NOT_AUTHENTICATED);
    // The events of a store are not offered.
    let not_offered = r#"{"error":"Auth is not set up via aaw","code":"unreachable"}"#;
    let body = r#"{"email":"a@b.c","password":"correct horse"}"#;
    client.call("aaw/login", body).await.assert_eq(not_offered);
    let closed = r#"{"error":"Registration is closed on this server","code":"registration_closed"}"#;
    client.call("aaw/register", body).await.assert_eq(closed);
    // A call over HTTP has no connection, and `Authorization` is the application's.
    let badge = HttpRequest::post(server.addr, "/events/badge", r#""valid-ada""#);
    assert_eq!(badge.header("Authorization", "Bearer valid-ada").send().await.failure().1, "no_connection");
}

#[tokio::test]
async fn a_connection_that_open_logged_in_is_in_no_store_and_outlives_changes_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("auth.sqlite")).await.unwrap();
    let email = || Email::parse("ada@example.org").unwrap();
    store.add_user(email(), Password::new("correct horse"), None).await.unwrap();
    let server = start(|config| config.auth = Some(Auth::new(store.clone()))).await;
    let mut client = connect(&server, "/", &[("Cookie", "token=valid-eve")]).await;
    // Another connection's session is in the store, and ends with its user.
    let mut other = server.v1().await;
    let log_in = r#"{"email":"ada@example.org","password":"correct horse"}"#;
    assert!(other.call("aaw/login", log_in).await.value()["token"].is_string());
    let second = SqliteStore::open(folder.path().join("auth.sqlite")).await.unwrap();
    assert!(second.remove_user(email()).await.unwrap());
    other.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    client.call("auth/whoami", "null").await.assert_eq(r#""eve""#);
}

#[tokio::test]
async fn a_library_logs_callers_in_by_a_cookie_without_a_store() {
    let (_folder, package) = package("aaw-test-own-log-ins").await;
    for file in ["_open.rs", "_users.rs", "seen.rs", "auth/whoami.rs"] {
        let from = concat!(env!("CARGO_MANIFEST_DIR"), "/handshakes/src/");
        let to = package.join("src").join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(format!("{from}{file}"), to).unwrap();
    }
    let (_server, url) = serve(&package, &["--own-log-ins"]).await;
    let (_, port) = url.rsplit_once(':').unwrap();
    let addr = ([127, 0, 0, 1], port.parse().unwrap()).into();
    let mut client = WireClient::connect_to(addr, "/?room=7", &[("Cookie", "token=valid-ada")]).await;
    client.greet().await;
    client.call("auth/whoami", "null").await.assert_eq(r#""ada""#);
    assert_eq!(client.call("seen", "null").await.value()["query"], "7");
}

// --- Resumption ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_resumed_connection_keeps_its_identity_and_its_handshake_and_resume_sees_the_new_one() {
    let server = start_with_own_log_ins().await;
    let first = [("Cookie", "token=valid-ada"), ("X-Test", "first")];
    let mut client = WireClient::connect_to(server.addr, "/", &first).await;
    welcomed(&mut client, &json!({ "key": KEY })).await;
    drop(client);
    until("the client to be away", || server.handle.away_connections() == 1).await;

    let mut stranger = WireClient::connect_to(server.addr, "/", &[("Cookie", "token=valid-eve")]).await;
    stranger.send(&hello(&resuming(0))).await;
    let refusal = next_refusal(&mut stranger).await;
    assert!(refusal.to_string().contains("The token is another user's"), "{refusal}");

    let mut client =
        WireClient::connect_to(server.addr, "/", &[("Cookie", "token=valid-ada"), ("X-Test", "new")]).await;
    assert_eq!(welcomed(&mut client, &resuming(0)).await["resumed"], true);
    client.exchange(r#"["auth/whoami",null,1]"#, r#"["auth/whoami","ada",1]"#).await;
    client.send(r#"["seen",null,2]"#).await;
    let seen: Value = serde_json::from_str(&client.next().await).unwrap();
    assert_eq!(seen[1]["header"], "first");
    drop(client);

    // Without a cookie, as a client that cannot set headers again: the application decides.
    until("the client to be away", || server.handle.away_connections() == 1).await;
    let (mut client, welcome) = open(&server, &resuming(2)).await;
    assert_eq!(welcome["resumed"], true);
    client.exchange(r#"["auth/whoami",null,3]"#, r#"["auth/whoami","ada",3]"#).await;
}
