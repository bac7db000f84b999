//! The spans of connections and calls, and the frames in the log.

use aaw_server::auth::SqliteStore;
use aaw_server::{Events, Server};
use aaw_tests::cargo::artifacts;
use aaw_tests::{HttpRequest, LogCapture, Process, TestServer, WireClient, until};
use serde_json::{Value, json};
use tokio::process::Command;

// --- A server in a process of its own, with loaded events --------------------------------------------------------------

/// A server that loads the test events and logs JSON, with the log filter `filter`.
struct LoadedServer {
    process: Process,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

impl LoadedServer {
    async fn start(filter: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = &artifacts().await.events;
        std::fs::copy(library, folder.path().join(library.file_name().unwrap())).unwrap();
        let mut command = Command::new(&artifacts().await.server);
        command.arg(folder.path()).args(["--port", "0", "--log", "json"]).args(flags);
        command.env("RUST_LOG", format!("info,{filter}")).current_dir(folder.path());
        let process = Process::start(command);
        let line = process.stderr_line(&["listening on ws://"]).await;
        let address = line.split(['(', ')']).nth(1).expect("the address is in brackets").parse().unwrap();
        Self { process, address, _folder: folder }
    }

    /// Waits for a line on standard error that contains all of `words`.
    async fn line(&self, words: &[&str]) -> Value {
        let line = self.process.stderr_line(words).await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

/// The names of the spans of a line, outermost first.
fn names(line: &Value) -> Vec<&str> {
    let spans = line["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
    spans.iter().map(|span| span["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_line_of_a_loaded_handler_is_in_the_spans_of_its_connection_and_its_call() {
    let server = LoadedServer::start("aaw_server=debug", &[]).await;
    let mut client = WireClient::connect_v1(server.address).await;
    client.call("ping", "null").await;
    client.call("log", r#""hello""#).await;
    let line = server.line(&["the body is"]).await;
    assert_eq!((&line["target"], &line["level"]), (&json!("aaw::module"), &json!("WARN")), "{line}");
    assert_eq!(names(&line), ["connection", "call"], "{line}");
    let mut connection = line["spans"][0].clone();
    let port = connection.as_object_mut().unwrap().remove("network.peer.port");
    assert!(port.is_some_and(|port| port.is_u64()), "{line}");
    let expected = json!({
        "name": "connection",
        "aaw.connection.id": client.connection,
        "network.protocol.name": "websocket",
        "network.peer.address": "127.0.0.1",
        "aaw.dialect": "v1",
        "aaw.client_key": "_key",
    });
    assert_eq!(connection, expected);
    let expected = json!({
        "name": "call",
        "otel.kind": "server",
        "otel.name": "log",
        "rpc.system": "aaw",
        "rpc.method": "log",
        "network.protocol.name": "websocket",
        "aaw.call.id": 2,
    });
    assert_eq!(line["spans"][1], expected);
}

#[tokio::test]
async fn a_loaded_handler_that_waits_stays_in_the_span_of_its_call() {
    let server = LoadedServer::start("aaw_server=debug", &[]).await;
    let mut client = WireClient::connect_v1(server.address).await;
    // The handler waits at the gate, since calls of one connection start in order.
    client.send(r#"["logs/later",{"gate":"x"},1]"#).await;
    client.send(r#"["gate/release",{"gate":"x"}]"#).await;
    client.expect(r#"["logs/later",null,1]"#).await;
    for message in ["before", "after", "dropped"] {
        let line = server.line(&["aaw::module", message, &client.connection]).await;
        assert_eq!((names(&line), &line["spans"][1]["rpc.method"]), (vec!["connection", "call"], &json!("logs/later")));
    }
}

#[tokio::test]
async fn at_the_level_info_lines_have_no_spans() {
    let server = LoadedServer::start("aaw::module=warn", &[]).await;
    WireClient::connect_v1(server.address).await.call("log", r#""hello""#).await;
    let line = server.line(&["the body is"]).await;
    assert_eq!(line.get("spans"), None, "{line}");
}

#[tokio::test]
async fn a_filter_by_event_shows_the_lines_of_its_calls_only() {
    let server = LoadedServer::start("aaw::module=off,[call{rpc.method=log}]=trace", &[]).await;
    let mut client = WireClient::connect_v1(server.address).await;
    client.send(r#"["logs/later",{"gate":"x"},1]"#).await;
    client.send(r#"["gate/release",{"gate":"x"},2]"#).await;
    client.send(r#"["log","hello",3]"#).await;
    server.line(&["the body is"]).await;
    let stderr = server.process.stderr();
    assert!(!stderr.contains("before") && !stderr.contains(r#""rpc.method":"logs/later""#), "{stderr}");
}

#[tokio::test]
async fn frames_are_logged_at_trace_without_secrets() {
    let server = LoadedServer::start("aaw_server=trace", &["--auth", "users.sqlite"]).await;
    let mut client = WireClient::connect_v1(server.address).await;
    client.call("echo", r#"{"a":1}"#).await;
    let registered = client.call("aaw/register", r#"{"email":"a@b.example","password":"hunter2-secret"}"#).await;
    let token = registered.value()["token"].as_str().expect("a token").to_owned();
    client.call("aaw/resume", &json!({ "token": token }).to_string()).await;
    client.call("login", r#"["ada","hunter2-secret"]"#).await;
    client.send(r#"["aaw/login",{"password":"hunter2-secret"#).await;
    client.next().await;
    let connection = client.connection.clone();
    client.close().await;
    server.line(&["closed by the client", &connection]).await;
    for (message, bytes) in [(r#"received ["echo",{"a":1},1]"#, 18), (r#"sent ["echo",{"a":1},1]"#, 18)] {
        let line = server.line(&[&serde_json::to_string(message).unwrap()]).await;
        assert_eq!((&line["level"], &line["target"]), (&json!("TRACE"), &json!("aaw_server::frames")));
        assert_eq!((names(&line), &line["bytes"]), (vec!["connection"], &json!(bytes)));
    }
    server.line(&["received", "aaw/register", "a@b.example", "[redacted]"]).await;
    server.line(&["sent", "aaw/register", "[redacted]"]).await;
    server.line(&["received", "aaw/resume", "[redacted]"]).await;
    server.line(&["received", "[redacted array of 24 bytes]"]).await;
    server.line(&["sent", "aaw/welcome", &connection]).await;
    let stderr = server.process.stderr();
    assert!(!stderr.contains("hunter2-secret") && !stderr.contains(&token), "{stderr}");
}

#[tokio::test]
async fn the_end_of_each_call_and_connection_is_logged_at_debug() {
    let server = LoadedServer::start("aaw_server=debug", &[]).await;
    let mut client = WireClient::connect_v1(server.address).await;
    client.call("ping", "null").await;
    client.call("fails/with", r#"{"error":"no"}"#).await;
    client.send(r#"["gate/hold",{"gate":"x"},3]"#).await;
    client.send(r#"["gate/hold",null,3,"cancel"]"#).await;
    for (method, message, error) in [
        ("ping", "completed", json!(null)),
        ("fails/with", "failed: no", json!("handler")),
        ("gate/hold", "cancelled", json!("cancelled")),
    ] {
        let line = server.line(&["aaw_server::call", &format!("\"{method}\"")]).await;
        assert_eq!((&line["message"], &line["level"]), (&json!(message), &json!("DEBUG")), "{line}");
        assert!(line["ms"].as_f64().is_some_and(|ms| (0.0..20_000.0).contains(&ms)), "{line}");
        assert_eq!(line["spans"][1]["error.type"], error, "{line}");
    }
    let connection = client.connection.clone();
    client.close().await;
    let line = server.line(&["closed by the client", &connection]).await;
    assert_eq!((&line["level"], names(&line)), (&json!("DEBUG"), vec!["connection"]));
    // The log of calls on standard output is as it was.
    let stdout = server.process.stdout();
    assert_eq!(stdout.lines().count(), 3, "{stdout}");
    assert!(!stdout.contains("spans") && !stdout.contains("rpc.method"), "{stdout}");
}

// --- Linked events, in this process ------------------------------------------------------------------------------------

#[tokio::test]
async fn lines_of_a_linked_handler_are_in_the_span_of_its_call_until_it_is_dropped() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    for (event, meta) in [("logs/later", ""), ("logs/items", r#","call",{"credit":9}"#), ("logs/items", "")] {
        let mut client = server.v1().await;
        // The handler waits at the gate, since calls of one connection start in order.
        client.send(&format!(r#"["{event}",{{"gate":"x"}},1{meta}]"#)).await;
        client.send(r#"["gate/release",{"gate":"x"}]"#).await;
        client.collect_until(|frame| !frame.ends_with(r#""item"]"#)).await;
        let text = log.text();
        let ours = || text.lines().filter(|line| line.contains(&client.connection));
        for message in ["before", "after", "dropped"] {
            let line = ours().find(|line| line.ends_with(message)).unwrap_or_else(|| panic!("no {message}:\n{text}"));
            let spans = format!("}}:call{{otel.kind=\"server\" otel.name=\"{event}\"");
            assert!(line.contains(&format!("connection{{aaw.connection.id={}", client.connection)), "{line}");
            assert!(line.contains(&spans) && line.contains("aaw.call.id=1"), "{line}");
        }
        let completed = ours().filter(|line| line.contains(": completed ms=") && line.contains(event));
        assert_eq!(completed.count(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_handler_that_is_dropped_with_its_connection_is_dropped_in_the_span_of_its_call() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    for (event, meta) in [("logs/later", ""), ("logs/items", r#","call",{"credit":9}"#)] {
        let mut client = server.v1().await;
        client.send(&format!(r#"["{event}",{{"gate":"never"}},1{meta}]"#)).await;
        client.send(r#"["ping",null,2]"#).await;
        client.collect_until(|frame| frame.contains("ping")).await;
        let connection = client.connection.clone();
        client.close().await;
        let ours = |message: &str| {
            let of_call = format!("rpc.method=\"{event}\"");
            let text = log.text();
            text.lines().any(|line| [message, &of_call, &connection].iter().all(|word| line.contains(word)))
        };
        until("the handler is dropped in its span", || ours(": dropped") && ours(": cancelled ms=")).await;
    }
}

#[tokio::test]
async fn a_call_over_http_has_a_span_too() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    let response = HttpRequest::post(server.addr, "/events/logs/items", r#"{"gate":"x"}"#);
    let release = HttpRequest::post(server.addr, "/events/gate/release", r#"{"gate":"x"}"#);
    let (items, _) = tokio::join!(response.send(), release.send());
    assert_eq!(items.status, 200);
    for message in ["before", "after", "dropped"] {
        let line = log.line(message).await;
        let of_call = "call{otel.kind=\"server\" otel.name=\"logs/items\" rpc.system=\"aaw\" rpc.method=\"logs/items\" \
                       network.protocol.name=\"http\" client.address=127.0.0.1 aaw.connection.id=";
        assert!(line.contains(of_call) && !line.contains("connection{"), "{line}");
    }
    // The record of the call names the same caller.
    let record = server.calls.first_of("logs/items").await;
    let id = record["connection"].as_str().unwrap();
    assert!(log.line("before").await.contains(&format!("aaw.connection.id={id}")));
}

#[tokio::test]
async fn the_call_hook_runs_in_the_span_of_its_call() {
    let log = LogCapture::start();
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("users.sqlite")).await.unwrap();
    let events: Events = aaw_test_events::module().into();
    let server = Server::new(aaw_tests::server::config()).events(events).auth(store);
    let bound = server.on_call(|call| tracing::info!("the hook: {}", call.event)).bind().await.unwrap();
    let addr = bound.local_addr();
    let serving = tokio::spawn(bound.serve(std::future::pending()));
    let mut client = WireClient::connect_v1(addr).await;
    for event in ["ping", "sleepy", "nope", "auth/whoami", "aaw/logout"] {
        client.call(event, "null").await;
        let line = log.line(&format!("the hook: {event}")).await;
        assert!(line.contains(&format!("rpc.method=\"{event}\"")), "{line}");
    }
    serving.abort();
}
