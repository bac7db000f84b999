//! Compatibility with the original npm package, unchanged: its client against our server, on Bun and on Node, and our
//! client against its server.

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

/// Returns the path of Bun, installed from npm.
///
/// # Panics
/// If it is not installed: these tests are never skipped.
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

/// The original client, in a process of its own.
struct NpmClient(Process);

impl NpmClient {
    /// Starts the client, and waits until it has connected.
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
        npm.expect(json!({"state": "open"})).await;
        npm
    }

    async fn execute(&mut self, command: Value) {
        self.0.write_line(&command.to_string()).await;
    }

    async fn expect(&mut self, expected: Value) {
        assert_eq!(self.0.json().await, expected);
    }

    /// Makes a call, and checks that its result is the next line.
    async fn call(&mut self, event: &str, payload: Value, result: Value) {
        self.execute(json!({"tag": event, "do": "sendAsync", "event": event, "payload": payload, "timeout": 20_000}))
            .await;
        let mut expected = result;
        expected["tag"] = event.into();
        self.expect(expected).await;
    }

    async fn perform(&mut self, what: &str, event: &str, payload: Value) {
        self.execute(json!({"tag": what, "do": what, "event": event, "payload": payload})).await;
        self.expect(json!({"tag": what, "result": null})).await;
    }
}

/// Checks everything except reconnection.
async fn check_client(runtime: Runtime) {
    let server = TestServer::start().await;
    let mut a = NpmClient::connect(runtime, &server.url()).await;

    // Without a payload the client sends `null`.
    a.execute(json!({"tag": 1, "do": "sendAsync", "event": "body"})).await;
    a.expect(json!({"tag": 1, "result": {}})).await;
    a.call("echo", json!({"a": 1, "ü": [null, "x"]}), json!({"result": {"a": 1, "ü": [null, "x"]}})).await;
    a.call("ping", json!(null), json!({"result": {"pong": true}})).await;
    a.call("users/get", json!({}), json!({"result": "users/get"})).await;
    a.call("nothing", json!({}), json!({"result": null})).await;
    a.call("sleepy", json!([1]), json!({"result": [1]})).await;

    // Sequential calls of one event.
    for n in 0..50 {
        a.call("echo", json!({ "n": n }), json!({"result": {"n": n}})).await;
    }

    // Errors are thrown by the client.
    a.call(
        "fails/with",
        json!({"error": "Something went wrong", "code": "x"}),
        json!({"error": {"error": "Something went wrong"}}),
    )
    .await;
    a.call("nope", json!(1), json!({"error": {"error": "Unknown event: nope"}})).await;
    a.call("panics/at_once", json!(1), json!({"error": {"error": "Internal error"}})).await;
    a.call(
        "typed",
        json!({"id": "x", "name": ""}),
        json!({"error": {"error": "The body does not fit at id: invalid type: string \"x\", expected i64"}}),
    )
    .await;
    a.execute(
        json!({"tag": "late", "do": "sendAsync", "event": "gate/hold", "payload": {"gate": "late"}, "timeout": 30}),
    )
    .await;
    a.expect(json!({"tag": "late", "error": {"error": "WebSocket error (client): request timed out"}})).await;

    // One-way sends, pushes, broadcasts.
    a.perform("sendSync", "note", json!("plain")).await;
    a.call("notes", json!({}), json!({"result": ["plain"]})).await;
    a.perform("on", "notified", json!(null)).await;
    a.perform("sendSync", "pushes/plain", json!({"event": "notified", "data": {"hi": 1}})).await;
    a.expect(json!({"push": "notified", "data": {"hi": 1}})).await;
    let mut b = NpmClient::connect(runtime, &server.url()).await;
    for npm in [&mut a, &mut b] {
        npm.perform("on", "broadcast", json!(null)).await;
    }
    b.perform("sendSync", "broadcasts/others", json!({"m": 1})).await;
    a.expect(json!({"push": "broadcast", "data": {"m": 1}})).await;
    b.call("ping", json!({}), json!({"result": {"pong": true}})).await;
    b.execute(json!({"tag": "all", "do": "sendSync", "event": "broadcasts/all", "payload": 2})).await;
    b.expect(json!({"tag": "all", "result": null})).await;
    for npm in [&mut a, &mut b] {
        npm.expect(json!({"push": "broadcast", "data": 2})).await;
    }

    // The call record has the key that the client chose, beside our connection id.
    let record = server.calls.first_of("ping").await;
    let key = record["client_key"].as_str().expect("it has a key");
    assert!(key.starts_with('_') && record["connection"] != key, "{record}");
    a.0.close_stdin();
    assert!(a.0.exited().await.success());
    b.0.close_stdin();
    assert!(b.0.exited().await.success());
    until("both connections to be removed", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn the_original_client_on_bun_calls_our_server() {
    check_client(Runtime::Bun).await;
}

#[tokio::test]
async fn the_original_client_on_node_calls_our_server() {
    check_client(Runtime::Node).await;
}

/// Logs in with the original client, which has no support for it: the built-in events are ordinary calls.
async fn check_log_in(runtime: Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("auth.sqlite")).await.expect("a store");
    let server = TestServer::start_with(|config| config.auth = Some(Auth::new(store))).await;
    let mut npm = NpmClient::connect(runtime, &server.url()).await;
    let failed = |error: &str| json!({ "error": { "error": error } });
    npm.call("auth/whoami", json!(null), failed("Not authenticated")).await;
    let ada = json!({ "email": "ada@example.com", "password": "correct horse" });
    npm.call("aaw/login", ada.clone(), failed("Invalid credentials")).await;
    let logged_in = async |npm: &mut NpmClient, event: &str, payload: Value| {
        npm.execute(json!({ "tag": event, "do": "sendAsync", "event": event, "payload": payload, "timeout": 20_000 }))
            .await;
        let response = npm.0.json().await["result"].clone();
        let token = response["token"].as_str().unwrap_or_else(|| panic!("no token: {response}")).to_owned();
        (token, response["user"].clone())
    };
    let (_, user) = logged_in(&mut npm, "aaw/register", ada.clone()).await;
    npm.call("aaw/register", ada.clone(), failed("Email already registered")).await;
    let (token, same) = logged_in(&mut npm, "aaw/login", ada).await;
    assert_eq!(same, user);
    npm.call("auth/whoami", json!(null), json!({ "result": user })).await;
    let mut again = NpmClient::connect(runtime, &server.url()).await;
    again.call("auth/whoami", json!({}), failed("Not authenticated")).await;
    assert_eq!(logged_in(&mut again, "aaw/resume", json!({ "token": token })).await, (token.clone(), user.clone()));
    again.call("auth/whoami", json!({}), json!({ "result": user })).await;
    npm.call("aaw/logout", json!(null), json!({ "result": { "ok": true } })).await;
    again.call("auth/whoami", json!({}), failed("Not authenticated")).await;
    again.call("aaw/resume", json!({ "token": token }), failed("Session expired")).await;
}

#[tokio::test]
async fn the_original_client_on_bun_logs_in_and_resumes() {
    check_log_in(Runtime::Bun).await;
}

#[tokio::test]
async fn the_original_client_on_node_logs_in_and_resumes() {
    check_log_in(Runtime::Node).await;
}

#[tokio::test]
async fn the_original_client_and_ours_receive_the_same_broadcast() {
    let server = TestServer::start().await;
    let mut theirs = NpmClient::connect(Runtime::Bun, &server.url()).await;
    theirs.perform("on", "broadcast", json!(null)).await;
    let (sender, ours) = (connect(&server.url()).await.unwrap(), connect(&server.url()).await.unwrap());
    let mut pushes = ours.on("broadcast");
    sender.send_event("broadcasts/others", json!({"m": 1})).await.unwrap();
    theirs.expect(json!({"push": "broadcast", "data": {"m": 1}})).await;
    assert_eq!(within("a push", || "nothing".into(), pushes.next()).await.unwrap().json(), r#"{"m":1}"#);
}

#[tokio::test]
async fn the_original_client_reconnects_after_a_restart_of_the_server() {
    let mut server = TestServer::start().await;
    let mut npm = NpmClient::connect(Runtime::Bun, &server.url()).await;
    npm.perform("on", "notified", json!(null)).await;
    server.stop();
    npm.expect(json!({"state": "close"})).await;
    server.stopped().await;
    let port = server.addr.port();
    let again = TestServer::start_with(|config| config.port = port).await;
    // The client retries every second. An attempt before the server has started prints an error and a close.
    while npm.0.json().await != json!({"state": "open"}) {}
    npm.call("echo", json!(7), json!({"result": 7})).await;
    npm.perform("sendSync", "pushes/plain", json!({"event": "notified", "data": 1})).await;
    npm.expect(json!({"push": "notified", "data": 1})).await;
    assert_eq!(again.handle.connections(), 1);
}

#[tokio::test]
async fn the_original_client_is_notified_when_the_server_closes() {
    // Node emits `close` only after TCP is closed.
    for runtime in [Runtime::Bun, Runtime::Node] {
        let mut server = TestServer::start().await;
        let mut npm = NpmClient::connect(runtime, &server.url()).await;
        server.stop();
        npm.expect(json!({"state": "close"})).await;
        server.stopped().await;
    }
}

// --- Our client against the original server --------------------------------------------------------------------------

/// Starts the original server. Returns it with its port.
async fn npm_server() -> (Process, u64) {
    let mut command = Command::new(bun());
    command.current_dir(folder()).arg("server.mjs").arg("events");
    let mut server = Process::start(command);
    let port = server.json().await["port"].as_u64().expect("it prints its port");
    (server, port)
}

#[tokio::test]
async fn our_client_calls_the_original_server() {
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

    // Concurrent calls of two events, then sequential calls of one.
    let responses =
        join_all((0..50).map(|n| call(if n % 2 == 0 { "echo" } else { "sub/nested" }, json!({ "n": n })))).await;
    for (n, response) in responses.into_iter().enumerate() {
        assert_eq!(response, Ok(if n % 2 == 0 { json!({ "n": n }) } else { json!({"nested": true}) }));
    }
    for n in 0..50 {
        assert_eq!(call("echo", json!({ "n": n })).await, Ok(json!({ "n": n })));
    }

    // A one-way send, which pushes.
    let mut pushes = client.on("notified");
    client.send_event("notify", json!({"hi": 1})).await.unwrap();
    assert_eq!(within("a push", || "nothing".into(), pushes.next()).await.unwrap().json(), r#"{"hi":1}"#);

    // Our client has sent no event of aaw: the original server exits at an event that it does not know.
    client.close().await;
    server.close_stdin();
    assert!(server.exited().await.success());
    assert!(!server.stderr().contains("aaw/"), "{}", server.stderr());
}

#[tokio::test]
async fn the_original_server_distinguishes_our_clients() {
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
    // Closing one connection does not affect the others, and `includeSelf` reaches the sender.
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
async fn our_client_reconnects_to_the_original_server() {
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
    let response = client.send_async::<Value>("echo", json!({"a": 1}), DEADLINE).await;
    assert_eq!(response, Ok(json!({"a": 1})));
    client.send_event("notify", 7).await.unwrap();
    assert_eq!(within("a push", || "nothing".into(), pushes.next()).await.unwrap().json(), "7");
}

/// Forwards a fixed port to a server whose port changes with each start. Returns the address, and the port to forward
/// to.
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
