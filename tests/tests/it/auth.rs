//! Authentication: registering, logging in, sessions and their ends, password resets, over WebSockets and HTTP.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aaw_server::auth::{
    Auth, Credentials, Email, Identity, NewSession, Password, PasswordHasher, PasswordHasherConfig, PasswordReset,
    RateLimit, SqliteStore, StartedSession, Store, StoreError, StoreFuture, StoredSession, TokenHash,
};
use aaw_test_hooks::_services::App;
use aaw_tests::{HttpRequest, LogCapture, TestServer, WireClient, resumption, until, within};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

const ADA: &str = r#"{"email":"ada@example.com","password":"correct horse"}"#;

const EXPIRED: &str = r#"{"error":"Session expired","code":"not_authenticated"}"#;
const INVALID: &str = r#"{"error":"Invalid credentials","code":"not_authenticated"}"#;
const UNKNOWN: &str = r#"{"error":"Not authenticated","code":"not_authenticated"}"#;

/// A server with authentication, and the resets that its hook has received.
struct AuthServer {
    server: TestServer,
    store: SqliteStore,
    resets: Arc<Mutex<Vec<PasswordReset>>>,
    /// The folder of the store.
    folder: tempfile::TempDir,
}

/// Returns hashing at the lowest cost, so that it does not dominate the tests.
fn cheap() -> PasswordHasher {
    PasswordHasher::new(&PasswordHasherConfig { memory_kib: 64, iterations: 1, threads: 1, max_queued_hashes: 5000 })
        .expect("a config")
}

async fn start() -> AuthServer {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Auth)) -> AuthServer {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open_with(folder.path().join("auth.sqlite"), cheap()).await.expect("a store");
    let resets = Arc::<Mutex<Vec<PasswordReset>>>::default();
    let received = Arc::clone(&resets);
    let mut auth = Auth::new(store.clone()).on_password_reset(move |reset| {
        received.lock().unwrap_or_else(PoisonError::into_inner).push(reset);
        async { Ok(()) }
    });
    change(&mut auth);
    let server = TestServer::start_with(|config| config.auth = Some(auth)).await;
    AuthServer { server, store, resets, folder }
}

impl AuthServer {
    /// Connects a client and registers it as Ada. Returns it with its token and user id.
    async fn ada(&self) -> (WireClient, String, String) {
        let mut client = self.server.v1().await;
        let (token, id) = logged_in(&client.call("aaw/register", ADA).await.value());
        (client, token, id)
    }

    /// Waits for a reset to be delivered, and returns the token of the last one.
    async fn reset(&self) -> String {
        let last = || self.resets.lock().expect("no panic").last().map(|reset| reset.token.as_str().to_owned());
        until("a reset to be delivered", || last().is_some()).await;
        last().expect("there is one")
    }
}

/// Returns an error as JSON.
fn failure(text: &str, code: &str) -> String {
    format!(r#"{{"error":{},"code":"{code}"}}"#, Value::from(text))
}

/// Returns the token and the user id in a log-in response, which must have exactly the fields of the original.
#[track_caller]
fn logged_in(response: &Value) -> (String, String) {
    let token = response["token"].as_str().unwrap_or_else(|| panic!("no token: {response}"));
    assert_eq!(token.len(), 36, "{response}");
    let keys: Vec<_> = response.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["token", "user"], "{response}");
    (token.to_owned(), response["user"]["id"].as_str().expect("an id").to_owned())
}

fn resume(token: &str) -> String {
    json!({ "token": token }).to_string()
}

// --- Responses of the built-in events --------------------------------------------------------------------------------

#[tokio::test]
async fn registering_authenticates_that_connection_and_no_other() {
    let auth_server = start().await;
    let mut other = auth_server.server.v1().await;
    other.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
    let (mut ada, _, id) = auth_server.ada().await;
    ada.call("auth/whoami", "null").await.assert_eq(&format!(r#"{{"id":"{id}","email":"ada@example.com"}}"#));
    other.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
    // A client cannot choose its id or its permissions.
    let more = r#"{"email":"eve@example.com","password":"xxxxxx","allowed":["*"],"id":"1","user":{"id":"1"}}"#;
    let eve = auth_server.server.v1().await.call("aaw/register", more).await.value();
    assert!(eve["user"]["id"] != "1" && eve["user"]["allowed"].is_null(), "{eve}");
    other.call("auth/whoami", &format!(r#"{{"identity":{{"id":"{id}"}}}}"#)).await.assert_eq(UNKNOWN);
}

#[tokio::test]
async fn error_texts_are_those_of_the_original() {
    let auth_server = start().await;
    let mut client = auth_server.server.v1().await;
    let required = r#"{"error":"Email and password are required","code":"bad_body"}"#;
    for body in [
        "null",
        "{}",
        r#"{"email":"a@b.c"}"#,
        r#"{"password":"xxxxxx"}"#,
        r#"{"email":"","password":"xxxxxx"}"#,
        r#"{"email":"a@b.c","password":""}"#,
        r#"{"email":null,"password":null}"#,
        r#"{"email":"  ","password":"xxxxxx"}"#,
    ] {
        client.call("aaw/register", body).await.assert_eq(required);
        client.call("aaw/login", body).await.assert_eq(required);
    }
    logged_in(&client.call("aaw/register", ADA).await.value());
    client.call("aaw/register", ADA).await.assert_eq(r#"{"error":"Email already registered","code":"email_taken"}"#);
    logged_in(&client.call("aaw/login", ADA).await.value());
    for wrong in
        [r#"{"email":"ada@example.com","password":"wrong"}"#, r#"{"email":"bob@example.com","password":"xxxxxx"}"#]
    {
        client.call("aaw/login", wrong).await.assert_eq(INVALID);
    }
    client.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    client.call("aaw/logout", "{}").await.assert_eq(r#"{"ok":true}"#);
    let set = |body| format!(r#"{{"token":"{}","password":{body}}}"#, "0".repeat(36));
    let no_password = r#"{"error":"A new password is required","code":"bad_body"}"#;
    client.call("aaw/password/set-new", "{}").await.assert_eq(no_password);
    client.call("aaw/password/set-new", &set(r#""""#)).await.assert_eq(no_password);
    let invalid = r#"{"error":"Reset link is invalid or expired","code":"invalid_reset"}"#;
    client.call("aaw/password/set-new", r#"{"password":"xxxxxx"}"#).await.assert_eq(invalid);
    client.call("aaw/password/set-new", &set(r#""xxxxxx""#)).await.assert_eq(invalid);
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({ "email": email }).to_string();
        client.call("aaw/password/request-reset", &body).await.assert_eq(r#"{"ok":true}"#);
    }
    client.call("aaw/nope", "{}").await.assert_eq(r#"{"error":"Unknown event: aaw/nope","code":"unknown_event"}"#);
}

#[tokio::test]
async fn without_authentication_protected_events_are_unreachable_and_built_in_events_unknown() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let text = "Authentication is not enabled — auth/whoami is unreachable";
    client.call("auth/whoami", "null").await.assert_eq(&format!(r#"{{"error":"{text}","code":"unreachable"}}"#));
    client.call("aaw/login", ADA).await.assert_eq(r#"{"error":"Unknown event: aaw/login","code":"unknown_event"}"#);
    let failed = client.call("enter", r#"{"id":"1","email":"a@b.c"}"#).await.value();
    assert_eq!(failed["error"], "Authentication is not enabled");
}

#[tokio::test]
async fn the_built_in_events_work_in_the_classic_dialect() {
    let auth_server = start().await;
    let mut client = auth_server.server.classic().await;
    client.exchange(r#"["auth/whoami",null]"#, r#"["auth/whoami",{"error":"Not authenticated"}]"#).await;
    client.send(&format!(r#"["aaw/register",{ADA}]"#)).await;
    let response: Value = serde_json::from_str(&client.next().await).unwrap();
    let (token, id) = logged_in(&response[1]);
    client
        .exchange(r#"["auth/whoami",null]"#, &format!(r#"["auth/whoami",{{"id":"{id}","email":"ada@example.com"}}]"#))
        .await;
    client.exchange(r#"["aaw/logout",null]"#, r#"["aaw/logout",{"ok":true}]"#).await;
    let resume = format!(r#"["aaw/resume",{{"token":"{token}"}}]"#);
    client.exchange(&resume, r#"["aaw/resume",{"error":"Session expired"}]"#).await;
}

#[tokio::test]
async fn without_a_hook_every_reset_request_fails_as_not_configured() {
    let auth_server = start_with(|auth| auth.on_password_reset = None).await;
    let (mut ada, ..) = auth_server.ada().await;
    let text = "Password reset is not configured (no onPasswordReset handler)";
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({ "email": email }).to_string();
        let expected = format!(r#"{{"error":"{text}","code":"unreachable"}}"#);
        ada.call("aaw/password/request-reset", &body).await.assert_eq(&expected);
    }
}

#[tokio::test]
async fn a_store_without_an_operation_makes_its_event_unreachable() {
    struct Nothing;
    impl Store for Nothing {}
    let rate = RateLimit::new(1_000_000, Duration::from_secs(1));
    let auth = Auth {
        resets_per_email: rate,
        resets_per_email_and_ip: rate,
        ..Auth::new(Nothing).on_password_reset(|_| async { Ok(()) })
    };
    let server = TestServer::start_with(|config| config.auth = Some(auth)).await;
    let mut client = server.v1().await;
    let missing = r#"{"error":"Auth is not set up via aaw","code":"unreachable"}"#;
    for (event, body) in [
        ("aaw/register", ADA.to_owned()),
        ("aaw/login", ADA.to_owned()),
        ("aaw/resume", resume(&"0".repeat(36))),
        ("aaw/password/set-new", format!(r#"{{"token":"{}","password":"xxxxxx"}}"#, "0".repeat(36))),
    ] {
        client.call(event, &body).await.assert_eq(missing);
    }
    // The first response is sent before the store is called.
    client.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
    let wait = async { while client.call("aaw/password/request-reset", ADA).await.0 != missing {} };
    within("the request of a reset to be unreachable", || "nothing".into(), wait).await;
    // A handler's own log-in needs no store: its session belongs to the connection.
    assert_eq!(client.call("enter", r#"{"id":"1","email":"a@b.c"}"#).await.value()["user"]["id"], "1");
    client.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    // Logging out without a session needs no store.
    client.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
}

// --- Sessions --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_token_resumes_its_session_on_another_connection() {
    let auth_server = start().await;
    let (ada, token, id) = auth_server.ada().await;
    ada.close().await;
    let mut again = auth_server.server.v1().await;
    let response = again.call("aaw/resume", &resume(&token)).await.value();
    assert_eq!(logged_in(&response), (token, id));
    assert_eq!(again.call("auth/whoami", "null").await.value()["email"], "ada@example.com");
}

#[tokio::test]
async fn an_invalid_token_is_reported_as_an_expired_session() {
    let auth_server = start().await;
    let (mut ada, token, id) = auth_server.ada().await;
    let forged = format!("{}{}", &token[..35], if token.ends_with('0') { '1' } else { '0' });
    for bad in
        ["", "x", &forged, &token.to_uppercase(), &format!("{token} "), &token[1..], &"0".repeat(36), &"x".repeat(5000)]
    {
        let mut other = auth_server.server.v1().await;
        other.call("aaw/resume", &resume(bad)).await.assert_eq(EXPIRED);
        other.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
        // A connection with a session keeps it.
        ada.call("aaw/resume", &resume(bad)).await.assert_eq(EXPIRED);
    }
    let mut other = auth_server.server.v1().await;
    for body in ["null", "{}", r#"{"token":null}"#] {
        other.call("aaw/resume", body).await.assert_eq(EXPIRED);
    }
    assert_eq!(ada.call("auth/whoami", "null").await.value()["id"], id);
}

#[tokio::test]
async fn a_token_of_another_store_is_reported_as_an_expired_session() {
    let (here, elsewhere) = (start().await, start().await);
    let (_, token, _) = elsewhere.ada().await;
    let mut client = here.server.v1().await;
    client.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
}

#[tokio::test]
async fn logging_out_ends_the_session_on_all_its_connections() {
    let auth_server = start().await;
    let (mut first, token, _) = auth_server.ada().await;
    let mut second = auth_server.server.v1().await;
    second.call("aaw/resume", &resume(&token)).await.value();
    let mut classic = auth_server.server.classic().await;
    classic.send(&format!(r#"["aaw/resume",{{"token":"{token}"}}]"#)).await;
    classic.next().await;
    // Another session of the same user does not end.
    let mut third = auth_server.server.v1().await;
    logged_in(&third.call("aaw/login", ADA).await.value());

    first.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    second.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    for client in [&mut first, &mut second] {
        client.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
        client.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
        client.expect_nothing().await;
    }
    classic.exchange(r#"["auth/whoami",null]"#, r#"["auth/whoami",{"error":"Not authenticated"}]"#).await;
    assert_eq!(third.call("auth/whoami", "null").await.value()["email"], "ada@example.com");
}

#[tokio::test]
async fn a_session_expires_on_its_connection_and_for_resuming() {
    let auth_server = start_with(|auth| auth.session_lifetime = Duration::from_millis(300)).await;
    let (mut ada, token, _) = auth_server.ada().await;
    ada.expect(r#"["aaw/session",{"ended":"expired"}]"#).await;
    ada.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
    ada.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
}

#[tokio::test]
async fn calls_that_a_session_authorized_are_aborted_when_it_ends() {
    let auth_server = start().await;
    let (mut ada, token, _) = auth_server.ada().await;
    ada.send(r#"["auth/held",null,2]"#).await;
    ada.send(r#"["auth/endless",null,3,"call",{"credit":10}]"#).await;
    ada.send(r#"["gate/hold",{"gate":"later"},4]"#).await;
    ada.expect(r#"["auth/endless",1,3,"item"]"#).await;
    let mut elsewhere = auth_server.server.v1().await;
    elsewhere.call("aaw/resume", &resume(&token)).await.value();
    elsewhere.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    let mut ended = Vec::new();
    for _ in 0..3 {
        ended.push(ada.next().await);
    }
    ended.sort();
    assert_eq!(
        ended,
        [
            format!(r#"["aaw/session",{}]"#, r#"{"ended":"logout"}"#),
            format!(r#"["auth/endless",{UNKNOWN},3,"error"]"#),
            format!(r#"["auth/held",{UNKNOWN},2,"error"]"#),
        ]
    );
}

#[tokio::test]
async fn calls_that_a_session_authorized_are_aborted_even_if_the_connection_has_another_session() {
    let auth_server = start().await;
    let (mut ada, token, _) = auth_server.ada().await;
    ada.send(r#"["auth/held",null,2]"#).await;
    ada.send(r#"["auth/endless",null,3,"call",{"credit":10}]"#).await;
    ada.expect(r#"["auth/endless",1,3,"item"]"#).await;
    ada.send(r#"["aaw/register",{"email":"bob@example.com","password":"xxxxxx"},4]"#).await;
    assert!(ada.next().await.starts_with(r#"["aaw/register",{"token":""#));
    let mut elsewhere = auth_server.server.v1().await;
    elsewhere.call("aaw/resume", &resume(&token)).await.value();
    elsewhere.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    let mut ended = [ada.next().await, ada.next().await];
    ended.sort();
    assert_eq!(
        ended,
        [format!(r#"["auth/endless",{UNKNOWN},3,"error"]"#), format!(r#"["auth/held",{UNKNOWN},2,"error"]"#)]
    );
    ada.send(r#"["auth/whoami",null,5]"#).await;
    assert!(ada.next().await.contains("bob@example.com"), "the connection still has its other session");
}

#[tokio::test]
async fn a_log_out_does_not_spare_calls_that_another_session_authorized() {
    let auth_server = start().await;
    let (mut ada, token, _) = auth_server.ada().await;
    ada.send(r#"["auth/held",null,2]"#).await;
    ada.send(r#"["aaw/register",{"email":"bob@example.com","password":"xxxxxx"},3]"#).await;
    assert!(ada.next().await.starts_with(r#"["aaw/register",{"token":""#));
    ada.exchange(r#"["aaw/logout",null,4]"#, r#"["aaw/logout",{"ok":true},4]"#).await;
    let mut elsewhere = auth_server.server.v1().await;
    elsewhere.call("aaw/resume", &resume(&token)).await.value();
    elsewhere.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    ada.expect(&format!(r#"["auth/held",{UNKNOWN},2,"error"]"#)).await;
}

#[tokio::test]
async fn a_log_out_aborts_the_other_calls_of_its_session() {
    let auth_server = start().await;
    let (mut ada, token, _) = auth_server.ada().await;
    ada.send(r#"["auth/held",null,2]"#).await;
    ada.send(r#"["aaw/logout",null,3]"#).await;
    let mut got = [ada.next().await, ada.next().await];
    got.sort();
    assert_eq!(got, [r#"["aaw/logout",{"ok":true},3]"#.to_owned(), format!(r#"["auth/held",{UNKNOWN},2,"error"]"#)]);
    // Over HTTP, too.
    let mut again = auth_server.server.v1().await;
    again.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
    let (token, _) = logged_in(&again.call("aaw/login", ADA).await.value());
    let waits = HttpRequest::post(auth_server.server.addr, "/events/auth/waits", "null");
    let mut call = waits.header("Authorization", &format!("Bearer {token}")).start().await;
    again.expect(r#"["broadcast","waiting"]"#).await;
    again.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    assert_eq!(call.read_response().await.failure(), (401, "not_authenticated".into()));
}

#[tokio::test]
async fn an_upload_to_a_protected_unary_event_is_rejected() {
    let auth_server = start().await;
    let (mut ada, ..) = auth_server.ada().await;
    ada.exchange(
        r#"["auth/whoami",null,2,"call",{"in":true}]"#,
        r#"["auth/whoami",{"error":"auth/whoami does not take an upload","code":"bad_body"},2,"error"]"#,
    )
    .await;
}

#[tokio::test]
async fn a_reset_token_works_once_and_ends_all_other_sessions() {
    let auth_server = start().await;
    let (mut ada, token, id) = auth_server.ada().await;
    let mut other = auth_server.server.v1().await;
    logged_in(&other.call("aaw/login", ADA).await.value());
    let mut other_client = auth_server.server.v1().await;
    other_client
        .call("aaw/password/request-reset", r#"{"email":" ADA@example.com "}"#)
        .await
        .assert_eq(r#"{"ok":true}"#);
    let reset = auth_server.reset().await;
    assert_eq!(reset.len(), 36);
    let set = |password: &str| json!({ "token": reset, "password": password }).to_string();
    let response = other_client.call("aaw/password/set-new", &set("battery staple")).await.value();
    let (new_token, same) = logged_in(&response);
    assert!(same == id && new_token != token);
    assert_eq!(other_client.call("auth/whoami", "null").await.value()["id"], id);
    for client in [&mut ada, &mut other] {
        client.expect(r#"["aaw/session",{"ended":"password"}]"#).await;
        client.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
    }
    ada.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
    let invalid = r#"{"error":"Reset link is invalid or expired","code":"invalid_reset"}"#;
    ada.call("aaw/password/set-new", &set("third one")).await.assert_eq(invalid);
    ada.call("aaw/login", ADA).await.assert_eq(INVALID);
    logged_in(&ada.call("aaw/login", r#"{"email":"ada@example.com","password":"battery staple"}"#).await.value());
}

#[tokio::test]
async fn a_request_of_a_stranger_voids_no_reset_token_and_one_that_is_used_voids_all() {
    let auth_server = start().await;
    let (mut ada, ..) = auth_server.ada().await;
    ada.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
    let owners = auth_server.reset().await;
    let mut stranger = auth_server.server.v1_from(2).await;
    for _ in 0..2 {
        stranger.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
    }
    until("all three", || auth_server.resets.lock().unwrap().len() == 3).await;
    let set = |token: &str| json!({ "token": token, "password": "xxxxxx" }).to_string();
    logged_in(&ada.call("aaw/password/set-new", &set(&owners)).await.value());
    let invalid = r#"{"error":"Reset link is invalid or expired","code":"invalid_reset"}"#;
    let tokens: Vec<_> = auth_server.resets.lock().unwrap().iter().map(|reset| reset.token.clone()).collect();
    for token in tokens {
        ada.call("aaw/password/set-new", &set(token.as_str())).await.assert_eq(invalid);
    }
}

#[tokio::test]
async fn a_reset_token_expires() {
    let auth_server = start_with(|auth| auth.reset_lifetime = Duration::ZERO).await;
    let (mut ada, ..) = auth_server.ada().await;
    ada.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
    let set = json!({ "token": auth_server.reset().await, "password": "xxxxxx" }).to_string();
    let invalid = r#"{"error":"Reset link is invalid or expired","code":"invalid_reset"}"#;
    ada.call("aaw/password/set-new", &set).await.assert_eq(invalid);
    // The token of a reset is not the token of a session.
    ada.call("aaw/resume", &resume(&auth_server.reset().await)).await.assert_eq(EXPIRED);
}

#[tokio::test]
async fn changes_by_another_process_reach_open_connections() {
    let auth_server = start().await;
    let (mut ada, ..) = auth_server.ada().await;
    // A second store on the same file, as in the program `aaw-server user`.
    let admin = SqliteStore::open_with(auth_server.folder.path().join("auth.sqlite"), cheap()).await.unwrap();
    let email = Email::parse("ada@example.com").unwrap();
    assert!(admin.allow(email.clone(), Some(vec!["auth/numbers".into()])).await.unwrap());
    let refused = r#"{"error":"Not allowed: auth/whoami","code":"not_allowed"}"#;
    let wait = async { while ada.call("auth/whoami", "null").await.0 != refused {} };
    within("the change to arrive", || "nothing".into(), wait).await;
    ada.call("auth/numbers", "null").await.assert_eq("[1,2,3,4,5,6,7,8,9,10]");
    assert!(admin.remove_user(email.clone()).await.unwrap());
    ada.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    ada.call("auth/numbers", "null").await.assert_eq(UNKNOWN);
    assert!(!admin.remove_user(email).await.unwrap());
}

#[tokio::test]
async fn changes_through_the_same_store_reach_open_connections() {
    let auth_server = start().await;
    let (mut ada, ..) = auth_server.ada().await;
    let email = Email::parse("ada@example.com").unwrap();
    assert!(auth_server.store.allow(email.clone(), Some(vec![])).await.unwrap());
    let refused = r#"{"error":"Not allowed: auth/whoami","code":"not_allowed"}"#;
    let wait = async { while ada.call("auth/whoami", "null").await.0 != refused {} };
    within("the change to arrive", || "nothing".into(), wait).await;
    assert!(auth_server.store.remove_user(email).await.unwrap());
    ada.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
}

#[tokio::test]
async fn protected_events_are_described_to_those_who_may_call_them() {
    let auth_server = start().await;
    let described = async |client: &mut WireClient| {
        let described = client.call("aaw/describe", "null").await.value();
        ["auth/whoami", "auth/secret"].map(|name| !described["events"][name].is_null())
    };
    let mut client = auth_server.server.v1().await;
    assert_eq!(described(&mut client).await, [false, false]);
    let only = client.call("aaw/describe", r#"{"event":"auth/whoami"}"#).await.value();
    assert_eq!(only["code"], "unknown_event", "{only}");
    let (mut ada, token, _) = auth_server.ada().await;
    assert_eq!(described(&mut ada).await, [true, true]);
    client.call("enter", r#"{"id":"7","email":"bot@example.com","allowed":["auth/whoami"]}"#).await.value();
    assert_eq!(described(&mut client).await, [true, false]);
    let authorization = format!("Bearer {token}");
    let over_http = HttpRequest::get(auth_server.server.addr, "/events").header("authorization", &authorization);
    assert_eq!(over_http.send().await.json()["events"]["auth/whoami"]["protected"], true);
}

// --- Sessions that handlers start and end ----------------------------------------------------------------------------

#[tokio::test]
async fn a_handler_can_start_and_end_sessions_of_its_own_identities() {
    let auth_server = start().await;
    let mut client = auth_server.server.v1().await;
    let user = r#"{"id":"7","email":"bot@example.com","allowed":["auth/whoami"]}"#;
    let response = client.call("enter", user).await.value();
    let (token, id) = logged_in(&response);
    assert_eq!(id, "7");
    client.call("auth/whoami", "null").await.assert_eq(user);
    client
        .call("auth/numbers", "null")
        .await
        .assert_eq(r#"{"error":"Not allowed: auth/numbers","code":"not_allowed"}"#);
    let mut again = auth_server.server.v1().await;
    assert_eq!(again.call("aaw/resume", &resume(&token)).await.value()["user"]["allowed"], json!(["auth/whoami"]));
    client.call("leave", "null").await.assert_eq("null");
    again.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    client.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
}

#[tokio::test]
async fn a_handler_that_ends_the_session_of_its_own_call_still_returns_its_response() {
    let auth_server = start().await;
    let (mut ada, token, _) = auth_server.ada().await;
    ada.send(r#"["auth/endless",null,2,"call",{"credit":10}]"#).await;
    ada.expect(r#"["auth/endless",1,2,"item"]"#).await;
    ada.send(r#"["auth/leave",null,3]"#).await;
    let mut got = [ada.next().await, ada.next().await];
    got.sort();
    assert_eq!(got, [format!(r#"["auth/endless",{UNKNOWN},2,"error"]"#), r#"["auth/leave",null,3]"#.to_owned()]);
    let mut again = auth_server.server.v1().await;
    again.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
    let (token, _) = logged_in(&again.call("aaw/login", ADA).await.value());
    let leave = HttpRequest::post(auth_server.server.addr, "/events/auth/leave", "null");
    let leave = leave.header("Authorization", &format!("Bearer {token}"));
    let response = leave.send().await;
    assert_eq!((response.status, response.json()), (200, json!(null)));
    again.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    let refused = leave.send().await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("bearer")));
}

#[tokio::test]
async fn calls_wait_for_a_change_of_the_identity_before_them() {
    let auth_server = start().await;
    let (_, token, id) = auth_server.ada().await;
    let me = format!(r#"{{"id":"{id}","email":"ada@example.com"}}"#);
    for round in 0..20 {
        let mut client = auth_server.server.v1().await;
        let resume = resume(&token);
        client
            .send_all([
                r#"["auth/whoami",null,1]"#.to_owned(),
                format!(r#"["aaw/resume",{resume},2]"#),
                r#"["auth/whoami",null,3]"#.to_owned(),
                format!(r#"["aaw/login",{ADA},4]"#),
                r#"["auth/whoami",null,5]"#.to_owned(),
                r#"["aaw/logout",null,6]"#.to_owned(),
                r#"["auth/whoami",null,7]"#.to_owned(),
                r#"["enter",{"id":"7","email":"b@c.d"},8]"#.to_owned(),
                r#"["auth/whoami",null,9]"#.to_owned(),
                r#"["leave",null,10]"#.to_owned(),
                r#"["auth/whoami",null,11]"#.to_owned(),
                format!(r#"["aaw/resume",{resume},12]"#),
                r#"["auth/numbers",null,13,"call",{"credit":1}]"#.to_owned(),
            ])
            .await;
        let frames = client.collect_until(|text| text.contains(r#",13,"#)).await;
        let response = |id: u32| {
            let ends = [format!(",{id}]"), format!(r#",{id},"error"]"#)];
            frames
                .iter()
                .find(|frame| ends.iter().any(|end| frame.ends_with(end.as_str())))
                .cloned()
                .unwrap_or_default()
        };
        for (id, expected) in [(3, &me), (5, &me), (9, &r#"{"id":"7","email":"b@c.d"}"#.to_owned())] {
            assert_eq!(response(id), format!(r#"["auth/whoami",{expected},{id}]"#), "round {round}: {frames:#?}");
        }
        for id in [1, 7, 11] {
            assert_eq!(
                response(id),
                format!(r#"["auth/whoami",{UNKNOWN},{id},"error"]"#),
                "round {round}: {frames:#?}"
            );
        }
        assert_eq!(frames.last().unwrap(), r#"["auth/numbers",1,13,"item"]"#);
    }
}

// --- Bad input -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_error_for_a_bad_body_names_the_field_and_never_the_value() {
    let auth_server = start().await;
    let mut client = auth_server.server.v1().await;
    for (event, body, text) in [
        (
            "aaw/login",
            r#"{"email":5,"password":"hunter2"}"#,
            "The body does not fit at email: expected a string, found a number",
        ),
        (
            "aaw/login",
            r#"{"email":"a@b.c","password":{"x":"hunter2"}}"#,
            "The body does not fit at password: expected a string, found an object",
        ),
        ("aaw/login", r#"["a@b.c","hunter2"]"#, "The body does not fit: expected an object, found an array"),
        ("aaw/register", r#""hunter2""#, "The body does not fit: expected an object, found a string"),
        (
            "aaw/register",
            r#"{"email":"ada","password":"hunter2"}"#,
            "The body does not fit at email: expected an e-mail address, like name@example.com",
        ),
        ("aaw/resume", r#"{"token":["hunter2"]}"#, "The body does not fit at token: expected a string, found an array"),
        ("aaw/password/request-reset", "{}", "The body does not fit at email: an e-mail address is required"),
        (
            "aaw/password/set-new",
            r#"{"password":7}"#,
            "The body does not fit at password: expected a string, found a number",
        ),
        ("aaw/logout", "7", "The body does not fit: expected an object, found a number"),
    ] {
        client.call(event, body).await.assert_eq(&failure(text, "bad_body"));
    }
    let long = json!({ "email": format!("{}@example.com", "a".repeat(300)), "password": "xxxxxx" }).to_string();
    let text = "The body does not fit at email: an e-mail address must have at most 254 bytes";
    for event in ["aaw/login", "aaw/register"] {
        client.call(event, &long).await.assert_eq(&failure(text, "bad_body"));
    }
    // Invalid JSON is a bad frame, not a bad body.
    client.send(r#"["aaw/login",{"email":"a@b.c",1]"#).await;
    assert!(client.next().await.contains("bad_frame"));
}

#[tokio::test]
async fn addresses_ignore_case_and_surrounding_spaces() {
    let auth_server = start().await;
    let mut client = auth_server.server.v1().await;
    let register = r#"{"email":" Ada@Example.COM ","password":" correct horse"}"#;
    let response = client.call("aaw/register", register).await.value();
    assert_eq!(response["user"]["email"], "ada@example.com");
    client.call("aaw/register", ADA).await.assert_eq(r#"{"error":"Email already registered","code":"email_taken"}"#);
    logged_in(
        &client.call("aaw/login", r#"{"email":"\tADA@example.com\n","password":" correct horse"}"#).await.value(),
    );
    // PasswordHasher are not trimmed.
    client.call("aaw/login", ADA).await.assert_eq(INVALID);
}

#[tokio::test]
async fn a_password_of_500_kb_is_rejected_before_hashing() {
    // The smallest limits: one hash at a time, and one in the queue.
    let passwords = PasswordHasher::new(&PasswordHasherConfig {
        threads: 1,
        max_queued_hashes: 1,
        ..PasswordHasherConfig::default()
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_with(folder.path().join("auth.sqlite"), passwords).await.unwrap();
    let server = TestServer::start_with(|config| config.auth = Some(Auth::new(store))).await;
    let mut client = server.v1().await;
    let body = json!({ "email": "ada@example.com", "password": "x".repeat(5000) }).to_string();
    let text = "The body does not fit at password: it has 5000 bytes; the limit is 1024";
    for _ in 0..20 {
        for event in ["aaw/login", "aaw/register"] {
            client.call(event, &body).await.assert_eq(&failure(text, "bad_body"));
        }
    }
    let set = json!({ "token": "0".repeat(36), "password": "x".repeat(5000) }).to_string();
    client.call("aaw/password/set-new", &set).await.assert_eq(&failure(text, "bad_body"));
    // The whole body is limited, too, before it is parsed: parsed JSON takes far more memory than its text.
    let body = format!(r#"{{"email":"ada@example.com","password":"xxxxxx","z":[{}0]}}"#, r#"{"a":0},"#.repeat(2000));
    let text = format!("The body has {} bytes; the limit of the events below aaw/ is 8192", body.len());
    client.call("aaw/login", &body).await.assert_eq(&failure(&text, "too_large"));
    let response = HttpRequest::post(server.addr, "/events/aaw/login", body).send().await;
    assert_eq!(response.failure(), (413, "too_large".to_owned()));
    // The maximum length is accepted.
    let body = json!({ "email": "ada@example.com", "password": "x".repeat(1024) }).to_string();
    logged_in(&client.call("aaw/register", &body).await.value());
}

#[tokio::test]
async fn a_new_password_has_a_minimum_length_and_no_control_characters() {
    let auth_server = start_with(|auth| auth.min_password_chars = 15).await;
    let mut client = auth_server.server.v1().await;
    let too_short = |len: usize, min: usize| {
        let text = format!("The password has {len} characters; at least {min} are required");
        format!(r#"{{"error":"{text}","code":"password_too_short","data":{{"min":{min}}}}}"#)
    };
    let body = |password: &str| json!({ "email": "ada@example.com", "password": password }).to_string();
    client.call("aaw/register", &body("correct horse ")).await.assert_eq(&too_short(14, 15));
    // 14 characters in 28 code points.
    client.call("aaw/register", &body(&"a\u{308}".repeat(14))).await.assert_eq(&too_short(14, 15));
    let response = HttpRequest::post(auth_server.server.addr, "/events/aaw/register", body("x y")).send().await;
    assert_eq!(response.failure(), (422, "password_too_short".to_owned()));
    let text = "The password contains the code point U+0000, which is not allowed in passwords";
    client.call("aaw/register", &body("correct horse \0 staple")).await.assert_eq(&failure(text, "bad_body"));
    logged_in(&client.call("aaw/register", &body("correct horse  ")).await.value());

    client.call("aaw/password/request-reset", &body("")).await.assert_eq(r#"{"ok":true}"#);
    let set = |token: &str, password: &str| json!({ "token": token, "password": password }).to_string();
    let reset = auth_server.reset().await;
    client.call("aaw/password/set-new", &set(&reset, "battery staple")).await.assert_eq(&too_short(14, 15));
    // The token can be used once more.
    logged_in(&client.call("aaw/password/set-new", &set(&reset, "battery staple!")).await.value());
    // Not at a log-in: an existing password can be shorter.
    client.call("aaw/login", &body("x")).await.assert_eq(INVALID);
    let email = Email::parse("bob@example.com").unwrap();
    auth_server.store.add_user(email, Password::new("x"), None).await.unwrap();
    logged_in(&client.call("aaw/login", r#"{"email":"bob@example.com","password":"x"}"#).await.value());
}

#[tokio::test]
async fn credentials_are_the_same_in_every_unicode_form() {
    let auth_server = start().await;
    let mut client = auth_server.server.v1().await;
    let body = |email: &str, password: &str| json!({ "email": email, "password": password }).to_string();
    let (composed, decomposed) = ("\u{e5}sa@example.com", "A\u{30a}sa@example.com");
    let registered = client.call("aaw/register", &body(decomposed, "pa\u{308}ss word")).await.value();
    assert_eq!(registered["user"]["email"], composed);
    let (_, id) = logged_in(&registered);
    for email in [composed, decomposed] {
        for password in ["p\u{e4}ss word", "pa\u{308}ss\u{a0}word"] {
            assert_eq!(logged_in(&client.call("aaw/login", &body(email, password)).await.value()).1, id);
        }
        client.call("aaw/login", &body(email, "pass word")).await.assert_eq(INVALID);
        let taken = r#"{"error":"Email already registered","code":"email_taken"}"#;
        client.call("aaw/register", &body(email, "another")).await.assert_eq(taken);
        let request = json!({ "email": email }).to_string();
        client.call("aaw/password/request-reset", &request).await.assert_eq(r#"{"ok":true}"#);
    }
    until("both resets", || auth_server.resets.lock().unwrap().len() == 2).await;
}

#[tokio::test]
async fn failed_log_ins_are_limited_whatever_the_unicode_form_of_the_address() {
    let auth_server =
        start_with(|auth| auth.failed_logins_per_email_and_ip = RateLimit::new(2, Duration::from_secs(100))).await;
    let mut client = auth_server.server.v1().await;
    for email in ["\u{e5}sa@example.com", "a\u{30a}sa@example.com"] {
        client.call("aaw/login", &json!({ "email": email, "password": "wrong" }).to_string()).await.assert_eq(INVALID);
    }
    let third = client.call("aaw/login", r#"{"email":"\u00e5sa@example.com","password":"wrong"}"#).await;
    assert_eq!(third.value()["code"], "busy");
}

#[tokio::test]
async fn a_body_that_is_too_large_does_not_wait_for_the_store() {
    let (server, passes, _fails, _folder) = start_with_controlled_store().await;
    let (mut client, mut other) = (server.v1().await, server.v1().await);
    // The store does not answer.
    other.start_call("aaw/login", ADA).await;
    let large = format!(r#"{{"email":"ada@example.com","password":"x","z":[{}0]}}"#, r#"{"a":0},"#.repeat(100_000));
    for event in ["aaw/login", "aaw/register", "aaw/resume", "aaw/password/set-new", "aaw/logout"] {
        assert_eq!(client.call(event, &large).await.value()["code"], "too_large", "{event}");
        let response = HttpRequest::post(server.addr, &format!("/events/{event}"), large.clone()).send().await;
        assert_eq!(response.failure(), (413, "too_large".to_owned()), "{event}");
    }
    // The log shows the calls without their bodies.
    let call = server.calls.all().into_iter().find(|call| call["event"] == "aaw/register").unwrap();
    assert_eq!(call["body"], "[redacted]");
    assert_eq!(passes.available_permits(), 0);
}

#[tokio::test]
async fn of_concurrent_registrations_of_one_address_exactly_one_succeeds() {
    let auth_server = start().await;
    let mut clients = Vec::new();
    for _ in 0..24 {
        clients.push(auth_server.server.v1().await);
    }
    let responses = join_all(clients.iter_mut().map(|client| client.call("aaw/register", ADA))).await;
    let (won, lost): (Vec<_>, Vec<_>) =
        responses.iter().map(|response| response.value()).partition(|response| response["token"].is_string());
    assert_eq!((won.len(), lost.len()), (1, 23));
    for lost in lost {
        assert_eq!(lost, json!({ "error": "Email already registered", "code": "email_taken" }));
    }
    assert_eq!(auth_server.store.users().await.unwrap().len(), 1);
}

#[tokio::test]
async fn failed_log_ins_of_one_address_are_limited_and_the_error_names_the_delay() {
    let auth_server =
        start_with(|auth| auth.failed_logins_per_email_and_ip = RateLimit::new(3, Duration::from_secs(100))).await;
    let (_ada, ..) = auth_server.ada().await;
    let mut client = auth_server.server.v1().await;
    for _ in 0..3 {
        client.call("aaw/login", r#"{"email":"ada@example.com","password":"wrong"}"#).await.assert_eq(INVALID);
    }
    // Also with the right password from another connection, and for an address that is not registered.
    let mut other = auth_server.server.v1().await;
    let refused = other.call("aaw/login", ADA).await.value();
    assert_eq!(refused["code"], "busy");
    let text = refused["error"].as_str().unwrap();
    assert!(text.starts_with("Too many attempts; try again in ") && text.ends_with(" s"), "{text}");
    assert!((90..=100).contains(&refused["data"]["retry_after"].as_u64().unwrap()), "{refused}");
    for _ in 0..3 {
        other.call("aaw/login", r#"{"email":"bob@example.com","password":"wrong"}"#).await.assert_eq(INVALID);
    }
    assert_eq!(
        other.call("aaw/login", r#"{"email":"BOB@example.com","password":"xxxxxx"}"#).await.value()["code"],
        "busy"
    );
}

#[tokio::test]
async fn concurrent_log_ins_do_not_exceed_the_limit_of_failed_ones() {
    let auth_server =
        start_with(|auth| auth.failed_logins_per_email_and_ip = RateLimit::new(3, Duration::from_secs(1000))).await;
    let (_ada, ..) = auth_server.ada().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(auth_server.server.v1().await);
    }
    let wrong = r#"{"email":"ada@example.com","password":"wrong"}"#;
    let responses = join_all(clients.iter_mut().map(|client| client.call("aaw/login", wrong))).await;
    let tried = responses.iter().filter(|response| response.0 == INVALID).count();
    assert_eq!(tried, 3, "{responses:?}");
}

#[tokio::test]
async fn failed_log_ins_of_one_peer_are_limited_and_successful_ones_are_not_counted() {
    let auth_server = start_with(|auth| auth.failed_logins_per_ip = RateLimit::new(5, Duration::from_secs(100))).await;
    let (mut ada, ..) = auth_server.ada().await;
    for _ in 0..20 {
        logged_in(&ada.call("aaw/login", ADA).await.value());
    }
    for n in 0..5 {
        let mut other = auth_server.server.v1().await;
        other
            .call("aaw/login", &json!({ "email": format!("{n}@b.c"), "password": "xxxxxx" }).to_string())
            .await
            .assert_eq(INVALID);
    }
    assert_eq!(ada.call("aaw/login", ADA).await.value()["code"], "busy");
    let over_http = HttpRequest::post(auth_server.server.addr, "/events/aaw/login", ADA).send().await;
    assert_eq!(over_http.failure(), (429, "busy".into()));
    assert!(over_http.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{over_http:?}");
}

#[tokio::test]
async fn reset_requests_are_limited_for_known_and_unknown_addresses() {
    let auth_server =
        start_with(|auth| auth.resets_per_email_and_ip = RateLimit::new(2, Duration::from_secs(100))).await;
    let (mut ada, ..) = auth_server.ada().await;
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({ "email": email }).to_string();
        for _ in 0..2 {
            ada.call("aaw/password/request-reset", &body).await.assert_eq(r#"{"ok":true}"#);
        }
        assert_eq!(ada.call("aaw/password/request-reset", &body).await.value()["code"], "busy");
    }
    until("both to be delivered", || auth_server.resets.lock().unwrap().len() == 2).await;
}

#[tokio::test]
async fn a_stranger_who_requests_resets_does_not_keep_the_owner_from_it() {
    let auth_server = start().await;
    auth_server.ada().await;
    let request = "aaw/password/request-reset";
    let mut stranger = auth_server.server.v1_from(2).await;
    for _ in 0..3 {
        stranger.call(request, ADA).await.assert_eq(r#"{"ok":true}"#);
    }
    let refused = stranger.call(request, ADA).await.value();
    assert_eq!(refused["code"], "busy");
    assert!((295..=300).contains(&refused["data"]["retry_after"].as_u64().unwrap()), "{refused}");
    // Networks together have a limit. That of the owner has requested nothing yet.
    for host in 3..20 {
        let mut stranger = auth_server.server.v1_from(host).await;
        while stranger.call(request, ADA).await.0 == r#"{"ok":true}"# {}
    }
    until("those of five networks", || auth_server.resets.lock().unwrap().len() == 15).await;
    let mut elsewhere = auth_server.server.v1_from(100).await;
    assert_eq!(elsewhere.call(request, ADA).await.value()["code"], "busy");
    let mut owner = auth_server.server.v1().await;
    owner.call(request, ADA).await.assert_eq(r#"{"ok":true}"#);
    until("the owner's", || auth_server.resets.lock().unwrap().len() == 16).await;
    // None has voided another.
    let tokens: Vec<_> = auth_server.resets.lock().unwrap().iter().map(|reset| reset.token.clone()).collect();
    let set = json!({ "token": tokens[0].as_str(), "password": "xxxxxx" }).to_string();
    logged_in(&owner.call("aaw/password/set-new", &set).await.value());
}

#[tokio::test]
async fn a_stranger_who_guesses_does_not_lock_out_the_owner() {
    let auth_server = start().await;
    let email = Email::parse("ada@example.com").unwrap();
    auth_server.store.add_user(email, Password::new("correct horse"), None).await.unwrap();
    let wrong = r#"{"email":"ada@example.com","password":"wrong"}"#;
    let mut stranger = auth_server.server.v1_from(2).await;
    for _ in 0..10 {
        stranger.call("aaw/login", wrong).await.assert_eq(INVALID);
    }
    let refused = stranger.call("aaw/login", wrong).await.value();
    assert_eq!(refused["code"], "busy");
    assert!((25..=30).contains(&refused["data"]["retry_after"].as_u64().unwrap()), "{refused}");
    logged_in(&auth_server.server.v1_from(3).await.call("aaw/login", ADA).await.value());
    // Also while he tries again and again.
    for _ in 0..20 {
        assert_eq!(stranger.call("aaw/login", wrong).await.value()["code"], "busy");
        logged_in(&auth_server.server.v1_from(3).await.call("aaw/login", ADA).await.value());
    }
}

#[tokio::test]
async fn guesses_from_many_networks_are_limited_and_the_owner_logs_in_from_a_known_one() {
    let auth_server = start().await;
    let email = Email::parse("ada@example.com").unwrap();
    auth_server.store.add_user(email, Password::new("correct horse"), None).await.unwrap();
    let mut owner = auth_server.server.v1_from(100).await;
    let (token, _) = logged_in(&owner.call("aaw/login", ADA).await.value());
    let wrong = r#"{"email":"ada@example.com","password":"wrong"}"#;
    let mut tried = 0;
    for host in 2..52 {
        let mut guesser = auth_server.server.v1_from(host).await;
        while guesser.call("aaw/login", wrong).await.0 == INVALID {
            tried += 1;
        }
    }
    assert!((100..=101).contains(&tried), "{tried}");
    logged_in(&owner.call("aaw/login", ADA).await.value());
    // From elsewhere the owner waits, or shows that the network is the owner's.
    let mut elsewhere = auth_server.server.v1_from(101).await;
    assert_eq!(elsewhere.call("aaw/login", ADA).await.value()["code"], "busy");
    elsewhere.call("aaw/resume", &resume(&token)).await.value();
    logged_in(&elsewhere.call("aaw/login", ADA).await.value());
    let mut elsewhere = auth_server.server.v1_from(102).await;
    elsewhere.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
    let set = json!({ "token": auth_server.reset().await, "password": "correct horse" }).to_string();
    logged_in(&elsewhere.call("aaw/password/set-new", &set).await.value());
    logged_in(&elsewhere.call("aaw/login", ADA).await.value());
}

#[tokio::test]
async fn registration_can_be_closed_and_the_log_says_when_it_is_open() {
    let log = LogCapture::start();
    let auth_server = start_with(|auth| auth.allow_registration = false).await;
    let mut client = auth_server.server.v1().await;
    let closed = r#"{"error":"Registration is closed on this server","code":"registration_closed"}"#;
    client.call("aaw/register", ADA).await.assert_eq(closed);
    let over_http = HttpRequest::post(auth_server.server.addr, "/events/aaw/register", ADA).send().await;
    assert_eq!(over_http.failure(), (403, "registration_closed".into()));
    let email = Email::parse("ada@example.com").unwrap();
    auth_server.store.add_user(email, Password::new("correct horse"), None).await.unwrap();
    logged_in(&client.call("aaw/login", ADA).await.value());
    assert!(!log.text().contains("registration is open"), "{}", log.text());
    let _open = start().await;
    log.expect_line(&["INFO", "registration is open", "--registration off"]);
}

#[tokio::test]
async fn addresses_that_look_like_others_are_refused_for_new_users_only() {
    let auth_server = start().await;
    let mut client = auth_server.server.v1().await;
    let body = |email: &str| json!({ "email": email, "password": "correct horse" }).to_string();
    for (email, text) in [
        ("ada\u{200b}@example.com", "an e-mail address must not contain the invisible or control character U+200B"),
        ("\u{202e}ada@example.com", "an e-mail address must not contain the invisible or control character U+202E"),
        ("ada\u{ff20}example.com", "an e-mail address must not contain U+FF20; expected the usual character for it"),
        (
            "ada@example.com.",
            "a part of an e-mail address must not begin or end with a dot or have two in a row, as in name@example.com.",
        ),
    ] {
        let expected = failure(&format!("The body does not fit at email: {text}"), "bad_body");
        client.call("aaw/register", &body(email)).await.assert_eq(&expected);
        // A log-in looks for a user, who may be from a version that accepted the address.
        client.call("aaw/login", &body(email)).await.assert_eq(INVALID);
    }
    let older = Email::normalize("ada\u{200b}@example.com").unwrap();
    auth_server.store.add_user(older, Password::new("correct horse"), None).await.unwrap();
    logged_in(&client.call("aaw/login", &body("ada\u{200b}@example.com")).await.value());
}

// --- Failing and slow stores -----------------------------------------------------------------------------------------

/// A store whose operations wait for a permit of `passes`, and fail while `fails` is set.
struct ControlledStore {
    inner: SqliteStore,
    passes: Arc<Semaphore>,
    fails: Arc<Mutex<bool>>,
}

impl ControlledStore {
    async fn wait(&self) -> Result<(), StoreError> {
        self.passes.acquire().await.expect("it is not closed").forget();
        match *self.fails.lock().expect("no panic") {
            true => Err(StoreError::Failed("the disk is full of secrets".into())),
            false => Ok(()),
        }
    }
}

impl Store for ControlledStore {
    fn register(&self, credentials: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            self.wait().await?;
            self.inner.register(credentials, session).await
        })
    }

    fn log_in(&self, credentials: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            self.wait().await?;
            self.inner.log_in(credentials, session).await
        })
    }

    fn resume(&self, session: TokenHash, client: Option<IpAddr>) -> StoreFuture<'_, Option<StoredSession>> {
        Box::pin(async move {
            let stored = self.inner.resume(session, client).await;
            self.wait().await?;
            stored
        })
    }

    fn end(&self, session: TokenHash) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.wait().await?;
            self.inner.end(session).await
        })
    }
}

async fn start_with_controlled_store() -> (TestServer, Arc<Semaphore>, Arc<Mutex<bool>>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = SqliteStore::open_with(folder.path().join("auth.sqlite"), cheap()).await.expect("a store");
    let (passes, fails) = (Arc::new(Semaphore::new(0)), Arc::<Mutex<bool>>::default());
    let store = ControlledStore { inner, passes: Arc::clone(&passes), fails: Arc::clone(&fails) };
    (TestServer::start_with(|config| config.auth = Some(Auth::new(store))).await, passes, fails, folder)
}

#[tokio::test]
async fn a_failing_store_returns_unavailable_and_changes_no_session() {
    let log = LogCapture::start();
    let (server, passes, fails, _folder) = start_with_controlled_store().await;
    passes.add_permits(1000);
    let mut client = server.v1().await;
    let (token, _) = logged_in(&client.call("aaw/register", ADA).await.value());
    *fails.lock().unwrap() = true;
    let unavailable = r#"{"error":"Auth is temporarily unavailable","code":"unavailable"}"#;
    let resume = resume(&token);
    // More often than the limit of failed attempts: these failures are not counted for the client.
    for _ in 0..20 {
        for (event, body) in
            [("aaw/register", ADA), ("aaw/login", ADA), ("aaw/resume", &resume), ("aaw/logout", "null")]
        {
            client.call(event, body).await.assert_eq(unavailable);
        }
    }
    assert_eq!(client.call("auth/whoami", "null").await.value()["email"], "ada@example.com");
    log.expect_line(&["ERROR", "the store of users and sessions failed: the disk is full of secrets"]);
    let over_http = HttpRequest::post(server.addr, "/events/auth/whoami", "null")
        .header("Authorization", &format!("Bearer {token}"));
    assert_eq!(over_http.send().await.failure(), (503, "unavailable".into()));
    *fails.lock().unwrap() = false;
    logged_in(&client.call("aaw/login", ADA).await.value());
}

#[tokio::test]
async fn a_slow_store_delays_only_the_later_calls_of_its_connection() {
    let (server, passes, _, _folder) = start_with_controlled_store().await;
    let (mut client, mut other) = (server.v1().await, server.v1().await);
    client.send(&format!(r#"["aaw/register",{ADA},1]"#)).await;
    client.send(r#"["auth/whoami",null,2]"#).await;
    other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    passes.add_permits(1);
    assert!(client.next().await.starts_with(r#"["aaw/register",{"token":""#));
    assert!(client.next().await.contains("ada@example.com"));
}

#[tokio::test]
async fn a_session_that_ends_while_it_is_being_resumed_is_not_resumed() {
    let (server, passes, _, _folder) = start_with_controlled_store().await;
    passes.add_permits(1);
    let mut first = server.v1().await;
    let (token, _) = logged_in(&first.call("aaw/register", ADA).await.value());
    let mut second = server.v1().await;
    // The store has read the session, and has not returned it yet.
    second.start_call("aaw/resume", &resume(&token)).await;
    until("the store to be called", || passes.available_permits() == 0).await;
    first.start_call("aaw/logout", "null").await;
    // The session ends, in whatever order the two continue.
    passes.add_permits(2);
    first.expect(r#"["aaw/logout",{"ok":true},2]"#).await;
    let response = second.next().await;
    if response.contains("token") {
        second.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    } else {
        assert_eq!(response, format!(r#"["aaw/resume",{EXPIRED},1,"error"]"#));
    }
    second.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
}

#[tokio::test]
async fn a_cancelled_log_out_still_ends_the_session_everywhere() {
    let (server, passes, _, _folder) = start_with_controlled_store().await;
    passes.add_permits(2);
    let (mut first, mut second) = (server.v1().await, server.v1().await);
    let (token, _) = logged_in(&first.call("aaw/register", ADA).await.value());
    second.call("aaw/resume", &resume(&token)).await.value();
    first.send(r#"["aaw/logout",null,2]"#).await;
    first.send(r#"["aaw/logout",null,2,"cancel"]"#).await;
    // The next call has run, so the server has cancelled the log-out call.
    first.exchange(r#"["ping",null,3]"#, r#"["ping",{"pong":true},3]"#).await;
    drop(first);
    passes.add_permits(2);
    second.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    second.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
}

#[tokio::test]
async fn the_response_to_a_request_of_a_reset_waits_neither_for_the_store_nor_for_the_hook() {
    struct Stuck(Arc<Semaphore>);
    impl Store for Stuck {
        fn request_reset(&self, _: Email, _: TokenHash, _: SystemTime) -> StoreFuture<'_, Option<Identity>> {
            Box::pin(async {
                self.0.acquire().await.expect("it is not closed").forget();
                Ok(Some(Identity::new("1", "ada@example.com")))
            })
        }
    }
    let (gate, delivered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let delivering = Arc::clone(&delivered);
    let auth = Auth::new(Stuck(Arc::clone(&gate))).on_password_reset(move |_| {
        delivering.add_permits(1);
        std::future::pending()
    });
    let server = TestServer::start_with(|config| config.auth = Some(auth)).await;
    let mut client = server.v1().await;
    client.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
    let over_http = HttpRequest::post(server.addr, "/events/aaw/password/request-reset", ADA).send().await;
    assert_eq!((over_http.status, over_http.json()), (200, json!({ "ok": true })));
    assert_eq!(delivered.available_permits(), 0);
    gate.add_permits(2);
    within("both deliveries to start", || "nothing".into(), delivered.acquire_many(2)).await.unwrap().forget();
    client.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
}

#[tokio::test]
async fn a_store_whose_file_is_deleted_is_unavailable_until_it_is_back() {
    let log = LogCapture::start();
    let auth_server = start().await;
    let (mut ada, token, _) = auth_server.ada().await;
    let mut client = auth_server.server.v1().await;
    let (file, aside) = (auth_server.folder.path().join("auth.sqlite"), auth_server.folder.path().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    // Without a call.
    let line = "the store of users and sessions is unavailable";
    until("the log to say so", || log.text().contains(line)).await;
    let unavailable = r#"{"error":"Auth is temporarily unavailable","code":"unavailable"}"#;
    let bob = r#"{"email":"bob@example.com","password":"xxxxxx"}"#;
    let set = json!({ "token": "0".repeat(36), "password": "xxxxxx" }).to_string();
    for _ in 0..3 {
        for (event, body) in [
            ("aaw/register", bob),
            ("aaw/login", ADA),
            ("aaw/resume", &resume(&token)),
            ("aaw/password/request-reset", ADA),
            ("aaw/password/set-new", &set),
        ] {
            client.call(event, body).await.assert_eq(unavailable);
            let over_http = HttpRequest::post(auth_server.server.addr, &format!("/events/{event}"), body).send().await;
            assert_eq!(over_http.failure(), (503, "unavailable".into()), "{event}");
        }
    }
    let readiness = async || HttpRequest::get(auth_server.server.addr, "/readyz").send().await;
    let not_ready = readiness().await;
    assert_eq!((not_ready.status, &*not_ready.body), (503, r#"{"status":"not_ready","reasons":["store"]}"#));
    // Who is logged in stays so.
    assert_eq!(ada.call("auth/whoami", "null").await.value()["email"], "ada@example.com");
    log.expect_line(&["ERROR", line, "auth.sqlite was deleted while the server uses it"]);
    std::fs::rename(&aside, &file).unwrap();
    until("the log to say so", || log.text().contains("is available again")).await;
    assert_eq!(readiness().await.status, 200);
    logged_in(&client.call("aaw/login", ADA).await.value());
    logged_in(&client.call("aaw/register", bob).await.value());
    client.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
    assert_eq!(log.text().matches(line).count(), 1, "{}", log.text());
    assert!(!log.text().contains("and sessions failed"), "{}", log.text());
}

/// A store with one user, whose sessions are stored nowhere.
struct OneUser {
    /// Whether `health` never completes.
    hangs: bool,
    /// The changes that are to be reported.
    changes: Arc<Semaphore>,
    /// How often a session cannot be read.
    failures: Arc<Semaphore>,
}

impl Store for OneUser {
    fn log_in(&self, _: Credentials, _: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async { Ok(StartedSession::new(Identity::new("1", "ada@example.com"))) })
    }

    fn resume(&self, _: TokenHash, _: Option<IpAddr>) -> StoreFuture<'_, Option<StoredSession>> {
        Box::pin(async {
            match self.failures.try_acquire() {
                Ok(failure) => {
                    failure.forget();
                    Err(StoreError::Busy)
                }
                Err(_) => Ok(None),
            }
        })
    }

    fn has_changed(&self) -> StoreFuture<'_, bool> {
        Box::pin(async { Ok(self.changes.try_acquire().map(|change| change.forget()).is_ok()) })
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            match self.hangs {
                true => std::future::pending().await,
                false => Ok(()),
            }
        })
    }
}

#[tokio::test]
async fn a_session_expires_although_the_store_hangs() {
    let store = OneUser { hangs: true, changes: Arc::new(Semaphore::new(0)), failures: Arc::new(Semaphore::new(0)) };
    let auth = Auth { session_lifetime: Duration::from_millis(300), ..Auth::new(store) };
    let server = TestServer::start_with(|config| config.auth = Some(auth)).await;
    let mut client = server.v1().await;
    client.call("aaw/login", ADA).await.value();
    client.expect(r#"["aaw/session",{"ended":"expired"}]"#).await;
}

#[tokio::test]
async fn a_session_that_was_ended_elsewhere_ends_although_the_store_cannot_be_read_at_first() {
    let (changes, failures) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(2)));
    let store = OneUser { hangs: false, changes: Arc::clone(&changes), failures: Arc::clone(&failures) };
    let server = TestServer::start_with(|config| config.auth = Some(Auth::new(store))).await;
    let mut client = server.v1().await;
    client.call("aaw/login", ADA).await.value();
    changes.add_permits(1);
    client.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    assert_eq!((changes.available_permits(), failures.available_permits()), (0, 0));
}

#[tokio::test]
async fn a_reset_request_for_which_there_is_no_place_counts_nowhere() {
    struct Stuck;
    impl Store for Stuck {
        fn request_reset(&self, _: Email, _: TokenHash, _: SystemTime) -> StoreFuture<'_, Option<Identity>> {
            Box::pin(std::future::pending())
        }
    }
    // One waits in the store, and 64 in the queue.
    let auth = Auth { requests_per_ip: RateLimit::new(66, Duration::from_secs(3600)), ..Auth::new(Stuck) };
    let auth = auth.on_password_reset(|_| async { Ok(()) });
    let server = TestServer::start_with(|config| config.auth = Some(auth)).await;
    let mut client = server.v1().await;
    let mut responses = Vec::new();
    for n in 0..80 {
        // The last ones are for one address, which has three resets.
        let body = json!({ "email": format!("{}@example.com", n.min(70)) }).to_string();
        responses.push(client.call("aaw/password/request-reset", &body).await.0);
    }
    assert_eq!(responses.iter().filter(|response| response.contains("true")).count(), 65);
    for response in &responses[65..] {
        assert!(response.contains("Too many log-ins at once; try again in 5 s"), "{response}");
    }
}

// --- HTTP ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn over_http_a_bearer_token_authenticates_the_request() {
    let auth_server = start().await;
    let addr = auth_server.server.addr;
    let whoami = || HttpRequest::post(addr, "/events/auth/whoami", "null");
    assert_eq!(whoami().send().await.failure(), (401, "not_authenticated".into()));
    let registered = HttpRequest::post(addr, "/events/aaw/register", ADA).send().await;
    assert_eq!(registered.status, 200);
    assert_eq!(registered.header("cache-control"), Some("no-store"));
    let (token, id) = logged_in(&registered.json());
    let with = |request: HttpRequest, token: &str| request.header("Authorization", &format!("Bearer {token}"));
    let response = with(whoami(), &token).send().await;
    assert_eq!((response.status, response.json()["id"].as_str()), (200, Some(&*id)));
    for bad in ["", "x", &"0".repeat(36), &"x".repeat(5000)] {
        let response = with(whoami(), bad).send().await;
        assert_eq!((response.status, response.json()["error"].as_str()), (401, Some("Session expired")), "{bad:?}");
        // Also for an event that needs no session: an invalid token is always refused.
        assert_eq!(with(HttpRequest::post(addr, "/events/ping", "null"), bad).send().await.status, 401);
    }
    let twice = with(with(whoami(), &token), &token).send().await;
    assert_eq!(twice.status, 400);
    let basic = HttpRequest::post(addr, "/events/ping", "null").header("Authorization", "Basic YTpi").send().await;
    assert_eq!(basic.status, 200);
    // A token in the URL is ignored: URLs end up in logs.
    let in_url = HttpRequest::post(addr, &format!("/events/auth/whoami?token={token}&access_token={token}"), "null");
    assert_eq!(in_url.send().await.status, 401);
    assert_eq!(
        with(HttpRequest::post(addr, "/events/aaw/logout", "null"), &token).send().await.json(),
        json!({"ok": true})
    );
    assert_eq!(with(whoami(), &token).send().await.status, 401);
}

#[tokio::test]
async fn without_users_the_header_authorization_is_left_to_the_events_in_any_form() {
    for auth in [None, Some(Auth::own_log_ins())] {
        let server = TestServer::start_with(|config| config.auth = auth).await;
        let request = HttpRequest::post(server.addr, "/events/ping", "null");
        let request = request.header("Authorization", "Bearer x").header("Authorization", "Digest y");
        assert_eq!(request.send().await.status, 200);
    }
    let request = HttpRequest::post(start().await.server.addr, "/events/ping", "null");
    let request = request.header("Authorization", "Bearer x").header("Authorization", "Digest y");
    assert_eq!(request.send().await.status, 400);
}

#[tokio::test]
async fn without_users_of_its_own_a_server_says_which_event_it_does_not_offer() {
    let server = TestServer::start_with(|config| config.auth = Some(Auth::own_log_ins())).await;
    let mut client = server.v1().await;
    let not_offered = failure("Auth is not set up via aaw", "unreachable");
    let set = json!({ "token": "0".repeat(36), "password": "correct horse" }).to_string();
    client.call("aaw/login", ADA).await.assert_eq(&not_offered);
    client.call("aaw/password/set-new", &set).await.assert_eq(&not_offered);
    assert_eq!(client.call("aaw/register", ADA).await.value()["code"], "registration_closed");
    client.call("aaw/resume", &resume(&"0".repeat(36))).await.assert_eq(EXPIRED);
    client.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
}

#[tokio::test]
async fn a_stream_over_http_ends_with_its_session() {
    let auth_server = start().await;
    let (mut ada, token, _) = auth_server.ada().await;
    let request = HttpRequest::post(auth_server.server.addr, "/events/auth/endless", "null")
        .accept("application/x-ndjson")
        .header("Authorization", &format!("Bearer {token}"));
    let (_, mut body) = request.open().await;
    assert_eq!(within("an item", || "nothing".into(), body.line()).await.as_deref(), Some("1"));
    ada.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    assert_eq!(within("the end", || "nothing".into(), body.line()).await.as_deref(), Some(UNKNOWN));
    assert_eq!(body.line().await, None);
}

#[tokio::test]
async fn a_cursor_is_valid_only_for_its_user() {
    let auth_server = start().await;
    let addr = auth_server.server.addr;
    let (_ada, token, _) = auth_server.ada().await;
    let mut bob = auth_server.server.v1().await;
    let (bobs, _) =
        logged_in(&bob.call("aaw/register", r#"{"email":"bob@example.com","password":"xxxxxx"}"#).await.value());
    let poll = |event: &str, cursor: &str, token: Option<&str>| {
        let request = HttpRequest::post(addr, &format!("/events/{event}?take=3{cursor}"), r#"{"to":10}"#);
        match token {
            Some(token) => request.header("Authorization", &format!("Bearer {token}")),
            None => request,
        }
    };
    for event in ["auth/numbers", "streams/count"] {
        let first = poll(event, "", Some(&token)).send().await.json();
        assert_eq!(first["items"], json!([1, 2, 3]));
        let cursor = format!("&cursor={}", first["cursor"].as_str().unwrap());
        let other_user = poll(event, &cursor, Some(&bobs)).send().await;
        assert_eq!(other_user.failure(), (404, "unknown_cursor".into()));
        let anonymous = poll(event, &cursor, None).send().await;
        assert_eq!(anonymous.status, 404, "{event}");
        // The cursor is still valid for its owner.
        assert_eq!(poll(event, &cursor, Some(&token)).send().await.json()["items"], json!([4, 5, 6]));
    }
}

// --- The log ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn no_secret_is_logged_or_stored() {
    let log = LogCapture::start();
    let auth_server = start().await;
    let (mut ada, token, _) = auth_server.ada().await;
    ada.call("aaw/login", r#"{"email":"ada@example.com","password":"wrong-hunter2"}"#).await;
    ada.call("aaw/login", r#"["ada@example.com","array-hunter2"]"#).await;
    ada.call("aaw/login", r#""string-hunter2""#).await;
    ada.call("aaw/login", r#"{"user":"ada","pass":"other-hunter2"}"#).await;
    ada.call("aaw/resume", &resume(&token)).await;
    ada.call("aaw/password/request-reset", ADA).await;
    let reset = auth_server.reset().await;
    let set = json!({ "token": reset, "password": "new-hunter2" }).to_string();
    let (new_token, _) = logged_in(&ada.call("aaw/password/set-new", &set).await.value());
    let logged = format!("{:?}\n{}", auth_server.server.calls.all(), log.text());
    for secret in ["correct horse", "hunter2", &token, &reset, &new_token] {
        assert!(!logged.contains(secret), "{secret} in\n{logged}");
    }
    let kind =
        |event: &str| auth_server.server.calls.all().iter().find(|call| call["event"] == event).cloned().unwrap();
    assert_eq!(kind("aaw/register")["kind"], "unary");
    assert_eq!(kind("aaw/register")["body"]["email"], "ada@example.com");
    // Nor is one in the database.
    let file = std::fs::read(auth_server.folder.path().join("auth.sqlite")).unwrap();
    let wal = std::fs::read(auth_server.folder.path().join("auth.sqlite-wal")).unwrap_or_default();
    for secret in ["correct horse", "hunter2", &token, &reset, &new_token] {
        let found = [&file, &wal].iter().any(|bytes| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
        assert!(!found, "{secret}");
    }
    let debug = format!("{:?} {:?}", auth_server.resets.lock().unwrap(), Password::new("hunter2"));
    assert!(!debug.contains(&reset) && !debug.contains("hunter2"));
}

// --- Events packages ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_events_package_can_deliver_reset_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_with(folder.path().join("auth.sqlite"), cheap()).await.unwrap();
    let app = App::default();
    let events = vec![aaw_test_hooks::module_with(app.clone()).into()];
    let server = TestServer::start_with_events(events, |config| config.auth = Some(Auth::new(store))).await;
    let mut client = server.v1().await;
    let (_, id) = logged_in(&client.call("aaw/register", ADA).await.value());
    let request = r#"{"email":"ada@example.com"}"#;
    client.call("aaw/password/request-reset", request).await.assert_eq(r#"{"ok":true}"#);
    let resets = within("a reset", || "none".into(), app.resets(1)).await;
    assert_eq!(resets[0].email, "ada@example.com");
    let set = json!({ "token": resets[0].token, "password": "another horse" }).to_string();
    let (_, again) = logged_in(&client.call("aaw/password/set-new", &set).await.value());
    assert_eq!(again, id);
    client.call("aaw/login", ADA).await.assert_eq(INVALID);
}

#[tokio::test]
async fn a_connection_with_a_session_is_resumed_with_its_token() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let AuthServer { server, folder: _folder, .. } = start().await;
    let open = async || WireClient::connect(server.addr, Some("aaw.v1")).await;
    let request = async |client: &mut WireClient, resumption: Value| -> Value {
        client.send(&json!(["aaw/hello", { "resumption": resumption }]).to_string()).await;
        serde_json::from_str(&client.next().await).expect("JSON")
    };
    let mut client = open().await;
    request(&mut client, json!({ "key": KEY })).await;
    client.send(&format!(r#"["aaw/register",{ADA},1]"#)).await;
    let registered: Value = serde_json::from_str(&client.next().await).expect("JSON");
    let (token, id) = logged_in(&registered[1]);
    drop(client);
    // A client that has not received the response does not know the token.
    let mut client = open().await;
    let welcome = request(&mut client, json!({ "key": KEY, "resume": true, "received": 0 })).await;
    assert_eq!(welcome[1]["resumed"], true);
    assert_eq!(serde_json::from_str::<Value>(&client.next().await).expect("JSON"), registered);
    drop(client);
    let mut client = open().await;
    for wrong in [json!(null), json!(""), json!(KEY), json!(token.to_uppercase()), json!("x".repeat(36))] {
        let refused = request(&mut client, json!({ "key": KEY, "resume": true, "received": 1, "token": wrong })).await;
        assert_eq!(refused[1]["code"], "bad_frame", "{wrong}: {refused}");
        assert!(!refused.to_string().contains(&token), "{refused}");
    }
    let welcome = request(&mut client, json!({ "key": KEY, "resume": true, "received": 1, "token": token })).await;
    assert_eq!(welcome[1]["resumed"], true);
    client.send(r#"["auth/whoami",{},2]"#).await;
    assert!(client.next().await.contains(&id));
    client.send(r#"["aaw/logout",{},3]"#).await;
    client.expect(r#"["aaw/logout",{"ok":true},3]"#).await;
    drop(client);
    let mut client = open().await;
    let welcome = request(&mut client, json!({ "key": KEY, "resume": true, "received": 3 })).await;
    assert_eq!(welcome[1]["resumed"], true, "without a session there is no token: {welcome}");
}

#[tokio::test]
async fn a_session_that_ends_while_the_client_is_away_is_over_when_it_resumes() {
    for ended in ["logout", "password", "expired"] {
        let auth_server = start_with(|auth| {
            if ended == "expired" {
                auth.session_lifetime = Duration::from_secs(3);
            }
        })
        .await;
        let server = &auth_server.server;
        let (mut client, _) = resumption::open(server, &json!({ "key": resumption::KEY })).await;
        client.send(&format!(r#"["aaw/register",{ADA},1]"#)).await;
        let registered: Value = serde_json::from_str(&client.next().await).expect("JSON");
        let (token, _) = logged_in(&registered[1]);
        client.send(r#"["auth/held",null,2]"#).await;
        client.exchange(r#"["ping",null,3]"#, r#"["ping",{"pong":true},3]"#).await;
        drop(client);
        until("the client to be away", || server.handle.away_connections() == 1).await;
        let mut elsewhere = server.v1().await;
        match ended {
            "logout" => {
                elsewhere.call("aaw/resume", &resume(&token)).await.value();
                elsewhere.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
            }
            "password" => {
                elsewhere.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
                let set = json!({ "token": auth_server.reset().await, "password": "another horse" }).to_string();
                logged_in(&elsewhere.call("aaw/password/set-new", &set).await.value());
            }
            _ => {
                elsewhere.call("aaw/resume", &resume(&token)).await.value();
                elsewhere.expect(r#"["aaw/session",{"ended":"expired"}]"#).await;
            }
        }
        let mut resuming = resumption::resuming(2);
        resuming["token"] = json!(token);
        let (mut client, welcome) = resumption::open(server, &resuming).await;
        assert_eq!(welcome["resumed"], true, "{ended}: {welcome}");
        let mut news = [client.next().await, client.next().await];
        news.sort();
        let expected =
            [format!(r#"["aaw/session",{{"ended":"{ended}"}}]"#), format!(r#"["auth/held",{UNKNOWN},2,"error"]"#)];
        assert_eq!(news, expected);
        client.exchange(r#"["auth/whoami",null,4]"#, &format!(r#"["auth/whoami",{UNKNOWN},4,"error"]"#)).await;
    }
}
