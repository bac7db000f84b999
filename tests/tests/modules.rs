//! What must hold for events that are linked, and for the same events opened as a library: one suite, run over both.

use aaw_server::Events;
use aaw_server::modules::{EventsAt, load};
use aaw_tests::{Log, TestServer, cargo, until};
use tokio::sync::OnceCell;

/// Runs each check over both.
macro_rules! linked_and_loaded {
    ($($check:ident,)*) => {
        mod linked {
            $(#[tokio::test]
            async fn $check() {
                let log = super::Log::keep();
                super::$check(super::TestServer::start().await, &log).await;
            })*
        }

        mod loaded {
            $(#[tokio::test]
            async fn $check() {
                let log = super::Log::keep();
                super::$check(super::TestServer::serving(super::library().await, |_| {}).await, &log).await;
            })*
        }
    };
}

linked_and_loaded! {
    answers,
    names,
    missing_bodies,
    bodies_that_do_not_fit,
    bodies_that_are_no_json,
    failures,
    panics,
    panics_in_cancelled_handlers,
    pushes_come_before_answers,
    broadcasts,
    tasks_outlive_their_calls,
    timers,
    services_are_built_once,
    calls_run_side_by_side,
    cancelled_handlers_are_dropped,
    handlers_of_who_has_gone_are_dropped,
    large_answers,
    plain_events,
    logs_reach_the_servers_log,
    auth_is_unreachable,
    the_hook_is_told,
    stopping_lets_calls_finish,
}

/// The test events as a library, opened once: it is never closed.
async fn library() -> Vec<Events> {
    static LIBRARY: OnceCell<Vec<Events>> = OnceCell::const_new();
    let open = async {
        let package = cargo::workspace().join("tests/events");
        let at = EventsAt::find(&package).expect("a package");
        assert_eq!(at, EventsAt::Package(package));
        load(&at).await.expect("it builds")
    };
    LIBRARY.get_or_init(|| open).await.clone()
}

async fn answers(server: TestServer, _: &Log) {
    let mut client = server.v1().await;
    client.asks("ping", "null").await.is(r#"{"pong":true}"#);
    client.asks("echo", r#"{"a":1.50,"ü":[null,"\u0041"]}"#).await.is(r#"{"a":1.50,"ü":[null,"\u0041"]}"#);
    client.asks("typed", r#"{"name":"Ada","id":7}"#).await.is(r#"{"id":7,"name":"Ada"}"#);
    client.asks("nothing", "{}").await.is("null");
    let id = client.connection.clone();
    client.asks("whoami", "{}").await.is(&format!("{id:?}"));
    server.classic().await.says(r#"["ping",null,"id"]"#, r#"["ping",{"pong":true},"id"]"#).await;
}

async fn names(server: TestServer, _: &Log) {
    let mut client = server.v1().await;
    for name in ["users", "users/get", "deep/er/still/v1.2-x"] {
        client.asks(name, "null").await.is(&format!("{name:?}"));
    }
    client.asks("nope", "1").await.is(r#"{"error":"Unknown event: nope","code":"unknown_event"}"#);
}

async fn missing_bodies(server: TestServer, _: &Log) {
    let mut client = server.classic().await;
    client.says(r#"["body"]"#, r#"["body",{}]"#).await;
    client.says(r#"["body",null]"#, r#"["body",{}]"#).await;
}

async fn bodies_that_do_not_fit(server: TestServer, _: &Log) {
    let mut client = server.v1().await;
    let error = r#"The body does not fit at id: invalid type: string \"x\", expected i64"#;
    client.asks("typed", r#"{"id":"x"}"#).await.is(&format!(r#"{{"error":"{error}","code":"bad_body"}}"#));
    client.asks("ping", "null").await.is(r#"{"pong":true}"#);
}

async fn bodies_that_are_no_json(server: TestServer, _: &Log) {
    for event in ["echo", "body", "ping", "typed", "note", "nope"] {
        let mut client = server.v1().await;
        client.send(&format!("[\"{event}\",nul,1]")).await;
        assert!(client.next().await.starts_with(r#"["aaw/error",{"error":"not JSON: "#));
        client.asks("echo", "7").await.is("7");
    }
}

async fn failures(server: TestServer, log: &Log) {
    let mut client = server.v1().await;
    let answer = client.asks("fails/with", r#"{"error":"no","code":"mine","data":{"a":1}}"#).await;
    answer.is(r#"{"error":"no","code":"mine","data":{"a":1}}"#);
    client.asks("fails/question", "null").await.is(r#"{"error":"Internal error","code":"handler"}"#);
    log.says(&["ERROR", "fails/question", "the disk's secret"]);
    client.asks("fails/plain", "null").await.is(r#"{"error":"a plain event failed","code":"handler"}"#);
    client.asks("fails/no_json", "null").await.is(r#"{"error":"Internal error","code":"handler"}"#);
}

async fn panics(server: TestServer, log: &Log) {
    let mut client = server.v1().await;
    for (event, said) in [
        ("panics/at_once", "at once, with a secret"),
        ("panics/late", "late, with a secret"),
        ("panics/in_drop", "in drop, with a secret"),
        ("panics/plain", "plain, with a secret"),
        ("panics/serializing", "while serialising, with a secret"),
        ("panics/payload", "a panic whose payload is no text"),
    ] {
        client.asks(event, "null").await.is(r#"{"error":"Internal error","code":"panic"}"#);
        log.says(&["ERROR", event, said]);
        client.asks("ping", "null").await.is(r#"{"pong":true}"#);
    }
}

async fn panics_in_cancelled_handlers(server: TestServer, _: &Log) {
    let mut client = server.v1().await;
    client.send(r#"["panics/when_dropped",null,1]"#).await;
    let mut other = server.v1().await;
    other.asks("gate/wait", r#"{"gate":"when_dropped","came":1}"#).await;
    client.send(r#"["panics/when_dropped",null,1,"cancel"]"#).await;
    other.asks("gate/wait", r#"{"gate":"when_dropped","dropped":1}"#).await;
    client.says(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

async fn pushes_come_before_answers(server: TestServer, _: &Log) {
    for body in [r#"{"late":false}"#, r#"{"late":true}"#] {
        let mut client = server.v1().await;
        client.send(&format!(r#"["pushes/answering",{body},1]"#)).await;
        for expected in [r#"["step",1]"#, r#"["step",2]"#, r#"["pushes/answering",3,1]"#] {
            client.expect(expected).await;
        }
    }
    // What cannot be pushed is the handler's failure.
    let mut client = server.v1().await;
    let refused = r#"{"error":"aaw/x is a name of aaw's own","code":"not_allowed"}"#;
    client.asks("pushes/plain", r#"{"event":"aaw/x"}"#).await.is(refused);
}

async fn broadcasts(server: TestServer, _: &Log) {
    let (mut a, mut b) = (server.v1().await, server.classic().await);
    a.send(r#"["broadcasts/others",{"m":"ü"}]"#).await;
    b.expect(r#"["broadcast",{"m":"ü"}]"#).await;
    a.expect_nothing().await;
    b.send(r#"["broadcasts/all",2]"#).await;
    a.expect(r#"["broadcast",2]"#).await;
    b.expect(r#"["broadcast",2]"#).await;
}

async fn tasks_outlive_their_calls(server: TestServer, _: &Log) {
    let mut other = server.v1().await;
    let mut client = server.v1().await;
    client.asks("gate/later", r#"{"gate":"x"}"#).await.is("null");
    other.asks("gate/release", r#"{"gate":"x"}"#).await.is("null");
    client.expect(r#"["later",null]"#).await;
    // And their connections.
    client.asks("gate/later", r#"{"gate":"y"}"#).await.is("null");
    client.close().await;
    other.asks("gate/release", r#"{"gate":"y"}"#).await.is("null");
    let told = other.asks("gate/wait", r#"{"gate":"later/unreachable","through":1}"#).await;
    told.is(r#"{"came":1,"through":1,"dropped":0}"#);
}

async fn timers(server: TestServer, _: &Log) {
    let mut client = server.v1().await;
    client.send_all((1..=200).map(|id| format!(r#"["sleepy",{id},{id}]"#))).await;
    let mut answers = Vec::new();
    for _ in 1..=200 {
        answers.push(client.next().await);
    }
    for id in 1..=200 {
        assert!(answers.contains(&format!(r#"["sleepy",{id},{id}]"#)), "{id}");
    }
}

async fn services_are_built_once(server: TestServer, _: &Log) {
    server.v1().await.asks("gate/release", r#"{"gate":"once"}"#).await.is("null");
    server.classic().await.asks("gate/hold", r#"{"gate":"once"}"#).await.is(r#"{"held":"once"}"#);
}

async fn calls_run_side_by_side(server: TestServer, _: &Log) {
    let (mut client, mut other) = (server.v1().await, server.v1().await);
    client.send(r#"["gate/hold",{"gate":"a"},1]"#).await;
    client.send(r#"["gate/hold",{"gate":"b"},2]"#).await;
    other.asks("gate/wait", r#"{"gate":"b","came":1}"#).await;
    other.asks("gate/release", r#"{"gate":"b"}"#).await.is("null");
    client.expect(r#"["gate/hold",{"held":"b"},2]"#).await;
    other.asks("gate/release", r#"{"gate":"a"}"#).await.is("null");
    client.expect(r#"["gate/hold",{"held":"a"},1]"#).await;
}

async fn cancelled_handlers_are_dropped(server: TestServer, _: &Log) {
    let mut client = server.v1().await;
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    client.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    let counts = r#"["gate/wait",{"came":1,"through":0,"dropped":1},2]"#;
    client.says(r#"["gate/wait",{"gate":"x","dropped":1},2]"#, counts).await;
    // Time that runs out is a cancellation too.
    client.send(r#"["gate/hold",{"gate":"x"},3,"call",{"timeout":5}]"#).await;
    assert!(client.next().await.contains(r#""code":"timeout""#));
    let counts = r#"["gate/wait",{"came":2,"through":0,"dropped":2},4]"#;
    client.says(r#"["gate/wait",{"gate":"x","dropped":2},4]"#, counts).await;
}

async fn handlers_of_who_has_gone_are_dropped(server: TestServer, _: &Log) {
    let (mut client, mut other) = (server.v1().await, server.v1().await);
    client.send(r#"["gate/hold",{"gate":"x"},1]"#).await;
    other.asks("gate/wait", r#"{"gate":"x","came":1}"#).await;
    client.close().await;
    other.asks("gate/wait", r#"{"gate":"x","dropped":1}"#).await.is(r#"{"came":1,"through":0,"dropped":1}"#);
}

async fn large_answers(server: TestServer, _: &Log) {
    let mut client = server.v1().await;
    let answer = client.asks("big", r#"{"bytes":1000000}"#).await;
    assert_eq!(answer.0.len(), 1_000_002);
    let error = r#"{"error":"The answer has 104857602 bytes, and a message may have 1048576","code":"too_large"}"#;
    client.asks("big", &format!(r#"{{"bytes":{}}}"#, 100 << 20)).await.is(error);
    client.asks("ping", "null").await.is(r#"{"pong":true}"#);
}

async fn plain_events(server: TestServer, _: &Log) {
    let mut client = server.classic().await;
    client.send(r#"["note",1]"#).await;
    client.says(r#"["note",2,"id"]"#, r#"["note",null,"id"]"#).await;
    client.asks("notes", "{}").await.is("[1,2]");
}

async fn logs_reach_the_servers_log(server: TestServer, log: &Log) {
    server.v1().await.asks("log", r#""hello""#).await.is("null");
    until("the record", || log.text().contains("an event says \"hello\"")).await;
    log.says(&["WARN", "an event says \"hello\""]);
}

async fn auth_is_unreachable(server: TestServer, log: &Log) {
    let text = "Authentication is not enabled — shop/auth/secret is unreachable";
    let failure = format!(r#"{{"error":"{text}","code":"unreachable"}}"#);
    server.v1().await.asks("shop/auth/secret", "1").await.is(&failure);
    log.says(&["shop/auth/secret", "unreachable: authentication is not enabled"]);
}

async fn the_hook_is_told(server: TestServer, _: &Log) {
    let mut client = server.v1().await;
    client.asks("typed", r#"{"id":7,"name":"Ada"}"#).await;
    let told = server.calls.of("typed").await;
    assert_eq!(told["result"], serde_json::json!({"id": 7, "name": "Ada"}));
    assert_eq!((told["kind"].as_str(), told["connection"].as_str()), (Some("answer"), Some(&*client.connection)));
}

async fn stopping_lets_calls_finish(mut server: TestServer, _: &Log) {
    let mut client = server.v1().await;
    client.send_all((1..=20).map(|id| format!(r#"["sleepy",{id},{id}]"#))).await;
    server.calls.of("sleepy").await;
    server.stop();
    assert_eq!(client.drain_until_close(1001).await.len(), 20);
    server.stopped().await;
}

// --- Libraries alone --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn two_servers_of_one_library_share_nothing() {
    let a = TestServer::serving(library().await, |_| {}).await;
    let b = TestServer::serving(library().await, |_| {}).await;
    a.v1().await.asks("note", "1").await.is("null");
    b.v1().await.asks("notes", "{}").await.is("[]");
    a.v1().await.asks("notes", "{}").await.is("[1]");
}

#[tokio::test]
async fn the_same_events_linked_and_loaded_in_one_program() {
    let mut events = library().await;
    events[0].prefix = "loaded".into();
    events.push(aaw_test_events::module().into());
    let server = TestServer::serving(events, |_| {}).await;
    let mut client = server.v1().await;
    client.asks("ping", "null").await.is(r#"{"pong":true}"#);
    client.asks("loaded/ping", "null").await.is(r#"{"pong":true}"#);
    client.asks("loaded/sleepy", "1").await.is("1");
    client.asks("loaded/note", "1").await.is("null");
    client.asks("notes", "{}").await.is("[]");
    // `auth` guards behind a prefix too.
    assert!(client.asks("loaded/auth/secret", "1").await.0.contains("unreachable"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_swapped_under_load_and_no_call_is_lost() {
    let server = TestServer::serving(library().await, |_| {}).await;
    let mut held = server.v1().await;
    held.send(r#"["gate/hold",{"gate":"old"},1]"#).await;
    server.v1().await.asks("gate/wait", r#"{"gate":"old","came":1}"#).await;
    server.v1().await.asks("note", "\"of the old\"").await.is("null");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let callers: Vec<_> = (0..8)
        .map(|n| {
            let (addr, stopped) = (server.addr, stopped.clone());
            tokio::spawn(async move {
                let mut client = aaw_tests::Client::v1(addr).await;
                let mut answered = 0;
                while !*stopped.borrow() {
                    let event = if (n + answered) % 2 == 0 { "echo" } else { "sleepy" };
                    client.asks(event, &answered.to_string()).await.is(&answered.to_string());
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for n in 0..50 {
        let events = match n % 2 {
            0 => vec![aaw_test_events::module().into()],
            _ => library().await,
        };
        server.handle.replace_events(events).await.expect("they can be served");
        // The new ones are there at once, with services of their own.
        server.v1().await.asks("notes", "{}").await.is("[]");
    }
    stop.send_replace(true);
    for caller in callers {
        assert!(caller.await.expect("no call is lost") > 0);
    }
    // What ran goes on in the old events, also after all these.
    held.send(r#"["gate/hold",null,1,"cancel"]"#).await;
    held.says(r#"["ping",null,2]"#, r#"["ping",{"pong":true},2]"#).await;
}

#[tokio::test]
async fn events_that_do_not_go_together_leave_the_old_ones() {
    let server = TestServer::start().await;
    let twice = vec![aaw_test_events::module().into(), aaw_test_events::module().into()];
    let error = server.handle.replace_events(twice).await.expect_err("names meet").to_string();
    assert!(error.contains("is there twice"), "{error}");
    server.v1().await.asks("ping", "null").await.is(r#"{"pong":true}"#);
}
