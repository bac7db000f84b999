//! aaw-client: calls and their errors, pushes, reconnection, refused connections.

use std::time::Duration;

use aaw_client::{
    CallError, Code, ConnectError, ConnectionEvent, ConnectionEvents, ConnectionState, DisconnectReason, SendError,
    connect, connect_lazy, connect_with,
};
use aaw_tests::{DEADLINE, RawConnection, TestServer, until, within};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// Returns the next connection event.
async fn next_event(events: &mut ConnectionEvents) -> ConnectionEvent {
    within("a connection event", || "nothing".into(), events.next()).await.expect("the client is not closed")
}

/// Waits until the client has connected, whatever events precede it.
async fn open(events: &mut ConnectionEvents) {
    while !matches!(next_event(events).await, ConnectionEvent::Open { .. }) {}
}

#[tokio::test]
async fn a_call_returns_the_value_of_the_handler() {
    let server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
    struct User {
        id: i64,
        name: String,
    }
    let user = User { id: 7, name: "Ada".into() };
    assert_eq!(client.send_async::<User>("typed", &user, DEADLINE).await.unwrap(), user);
    assert_eq!(client.send_async::<Value>("body", (), DEADLINE).await.unwrap(), json!({}));
    client.send_async::<()>("note", 1, DEADLINE).await.unwrap();
    assert_eq!(client.send_async::<Vec<i64>>("notes", (), DEADLINE).await.unwrap(), [1]);
    assert_eq!(client.send_async::<String>("whoami", (), DEADLINE).await.unwrap(), &*client.connection_id().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_concurrent_calls_of_one_event_receive_their_own_responses() {
    let server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    // More than may run at the same time; some handlers return immediately, some are pending.
    let calls = (0..5000).map(|n| {
        let client = &client;
        async move {
            let event = if n % 3 == 0 { "sleepy" } else { "echo" };
            assert_eq!(client.send_async::<i64>(event, n, DEADLINE).await.unwrap(), n);
        }
    });
    within("all responses", || "some".into(), join_all(calls)).await;
}

#[tokio::test]
async fn responses_may_arrive_out_of_order() {
    let server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    let call = |gate: &'static str| client.send_async::<Value>("gate/hold", json!({"gate": gate}), DEADLINE);
    let mut first = Box::pin(call("a"));
    let second = async {
        until("the first to run", || server.app.gate("a").counts().came == 1).await;
        server.app.gate("b").release(1);
        call("b").await
    };
    tokio::select! {
        _ = &mut first => panic!("the first call received the response to the second"),
        second = second => assert_eq!(second.unwrap(), json!({"held": "b"})),
    }
    server.app.gate("a").release(1);
    assert_eq!(first.await.unwrap(), json!({"held": "a"}));
}

#[tokio::test]
async fn errors_have_a_code_and_data() {
    let server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    let failed = async |event: &str, body: Value| match client.send_async::<Value>(event, body, DEADLINE).await {
        Err(CallError::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    };
    let failure = failed("fails/with", json!({"error": "no", "code": "mine", "data": [1]})).await;
    assert_eq!((failure.error.as_str(), failure.code.as_str()), ("no", "mine"));
    assert_eq!(failure.data.unwrap().get(), "[1]");
    let failure = failed("nope", json!(1)).await;
    assert_eq!((failure.error.as_str(), failure.code), ("Unknown event: nope", Code::UNKNOWN_EVENT));
    assert_eq!(failed("panics/late", json!(1)).await.code, Code::PANIC);
    assert_eq!(failed("typed", json!(1)).await.code, Code::BAD_BODY);
    assert_eq!(failed("big", json!({"bytes": 5_000_000})).await.code, Code::TOO_LARGE);
    assert_eq!(failed("auth/secret", json!(1)).await.code, Code::UNREACHABLE);
    // A response of another type is an error of the client.
    let mismatch = client.send_async::<i64>("ping", (), DEADLINE).await.unwrap_err();
    assert!(matches!(mismatch, CallError::BadResponse(_)), "{mismatch:?}");
}

#[tokio::test]
async fn dropping_the_future_drops_the_handler() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    let client = connect(&server.url()).await.unwrap();
    let caller = client.clone();
    let call =
        tokio::spawn(async move { caller.send_async::<Value>("gate/hold", json!({"gate": "x"}), DEADLINE).await });
    until("the call to run", || gate.counts().came == 1).await;
    call.abort();
    until("its handler to be dropped", || gate.counts().dropped == 1).await;
    assert_eq!(client.send_async::<i64>("echo", 7, DEADLINE).await.unwrap(), 7);
}

#[tokio::test]
async fn a_call_that_times_out_drops_the_handler() {
    let server = TestServer::start().await;
    let gate = server.app.gate("x");
    let client = connect(&server.url()).await.unwrap();
    let call = client.send_async::<Value>("gate/hold", json!({"gate": "x"}), Duration::from_millis(50));
    let late = call.await.unwrap_err();
    assert!(
        matches!(&late, CallError::TimedOut { sent: true, .. })
            || matches!(&late, CallError::Failed(failure) if failure.code == Code::TIMEOUT),
        "{late:?}"
    );
    until("its handler to be dropped", || gate.counts().dropped == 1).await;
}

#[tokio::test]
async fn pushes_and_broadcasts_reach_every_listener_in_order() {
    let server = TestServer::start().await;
    let (a, b) = (connect(&server.url()).await.unwrap(), connect(&server.url()).await.unwrap());
    let (mut on_a, mut on_b, mut any_b) = (a.on("broadcast"), b.on("broadcast"), b.on_any());
    for n in 0..100 {
        a.send_event("broadcasts/others", n).await.unwrap();
    }
    for n in 0..100 {
        for pushes in [&mut on_b, &mut any_b] {
            let push = within("a push", || "nothing".into(), pushes.next()).await.unwrap();
            assert_eq!((push.event(), push.parse::<i64>().unwrap()), ("broadcast", n));
        }
    }
    // The sender receives only broadcasts to all, so this is its first.
    a.send_event("broadcasts/all", "me too").await.unwrap();
    assert_eq!(within("a push", || "nothing".into(), on_a.next()).await.unwrap().json(), r#""me too""#);
    // A push with the name of the event that is being called is not its response.
    let mut same_name = a.on("gate/hold");
    let call = a.send_async::<Value>("gate/hold", json!({"gate": "x"}), DEADLINE);
    let push = async {
        until("the call to run", || server.app.gate("x").counts().came == 1).await;
        a.send_event("pushes/plain", json!({"event": "gate/hold", "data": "push"})).await.unwrap();
        assert_eq!(same_name.next().await.unwrap().json(), r#""push""#);
        server.app.gate("x").release(1);
    };
    let (response, ()) = tokio::join!(call, push);
    assert_eq!(response.unwrap(), json!({"held": "x"}));
}

#[tokio::test]
async fn pushes_of_a_handler_are_delivered_before_its_response() {
    let server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    for late in [false, true] {
        let mut steps = client.on("step");
        client.send_async::<i64>("pushes/answering", json!({"late": late}), DEADLINE).await.unwrap();
        for n in [1, 2] {
            let step =
                futures_util::FutureExt::now_or_never(steps.next()).expect("the push arrived before the response");
            assert_eq!(step.unwrap().parse::<i64>().unwrap(), n);
        }
    }
}

// --- Reconnection ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_client_reconnects_after_a_restart_of_the_server_and_keeps_its_listeners() {
    let mut server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    let (mut events, mut pushes) = (client.connection_events(), client.on("notified"));
    let first = client.connection_id().unwrap();
    server.stop();
    let closed = next_event(&mut events).await;
    assert!(matches!(closed, ConnectionEvent::Close(DisconnectReason::ClosedByServer { .. })), "{closed:?}");
    server.stopped().await;
    // A call made while the client is disconnected waits for the next connection.
    let waiting = client.send_async::<i64>("echo", 7, DEADLINE);
    let port = server.addr.port();
    let restarted = async {
        let again = TestServer::start_with(|config| config.port = port).await;
        open(&mut events).await;
        again
    };
    let (response, again) = tokio::join!(waiting, restarted);
    assert_eq!(response.unwrap(), 7);
    assert_ne!(client.connection_id().unwrap(), first);
    client.send_event("pushes/plain", json!({"event": "notified", "data": 1})).await.unwrap();
    assert_eq!(within("a push", || "nothing".into(), pushes.next()).await.unwrap().json(), "1");
    assert_eq!(again.handle.connections(), 1);
}

#[tokio::test]
async fn the_outcome_of_a_call_is_unknown_when_its_connection_breaks() {
    let mut server = TestServer::start_with(|config| config.shutdown_timeout = Duration::from_millis(20)).await;
    let client = connect(&server.url()).await.unwrap();
    let call = client.send_async::<Value>("gate/hold", json!({"gate": "x"}), DEADLINE);
    let stop = async {
        until("the call to run", || server.app.gate("x").counts().came == 1).await;
        server.stop();
    };
    let (response, ()) = tokio::join!(call, stop);
    assert!(matches!(response, Err(CallError::OutcomeUnknown(_))), "{response:?}");
}

#[tokio::test]
async fn the_timeout_of_a_call_that_was_never_sent_is_reported_as_not_sent() {
    let mut server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    let mut events = client.connection_events();
    server.stop();
    next_event(&mut events).await;
    server.stopped().await;
    let late = client.send_async::<Value>("ping", (), Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(late, CallError::TimedOut { sent: false, .. }), "{late:?}");
}

#[tokio::test]
async fn a_lazy_client_waits_for_a_server_that_starts_later() {
    // A free port: that of a server that has stopped.
    let mut server = TestServer::start().await;
    server.stop();
    server.stopped().await;
    assert!(matches!(connect(&server.url()).await, Err(ConnectError::Unreachable { .. })));
    let client = connect_lazy(&server.url()).unwrap();
    let mut events = client.connection_events();
    let failed = next_event(&mut events).await;
    assert!(matches!(failed, ConnectionEvent::Error(_)), "{failed:?}");
    let port = server.addr.port();
    let (response, _server) = tokio::join!(
        client.send_async::<i64>("echo", 7, DEADLINE),
        TestServer::start_with(|config| config.port = port)
    );
    assert_eq!(response.unwrap(), 7);
}

#[tokio::test]
async fn connecting_to_a_silent_server_times_out() {
    // A listener that accepts connections and never sends anything.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let config = aaw_client::Config { connect_timeout: Duration::from_millis(50), ..Default::default() };
    assert!(matches!(connect_with(&url, config).await, Err(ConnectError::TimedOut { .. })));
}

#[tokio::test]
async fn closing_ends_the_connection_on_both_sides() {
    let server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    assert_eq!(server.handle.connections(), 1);
    within("to close", || "nothing".into(), client.close()).await;
    assert_eq!((client.state(), server.handle.connections()), (ConnectionState::Closed, 0));
    let dropped = connect(&server.url()).await.unwrap();
    drop(dropped);
    until("the connection to be removed", || server.handle.connections() == 0).await;
}

// --- Refused connections, and limits ---------------------------------------------------------------------------------

#[tokio::test]
async fn connect_returns_the_status_and_body_of_a_403() {
    let server = TestServer::start().await;
    let mut config = aaw_client::Config::default();
    config.headers.insert("origin", "https://evil.example".parse().unwrap());
    match connect_with(&server.url(), config).await {
        Err(ConnectError::Refused { status: 403, body, .. }) => {
            assert!(body.contains("--allow-origin https://evil.example"), "{body}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn connect_returns_the_status_of_a_503() {
    let server = TestServer::start_with(|config| config.max_connections = 1).await;
    let _only = RawConnection::websocket(server.addr, None).await;
    let refused = connect(&server.url()).await.map(|_| ());
    assert!(matches!(refused, Err(ConnectError::Refused { status: 503, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_payload_above_the_servers_limit_is_not_sent() {
    let server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    let large = "x".repeat(2 << 20);
    let refused = client.send_async::<Value>("echo", &large, DEADLINE).await.unwrap_err();
    assert!(matches!(refused, CallError::NotSent(SendError::TooLarge { limit: 1_048_576, .. })), "{refused:?}");
    assert!(matches!(client.send_event("note", &large).await, Err(SendError::TooLarge { .. })));
    // The connection still works, and the server has received nothing.
    assert_eq!(client.send_async::<i64>("echo", 7, DEADLINE).await.unwrap(), 7);
    assert_eq!(server.calls.all().len(), 1);
}

#[tokio::test]
async fn a_client_respects_the_limit_of_concurrent_calls() {
    let server =
        TestServer::start_with(|config| (config.max_concurrent_calls, config.max_queued_call_bytes) = (2, 0)).await;
    let client = connect(&server.url()).await.unwrap();
    // The server has no wait queue: one call above its limit would fail as busy.
    let calls = (0..100).map(|n| client.send_async::<i64>("sleepy", n, DEADLINE));
    let responses: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
    assert_eq!(responses.unwrap(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn calls_to_a_stopping_server_fail_as_busy() {
    let mut server = TestServer::start().await;
    let client = connect(&server.url()).await.unwrap();
    let running = client.send_async::<Value>("gate/hold", json!({"gate": "x"}), DEADLINE);
    let others = async {
        until("the call to run", || server.app.gate("x").counts().came == 1).await;
        server.stop();
        loop {
            match client.send_async::<Value>("ping", (), DEADLINE).await {
                Ok(_) => {}
                Err(CallError::Failed(failure)) => break assert_eq!(failure.code, Code::BUSY),
                Err(other) => panic!("{other:?}"),
            }
        }
        server.app.gate("x").release(1);
    };
    let (running, ()) = tokio::join!(running, others);
    assert_eq!(running.unwrap(), json!({"held": "x"}));
}
