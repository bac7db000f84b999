//! A13 to A18, without rooms: who is calling, over real sockets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aaw_server::auth::{
    Auth, Credentials, Email, NewSession, Password, PasswordReset, Passwords, PasswordsConfig, Rate, SqliteStore,
    StartedSession, Store, StoreError, StoreFuture, StoredSession, TokenHash,
};
use aaw_test_hooks::_services::App;
use aaw_tests::{HttpRequest, LogCapture, TestServer, WireClient, until, within};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

const ADA: &str = r#"{"email":"ada@example.com","password":"correct horse"}"#;

const EXPIRED: &str = r#"{"error":"Session expired","code":"not_authenticated"}"#;
const INVALID: &str = r#"{"error":"Invalid credentials","code":"not_authenticated"}"#;
const UNKNOWN: &str = r#"{"error":"Not authenticated","code":"not_authenticated"}"#;

/// A server with authentication, and what its hook was given.
struct Site {
    server: TestServer,
    store: SqliteStore,
    resets: Arc<Mutex<Vec<PasswordReset>>>,
    /// Of the store's file.
    folder: tempfile::TempDir,
}

/// Hashing that costs next to nothing, so that tests are about something else.
fn cheap() -> Passwords {
    Passwords::new(&PasswordsConfig { memory: 64, passes: 1, threads: 1, waiting: 5000 }).expect("a config")
}

async fn start() -> Site {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Auth)) -> Site {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open_with(folder.path().join("auth.sqlite"), cheap()).await.expect("a store");
    let resets = Arc::<Mutex<Vec<PasswordReset>>>::default();
    let told = Arc::clone(&resets);
    let mut auth = Auth::new(store.clone()).on_password_reset(move |reset| {
        told.lock().unwrap_or_else(PoisonError::into_inner).push(reset);
        async { Ok(()) }
    });
    change(&mut auth);
    let server = TestServer::start_with(|config| config.auth = Some(auth)).await;
    Site { server, store, resets, folder }
}

impl Site {
    /// A client that has registered as Ada; her token and id.
    async fn ada(&self) -> (WireClient, String, String) {
        let mut client = self.server.v1().await;
        let (token, id) = logged_in(&client.call("aaw/register", ADA).await.value());
        (client, token, id)
    }

    /// The token of the last reset, once it has been delivered.
    async fn reset(&self) -> String {
        let last = || self.resets.lock().expect("no panic").last().map(|reset| reset.token.as_str().to_owned());
        until("a reset to be delivered", || last().is_some()).await;
        last().expect("there is one")
    }
}

/// A failure, as it is written.
fn failure(text: &str, code: &str) -> String {
    format!(r#"{{"error":{},"code":"{code}"}}"#, Value::from(text))
}

/// The token and the user's id, of an answer that is as the original's.
#[track_caller]
fn logged_in(answer: &Value) -> (String, String) {
    let token = answer["token"].as_str().unwrap_or_else(|| panic!("no token: {answer}"));
    assert_eq!(token.len(), 36, "{answer}");
    let keys: Vec<_> = answer.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["token", "user"], "{answer}");
    (token.to_owned(), answer["user"]["id"].as_str().expect("an id").to_owned())
}

fn resume(token: &str) -> String {
    json!({ "token": token }).to_string()
}

// --- What the original answers ----------------------------------------------------------------------------------------

#[tokio::test]
async fn who_registers_is_known_on_that_connection_and_no_other() {
    let site = start().await;
    let mut other = site.server.v1().await;
    other.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
    let (mut ada, _, id) = site.ada().await;
    ada.call("auth/whoami", "null").await.assert_eq(&format!(r#"{{"id":"{id}","email":"ada@example.com"}}"#));
    other.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
    // Nobody is somebody by saying so.
    let more = r#"{"email":"eve@example.com","password":"x","allowed":["*"],"id":"1","user":{"id":"1"}}"#;
    let eve = site.server.v1().await.call("aaw/register", more).await.value();
    assert!(eve["user"]["id"] != "1" && eve["user"]["allowed"].is_null(), "{eve}");
    other.call("auth/whoami", &format!(r#"{{"identity":{{"id":"{id}"}}}}"#)).await.assert_eq(UNKNOWN);
}

#[tokio::test]
async fn every_text_is_the_originals() {
    let site = start().await;
    let mut client = site.server.v1().await;
    let required = r#"{"error":"Email and password are required","code":"bad_body"}"#;
    for body in [
        "null",
        "{}",
        r#"{"email":"a@b.c"}"#,
        r#"{"password":"x"}"#,
        r#"{"email":"","password":"x"}"#,
        r#"{"email":"a@b.c","password":""}"#,
        r#"{"email":null,"password":null}"#,
        r#"{"email":"  ","password":"x"}"#,
    ] {
        client.call("aaw/register", body).await.assert_eq(required);
        client.call("aaw/login", body).await.assert_eq(required);
    }
    logged_in(&client.call("aaw/register", ADA).await.value());
    client.call("aaw/register", ADA).await.assert_eq(r#"{"error":"Email already registered","code":"email_taken"}"#);
    logged_in(&client.call("aaw/login", ADA).await.value());
    for wrong in [r#"{"email":"ada@example.com","password":"wrong"}"#, r#"{"email":"bob@example.com","password":"x"}"#]
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
    client.call("aaw/password/set-new", r#"{"password":"x"}"#).await.assert_eq(invalid);
    client.call("aaw/password/set-new", &set(r#""x""#)).await.assert_eq(invalid);
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({ "email": email }).to_string();
        client.call("aaw/password/request-reset", &body).await.assert_eq(r#"{"ok":true}"#);
    }
    client.call("aaw/nope", "{}").await.assert_eq(r#"{"error":"Unknown event: aaw/nope","code":"unknown_event"}"#);
}

#[tokio::test]
async fn without_authentication_protected_events_are_unreachable_and_ours_unknown() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    let text = "Authentication is not enabled — auth/whoami is unreachable";
    client.call("auth/whoami", "null").await.assert_eq(&format!(r#"{{"error":"{text}","code":"unreachable"}}"#));
    client.call("aaw/login", ADA).await.assert_eq(r#"{"error":"Unknown event: aaw/login","code":"unknown_event"}"#);
    let failed = client.call("enter", r#"{"id":"1","email":"a@b.c"}"#).await.value();
    assert_eq!(failed["error"], "Authentication is not enabled");
}

#[tokio::test]
async fn a_client_of_the_original_gets_the_same_in_its_dialect() {
    let site = start().await;
    let mut client = site.server.classic().await;
    client.exchange(r#"["auth/whoami",null]"#, r#"["auth/whoami",{"error":"Not authenticated"}]"#).await;
    client.send(&format!(r#"["aaw/register",{ADA}]"#)).await;
    let answer: Value = serde_json::from_str(&client.next().await).unwrap();
    let (token, id) = logged_in(&answer[1]);
    client
        .exchange(r#"["auth/whoami",null]"#, &format!(r#"["auth/whoami",{{"id":"{id}","email":"ada@example.com"}}]"#))
        .await;
    client.exchange(r#"["aaw/logout",null]"#, r#"["aaw/logout",{"ok":true}]"#).await;
    let resume = format!(r#"["aaw/resume",{{"token":"{token}"}}]"#);
    client.exchange(&resume, r#"["aaw/resume",{"error":"Session expired"}]"#).await;
}

#[tokio::test]
async fn without_a_hook_a_reset_is_not_configured_whoever_asks() {
    let site = start_with(|auth| auth.on_password_reset = None).await;
    let (mut ada, ..) = site.ada().await;
    let text = "Password reset is not configured (no onPasswordReset handler)";
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({ "email": email }).to_string();
        let expected = format!(r#"{{"error":"{text}","code":"unreachable"}}"#);
        ada.call("aaw/password/request-reset", &body).await.assert_eq(&expected);
    }
}

#[tokio::test]
async fn a_store_that_lacks_what_is_asked_says_so() {
    struct Nothing;
    impl Store for Nothing {}
    let auth = Auth::new(Nothing).on_password_reset(|_| async { Ok(()) });
    let server = TestServer::start_with(|config| config.auth = Some(auth)).await;
    let mut client = server.v1().await;
    let missing = r#"{"error":"Auth is not set up via aaw","code":"unreachable"}"#;
    for (event, body) in [
        ("aaw/register", ADA.to_owned()),
        ("aaw/login", ADA.to_owned()),
        ("aaw/resume", resume(&"0".repeat(36))),
        ("aaw/password/request-reset", ADA.to_owned()),
        ("aaw/password/set-new", format!(r#"{{"token":"{}","password":"x"}}"#, "0".repeat(36))),
        ("enter", r#"{"id":"1","email":"a@b.c"}"#.to_owned()),
    ] {
        client.call(event, &body).await.assert_eq(missing);
    }
    // Who has no session has none to end.
    client.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
}

// --- Sessions ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_session_is_resumed_by_its_token_on_another_connection() {
    let site = start().await;
    let (ada, token, id) = site.ada().await;
    ada.close().await;
    let mut again = site.server.v1().await;
    let answer = again.call("aaw/resume", &resume(&token)).await.value();
    assert_eq!(logged_in(&answer), (token, id));
    assert_eq!(again.call("auth/whoami", "null").await.value()["email"], "ada@example.com");
}

#[tokio::test]
async fn what_is_no_token_of_a_session_has_expired() {
    let site = start().await;
    let (mut ada, token, id) = site.ada().await;
    let forged = format!("{}{}", &token[..35], if token.ends_with('0') { '1' } else { '0' });
    for bad in [
        "",
        "x",
        &forged,
        &token.to_uppercase(),
        &format!("{token} "),
        &token[1..],
        &"0".repeat(36),
        &"x".repeat(500_000),
    ] {
        let mut other = site.server.v1().await;
        other.call("aaw/resume", &resume(bad)).await.assert_eq(EXPIRED);
        other.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
        // Who is somebody already stays so.
        ada.call("aaw/resume", &resume(bad)).await.assert_eq(EXPIRED);
    }
    let mut other = site.server.v1().await;
    for body in ["null", "{}", r#"{"token":null}"#] {
        other.call("aaw/resume", body).await.assert_eq(EXPIRED);
    }
    assert_eq!(ada.call("auth/whoami", "null").await.value()["id"], id);
}

#[tokio::test]
async fn a_token_of_another_store_has_expired() {
    let (here, elsewhere) = (start().await, start().await);
    let (_, token, _) = elsewhere.ada().await;
    let mut client = here.server.v1().await;
    client.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
}

#[tokio::test]
async fn logging_out_ends_the_session_wherever_it_is_used() {
    let site = start().await;
    let (mut first, token, _) = site.ada().await;
    let mut second = site.server.v1().await;
    second.call("aaw/resume", &resume(&token)).await.value();
    let mut classic = site.server.classic().await;
    classic.send(&format!(r#"["aaw/resume",{{"token":"{token}"}}]"#)).await;
    classic.next().await;
    // Another session of the same user's is not concerned.
    let mut third = site.server.v1().await;
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
async fn a_session_expires_for_who_has_it_and_for_who_comes_back() {
    let site = start_with(|auth| auth.session_lifetime = Duration::from_millis(300)).await;
    let (mut ada, token, _) = site.ada().await;
    ada.expect(r#"["aaw/session",{"ended":"expired"}]"#).await;
    ada.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
    ada.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
}

#[tokio::test]
async fn what_a_session_let_be_called_ends_with_it() {
    let site = start().await;
    let (mut ada, token, _) = site.ada().await;
    ada.send(r#"["auth/held",null,2]"#).await;
    ada.send(r#"["auth/endless",null,3,"call",{"credit":10}]"#).await;
    ada.send(r#"["gate/hold",{"gate":"later"},4]"#).await;
    ada.expect(r#"["auth/endless",1,3,"item"]"#).await;
    let mut elsewhere = site.server.v1().await;
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
async fn what_a_session_let_be_called_ends_with_it_also_when_the_connection_has_another_by_then() {
    let site = start().await;
    let (mut ada, token, _) = site.ada().await;
    ada.send(r#"["auth/held",null,2]"#).await;
    ada.send(r#"["auth/endless",null,3,"call",{"credit":10}]"#).await;
    ada.expect(r#"["auth/endless",1,3,"item"]"#).await;
    ada.send(r#"["aaw/register",{"email":"bob@example.com","password":"x"},4]"#).await;
    assert!(ada.next().await.starts_with(r#"["aaw/register",{"token":""#));
    let mut elsewhere = site.server.v1().await;
    elsewhere.call("aaw/resume", &resume(&token)).await.value();
    elsewhere.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    let mut ended = [ada.next().await, ada.next().await];
    ended.sort();
    assert_eq!(
        ended,
        [format!(r#"["auth/endless",{UNKNOWN},3,"error"]"#), format!(r#"["auth/held",{UNKNOWN},2,"error"]"#)]
    );
    ada.send(r#"["auth/whoami",null,5]"#).await;
    assert!(ada.next().await.contains("bob@example.com"), "its own session is another");
}

#[tokio::test]
async fn a_protected_event_that_takes_no_stream_says_so_too() {
    let site = start().await;
    let (mut ada, ..) = site.ada().await;
    ada.exchange(
        r#"["auth/whoami",null,2,"call",{"in":true}]"#,
        r#"["auth/whoami",{"error":"auth/whoami takes no stream from its caller","code":"bad_body"},2,"error"]"#,
    )
    .await;
}

#[tokio::test]
async fn a_reset_sets_the_password_once_and_ends_all_other_sessions() {
    let site = start().await;
    let (mut ada, token, id) = site.ada().await;
    let mut other = site.server.v1().await;
    logged_in(&other.call("aaw/login", ADA).await.value());
    let mut who_forgot = site.server.v1().await;
    who_forgot.call("aaw/password/request-reset", r#"{"email":" ADA@example.com "}"#).await.assert_eq(r#"{"ok":true}"#);
    let reset = site.reset().await;
    assert_eq!(reset.len(), 36);
    let set = |password: &str| json!({ "token": reset, "password": password }).to_string();
    let answer = who_forgot.call("aaw/password/set-new", &set("battery staple")).await.value();
    let (new_token, same) = logged_in(&answer);
    assert!(same == id && new_token != token);
    assert_eq!(who_forgot.call("auth/whoami", "null").await.value()["id"], id);
    for client in [&mut ada, &mut other] {
        client.expect(r#"["aaw/session",{"ended":"password"}]"#).await;
        client.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
    }
    ada.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
    let invalid = r#"{"error":"Reset link is invalid or expired","code":"invalid_reset"}"#;
    ada.call("aaw/password/set-new", &set("third")).await.assert_eq(invalid);
    ada.call("aaw/login", ADA).await.assert_eq(INVALID);
    logged_in(&ada.call("aaw/login", r#"{"email":"ada@example.com","password":"battery staple"}"#).await.value());
}

#[tokio::test]
async fn only_the_newest_reset_is_good_and_not_for_long() {
    let site = start().await;
    let (mut ada, ..) = site.ada().await;
    ada.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
    let first = site.reset().await;
    ada.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
    until("the second", || site.resets.lock().unwrap().len() == 2).await;
    let invalid = r#"{"error":"Reset link is invalid or expired","code":"invalid_reset"}"#;
    let set = |token: &str| json!({ "token": token, "password": "x" }).to_string();
    ada.call("aaw/password/set-new", &set(&first)).await.assert_eq(invalid);

    let site = start_with(|auth| auth.reset_lifetime = Duration::ZERO).await;
    let (mut ada, ..) = site.ada().await;
    ada.call("aaw/password/request-reset", ADA).await.assert_eq(r#"{"ok":true}"#);
    ada.call("aaw/password/set-new", &set(&site.reset().await)).await.assert_eq(invalid);
    // A reset is no session, nor the other way round.
    ada.call("aaw/resume", &resume(&site.reset().await)).await.assert_eq(EXPIRED);
}

#[tokio::test]
async fn what_an_administrator_changes_reaches_connections_that_there_are() {
    let site = start().await;
    let (mut ada, ..) = site.ada().await;
    // Another program, as `aaw-server user` is.
    let admin = SqliteStore::open_with(site.folder.path().join("auth.sqlite"), cheap()).await.unwrap();
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
async fn what_the_program_changes_in_the_store_that_it_serves_from_reaches_connections_too() {
    let site = start().await;
    let (mut ada, ..) = site.ada().await;
    let email = Email::parse("ada@example.com").unwrap();
    assert!(site.store.allow(email.clone(), Some(vec![])).await.unwrap());
    let refused = r#"{"error":"Not allowed: auth/whoami","code":"not_allowed"}"#;
    let wait = async { while ada.call("auth/whoami", "null").await.0 != refused {} };
    within("the change to arrive", || "nothing".into(), wait).await;
    assert!(site.store.remove_user(email).await.unwrap());
    ada.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
}

// --- What handlers do -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_handler_begins_and_ends_sessions_of_whoever_the_application_knows() {
    let site = start().await;
    let mut client = site.server.v1().await;
    let user = r#"{"id":"7","email":"bot@example.com","allowed":["auth/whoami"]}"#;
    let answer = client.call("enter", user).await.value();
    let (token, id) = logged_in(&answer);
    assert_eq!(id, "7");
    client.call("auth/whoami", "null").await.assert_eq(user);
    client
        .call("auth/numbers", "null")
        .await
        .assert_eq(r#"{"error":"Not allowed: auth/numbers","code":"not_allowed"}"#);
    let mut again = site.server.v1().await;
    assert_eq!(again.call("aaw/resume", &resume(&token)).await.value()["user"]["allowed"], json!(["auth/whoami"]));
    client.call("leave", "null").await.assert_eq("null");
    again.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    client.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
}

#[tokio::test]
async fn a_handler_that_needs_a_session_and_ends_it_still_answers() {
    let site = start().await;
    let (mut ada, token, _) = site.ada().await;
    ada.send(r#"["auth/endless",null,2,"call",{"credit":10}]"#).await;
    ada.expect(r#"["auth/endless",1,2,"item"]"#).await;
    ada.send(r#"["auth/leave",null,3]"#).await;
    let mut got = [ada.next().await, ada.next().await];
    got.sort();
    assert_eq!(got, [format!(r#"["auth/endless",{UNKNOWN},2,"error"]"#), r#"["auth/leave",null,3]"#.to_owned()]);
    let mut again = site.server.v1().await;
    again.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
    let (token, _) = logged_in(&again.call("aaw/login", ADA).await.value());
    let leave = HttpRequest::post(site.server.addr, "/events/auth/leave", "null");
    let leave = leave.header("Authorization", &format!("Bearer {token}"));
    let answer = leave.send().await;
    assert_eq!((answer.status, answer.json()), (200, json!(null)));
    again.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    let refused = leave.send().await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("bearer")));
}

#[tokio::test]
async fn nothing_overtakes_a_change_of_who_is_calling() {
    let site = start().await;
    let (_, token, id) = site.ada().await;
    let me = format!(r#"{{"id":"{id}","email":"ada@example.com"}}"#);
    for round in 0..20 {
        let mut client = site.server.v1().await;
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
        let answer = |id: u32| {
            let ends = [format!(",{id}]"), format!(r#",{id},"error"]"#)];
            frames
                .iter()
                .find(|frame| ends.iter().any(|end| frame.ends_with(end.as_str())))
                .cloned()
                .unwrap_or_default()
        };
        for (id, expected) in [(3, &me), (5, &me), (9, &r#"{"id":"7","email":"b@c.d"}"#.to_owned())] {
            assert_eq!(answer(id), format!(r#"["auth/whoami",{expected},{id}]"#), "round {round}: {frames:#?}");
        }
        for id in [1, 7, 11] {
            assert_eq!(answer(id), format!(r#"["auth/whoami",{UNKNOWN},{id},"error"]"#), "round {round}: {frames:#?}");
        }
        assert_eq!(frames.last().unwrap(), r#"["auth/numbers",1,13,"item"]"#);
    }
}

// --- Bad input --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_body_of_the_wrong_shape_is_told_by_its_field_and_never_by_its_value() {
    let site = start().await;
    let mut client = site.server.v1().await;
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
    let long = json!({ "email": format!("{}@example.com", "a".repeat(300)), "password": "x" }).to_string();
    let text = "The body does not fit at email: an e-mail address has at most 254 bytes";
    for event in ["aaw/login", "aaw/register"] {
        client.call(event, &long).await.assert_eq(&failure(text, "bad_body"));
    }
    // What is no JSON is no call.
    client.send(r#"["aaw/login",{"email":"a@b.c",1]"#).await;
    assert!(client.next().await.contains("bad_frame"));
}

#[tokio::test]
async fn an_address_is_the_same_in_other_case_and_with_spaces_around_it() {
    let site = start().await;
    let mut client = site.server.v1().await;
    let register = r#"{"email":" Ada@Example.COM ","password":" correct horse"}"#;
    let answer = client.call("aaw/register", register).await.value();
    assert_eq!(answer["user"]["email"], "ada@example.com");
    client.call("aaw/register", ADA).await.assert_eq(r#"{"error":"Email already registered","code":"email_taken"}"#);
    logged_in(
        &client.call("aaw/login", r#"{"email":"\tADA@example.com\n","password":" correct horse"}"#).await.value(),
    );
    // A password is what was typed.
    client.call("aaw/login", ADA).await.assert_eq(INVALID);
}

#[tokio::test]
async fn a_password_of_500_kb_costs_nothing() {
    // Nothing can be hashed: each hash would wait for ever.
    let passwords = Passwords::new(&PasswordsConfig { threads: 1, waiting: 1, ..PasswordsConfig::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_with(folder.path().join("auth.sqlite"), passwords).await.unwrap();
    let server = TestServer::start_with(|config| config.auth = Some(Auth::new(store))).await;
    let mut client = server.v1().await;
    let body = json!({ "email": "ada@example.com", "password": "x".repeat(500_000) }).to_string();
    let text = "The body does not fit at password: it has 500000 bytes, and may have 1024";
    for _ in 0..20 {
        for event in ["aaw/login", "aaw/register"] {
            client.call(event, &body).await.assert_eq(&failure(text, "bad_body"));
        }
    }
    let set = json!({ "token": "0".repeat(36), "password": "x".repeat(500_000) }).to_string();
    client.call("aaw/password/set-new", &set).await.assert_eq(&failure(text, "bad_body"));
    // The longest that may be is taken.
    let body = json!({ "email": "ada@example.com", "password": "x".repeat(1024) }).to_string();
    logged_in(&client.call("aaw/register", &body).await.value());
}

#[tokio::test]
async fn of_many_who_register_an_address_at_once_exactly_one_wins() {
    let site = start().await;
    let mut clients = Vec::new();
    for _ in 0..24 {
        clients.push(site.server.v1().await);
    }
    let answers = join_all(clients.iter_mut().map(|client| client.call("aaw/register", ADA))).await;
    let (won, lost): (Vec<_>, Vec<_>) =
        answers.iter().map(|answer| answer.value()).partition(|answer| answer["token"].is_string());
    assert_eq!((won.len(), lost.len()), (1, 23));
    for lost in lost {
        assert_eq!(lost, json!({ "error": "Email already registered", "code": "email_taken" }));
    }
    assert_eq!(site.store.users().await.unwrap().len(), 1);
}

#[tokio::test]
async fn who_guesses_is_stopped_and_told_when_to_come_back() {
    let site = start_with(|auth| auth.attempts_per_address = Rate::new(3, Duration::from_secs(100))).await;
    let (_ada, ..) = site.ada().await;
    let mut guesser = site.server.v1().await;
    for _ in 0..3 {
        guesser.call("aaw/login", r#"{"email":"ada@example.com","password":"wrong"}"#).await.assert_eq(INVALID);
    }
    // Also with the right one, and from another connection, and for an address that nobody has.
    let mut other = site.server.v1().await;
    let refused = other.call("aaw/login", ADA).await.value();
    assert_eq!(refused["code"], "busy");
    let text = refused["error"].as_str().unwrap();
    assert!(text.starts_with("Too many attempts; try again in ") && text.ends_with(" s"), "{text}");
    assert!((90..=100).contains(&refused["data"]["retry_after"].as_u64().unwrap()), "{refused}");
    for _ in 0..3 {
        other.call("aaw/login", r#"{"email":"bob@example.com","password":"wrong"}"#).await.assert_eq(INVALID);
    }
    assert_eq!(other.call("aaw/login", r#"{"email":"BOB@example.com","password":"x"}"#).await.value()["code"], "busy");
}

#[tokio::test]
async fn who_guesses_at_once_gets_no_more_guesses_and_hanging_up_is_one() {
    let site = start_with(|auth| auth.attempts_per_address = Rate::new(3, Duration::from_secs(1000))).await;
    let (_ada, ..) = site.ada().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(site.server.v1().await);
    }
    let wrong = r#"{"email":"ada@example.com","password":"wrong"}"#;
    let answers = join_all(clients.iter_mut().map(|client| client.call("aaw/login", wrong))).await;
    let tried = answers.iter().filter(|answer| answer.0 == INVALID).count();
    assert_eq!(tried, 3, "{answers:?}");
}

#[tokio::test]
async fn one_peer_may_fail_so_often_and_who_succeeds_is_not_counted() {
    let site = start_with(|auth| auth.attempts_per_peer = Rate::new(5, Duration::from_secs(100))).await;
    let (mut ada, ..) = site.ada().await;
    for _ in 0..20 {
        logged_in(&ada.call("aaw/login", ADA).await.value());
    }
    for n in 0..5 {
        let mut other = site.server.v1().await;
        other
            .call("aaw/login", &json!({ "email": format!("{n}@b.c"), "password": "x" }).to_string())
            .await
            .assert_eq(INVALID);
    }
    assert_eq!(ada.call("aaw/login", ADA).await.value()["code"], "busy");
    let over_http = HttpRequest::post(site.server.addr, "/events/aaw/login", ADA).send().await;
    assert_eq!(over_http.failure(), (429, "busy".into()));
    assert!(over_http.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{over_http:?}");
}

#[tokio::test]
async fn resets_of_one_address_are_few_known_or_not() {
    let site = start_with(|auth| auth.resets_per_address = Rate::new(2, Duration::from_secs(100))).await;
    let (mut ada, ..) = site.ada().await;
    for email in ["ada@example.com", "nobody@example.com"] {
        let body = json!({ "email": email }).to_string();
        for _ in 0..2 {
            ada.call("aaw/password/request-reset", &body).await.assert_eq(r#"{"ok":true}"#);
        }
        assert_eq!(ada.call("aaw/password/request-reset", &body).await.value()["code"], "busy");
    }
    until("both to be delivered", || site.resets.lock().unwrap().len() == 2).await;
}

// --- A store that fails, or is slow ------------------------------------------------------------------------------------

/// A store that does what it does only once it is let, and then fails if it shall.
struct Moody {
    inner: SqliteStore,
    passes: Arc<Semaphore>,
    fails: Arc<Mutex<bool>>,
}

impl Moody {
    async fn wait(&self) -> Result<(), StoreError> {
        self.passes.acquire().await.expect("it is not closed").forget();
        match *self.fails.lock().expect("no panic") {
            true => Err(StoreError::Failed("the disk is full of secrets".into())),
            false => Ok(()),
        }
    }
}

impl Store for Moody {
    fn register(&self, who: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            self.wait().await?;
            self.inner.register(who, session).await
        })
    }

    fn log_in(&self, who: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            self.wait().await?;
            self.inner.log_in(who, session).await
        })
    }

    fn resume(&self, session: TokenHash) -> StoreFuture<'_, Option<StoredSession>> {
        Box::pin(async move {
            let stored = self.inner.resume(session).await;
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

async fn moody() -> (TestServer, Arc<Semaphore>, Arc<Mutex<bool>>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = SqliteStore::open_with(folder.path().join("auth.sqlite"), cheap()).await.expect("a store");
    let (passes, fails) = (Arc::new(Semaphore::new(0)), Arc::<Mutex<bool>>::default());
    let store = Moody { inner, passes: Arc::clone(&passes), fails: Arc::clone(&fails) };
    (TestServer::start_with(|config| config.auth = Some(Auth::new(store))).await, passes, fails, folder)
}

#[tokio::test]
async fn a_store_that_fails_is_an_honest_error_and_changes_nobody() {
    let log = LogCapture::start();
    let (server, passes, fails, _folder) = moody().await;
    passes.add_permits(1000);
    let mut client = server.v1().await;
    let (token, _) = logged_in(&client.call("aaw/register", ADA).await.value());
    *fails.lock().unwrap() = true;
    let unavailable = r#"{"error":"Auth is temporarily unavailable","code":"unavailable"}"#;
    let resume = resume(&token);
    // More often than somebody may fail: it is no fault of theirs.
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
async fn a_slow_store_holds_up_what_comes_after_and_nobody_else() {
    let (server, passes, _, _folder) = moody().await;
    let (mut client, mut other) = (server.v1().await, server.v1().await);
    client.send(&format!(r#"["aaw/register",{ADA},1]"#)).await;
    client.send(r#"["auth/whoami",null,2]"#).await;
    other.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    passes.add_permits(1);
    assert!(client.next().await.starts_with(r#"["aaw/register",{"token":""#));
    assert!(client.next().await.contains("ada@example.com"));
}

#[tokio::test]
async fn a_session_that_ends_while_somebody_resumes_it_is_not_resumed() {
    let (server, passes, _, _folder) = moody().await;
    passes.add_permits(1);
    let mut first = server.v1().await;
    let (token, _) = logged_in(&first.call("aaw/register", ADA).await.value());
    let mut second = server.v1().await;
    // It has been read, and is not answered yet.
    second.start_call("aaw/resume", &resume(&token)).await;
    until("the store to be asked", || passes.available_permits() == 0).await;
    first.start_call("aaw/logout", "null").await;
    // In whatever order the two go on, the session is over in the end.
    passes.add_permits(2);
    first.expect(r#"["aaw/logout",{"ok":true},2]"#).await;
    let answer = second.next().await;
    if answer.contains("token") {
        second.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    } else {
        assert_eq!(answer, format!(r#"["aaw/resume",{EXPIRED},1,"error"]"#));
    }
    second.call("auth/whoami", "null").await.assert_eq(UNKNOWN);
}

#[tokio::test]
async fn who_logs_out_and_waits_no_longer_has_logged_out_everywhere() {
    let (server, passes, _, _folder) = moody().await;
    passes.add_permits(2);
    let (mut first, mut second) = (server.v1().await, server.v1().await);
    let (token, _) = logged_in(&first.call("aaw/register", ADA).await.value());
    second.call("aaw/resume", &resume(&token)).await.value();
    first.send(r#"["aaw/logout",null,2]"#).await;
    first.send(r#"["aaw/logout",null,2,"cancel"]"#).await;
    // What comes behind it has run, so it was given up.
    first.exchange(r#"["ping",null,3]"#, r#"["ping",{"pong":true},3]"#).await;
    drop(first);
    passes.add_permits(2);
    second.expect(r#"["aaw/session",{"ended":"logout"}]"#).await;
    second.call("aaw/resume", &resume(&token)).await.assert_eq(EXPIRED);
}

// --- HTTP -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn over_http_a_token_says_who_is_calling() {
    let site = start().await;
    let addr = site.server.addr;
    let whoami = || HttpRequest::post(addr, "/events/auth/whoami", "null");
    assert_eq!(whoami().send().await.failure(), (401, "not_authenticated".into()));
    let registered = HttpRequest::post(addr, "/events/aaw/register", ADA).send().await;
    assert_eq!(registered.status, 200);
    assert_eq!(registered.header("cache-control"), Some("no-store"));
    let (token, id) = logged_in(&registered.json());
    let with = |request: Request, token: &str| request.header("Authorization", &format!("Bearer {token}"));
    let answer = with(whoami(), &token).send().await;
    assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some(&*id)));
    for bad in ["", "x", &"0".repeat(36), &"x".repeat(5000)] {
        let answer = with(whoami(), bad).send().await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("Session expired")), "{bad:?}");
        // Also where none is needed: who shows one means it.
        assert_eq!(with(HttpRequest::post(addr, "/events/ping", "null"), bad).send().await.status, 401);
    }
    let twice = with(with(whoami(), &token), &token).send().await;
    assert_eq!(twice.status, 400);
    let proxys = HttpRequest::post(addr, "/events/ping", "null").header("Authorization", "Basic YTpi").send().await;
    assert_eq!(proxys.status, 200);
    // In the address it says nothing: addresses are logged everywhere.
    let in_url = HttpRequest::post(addr, &format!("/events/auth/whoami?token={token}&access_token={token}"), "null");
    assert_eq!(in_url.send().await.status, 401);
    assert_eq!(
        with(HttpRequest::post(addr, "/events/aaw/logout", "null"), &token).send().await.json(),
        json!({"ok": true})
    );
    assert_eq!(with(whoami(), &token).send().await.status, 401);
}

#[tokio::test]
async fn a_stream_over_http_ends_with_its_session() {
    let site = start().await;
    let (mut ada, token, _) = site.ada().await;
    let request = HttpRequest::post(site.server.addr, "/events/auth/endless", "null")
        .accept("application/x-ndjson")
        .header("Authorization", &format!("Bearer {token}"));
    let (_, mut body) = request.open().await;
    assert_eq!(within("an item", || "nothing".into(), body.line()).await.as_deref(), Some("1"));
    ada.call("aaw/logout", "null").await.assert_eq(r#"{"ok":true}"#);
    assert_eq!(within("the end", || "nothing".into(), body.line()).await.as_deref(), Some(UNKNOWN));
    assert_eq!(body.line().await, None);
}

#[tokio::test]
async fn a_cursor_is_good_for_whom_it_was_made_alone() {
    let site = start().await;
    let addr = site.server.addr;
    let (_ada, token, _) = site.ada().await;
    let mut bob = site.server.v1().await;
    let (bobs, _) = logged_in(&bob.call("aaw/register", r#"{"email":"bob@example.com","password":"x"}"#).await.value());
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
        let stranger = poll(event, &cursor, Some(&bobs)).send().await;
        assert_eq!(stranger.failure(), (404, "unknown_cursor".into()));
        let nobody = poll(event, &cursor, None).send().await;
        assert_eq!(nobody.status, 404, "{event}");
        // It is still there, for her.
        assert_eq!(poll(event, &cursor, Some(&token)).send().await.json()["items"], json!([4, 5, 6]));
    }
}

// --- The log ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn no_secret_is_in_any_log() {
    let log = LogCapture::start();
    let site = start().await;
    let (mut ada, token, _) = site.ada().await;
    ada.call("aaw/login", r#"{"email":"ada@example.com","password":"wrong-hunter2"}"#).await;
    ada.call("aaw/login", r#"["ada@example.com","array-hunter2"]"#).await;
    ada.call("aaw/login", r#""string-hunter2""#).await;
    ada.call("aaw/login", r#"{"user":"ada","pass":"other-hunter2"}"#).await;
    ada.call("aaw/resume", &resume(&token)).await;
    ada.call("aaw/password/request-reset", ADA).await;
    let reset = site.reset().await;
    let set = json!({ "token": reset, "password": "new-hunter2" }).to_string();
    let (new_token, _) = logged_in(&ada.call("aaw/password/set-new", &set).await.value());
    let told = format!("{:?}\n{}", site.server.calls.all(), log.text());
    for secret in ["correct horse", "hunter2", &token, &reset, &new_token] {
        assert!(!told.contains(secret), "{secret} in\n{told}");
    }
    let kind = |event: &str| site.server.calls.all().iter().find(|call| call["event"] == event).cloned().unwrap();
    assert_eq!(kind("aaw/register")["kind"], "answer");
    assert_eq!(kind("aaw/register")["body"]["email"], "ada@example.com");
    // Nor does the file hold one.
    let file = std::fs::read(site.folder.path().join("auth.sqlite")).unwrap();
    let wal = std::fs::read(site.folder.path().join("auth.sqlite-wal")).unwrap_or_default();
    for secret in ["correct horse", "hunter2", &token, &reset, &new_token] {
        let found = [&file, &wal].iter().any(|bytes| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
        assert!(!found, "{secret}");
    }
    let debug = format!("{:?} {:?}", site.resets.lock().unwrap(), Password::new("hunter2"));
    assert!(!debug.contains(&reset) && !debug.contains("hunter2"));
}

// --- Many -------------------------------------------------------------------------------------------------------------

/// 1 000 connections log in at once, with passwords that cost what they shall; `ping` goes on beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_log_in_at_once_do_not_hold_up_calls() {
    const MANY: usize = 1000;
    aaw_tests::raise_open_file_limit();
    let folder = tempfile::tempdir().unwrap();
    // A tenth of the memory, as this is built without optimisation: it still takes tens of milliseconds each.
    let config = PasswordsConfig { memory: 512, passes: 1, ..PasswordsConfig::default() };
    let store =
        SqliteStore::open_with(folder.path().join("auth.sqlite"), Passwords::new(&config).unwrap()).await.unwrap();
    let server = TestServer::start_with(|config| config.auth = Some(Auth::new(store))).await;
    let mut pinger = server.v1().await;
    logged_in(&pinger.call("aaw/register", ADA).await.value());
    let mut clients = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        clients.push(server.v1().await);
    }
    let logins = tokio::spawn(async move {
        // Those who wait in line are answered in the end, so nobody is asked to come back.
        let mut done = 0;
        let answers = join_all(clients.iter_mut().map(|client| client.start_call("aaw/login", ADA))).await;
        assert_eq!(answers.len(), MANY);
        for client in &mut clients {
            let answer = client.next().await;
            assert!(answer.starts_with(r#"["aaw/login",{"token":""#), "{answer}");
            done += 1;
        }
        done
    });
    let mut times = Vec::new();
    while !logins.is_finished() {
        let begun = Instant::now();
        pinger.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
        times.push(begun.elapsed());
    }
    assert_eq!(logins.await.unwrap(), MANY);
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    assert!(times.len() > 100, "the log-ins took long enough to see: {}", times.len());
    assert!(p99 < Duration::from_millis(250), "p99 of ping {p99:?} of {}", times.len());
}

#[tokio::test]
async fn a_package_delivers_the_tokens_of_resets_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_with(folder.path().join("auth.sqlite"), cheap()).await.unwrap();
    let app = App::default();
    let events = vec![aaw_test_hooks::module_with(app.clone()).into()];
    let server = TestServer::start_with_events(events, |config| config.auth = Some(Auth::new(store))).await;
    let mut client = server.v1().await;
    let (_, id) = logged_in(&client.call("aaw/register", ADA).await.value());
    let ask = r#"{"email":"ada@example.com"}"#;
    client.call("aaw/password/request-reset", ask).await.assert_eq(r#"{"ok":true}"#);
    let resets = within("a reset", || "none".into(), app.resets(1)).await;
    assert_eq!(resets[0].email, "ada@example.com");
    let set = json!({ "token": resets[0].token, "password": "another horse" }).to_string();
    let (_, again) = logged_in(&client.call("aaw/password/set-new", &set).await.value());
    assert_eq!(again, id);
    client.call("aaw/login", ADA).await.assert_eq(INVALID);
}
