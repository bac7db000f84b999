//! Events packages: the same suite for events that are linked, and for the same events opened as a library.

use aaw_server::Events;
use aaw_server::modules::{EventsAt, load};
use aaw_tests::{LogCapture, TestServer, cargo, until};
use tokio::sync::OnceCell;

/// Defines two tests for each check, one with linked and one with loaded events.
macro_rules! linked_and_loaded {
    ($($check:ident,)*) => {
        mod linked {
            $(#[tokio::test]
            async fn $check() {
                let log = super::LogCapture::start();
                super::$check(super::TestServer::start().await, &log).await;
            })*
        }

        mod loaded {
            $(#[tokio::test]
            async fn $check() {
                let log = super::LogCapture::start();
                super::$check(super::TestServer::start_with_events(super::library().await, |_| {}).await, &log).await;
            })*
        }
    };
}

linked_and_loaded! {
    responses,
    names,
    missing_bodies,
    bodies_of_the_wrong_type,
    bodies_of_invalid_json,
    errors,
    panics,
    panics_in_cancelled_handlers,
    pushes_arrive_before_responses,
    broadcasts,
    tasks_outlive_their_calls,
    timers,
    services_are_built_once,
    calls_run_concurrently,
    cancelled_handlers_are_dropped,
    handlers_of_disconnected_clients_are_dropped,
    large_responses,
    one_way_events,
    logs_reach_the_servers_log,
    auth_is_unreachable,
    calls_have_records,
    stopping_lets_calls_finish,
}

/// Returns the test events as a library. It is opened once for all tests, since a library is never closed.
async fn library() -> Vec<Events> {
    static LIBRARY: OnceCell<Vec<Events>> = OnceCell::const_new();
    let open = async {
        let at = EventsAt::find(&cargo::artifacts().await.events).expect("a library");
        load(&at).await.expect("it opens")
    };
    LIBRARY.get_or_init(|| open).await.clone()
}

async fn responses(server: TestServer, _: &LogCapture) {
    let mut client = server.v1().await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    client.call("echo", r#"{"a":1.50,"ü":[null,"\u0041"]}"#).await.assert_eq(r#"{"a":1.50,"ü":[null,"\u0041"]}"#);
    client.call("typed", r#"{"name":"Ada","id":7}"#).await.assert_eq(r#"{"id":7,"name":"Ada"}"#);
    client.call("nothing", "{}").await.assert_eq("null");
    let id = client.connection.clone();
    client.call("whoami", "{}").await.assert_eq(&format!("{id:?}"));
    server.classic().await.exchange(r#"["ping",null,"id"]"#, r#"["ping",{"pong":true},"id"]"#).await;
}

async fn names(server: TestServer, _: &LogCapture) {
    let mut client = server.v1().await;
    for name in ["users", "users/get", "deep/er/still/v1.2-x"] {
        client.call(name, "null").await.assert_eq(&format!("{name:?}"));
    }
    client.call("unknown", "1").await.assert_eq(r#"{"error":"Unknown event: unknown","code":"unknown_event"}"#);
}

async fn missing_bodies(server: TestServer, _: &LogCapture) {
    let mut client = server.classic().await;
    client.exchange(r#"["body"]"#, r#"["body",{}]"#).await;
    client.exchange(r#"["body",null]"#, r#"["body",{}]"#).await;
}

async fn bodies_of_the_wrong_type(server: TestServer, _: &LogCapture) {
    let mut client = server.v1().await;
    let error = r#"The body does not fit at id: invalid type: string \"x\", expected i64"#;
    client.call("typed", r#"{"id":"x"}"#).await.assert_eq(&format!(r#"{{"error":"{error}","code":"bad_body"}}"#));
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

async fn bodies_of_invalid_json(server: TestServer, _: &LogCapture) {
    for event in ["echo", "body", "ping", "typed", "note", "nope"] {
        let mut client = server.v1().await;
        client.send(&format!("[\"{event}\",nul,1]")).await;
        assert!(client.next().await.starts_with(r#"["aaw/error",{"error":"not JSON: "#));
        client.call("echo", "7").await.assert_eq("7");
    }
}

async fn errors(server: TestServer, log: &LogCapture) {
    let mut client = server.v1().await;
    let response = client.call("fails/with", r#"{"error":"no","code":"mine","data":{"a":1}}"#).await;
    response.assert_eq(r#"{"error":"no","code":"mine","data":{"a":1}}"#);
    client.call("fails/question", "null").await.assert_eq(r#"{"error":"Internal error","code":"internal"}"#);
    log.expect_line(&["ERROR", "fails/question", "the disk's secret"]);
    client.call("fails/plain", "null").await.assert_eq(r#"{"error":"a plain event failed","code":"handler"}"#);
    client.call("fails/no_json", "null").await.assert_eq(r#"{"error":"Internal error","code":"internal"}"#);
}

async fn panics(server: TestServer, log: &LogCapture) {
    let mut client = server.v1().await;
    for (event, panic) in [
        ("panics/at_once", "at once, with a secret"),
        ("panics/late", "late, with a secret"),
        ("panics/in_drop", "in drop, with a secret"),
        ("panics/plain", "plain, with a secret"),
        ("panics/serializing", "while serializing, with a secret"),
        ("panics/payload", "a panic whose payload is not text"),
    ] {
        client.call(event, "null").await.assert_eq(r#"{"error":"Internal error","code":"panic"}"#);
        log.expect_line(&["ERROR", event, panic]);
        client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    }
}

async fn panics_in_cancelled_handlers(server: TestServer, _: &LogCapture) {
    let mut client = server.v1().await;
    client.send(r#"["panics/when_dropped",null,1]"#).await;
    let mut other = server.v1().await;
    other.call("gate/wait", r#"{"gate":"when_dropped","came":1}"#).await;
    client.send(r#"["panics/when_dropped",null,1,"cancel"]"#).await;
    other.call("gate/wait", r#"{"gate":"when_dropped","dropped":1}"#).await;
    client.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

async fn pushes_arrive_before_responses(server: TestServer, _: &LogCapture) {
    for body in [r#"{"late":false}"#, r#"{"late":true}"#] {
        let mut client = server.v1().await;
        client.send(&format!(r#"["pushes/answering",{body},1]"#)).await;
        for expected in [r#"["step",1]"#, r#"["step",2]"#, r#"["pushes/answering",3,1]"#] {
            client.expect(expected).await;
        }
    }
    // A push that cannot be sent fails in the handler.
    let mut client = server.v1().await;
    let refused = r#"{"error":"aaw/x is a reserved event name","code":"not_allowed"}"#;
    client.call("pushes/plain", r#"{"event":"aaw/x"}"#).await.assert_eq(refused);
}

async fn broadcasts(server: TestServer, _: &LogCapture) {
    let (mut a, mut b) = (server.v1().await, server.classic().await);
    a.send(r#"["broadcasts/others",{"m":"ü"}]"#).await;
    b.expect(r#"["broadcast",{"m":"ü"}]"#).await;
    a.expect_nothing().await;
    b.send(r#"["broadcasts/all",2]"#).await;
    a.expect(r#"["broadcast",2]"#).await;
    b.expect(r#"["broadcast",2]"#).await;
}

async fn tasks_outlive_their_calls(server: TestServer, _: &LogCapture) {
    let mut other = server.v1().await;
    let mut client = server.v1().await;
    client.call("gate/later", r#"{"gate":"x"}"#).await.assert_eq("null");
    other.call("gate/release", r#"{"gate":"x"}"#).await.assert_eq("null");
    client.expect(r#"["later",null]"#).await;
    // They outlive their connections too.
    client.call("gate/later", r#"{"gate":"y"}"#).await.assert_eq("null");
    client.close().await;
    other.call("gate/release", r#"{"gate":"y"}"#).await.assert_eq("null");
    let counts = other.call("gate/wait", r#"{"gate":"later/unreachable","through":1}"#).await;
    counts.assert_eq(r#"{"came":1,"through":1,"dropped":0}"#);
}

async fn timers(server: TestServer, _: &LogCapture) {
    let mut client = server.v1().await;
    client.send_all((1..=200).map(|id| format!(r#"["sleepy",{id},{id}]"#))).await;
    let mut responses = Vec::new();
    for _ in 1..=200 {
        responses.push(client.next().await);
    }
    for id in 1..=200 {
        assert!(responses.contains(&format!(r#"["sleepy",{id},{id}]"#)), "{id}");
    }
}

async fn services_are_built_once(server: TestServer, _: &LogCapture) {
    server.v1().await.call("gate/release", r#"{"gate":"once"}"#).await.assert_eq("null");
    server.classic().await.call("gate/hold", r#"{"gate":"once"}"#).await.assert_eq(r#"{"held":"once"}"#);
}

async fn calls_run_concurrently(server: TestServer, _: &LogCapture) {
    let (mut client, mut other) = (server.v1().await, server.v1().await);
    client.send(r#"["gate/hold",{"gate":"a"},1]"#).await;
    client.send(r#"["gate/hold",{"gate":"b"},2]"#).await;
    other.call("gate/wait", r#"{"gate":"b","came":1}"#).await;
    other.call("gate/release", r#"{"gate":"b"}"#).await.assert_eq("null");
    client.expect(r#"["gate/hold",{"held":"b"},2]"#).await;
    other.call("gate/release", r#"{"gate":"a"}"#).await.assert_eq("null");
    client.expect(r#"["gate/hold",{"held":"a"},1]"#).await;
}

async fn cancelled_handlers_are_dropped(server: TestServer, _: &LogCapture) {
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    let counts = r#"["gate/wait",{"came":1,"through":0,"dropped":1},2]"#;
    client.exchange(r#"["gate/wait",{"gate":"x","dropped":1},2]"#, counts).await;
    // A timeout drops the handler too.
    client.send(r#"["gate/hold",{"gate":"x"},3,"call",{"timeout":5}]"#).await;
    assert!(client.next().await.contains(r#""code":"timeout""#));
    let counts = r#"["gate/wait",{"came":2,"through":0,"dropped":2},4]"#;
    client.exchange(r#"["gate/wait",{"gate":"x","dropped":2},4]"#, counts).await;
}

async fn handlers_of_disconnected_clients_are_dropped(server: TestServer, _: &LogCapture) {
    let (mut client, mut other) = (server.v1().await, server.v1().await);
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    other.call("gate/wait", r#"{"gate":"x","came":1}"#).await;
    client.close().await;
    other.call("gate/wait", r#"{"gate":"x","dropped":1}"#).await.assert_eq(r#"{"came":1,"through":0,"dropped":1}"#);
}

async fn large_responses(server: TestServer, _: &LogCapture) {
    let mut client = server.v1().await;
    let response = client.call("big", r#"{"bytes":1000000}"#).await;
    assert_eq!(response.0.len(), 1_000_002);
    let error =
        r#"{"error":"The response of 16777218 bytes exceeds the message limit of 1048576 bytes","code":"too_large"}"#;
    client.call("big", &format!(r#"{{"bytes":{}}}"#, 16 << 20)).await.assert_eq(error);
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}

async fn one_way_events(server: TestServer, _: &LogCapture) {
    let mut client = server.classic().await;
    client.send(r#"["note",1]"#).await;
    client.exchange(r#"["note",2,"id"]"#, r#"["note",null,"id"]"#).await;
    client.call("notes", "{}").await.assert_eq("[1,2]");
}

async fn logs_reach_the_servers_log(server: TestServer, log: &LogCapture) {
    server.v1().await.call("log", r#""hello""#).await.assert_eq("null");
    until("the record", || log.text().contains("the body is \"hello\"")).await;
    log.expect_line(&["WARN", "the body is \"hello\""]);
}

async fn auth_is_unreachable(server: TestServer, log: &LogCapture) {
    let text = "Authentication is not enabled — shop/auth/secret is unreachable";
    let failure = format!(r#"{{"error":"{text}","code":"unreachable"}}"#);
    server.v1().await.call("shop/auth/secret", "1").await.assert_eq(&failure);
    log.expect_line(&["shop/auth/secret", "unreachable: authentication is not enabled"]);
}

async fn calls_have_records(server: TestServer, _: &LogCapture) {
    let mut client = server.v1().await;
    client.call("typed", r#"{"id":7,"name":"Ada"}"#).await;
    let record = server.calls.first_of("typed").await;
    assert_eq!(record["result"], serde_json::json!({"id": 7, "name": "Ada"}));
    assert_eq!((record["kind"].as_str(), record["connection"].as_str()), (Some("unary"), Some(&*client.connection)));
}

async fn stopping_lets_calls_finish(mut server: TestServer, _: &LogCapture) {
    let mut client = server.v1().await;
    client.send_all((1..=20).map(|id| format!(r#"["sleepy",{id},{id}]"#))).await;
    server.calls.first_of("sleepy").await;
    server.stop();
    assert_eq!(client.drain_until_close(1001).await.len(), 20);
    server.stopped().await;
}

// --- Several modules, and reloading ----------------------------------------------------------------------------------

#[tokio::test]
async fn two_servers_with_one_library_share_no_state() {
    let a = TestServer::start_with_events(library().await, |_| {}).await;
    let b = TestServer::start_with_events(library().await, |_| {}).await;
    a.v1().await.call("note", "1").await.assert_eq("null");
    b.v1().await.call("notes", "{}").await.assert_eq("[]");
    a.v1().await.call("notes", "{}").await.assert_eq("[1]");
}

#[tokio::test]
async fn linked_and_loaded_events_can_be_combined() {
    let mut events = library().await;
    events[0].prefix = "loaded".into();
    events.push(aaw_test_events::module().into());
    let server = TestServer::start_with_events(events, |_| {}).await;
    let mut client = server.v1().await;
    client.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
    client.call("loaded/ping", "null").await.assert_eq(r#"{"pong":true}"#);
    client.call("loaded/sleepy", "1").await.assert_eq("1");
    client.call("loaded/note", "1").await.assert_eq("null");
    client.call("notes", "{}").await.assert_eq("[]");
    // Events below `auth/` are protected behind a prefix too.
    assert!(client.call("loaded/auth/secret", "1").await.0.contains("unreachable"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_replaced_under_load_without_failing_a_call() {
    let server = TestServer::start_with_events(library().await, |_| {}).await;
    let mut running = server.v1().await;
    running.send(r#"["gate/hold",{"gate":"old"},1]"#).await;
    server.v1().await.call("gate/wait", r#"{"gate":"old","came":1}"#).await;
    server.v1().await.call("note", "\"old\"").await.assert_eq("null");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let callers: Vec<_> = (0..8)
        .map(|n| {
            let (addr, stopped) = (server.addr, stopped.clone());
            tokio::spawn(async move {
                let mut client = aaw_tests::WireClient::connect_v1(addr).await;
                let mut responses = 0;
                while !*stopped.borrow() {
                    let event = if (n + responses) % 2 == 0 { "echo" } else { "sleepy" };
                    client.call(event, &responses.to_string()).await.assert_eq(&responses.to_string());
                    responses += 1;
                }
                responses
            })
        })
        .collect();
    for n in 0..50 {
        let events = match n % 2 {
            0 => vec![aaw_test_events::module().into()],
            _ => library().await,
        };
        server.handle.replace_events(events).await.expect("they replace the old ones");
        // New connections use the new events at once, with new services.
        server.v1().await.call("notes", "{}").await.assert_eq("[]");
    }
    stop.send_replace(true);
    for caller in callers {
        assert!(caller.await.expect("no call is lost") > 0);
    }
    // The call that was running before is still served by the old events.
    running.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    running.exchange(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

#[tokio::test]
async fn duplicate_events_do_not_replace_the_old_ones() {
    let server = TestServer::start().await;
    let duplicate = vec![aaw_test_events::module().into(), aaw_test_events::module().into()];
    let error = server.handle.replace_events(duplicate).await.expect_err("duplicate events").to_string();
    assert!(error.contains("duplicate event"), "{error}");
    server.v1().await.call("ping", "null").await.assert_eq(r#"{"pong":true}"#);
}
