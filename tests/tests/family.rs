//! A11: the original, unchanged. Its client against our server, on Bun and on Node; our client against its server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use aaw_client::{CallError, ConnectionEvent, connect};
use aaw_server::auth::{Auth, SqliteStore};
use aaw_tests::{DEADLINE, Process, TestServer, until, within};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("family")
}

/// Bun, from npm.
///
/// # Panics
/// If it was not installed: these tests are not skipped.
fn bun() -> PathBuf {
    let bun = folder().join("node_modules/.bin/bun");
    let package = folder().join("node_modules/async-await-websockets/client.js");
    assert!(
        bun.exists() && package.exists(),
        "the original is not installed: run `npm ci --prefix {}`",
        folder().display()
    );
    bun
}

#[derive(Debug, Clone, Copy)]
enum Runtime {
    Bun,
    Node,
}

/// The npm client in a process of its own.
struct Npm(Process);

impl Npm {
    /// Connected.
    async fn connect(runtime: Runtime, url: &str) -> Self {
        let mut command = match runtime {
            Runtime::Bun => Command::new(bun()),
            Runtime::Node => {
                bun();
                let mut node = Command::new("node");
                node.arg("--experimental-websocket");
                node
            }
        };
        command.current_dir(folder()).arg("client.mjs").arg(url);
        let mut npm = Self(Process::start(command));
        npm.prints(json!({"state": "open"})).await;
        npm
    }

    async fn tell(&mut self, command: Value) {
        self.0.write_line(&command.to_string()).await;
    }

    async fn prints(&mut self, expected: Value) {
        assert_eq!(self.0.json().await, expected);
    }

    /// A call that is answered with this, and nothing before it.
    async fn calls(&mut self, event: &str, payload: Value, outcome: Value) {
        self.tell(json!({"tag": event, "do": "sendAsync", "event": event, "payload": payload, "timeout": 20_000}))
            .await;
        let mut expected = outcome;
        expected["tag"] = event.into();
        self.prints(expected).await;
    }

    async fn does(&mut self, what: &str, event: &str, payload: Value) {
        self.tell(json!({"tag": what, "do": what, "event": event, "payload": payload})).await;
        self.prints(json!({"tag": what, "result": null})).await;
    }
}

/// Everything that does not need a second try to connect.
async fn check_client(runtime: Runtime) {
    let server = TestServer::start().await;
    let mut a = Npm::connect(runtime, &server.url()).await;

    // Without a payload it sends `null`.
    a.tell(json!({"tag": 1, "do": "sendAsync", "event": "body"})).await;
    a.prints(json!({"tag": 1, "result": {}})).await;
    a.calls("echo", json!({"a": 1, "ü": [null, "x"]}), json!({"result": {"a": 1, "ü": [null, "x"]}})).await;
    a.calls("ping", json!(null), json!({"result": {"pong": true}})).await;
    a.calls("users/get", json!({}), json!({"result": "users/get"})).await;
    a.calls("nothing", json!({}), json!({"result": null})).await;
    a.calls("sleepy", json!([1]), json!({"result": [1]})).await;

    // One after the other, of one event.
    for n in 0..50 {
        a.calls("echo", json!({ "n": n }), json!({"result": {"n": n}})).await;
    }

    // Failures are what it throws.
    a.calls(
        "fails/with",
        json!({"error": "Something went wrong", "code": "x"}),
        json!({"error": {"error": "Something went wrong"}}),
    )
    .await;
    a.calls("nope", json!(1), json!({"error": {"error": "Unknown event: nope"}})).await;
    a.calls("panics/at_once", json!(1), json!({"error": {"error": "Internal error"}})).await;
    a.calls(
        "typed",
        json!({"id": "x", "name": ""}),
        json!({"error": {"error": "The body does not fit at id: invalid type: string \"x\", expected i64"}}),
    )
    .await;
    a.tell(json!({"tag": "late", "do": "sendAsync", "event": "gate/hold", "payload": {"gate": "late"}, "timeout": 30}))
        .await;
    a.prints(json!({"tag": "late", "error": {"error": "WebSocket error (client): request timed out"}})).await;

    // Plain events, pushes, broadcasts.
    a.does("sendSync", "note", json!("plain")).await;
    a.calls("notes", json!({}), json!({"result": ["plain"]})).await;
    a.does("on", "notified", json!(null)).await;
    a.does("sendSync", "pushes/plain", json!({"event": "notified", "data": {"hi": 1}})).await;
    a.prints(json!({"push": "notified", "data": {"hi": 1}})).await;
    let mut b = Npm::connect(runtime, &server.url()).await;
    for npm in [&mut a, &mut b] {
        npm.does("on", "broadcast", json!(null)).await;
    }
    b.does("sendSync", "broadcasts/others", json!({"m": 1})).await;
    a.prints(json!({"push": "broadcast", "data": {"m": 1}})).await;
    b.calls("ping", json!({}), json!({"result": {"pong": true}})).await;
    b.tell(json!({"tag": "all", "do": "sendSync", "event": "broadcasts/all", "payload": 2})).await;
    b.prints(json!({"tag": "all", "result": null})).await;
    for npm in [&mut a, &mut b] {
        npm.prints(json!({"push": "broadcast", "data": 2})).await;
    }

    // Its key is in the log, and no id of ours.
    let told = server.calls.first_of("ping").await;
    let key = told["client_key"].as_str().expect("it has a key");
    assert!(key.starts_with('_') && told["connection"] != key, "{told}");
    a.0.close_stdin();
    assert!(a.0.exited().await.success());
    b.0.close_stdin();
    assert!(b.0.exited().await.success());
    until("both to be gone", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn its_client_on_bun_calls_our_server() {
    check_client(Runtime::Bun).await;
}

#[tokio::test]
async fn its_client_on_node_calls_our_server() {
    check_client(Runtime::Node).await;
}

/// A14 to A16, with a client that knows nothing of log-ins: they are calls as any other.
async fn check_log_in(runtime: Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("auth.sqlite")).await.expect("a store");
    let server = TestServer::start_with(|config| config.auth = Some(Auth::new(store))).await;
    let mut npm = Npm::connect(runtime, &server.url()).await;
    let failed = |error: &str| json!({ "error": { "error": error } });
    npm.calls("auth/whoami", json!(null), failed("Not authenticated")).await;
    let ada = json!({ "email": "ada@example.com", "password": "correct horse" });
    npm.calls("aaw/login", ada.clone(), failed("Invalid credentials")).await;
    let logged_in = async |npm: &mut Npm, event: &str, payload: Value| {
        npm.tell(json!({ "tag": event, "do": "sendAsync", "event": event, "payload": payload, "timeout": 20_000 }))
            .await;
        let answer = npm.0.json().await["result"].clone();
        let token = answer["token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned();
        (token, answer["user"].clone())
    };
    let (_, user) = logged_in(&mut npm, "aaw/register", ada.clone()).await;
    npm.calls("aaw/register", ada.clone(), failed("Email already registered")).await;
    let (token, same) = logged_in(&mut npm, "aaw/login", ada).await;
    assert_eq!(same, user);
    npm.calls("auth/whoami", json!(null), json!({ "result": user })).await;
    let mut again = Npm::connect(runtime, &server.url()).await;
    again.calls("auth/whoami", json!({}), failed("Not authenticated")).await;
    assert_eq!(logged_in(&mut again, "aaw/resume", json!({ "token": token })).await, (token.clone(), user.clone()));
    again.calls("auth/whoami", json!({}), json!({ "result": user })).await;
    npm.calls("aaw/logout", json!(null), json!({ "result": { "ok": true } })).await;
    again.calls("auth/whoami", json!({}), failed("Not authenticated")).await;
    again.calls("aaw/resume", json!({ "token": token }), failed("Session expired")).await;
}

#[tokio::test]
async fn its_client_on_bun_logs_in_and_resumes() {
    check_log_in(Runtime::Bun).await;
}

#[tokio::test]
async fn its_client_on_node_logs_in_and_resumes() {
    check_log_in(Runtime::Node).await;
}

#[tokio::test]
async fn its_client_on_bun_and_ours_hear_one_broadcast() {
    let server = TestServer::start().await;
    let mut theirs = Npm::connect(Runtime::Bun, &server.url()).await;
    theirs.does("on", "broadcast", json!(null)).await;
    let (sender, ours) = (connect(&server.url()).await.unwrap(), connect(&server.url()).await.unwrap());
    let mut pushes = ours.on("broadcast");
    sender.send_event("broadcasts/others", json!({"m": 1})).await.unwrap();
    theirs.prints(json!({"push": "broadcast", "data": {"m": 1}})).await;
    assert_eq!(within("a push", || "nothing".into(), pushes.next()).await.unwrap().json(), r#"{"m":1}"#);
}

#[tokio::test]
async fn its_client_on_bun_comes_back_after_the_server_was_restarted() {
    let mut server = TestServer::start().await;
    let mut npm = Npm::connect(Runtime::Bun, &server.url()).await;
    npm.does("on", "notified", json!(null)).await;
    server.stop();
    npm.prints(json!({"state": "close"})).await;
    server.stopped().await;
    let port = server.addr.port();
    let again = TestServer::start_with(|config| config.port = port).await;
    // It tries once a second; an attempt before the server was there is an error and a close.
    while npm.0.json().await != json!({"state": "open"}) {}
    npm.calls("echo", json!(7), json!({"result": 7})).await;
    npm.does("sendSync", "pushes/plain", json!({"event": "notified", "data": 1})).await;
    npm.prints(json!({"push": "notified", "data": 1})).await;
    assert_eq!(again.handle.connections(), 1);
}

#[tokio::test]
async fn its_client_sees_a_connection_that_the_server_ends() {
    // Node fires no `close` before TCP is closed.
    for runtime in [Runtime::Bun, Runtime::Node] {
        let mut server = TestServer::start().await;
        let mut npm = Npm::connect(runtime, &server.url()).await;
        server.stop();
        npm.prints(json!({"state": "close"})).await;
        server.stopped().await;
    }
}

// --- Our client, its server -------------------------------------------------------------------------------------------

/// The npm server.
async fn npm_server() -> (Process, u64) {
    let mut command = Command::new(bun());
    command.current_dir(folder()).arg("server.mjs").arg("events");
    let mut server = Process::start(command);
    let port = server.json().await["port"].as_u64().expect("it prints its port");
    (server, port)
}

#[tokio::test]
async fn our_client_calls_its_server() {
    let (mut server, port) = npm_server().await;
    let client = connect(&format!("ws://127.0.0.1:{port}")).await.unwrap();
    let call = async |event: &str, body: Value| client.send_async::<Value>(event, body, DEADLINE).await;
    assert_eq!(call("ping", json!(null)).await, Ok(json!({"pong": true})));
    assert_eq!(call("sub/nested", json!({})).await, Ok(json!({"nested": true})));
    assert_eq!(call("echo", json!({"a": [1, "ü"]})).await, Ok(json!({"a": [1, "ü"]})));
    match call("explode", json!({})).await {
        Err(CallError::Failed(failure)) => assert_eq!(failure.error, "Error: Something went wrong"),
        other => panic!("{other:?}"),
    }
    let late = client.send_async::<Value>("slow", json!({"ms": 60_000}), Duration::from_millis(30)).await;
    assert!(matches!(late, Err(CallError::TimedOut { sent: true, .. })), "{late:?}");

    // Events of several names at once, and one event again and again.
    let answers =
        join_all((0..50).map(|n| call(if n % 2 == 0 { "echo" } else { "sub/nested" }, json!({ "n": n })))).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, Ok(if n % 2 == 0 { json!({ "n": n }) } else { json!({"nested": true}) }));
    }
    for n in 0..50 {
        assert_eq!(call("echo", json!({ "n": n })).await, Ok(json!({ "n": n })));
    }

    // A plain event, which pushes.
    let mut pushes = client.on("notified");
    client.send_event("notify", json!({"hi": 1})).await.unwrap();
    assert_eq!(within("a push", || "nothing".into(), pushes.next()).await.unwrap().json(), r#"{"hi":1}"#);

    // Nothing of ours has ended it: it would not outlive an event that it does not know.
    client.close().await;
    server.close_stdin();
    assert!(server.exited().await.success());
    assert!(!server.stderr().contains("aaw/"), "{}", server.stderr());
}

#[tokio::test]
async fn its_server_keeps_our_clients_apart() {
    let (_server, port) = npm_server().await;
    let url = format!("ws://127.0.0.1:{port}");
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(connect(&url).await.unwrap());
    }
    let mut pushes: Vec<_> = clients.iter().map(|client| client.on("broadcast")).collect();
    clients[0].send_event("announce", json!({"m": 1})).await.unwrap();
    for others in &mut pushes[1..] {
        assert_eq!(within("a push", || "nothing".into(), others.next()).await.unwrap().json(), r#"{"m":1}"#);
    }
    // One that goes takes nobody's place; and whoever asks hears itself.
    clients.pop().unwrap().close().await;
    pushes.pop();
    clients[1].send_event("announce", json!({"m": 2, "includeSelf": true})).await.unwrap();
    for all in &mut pushes {
        assert_eq!(
            within("a push", || "nothing".into(), all.next()).await.unwrap().json(),
            r#"{"includeSelf":true,"m":2}"#
        );
    }
}

#[tokio::test]
async fn our_client_comes_back_to_its_server() {
    let (mut first, port) = npm_server().await;
    let (addr, to) = relay(port).await;
    let client = connect(&format!("ws://{addr}")).await.unwrap();
    let mut changes = client.connection_events();
    let mut pushes = client.on("notified");
    first.close_stdin();
    first.exited().await;
    let closed = within("the end", || "nothing".into(), changes.next()).await;
    assert!(matches!(closed, Some(ConnectionEvent::Close(_))), "{closed:?}");
    let (_second, port) = npm_server().await;
    to.store(port as u16, Ordering::SeqCst);
    let answer = client.send_async::<Value>("echo", json!({"a": 1}), DEADLINE).await;
    assert_eq!(answer, Ok(json!({"a": 1})));
    client.send_event("notify", 7).await.unwrap();
    assert_eq!(within("a push", || "nothing".into(), pushes.next()).await.unwrap().json(), "7");
}

/// A port that stays, before a server whose port is another each time it starts.
async fn relay(port: u64) -> (SocketAddr, Arc<AtomicU16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a free port");
    let to = Arc::new(AtomicU16::new(port as u16));
    let target = Arc::clone(&to);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let target = target.load(Ordering::SeqCst);
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (addr, to)
}
