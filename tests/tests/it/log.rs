//! Call records: the `on_call` hook receives one for each call. And what the server logs.

use std::time::Instant;

use aaw_test_hooks::_services::OpenBehaviour;
use aaw_tests::http::send_all;
use aaw_tests::{HttpRequest, LogCapture, TestServer, WireClient};
use serde_json::{Value, json};

/// Checks the fields of a record that differ in each run, and returns the others.
async fn record(server: &TestServer, event: &str, connection: &str) -> Value {
    let mut call = server.calls.first_of(event).await;
    let fields: Vec<_> = call.as_object().expect("an object").keys().cloned().collect();
    let result = if call.get("error").is_some() { "error" } else { "result" };
    let mut expected = ["event", "connection", "client_key", "kind", "body", result, "ms"].map(str::to_owned);
    expected.sort();
    assert_eq!(fields, expected);
    let call = call.as_object_mut().expect("an object");
    assert_eq!(call.remove("connection"), Some(connection.into()));
    let ms = call.remove("ms").and_then(|ms| ms.as_f64()).expect("milliseconds");
    assert!((0.0..20_000.0).contains(&ms), "{ms}");
    Value::Object(call.clone())
}

/// Makes a call with a v1 client, and checks its record.
async fn check(event: &str, body: &str, expected: Value) {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.call(event, body).await;
    let mut expected = expected;
    expected["event"] = event.into();
    expected["client_key"] = "_key".into();
    assert_eq!(record(&server, event, &client.connection).await, expected);
    assert_eq!(server.calls.all().len(), 1, "one record for each call");
}

#[tokio::test]
async fn a_record_contains_the_result() {
    check("echo", r#"{"a":[1]}"#, json!({"kind": "unary", "body": {"a": [1]}, "result": {"a": [1]}})).await;
    check("sleepy", "7", json!({"kind": "unary", "body": 7, "result": 7})).await;
    check("ping", "null", json!({"kind": "unary", "body": null, "result": {"pong": true}})).await;
    // A result of `null` is recorded.
    check("nothing", "{}", json!({"kind": "unary", "body": {}, "result": null})).await;
}

#[tokio::test]
async fn a_one_way_event_has_a_record() {
    check("note", "7", json!({"kind": "one_way", "body": 7, "result": null})).await;
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["note",8]"#).await;
    let record = record(&server, "note", &client.connection).await;
    assert_eq!(record, json!({"event": "note", "client_key": "_key", "kind": "one_way", "body": 8, "result": null}));
}

#[tokio::test]
async fn a_record_contains_the_error() {
    let failed = |code: &str, error: &str| json!({"error": error, "code": code});
    let body = json!({"error": "no", "data": [1]});
    let error = json!({"error": "no", "code": "handler", "data": [1]});
    check("fails/with", &body.to_string(), json!({"kind": "unary", "body": body, "error": error})).await;
    let error = failed("handler", "a plain event failed");
    check("fails/plain", "1", json!({"kind": "one_way", "body": 1, "error": error})).await;
    let error = failed("panic", "Internal error");
    check("panics/late", "1", json!({"kind": "unary", "body": 1, "error": error})).await;
}

#[tokio::test]
async fn a_rejected_call_has_a_record() {
    let failed = |code: &str, error: &str| json!({"error": error, "code": code});
    let error = failed("unknown_event", "Unknown event: unknown_name");
    let shape = "[redacted array of 3 bytes]";
    check("unknown_name", "[1]", json!({"kind": "unknown", "body": shape, "error": error})).await;
    let error = failed("bad_body", "The body does not fit: missing field `name`");
    check("typed", r#"{"id":1}"#, json!({"kind": "unary", "body": {"id": 1}, "error": error})).await;
    let error = failed("unreachable", "Authentication is not enabled — auth/secret is unreachable");
    check("auth/secret", "1", json!({"kind": "unary", "body": 1, "error": error})).await;
}

#[tokio::test]
async fn a_cancelled_call_has_a_record() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    let record = record(&server, "gate/hold", &client.connection).await;
    assert_eq!((&record["body"], &record["error"]["code"]), (&json!({"gate": "x"}), &json!("cancelled")));
    assert_eq!(server.calls.all().len(), 1);
}

#[tokio::test]
async fn a_call_of_a_disconnected_client_has_a_record() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    server.v1().await.call("gate/wait", r#"{"gate":"x","came":1}"#).await;
    let connection = client.connection.clone();
    client.close().await;
    let record = record(&server, "gate/hold", &connection).await;
    assert_eq!(record["error"]["code"], "cancelled");
}

#[tokio::test]
async fn a_call_that_timed_out_has_a_record() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1,"call",{"timeout":1}]"#).await;
    assert!(client.next().await.contains(r#""code":"timeout""#));
    let record = record(&server, "gate/hold", &client.connection).await;
    assert_eq!(record["error"]["code"], "cancelled");
}

#[tokio::test]
async fn records_contain_the_connection_and_the_client_key() {
    let server = TestServer::start().await;
    let mut no_key = WireClient::connect(server.addr, None).await;
    no_key.call("ping", "1").await;
    let (mut a, mut b) = (server.classic().await, server.classic().await);
    a.call("echo", "1").await;
    b.call("echo", "2").await;
    let calls = server.calls.all();
    assert_eq!(calls[0]["client_key"], Value::Null);
    assert_eq!((&calls[1]["client_key"], &calls[2]["client_key"]), (&json!("_key"), &json!("_key")));
    assert_ne!(calls[1]["connection"], calls[2]["connection"]);
}

#[tokio::test]
async fn secrets_in_bodies_of_built_in_events_are_redacted() {
    let body = r#"{"email":"a@b","password":"hunter2","deep":{"resetToken":"hunter2"}}"#;
    let redacted = json!({"email": "a@b", "password": "[redacted]", "deep": {"resetToken": "[redacted]"}});
    let error = json!({"error": "Unknown event: aaw/login", "code": "unknown_event"});
    check("aaw/login", body, json!({"kind": "unknown", "body": redacted, "error": error})).await;
}

#[tokio::test]
async fn fields_with_a_secret_name_are_redacted_in_the_records_of_all_events() {
    let own = json!({"password": "hunter2", "name": "Ada", "list": [{"newPass": ["hunter2"], "compass": 90}]});
    let redacted = json!({"password": "[redacted]", "name": "Ada", "list": [{"newPass": "[redacted]", "compass": 90}]});
    check("echo", &own.to_string(), json!({"kind": "unary", "body": redacted, "result": redacted})).await;
}

#[tokio::test]
async fn of_the_body_of_an_unknown_event_only_type_and_size_are_recorded() {
    // Misspelt log-ins.
    let error = json!({"error": "Unknown event: login", "code": "unknown_event"});
    for (body, shape) in [
        (r#"["ada","hunter2"]"#, json!("[redacted array of 17 bytes]")),
        (r#""hunter2""#, json!("[redacted string of 9 bytes]")),
        (r#"{"email":"a@b","Kennung":"hunter2"}"#, json!("[redacted object of 35 bytes]")),
        ("12345678", json!("[redacted number of 8 bytes]")),
        ("null", Value::Null),
    ] {
        check("login", body, json!({"kind": "unknown", "body": shape, "error": error})).await;
    }
}

#[tokio::test]
async fn log_lines_of_an_event_are_in_the_log_of_the_server() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    server.v1().await.call("log", r#""hello""#).await.assert_eq("null");
    log.expect_line(&["WARN", "the body is", "hello"]);
}

#[tokio::test]
async fn a_flood_of_bad_frames_logs_one_warning() {
    let log = LogCapture::start();
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send_all((0..500).map(|_| "not a frame")).await;
    for _ in 0..500 {
        client.next().await;
    }
    let text = log.text();
    assert_eq!(text.lines().filter(|line| line.contains("WARN") && line.contains("bad frame")).count(), 1);
}

/// Counts the lines that contain the text, without those for debugging.
fn count(log: &LogCapture, text: &str) -> usize {
    log.text().lines().filter(|line| line.contains(text) && !line.contains("DEBUG")).count()
}

/// Checks that a burst which has begun at this time, and could have caused a line `causes` times, was throttled.
#[track_caller]
fn check_throttled(log: &LogCapture, line: &str, each_second: usize, causes: usize, begun: Instant) {
    let most = each_second * (begun.elapsed().as_secs() as usize + 2);
    let lines = count(log, line);
    assert!((1..=most).contains(&lines), "{line}: {lines} lines for {causes} causes, expected at most {most}");
}

#[tokio::test]
async fn each_kind_of_line_that_clients_can_cause_is_throttled() {
    const CONNECTIONS: usize = 60;
    const CALLS: usize = 300;
    let log = LogCapture::start();
    let app = aaw_test_hooks::_services::App::default();
    let hooks = aaw_server::Events::new(aaw_test_hooks::module_with(app.clone())).under("hooks");
    // Faults of handlers are counted by event: other tests must not miss their lines.
    let flood = aaw_server::Events::new(aaw_test_events::module()).under("flood");
    let server = TestServer::start_with_events(vec![flood, hooks], |_| {}).await;

    let begun = Instant::now();
    let handshake = || HttpRequest::handshake(server.addr).replace("Sec-WebSocket-Version", "8");
    send_all(&[(); CONNECTIONS].map(|()| handshake())).await;
    check_throttled(&log, "refused a connection: ", 1, CONNECTIONS, begun);
    let begun = Instant::now();
    let foreign = || HttpRequest::post(server.addr, "/events/flood/ping", "").header("Origin", "https://evil.example");
    send_all(&[(); CONNECTIONS].map(|()| foreign())).await;
    check_throttled(&log, "refused a request: ", 1, CONNECTIONS, begun);

    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(server.v1().await);
    }
    let begun = Instant::now();
    for client in &mut clients {
        client.send("not a frame").await;
    }
    for client in &mut clients {
        client.next().await;
    }
    check_throttled(&log, "bad frame: ", 10, CONNECTIONS, begun);

    let mut client = server.v1().await;
    for (event, line) in [("flood/panics/plain", "the handler panicked: "), ("flood/fails/flood", "a handler failed: ")]
    {
        let begun = Instant::now();
        for _ in 0..CALLS {
            client.start_call(event, "null").await;
        }
        for _ in 0..CALLS {
            client.next().await;
        }
        check_throttled(&log, line, 10, CALLS, begun);
    }

    app.passes.forget_permits(usize::MAX);
    app.on_open(OpenBehaviour { refusal: Some("Members only".into()), ..OpenBehaviour::default() });
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(server.classic().await);
    }
    app.openings(2 * CONNECTIONS + 1).await;
    let begun = Instant::now();
    app.passes.add_permits(CONNECTIONS);
    for client in &mut clients {
        client.expect_close(1008).await;
    }
    check_throttled(&log, "_open refused the connection", 10, CONNECTIONS, begun);
}

#[tokio::test]
async fn a_panic_of_the_hook_affects_no_other_connection() {
    let config = aaw_tests::server::config();
    let server = aaw_server::Server::new(config).events(aaw_test_events::module());
    let server = server.on_call(|call| assert!(call.event != "nope", "the hook panics"));
    let bound = server.bind().await.unwrap();
    let addr = bound.local_addr();
    tokio::spawn(bound.serve(std::future::pending()));
    let mut other = WireClient::connect_v1(addr).await;
    other.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    for _ in 0..3 {
        // The call that panics may or may not get a response.
        let mut client = WireClient::connect_v1(addr).await;
        client.send(r#"["nope",null,1]"#).await;
    }
    other.send(r#"["gate/release",{"gate":"x"}]"#).await;
    other.expect(r#"["gate/hold",{"held":"x"},1]"#).await;
    WireClient::connect_v1(addr).await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}
