//! How long a handler may run: `Config::max_call_time` and `MAX_CALL_TIME`, `Config::guard_timeout` is in `guards`; what
//! runs for nobody: streams without a reader, and sends whose connection has ended.

use std::time::Duration;

use aaw_test_events::_services::Counts;
use aaw_tests::raw::{self, RawConnection};
use aaw_tests::{HttpRequest, TestServer, until, within};
use serde_json::json;

const LIMIT: Duration = Duration::from_millis(30);
const FAILURE: &str = r#"{"error":"The call did not complete within the server's limit of 30ms","code":"timeout"}"#;

async fn start() -> TestServer {
    TestServer::start_with(|config| config.max_call_time = LIMIT).await
}

/// Waits until a call that began after everything before it has exceeded the limit.
async fn exceed_limit(server: &TestServer) {
    server.v1().await.call("gate/hold", r#"{"gate":"nobody opens it"}"#).await.assert_eq(FAILURE);
}

async fn wait_for_counts(server: &TestServer, gate: &str, least: Counts) -> Counts {
    let gate = server.app.gate(gate);
    within("the counts", || format!("{:?}", gate.counts()), gate.wait(least)).await
}

#[tokio::test]
async fn a_call_that_runs_too_long_fails_and_its_handler_is_dropped() {
    let server = start().await;
    let gate = server.app.gate("x");
    let (mut v1, mut classic) = (server.v1().await, server.classic().await);
    v1.call("gate/hold", r#"{"gate":"x"}"#).await.assert_eq(FAILURE);
    classic
        .exchange(
            r#"["gate/hold",{"gate":"x"},"id"]"#,
            r#"["gate/hold",{"error":"The call did not complete within the server's limit of 30ms"},"id"]"#,
        )
        .await;
    until("the handlers to be dropped", || gate.counts().dropped == 2).await;
    let call = server.calls.first_of("gate/hold").await;
    assert_eq!(call["error"]["code"], "timeout", "{call}");
    // Sends are limited too, and a caller's own timeout that is shorter has its own text.
    v1.send(r#"["gate/hold",{"gate":"x"}]"#).await;
    until("the handler of the send to be dropped", || gate.counts().dropped == 3).await;
    let own = r#"{"error":"The call did not complete within its timeout","code":"timeout"}"#;
    let call = r#"["gate/hold",{"gate":"x"},2,"call",{"timeout":1}]"#;
    v1.exchange(call, &format!(r#"["gate/hold",{own},2,"error"]"#)).await;
    v1.exchange(r#"["ping",null,3]"#, r#"["ping",{"pong":true},3]"#).await;
}

#[tokio::test]
async fn the_time_of_a_call_goes_on_while_it_waits_for_memory() {
    let server = TestServer::start_with(|config| (config.max_call_time, config.max_held_bytes) = (LIMIT, 1)).await;
    let mut client = RawConnection::websocket(server.addr, Some("aaw.v1")).await;
    client.send_text(r#"["aaw/hello",{}]"#).await;
    client.read_frame().await;
    // A call, and the beginning of a message, which the connection then holds.
    let call = raw::masked(0x81, br#"["gate/hold",{"gate":"x"},1]"#);
    client.send(&[call, raw::masked(0x01, b"[")].concat()).await;
    client.expect_text(&format!(r#"["gate/hold",{FAILURE},1,"error"]"#)).await;
}

#[tokio::test]
async fn an_event_sets_its_own_limit() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.call("limits/short", r#""x""#).await.assert_eq(FAILURE);
    let server = start().await;
    let mut client = server.v1().await;
    client.send(r#"["limits/none","x",1]"#).await;
    exceed_limit(&server).await;
    server.app.gate("x").release(1);
    client.expect(r#"["limits/none","x",1]"#).await;
}

#[tokio::test]
async fn an_array_of_items_is_one_response() {
    let server = start().await;
    server.app.gate("x").release(2);
    let mut client = server.v1().await;
    client.call("streams/gated", r#"{"gate":"x"}"#).await.assert_eq(FAILURE);
    wait_for_counts(&server, "x", Counts { items: 2, over: 1, ..Counts::default() }).await;
    let call = server.calls.first_of("streams/gated").await;
    assert_eq!(call["error"]["code"], "timeout", "{call}");
}

/// Neither a handler that takes long for an item nor a caller that takes long to read one ends a stream.
#[tokio::test]
async fn a_stream_that_is_read_has_no_limit() {
    let server = start().await;
    let (mut v1, mut classic) = (server.v1().await, server.classic().await);
    v1.send(r#"["streams/gated",{"gate":"x","to":2},1,"call",{"credit":1}]"#).await;
    classic.send(r#"["streams/gated",{"gate":"y","to":1}]"#).await;
    let lines = HttpRequest::post(server.addr, "/events/streams/gated", json!({"gate":"z","to":1}).to_string());
    let lines = tokio::spawn(async move { lines.accept("application/x-ndjson").send().await });
    wait_for_counts(&server, "z", Counts { came: 1, ..Counts::default() }).await;
    exceed_limit(&server).await;
    ["x", "y", "z"].iter().for_each(|gate| server.app.gate(gate).release(2));
    v1.expect(r#"["streams/gated",1,1,"item"]"#).await;
    classic.expect(r#"["streams/gated",1]"#).await;
    assert_eq!(lines.await.unwrap().body, "1\n");
    // Without credit.
    exceed_limit(&server).await;
    v1.exchange(r#"["streams/gated",9,1,"credit"]"#, r#"["streams/gated",2,1,"item"]"#).await;
    v1.expect(r#"["streams/gated",null,1,"end"]"#).await;
    // A response that waits for credit is not a handler that runs.
    v1.send(r#"["ping",null,2,"call",{"credit":0}]"#).await;
    exceed_limit(&server).await;
    v1.exchange(r#"["ping",1,2,"credit"]"#, r#"["ping",{"pong":true},2,"item"]"#).await;
}

#[tokio::test]
async fn the_limit_applies_to_http_in_every_format() {
    let server = start().await;
    let hold = |path: &str| HttpRequest::post(server.addr, path, r#"{"gate":"x"}"#);
    for accept in ["application/json", "application/x-ndjson"] {
        let response = hold("/events/gate/hold").accept(accept).send().await;
        assert_eq!((response.status, response.body.trim_end()), (504, FAILURE), "{accept}");
    }
    let response = hold("/events/streams/gated").send().await;
    assert_eq!((response.status, response.body.as_str()), (504, FAILURE), "a gathered array");
    let response = hold("/events/gate/hold?take=1").send().await;
    assert_eq!((response.status, response.body.as_str()), (504, FAILURE), "polling");
    let response = hold("/events/gate/hold").accept("text/event-stream").send().await;
    assert_eq!(response.status, 200);
    assert!(response.body.contains(&format!("data: {FAILURE}")), "{response:?}");
    let gate = server.app.gate("x");
    until("the handlers to be dropped", || gate.counts().dropped == 5).await;
}

#[tokio::test]
async fn a_stream_that_is_sent_without_an_id_ends_at_its_first_item() {
    let server = TestServer::start().await;
    let mut client = server.v1().await;
    client.send(r#"["streams/endless",{"gate":"x"}]"#).await;
    let counts = wait_for_counts(&server, "x", Counts { over: 1, ..Counts::default() }).await;
    assert_eq!(counts.items, 1);
    let call = server.calls.first_of("streams/endless").await;
    assert!(call.get("error").is_none_or(serde_json::Value::is_null), "{call}");
    // What comes before the first item runs, also after a wait.
    client.send(r#"["streams/gated",{"gate":"y"}]"#).await;
    server.app.gate("y").release(5);
    let counts = wait_for_counts(&server, "y", Counts { over: 1, ..Counts::default() }).await;
    assert_eq!((counts.through, counts.items), (1, 1));
}

#[tokio::test]
async fn a_classic_stream_is_dropped_when_its_client_hangs_up() {
    let server = TestServer::start().await;
    let mut client = server.classic().await;
    client.send(r#"["streams/endless",{"gate":"x"}]"#).await;
    client.expect(r#"["streams/endless",1]"#).await;
    client.send(r#"["streams/gated",{"gate":"y"}]"#).await;
    drop(client);
    wait_for_counts(&server, "x", Counts { over: 1, ..Counts::default() }).await;
    until("the connection to be removed", || server.handle.connections() == 0).await;
}

#[tokio::test]
async fn a_busy_send_is_dropped_soon_after_its_connection_has_ended() {
    let server = TestServer::start_with(|config| config.max_linger_poll_time = Duration::from_millis(5)).await;
    let mut client = server.v1().await;
    client.send(r#"["limits/busy","x"]"#).await;
    client.send(r#"["gate/hold",{"gate":"y"}]"#).await;
    let running = wait_for_counts(&server, "x", Counts { items: 1000, ..Counts::default() }).await;
    assert_eq!(running.over, 0, "no limit applies while the client is connected");
    client.close().await;
    wait_for_counts(&server, "x", Counts { over: 1, ..Counts::default() }).await;
}
