//! The client against a scripted server, over TCP.

use std::io::Read as _;
use std::time::{Duration, Instant};

use crate::scripted::{ScriptedConnection, ScriptedServer, classic_pair, eager, pair, pair_with, soon};
use aaw_client::{
    Backoff, CallError, Client, ClientWarning, Config, ConnectError, ConnectionEvent, ConnectionState,
    DisconnectReason, SendError,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

const LONG: Duration = Duration::from_secs(10);

// --- Calls -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn concurrent_calls_of_one_event_each_get_their_own_response() {
    let (_server, client, mut connection) = pair().await;
    let calls = (0..100).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { client.send_async::<i32>("echo", n, LONG).await.unwrap() })
    });
    let calls: Vec<_> = calls.collect();
    let mut frames = Vec::new();
    for _ in 0..100 {
        frames.push(serde_json::from_str::<(String, i32, i64)>(&connection.read().await).unwrap());
    }
    // Ids are assigned in the order of writing. The responses are sent in the reverse order.
    assert!(frames.iter().enumerate().all(|(at, frame)| frame.2 == at as i64 + 1));
    for (event, body, id) in frames.into_iter().rev() {
        connection.send(&json!([event, body, id]).to_string()).await;
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), n as i32);
    }
}

/// On one worker thread, which runs a task that was woken last before those that were ready earlier.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_that_are_made_together_are_sent_with_one_write() {
    const CALLS: i64 = 12;
    let (_server, client, connection) = pair().await;
    // A thread that blocks returns from the read after the first write, whatever the runtime does.
    let mut socket = connection.socket.into_inner().into_std().unwrap();
    socket.set_nonblocking(false).unwrap();
    let read = tokio::task::spawn_blocking(move || socket.read(&mut [0; 4096]).unwrap());
    let call = |number: i64| {
        let client = client.clone();
        async move { client.send_async::<Value>("e", number, Duration::from_secs(10)).await }
    };
    let calls: Vec<_> = (10..).take(CALLS as usize).map(call).collect();
    // Within a task, so that all are ready before one of them runs.
    tokio::spawn(async { calls.into_iter().for_each(|call| drop(tokio::spawn(call))) });
    // The numbers and the ids meet in any order, which does not change the length. A header and a mask have six bytes.
    let expected: usize = (1..=CALLS).map(|id| format!(r#"["e",10,{id}]"#).len() + 6).sum();
    assert_eq!(soon("the calls", read).await.unwrap(), expected, "what one write contains");
}

#[tokio::test]
async fn failures_carry_text_code_and_data() {
    let (_server, client, mut connection) = pair().await;
    let script = async {
        connection.read().await;
        connection.send(r#"["e",{"error":"no","code":"mine","data":{"a":1}},1,"error"]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<()>("e", (), LONG), script);
    let Err(CallError::Failed(failure)) = called else { panic!("{called:?}") };
    assert_eq!((failure.error.as_str(), failure.code.as_str()), ("no", "mine"));
    assert_eq!(failure.data.unwrap().get(), r#"{"a":1}"#);
}

#[tokio::test]
async fn a_response_of_another_type_names_the_field() {
    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code)]
    struct User {
        id: u32,
    }
    let (_server, client, mut connection) = pair().await;
    for (response, expected) in [
        (r#"["e",[{"id":1},{"id":"x"}],1]"#, "[1].id: invalid type: string"),
        (r#"["e",[{}],2]"#, "[0]: missing field `id`"),
        (r#"["e",not json,3]"#, "expected"),
    ] {
        let script = async {
            connection.read().await;
            connection.send(response).await;
        };
        let (called, ()) = tokio::join!(client.send_async::<Vec<User>>("e", (), LONG), script);
        let error = called.unwrap_err();
        assert!(matches!(&error, CallError::BadResponse(_)) && error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_call_that_times_out_is_cancelled_on_the_server() {
    let (_server, client, mut connection) = pair().await;
    let after = Duration::from_millis(20);
    let error = client.send_async::<()>("e", (), after).await.unwrap_err();
    assert_eq!(error, CallError::TimedOut { after, sent: true, taken: false, no_connection: None });
    assert_eq!(connection.read().await, r#"["e",null,1]"#);
    assert_eq!(connection.read().await, r#"["e",null,1,"cancel"]"#);
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_on_the_server() {
    let (_server, client, mut connection) = pair().await;
    {
        let call = client.send_async::<()>("e", (), LONG);
        tokio::pin!(call);
        tokio::select! {
            _ = &mut call => panic!("the call has no response"),
            frame = connection.read() => assert_eq!(frame, r#"["e",null,1]"#),
        }
    }
    assert_eq!(connection.read().await, r#"["e",null,1,"cancel"]"#);
}

#[tokio::test]
async fn a_call_dropped_before_the_driver_takes_it_is_not_sent() {
    let (_server, client, mut connection) = pair().await;
    {
        let call = client.send_async::<()>("dropped", (), LONG);
        tokio::pin!(call);
        // The runtime has one thread, so the driver does not run between the poll and the drop.
        assert!(futures_util::poll!(&mut call).is_pending());
    }
    client.send_event("next", ()).await.unwrap();
    assert_eq!(connection.read().await, r#"["next",null]"#);
}

#[tokio::test]
async fn a_send_that_is_not_possible_returns_the_reason() {
    let (_server, client, _connection) = pair().await;
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    let error = client.send_async::<()>("e", &map, LONG).await.unwrap_err();
    assert!(matches!(&error, CallError::NotSent(SendError::Payload(_))), "{error}");
    let error = client.send_event("aaw/hello", ()).await.unwrap_err();
    assert_eq!(error, SendError::ReservedName("aaw/hello".into()));
    let error = client.send_event("big", "x".repeat(2 << 20)).await.unwrap_err();
    assert!(matches!(error, SendError::TooLarge { limit: 1_048_576, .. }), "{error}");
}

#[tokio::test]
async fn calls_and_sends_keep_their_order() {
    let (_server, client, mut connection) = pair().await;
    for n in 0..50 {
        client.send_event("send", n).await.unwrap();
        let call = client.send_async::<()>("call", n, LONG);
        tokio::pin!(call);
        assert!(futures_util::poll!(&mut call).is_pending());
        let frame = connection.read().await;
        assert_eq!(frame, format!(r#"["send",{n}]"#));
        assert_eq!(connection.read().await, format!(r#"["call",{n},{}]"#, n + 1));
        connection.send(&format!(r#"["call",null,{}]"#, n + 1)).await;
        call.await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_reads_slowly_makes_senders_wait_and_fails_no_send() {
    let (_server, client, mut connection) = pair().await;
    let body = "x".repeat(100_000);
    let senders = {
        let (client, body) = (client.clone(), body.clone());
        tokio::spawn(async move {
            for _ in 0..200 {
                client.send_event("e", &body).await.unwrap();
            }
        })
    };
    for _ in 0..200 {
        assert_eq!(connection.read().await.len(), body.len() + 8);
    }
    senders.await.unwrap();
}

/// A config with the largest value for each duration.
fn endless() -> Config {
    let endless = Duration::MAX;
    Config {
        connect_timeout: endless,
        heartbeat_interval: Some(endless),
        backoff: Backoff { min: endless, max: endless, refused: endless, ..Backoff::default() },
        auth_timeout: endless,
        ..Config::default()
    }
}

#[tokio::test]
async fn the_largest_and_the_smallest_limits_work() {
    let largest = Config {
        max_message_bytes: usize::MAX,
        max_concurrent_calls: u32::MAX,
        max_queued_send_bytes: usize::MAX,
        max_queued_call_bytes: usize::MAX,
        stream_window: u32::MAX,
        push_buffer: usize::MAX,
        max_client_calls: u32::MAX,
        ..endless()
    };
    let smallest = Config {
        heartbeat_interval: Some(Duration::ZERO),
        max_message_bytes: 0,
        max_concurrent_calls: 0,
        max_queued_send_bytes: 0,
        max_queued_call_bytes: 0,
        stream_window: 0,
        push_buffer: 0,
        max_client_calls: 0,
        backoff: Backoff { min: Duration::ZERO, max: Duration::ZERO, factor: 0.0, refused: Duration::ZERO },
        ..eager()
    };
    for (config, window) in [(largest, u32::MAX), (smallest, 1)] {
        let (server, client, mut connection) = pair_with(config).await;
        let mut pushes = client.on("push");
        let script = async {
            assert_eq!(connection.read().await, r#"["call",null,1]"#);
            connection.send(r#"["push",1]"#).await;
            connection.send(r#"["call",2,1]"#).await;
            assert_eq!(connection.read().await, format!(r#"["stream",null,2,"call",{{"credit":{window}}}]"#));
            connection.send(r#"["stream",3,2,"item"]"#).await;
            connection.send(r#"["stream",null,2,"end"]"#).await;
        };
        let calls = async {
            assert_eq!(client.send_async::<i32>("call", (), Duration::MAX).await, Ok(2));
            assert_eq!(pushes.next().await.unwrap().json(), "1");
            let mut stream = client.stream::<i32>("stream", ());
            assert_eq!((stream.next().await, stream.next().await), (Some(Ok(3)), None));
        };
        tokio::join!(calls, script);
        drop(connection);
        if window == 1 {
            // Without a delay; the largest delay never elapses.
            server.accept().await;
        }
    }
}

#[tokio::test]
async fn a_timeout_of_zero_elapses_at_once() {
    let (_server, client, _connection) = pair().await;
    let error = soon("the timeout", client.send_async::<()>("e", (), Duration::ZERO)).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { after: Duration::ZERO, .. }), "{error}");
    let server = ScriptedServer::start().await;
    let config = Config { connect_timeout: Duration::ZERO, ..eager() };
    let error = soon("the timeout", aaw_client::connect_with(&server.url(), config)).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { after: Duration::ZERO, .. }), "{error}");
}

#[tokio::test]
async fn the_largest_duration_never_elapses_and_does_not_panic() {
    let (_server, client, mut connection) = pair_with(endless()).await;
    // Two durations that an `Instant` cannot represent, and one that it can.
    for (id, timeout) in [(1, Duration::MAX), (2, Duration::from_secs(u64::MAX)), (3, Duration::from_secs(1 << 62))] {
        let script = async {
            assert_eq!(connection.read().await, format!(r#"["e",null,{id}]"#));
            connection.send(&format!(r#"["e",{id},{id}]"#)).await;
        };
        let (called, ()) = tokio::join!(client.send_async::<u32>("e", (), timeout), script);
        assert_eq!(called, Ok(id));
    }
    let mut events = client.connection_events();
    drop(connection);
    assert!(matches!(soon("close", events.next()).await, Some(ConnectionEvent::Close(DisconnectReason::Broken(_)))));
    soon("the end", client.close()).await;
}

// --- Pushes ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_push_with_the_name_of_an_open_call_reaches_listeners_and_not_the_call() {
    let (_server, client, mut connection) = pair().await;
    let mut pushes = client.on("e");
    let mut all = client.on_any();
    let mut typed = client.on("e").parsed::<i32>();
    let script = async {
        connection.read().await;
        connection.send(r#"["e",1]"#).await;
        connection.send(r#"["other","x"]"#).await;
        connection.send(r#"["e",2,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<i32>("e", (), LONG), script);
    assert_eq!(called, Ok(2));
    assert_eq!(soon("a push", pushes.next()).await.unwrap().parse(), Ok(1));
    assert_eq!(soon("a push", futures_util::StreamExt::next(&mut typed)).await, Some(Ok(1)));
    assert_eq!(soon("a push", all.next()).await.unwrap().event(), "e");
    assert_eq!(soon("a push", all.next()).await.unwrap().json(), r#""x""#);
}

#[tokio::test]
async fn a_slow_listener_drops_the_oldest_pushes_and_delays_no_call() {
    let (_server, client, mut connection) = pair_with(Config { push_buffer: 4, ..eager() }).await;
    let mut slow = client.on("n");
    for n in 0..1000 {
        connection.send(&format!(r#"["n",{n}]"#)).await;
    }
    let script = async {
        connection.read().await;
        connection.send(r#"["e",null,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<()>("e", (), LONG), script);
    assert_eq!(called, Ok(()));
    assert_eq!(slow.dropped(), 996);
    for n in 996..1000 {
        assert_eq!(slow.next().await.unwrap().parse(), Ok(n));
    }
}

#[tokio::test]
async fn on_any_of_keeps_the_order_and_does_not_buffer_other_events() {
    let (_server, client, mut connection) = pair_with(Config { push_buffer: 4, ..eager() }).await;
    // An event that is given twice is received once.
    let mut pushes = client.on_any_of(["a", "b", "a"]);
    for text in [r#"["a",1]"#, r#"["a",2]"#, r#"["b",3]"#, r#"["a",4]"#] {
        connection.send(text).await;
    }
    for _ in 0..100 {
        connection.send(r#"["other",0]"#).await;
    }
    let script = async {
        connection.read().await;
        connection.send(r#"["e",null,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<()>("e", (), LONG), script);
    assert_eq!(called, Ok(()));
    for expected in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")] {
        let push = soon("a push", pushes.next()).await.unwrap();
        assert_eq!((push.event(), push.json()), expected);
    }
    assert_eq!(pushes.dropped(), 0);
}

#[tokio::test]
async fn a_callback_is_called_until_its_subscription_is_dropped() {
    let (_server, client, mut connection) = pair().await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let subscription = client.on_each("e", move |push| drop(sender.send(push.json().to_owned())));
    connection.send(r#"["e",1]"#).await;
    assert_eq!(soon("a call", seen.recv()).await.as_deref(), Some("1"));
    drop(subscription);
    // Its sender is dropped with it.
    assert_eq!(soon("the end", seen.recv()).await, None);
}

// --- Connections -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_handshake_offers_a_client_key_first_and_sends_the_configured_headers() {
    let server = ScriptedServer::start().await;
    let mut config = eager();
    config.headers.insert("authorization", "Bearer x".parse().unwrap());
    let url = server.url();
    let (client, connection) = tokio::join!(aaw_client::connect_with(&url, config), server.accept());
    assert_eq!(client.unwrap().connection_id().as_deref(), Some("c1"));
    let header = |name| connection.request.headers().get(name).unwrap().to_str().unwrap();
    let (key, rest) = header("sec-websocket-protocol").split_once(", ").unwrap();
    assert!(key.starts_with('_') && key.len() == 37 && rest == "aaw.v1");
    assert_eq!(header("authorization"), "Bearer x");
}

#[tokio::test]
async fn a_listener_of_a_prepared_client_receives_the_first_push() {
    let server = ScriptedServer::start().await;
    let prepared = aaw_client::prepare(&server.url(), eager()).unwrap();
    let (mut pushes, mut events) = (prepared.on("message"), prepared.connection_events());
    let script = async {
        let mut connection = server.accept().await;
        connection.send(r#"["message","welcome"]"#).await;
        connection
    };
    let (client, _connection) = tokio::join!(prepared.connect(), script);
    let _client = client.unwrap();
    assert!(matches!(soon("open", events.next()).await, Some(ConnectionEvent::Open { .. })));
    assert_eq!(soon("a push", pushes.next()).await.unwrap().json(), r#""welcome""#);
}

#[tokio::test]
async fn a_broken_connection_is_replaced_and_listeners_stay() {
    let (server, client, mut connection) = pair().await;
    let mut pushes = client.on("e");
    let mut events = client.connection_events();
    let script = async {
        connection.read().await;
        drop(connection);
        server.accept().await
    };
    let (called, mut connection) = tokio::join!(client.send_async::<()>("e", (), LONG), script);
    assert!(matches!(called, Err(CallError::OutcomeUnknown(DisconnectReason::Broken(_)))), "{called:?}");
    assert!(matches!(soon("close", events.next()).await, Some(ConnectionEvent::Close(DisconnectReason::Broken(_)))));
    assert!(matches!(soon("open", events.next()).await, Some(ConnectionEvent::Open { .. })));
    assert_eq!(client.state(), ConnectionState::Open { connection: Some("c1".into()) });
    connection.send(r#"["e",1]"#).await;
    assert_eq!(soon("a push", pushes.next()).await.unwrap().json(), "1");
}

#[tokio::test]
async fn a_close_event_has_the_code_and_the_reason() {
    // Without the long wait after a refusal, 1008.
    let backoff = Backoff { refused: Duration::ZERO, ..eager().backoff };
    let (server, client, mut connection) = pair_with(Config { backoff, ..eager() }).await;
    let mut events = client.connection_events();
    for code in [1001, 1008, 1009, 1012, 1013] {
        connection.close(code, "because").await;
        let Some(ConnectionEvent::Close(reason)) = soon("close", events.next()).await else { panic!() };
        assert_eq!(reason, DisconnectReason::ClosedByServer { code, reason: "because".into() });
        assert!(reason.to_string().contains("because"));
        connection = server.accept().await;
        assert!(matches!(soon("open", events.next()).await, Some(ConnectionEvent::Open { .. })));
    }
}

#[tokio::test]
async fn calls_and_sends_wait_for_a_connection_in_order() {
    let server = ScriptedServer::start().await;
    // With resumption they would wait for the welcome.
    let config = Config { resumption: false, ..eager() };
    let client = aaw_client::connect_lazy_with(&server.url(), config).unwrap();
    assert_eq!(client.state(), ConnectionState::Connecting);
    client.send_event("first", 1).await.unwrap();
    let script = async {
        let mut connection = server.accept_without_welcome().await;
        assert_eq!(connection.read().await, r#"["first",1]"#);
        assert_eq!(connection.read().await, r#"["then",2,1]"#);
        connection.send(r#"["then",3,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<i32>("then", 2, LONG), script);
    assert_eq!(called, Ok(3));
}

#[tokio::test]
async fn the_queues_for_a_connection_are_bounded() {
    let server = ScriptedServer::start().await;
    let config = Config { max_queued_send_bytes: 1000, max_queued_call_bytes: 1000, ..eager() };
    let client = aaw_client::connect_lazy_with(&server.url(), config).unwrap();
    let mut queued = 0;
    let error = loop {
        match client.send_event("e", "x".repeat(100)).await {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SendError::QueueFull { limit: 1000, no_connection: Some(_) }), "{error}");
    assert_eq!(queued, 7);
    let error = client.send_async::<()>("e", "x".repeat(1100), Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { sent: false, .. }), "an empty queue accepts any message: {error}");
}

/// Responds to each handshake with this text. Returns the URL, and a receiver of the time of each attempt.
async fn refuse_all(response: &'static str) -> (String, mpsc::UnboundedReceiver<Instant>) {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let (attempts, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            respond(server.tcp().await, response).await;
            let _ = attempts.send(Instant::now());
        }
    });
    (url, receiver)
}

/// The error of a call that waits for a connection until it times out.
async fn waiting_call(client: &Client) -> CallError {
    client.send_async::<()>("e", (), Duration::from_millis(300)).await.unwrap_err()
}

#[tokio::test]
async fn a_call_that_waits_for_a_server_that_refuses_returns_the_reason() {
    let (url, mut attempts) =
        refuse_all("HTTP/1.1 403 Forbidden\r\nContent-Length: 30\r\n\r\nThe origin \"x\" is not allowed.\n").await;
    let client = aaw_client::connect_lazy_with(&url, eager()).unwrap();
    let error = waiting_call(&client).await;
    let CallError::TimedOut { sent: false, no_connection: Some(reason), .. } = &error else { panic!("{error:?}") };
    assert!(matches!(&reason.last_attempt, Some(ConnectError::Refused { status: 403, .. })), "{reason:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "no response within 300ms; the call was not sent: never connected; last attempt: {url} refused the \
             connection with 403: The origin \"x\" is not allowed."
        )
    );
    assert_eq!(client.no_connection().as_ref(), Some(reason));
    // `eager` waits a millisecond after another failure.
    attempts.recv().await.unwrap();
    assert!(attempts.try_recv().is_err(), "it was tried again at once");
}

#[tokio::test]
async fn a_call_that_waits_for_a_server_that_is_not_there_returns_the_reason() {
    let url = ScriptedServer::start().await.url();
    let client = aaw_client::connect_lazy_with(&url, eager()).unwrap();
    let error = waiting_call(&client).await.to_string();
    assert!(error.contains(&format!("never connected; last attempt: cannot reach {url}: ")), "{error}");
    let (server, client, connection) = pair().await;
    let mut events = client.connection_events();
    assert_eq!(client.no_connection(), None);
    drop((server, connection));
    while !matches!(soon("a failed attempt", events.next()).await, Some(ConnectionEvent::Error(_))) {}
    let error = waiting_call(&client).await.to_string();
    assert!(error.contains("the call was not sent: the connection was lost: the connection broke: "), "{error}");
    assert!(error.contains("; last attempt: cannot reach ws://"), "{error}");
}

#[tokio::test]
async fn a_call_that_waits_for_other_calls_says_so() {
    let (_server, client, mut connection) = pair_with(Config { max_concurrent_calls: 0, ..eager() }).await;
    let first = client.send_async::<i32>("first", (), LONG);
    let script = async {
        assert_eq!(connection.read().await, r#"["first",null,1]"#, "a limit of zero counts as one");
        let error = waiting_call(&client).await;
        assert!(matches!(error, CallError::TimedOut { sent: false, no_connection: None, .. }), "{error:?}");
        assert!(error.to_string().contains("too many calls were open"), "{error}");
        connection.send(r#"["first",7,1]"#).await;
    };
    let (first, ()) = tokio::join!(first, script);
    assert_eq!(first, Ok(7));
}

#[tokio::test]
async fn a_server_that_names_a_time_is_not_asked_before_it() {
    for response in [
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (url, mut attempts) = refuse_all(response).await;
        let _client = aaw_client::connect_lazy_with(&url, eager()).unwrap();
        let first = soon("an attempt", attempts.recv()).await.unwrap();
        let second = soon("another attempt", attempts.recv()).await.unwrap();
        assert!(second - first >= Duration::from_millis(900), "{:?}", second - first);
    }
}

#[tokio::test]
async fn a_lazy_client_reports_each_failed_attempt_and_tries_again() {
    let free = ScriptedServer::start().await;
    let url = free.url();
    let port = free.port();
    drop(free);
    let client = aaw_client::connect_lazy_with(&url, eager()).unwrap();
    let mut events = client.connection_events();
    for _ in 0..3 {
        let event = soon("a failure", events.next()).await;
        assert!(
            matches!(&event, Some(ConnectionEvent::Error(ClientWarning::Connect(ConnectError::Unreachable { .. })))),
            "{event:?}"
        );
    }
    // If another process has taken the port meanwhile, the test ends here.
    let Ok(listener) = tokio::net::TcpListener::bind(("127.0.0.1", port)).await else { return };
    let stream = soon("an attempt", listener.accept()).await.unwrap().0;
    let mut connection = ScriptedConnection::handshake(stream, "aaw.v1").await;
    connection.read().await;
    connection.send(r#"["aaw/welcome",{"connection":"c1"}]"#).await;
    while !matches!(soon("open", events.next()).await, Some(ConnectionEvent::Open { .. })) {}
}

#[tokio::test]
async fn a_silent_server_is_pinged_and_then_disconnected() {
    let config = Config { heartbeat_interval: Some(Duration::from_millis(30)), ..eager() };
    let (server, client, connection) = pair_with(config).await;
    let mut events = client.connection_events();
    // The scripted server reads nothing, so it sends no pong.
    assert!(matches!(soon("close", events.next()).await, Some(ConnectionEvent::Close(DisconnectReason::Silent))));
    let mut connection = {
        drop(connection);
        server.accept().await
    };
    assert!(matches!(soon("open", events.next()).await, Some(ConnectionEvent::Open { .. })));
    // This connection is read, and tungstenite responds to pings.
    for _ in 0..4 {
        assert!(matches!(connection.message().await, Some(tokio_tungstenite::tungstenite::Message::Ping(_))));
    }
    assert!(matches!(client.state(), ConnectionState::Open { .. }));
}

#[tokio::test]
async fn invalid_messages_from_the_server_are_reported_and_ignored() {
    let (_server, client, mut connection) = pair().await;
    let mut events = client.connection_events();
    let invalid = ["", "hello", "{}", "[]", "[7]", r#"["e",1,77]"#, r#"["e",1,-1,"item"]"#, r#"["e",1,"x"]"#];
    for text in invalid {
        connection.send(text).await;
    }
    connection.send(&format!(r#"["e",{}]"#, "[".repeat(100_000))).await;
    connection.send(r#"["aaw/error",{"error":"Unknown event: x","code":"unknown_event"}]"#).await;
    let script = async {
        assert_eq!(connection.read().await, r#"["e",null,1]"#);
        connection.send(r#"["e",null,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<()>("e", (), LONG), script);
    assert_eq!(called, Ok(()));
    let mut warnings = Vec::new();
    // One for each, one for the deeply nested message, and the error that the server reports.
    while warnings.len() < invalid.len() + 2 {
        match soon("an error", events.next()).await {
            Some(ConnectionEvent::Error(warning)) => warnings.push(warning),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(warnings.last(), Some(ClientWarning::Reported(failure)) if failure.error == "Unknown event: x"));
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_connection_with_1009() {
    let (server, client, mut connection) = pair_with(Config { max_message_bytes: 10_000, ..eager() }).await;
    let mut events = client.connection_events();
    connection.send(&format!(r#"["e","{}"]"#, "x".repeat(20_000))).await;
    assert_eq!(connection.closed().await, 1009);
    let event = soon("close", events.next()).await;
    assert!(
        matches!(&event, Some(ConnectionEvent::Close(DisconnectReason::Broken(text))) if text.contains("max_message_bytes")),
        "{event:?}"
    );
    server.accept().await;
}

// --- Closing ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn closing_writes_queued_sends_and_ends_open_calls() {
    let (_server, client, mut connection) = pair().await;
    let mut events = client.connection_events();
    let mut pushes = client.on("e");
    let caller = client.clone();
    let call = tokio::spawn(async move { caller.send_async::<()>("call", (), LONG).await });
    assert_eq!(connection.read().await, r#"["call",null,1]"#);
    client.send_event("last", ()).await.unwrap();
    let script = async {
        assert_eq!(connection.read().await, r#"["last",null]"#);
        assert_eq!(connection.closed().await, 1000);
    };
    tokio::join!(soon("the end", client.close()), script);
    assert_eq!(call.await.unwrap(), Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs)));
    assert!(matches!(soon("close", events.next()).await, Some(ConnectionEvent::Close(DisconnectReason::ClosedByUs))));
    assert!(events.next().await.is_none() && pushes.next().await.is_none());
    assert_eq!(client.state(), ConnectionState::Closed);
    assert_eq!(client.send_event("e", ()).await, Err(SendError::Closed));
    assert_eq!(client.send_async::<()>("e", (), LONG).await, Err(CallError::NotSent(SendError::Closed)));
    assert!(client.on("e").next().await.is_none());
    soon("a second close", client.close()).await;
}

#[tokio::test]
async fn dropping_the_last_clone_closes_the_connection() {
    let (_server, client, mut connection) = pair().await;
    let clone = client.clone();
    let mut pushes = client.on("e");
    drop(client);
    clone.send_event("e", ()).await.unwrap();
    drop(clone);
    assert_eq!(connection.read().await, r#"["e",null]"#);
    assert_eq!(connection.closed().await, 1000);
    assert!(soon("the end", pushes.next()).await.is_none());
}

#[tokio::test]
async fn dropping_the_last_clone_ends_the_client_although_the_server_reads_nothing() {
    let (_server, client, _connection) = pair().await;
    let mut events = client.connection_events();
    let body = "x".repeat(60_000);
    // Until both sockets and the queue of the connection are full.
    while tokio::time::timeout(Duration::from_millis(200), client.send_event("e", &body)).await.is_ok() {}
    drop(client);
    let end = async { while events.next().await.is_some() {} };
    soon("the end", end).await;
}

#[tokio::test]
async fn closing_without_a_connection_ends_waiting_calls_as_not_sent() {
    let server = ScriptedServer::start().await;
    let client = aaw_client::connect_lazy_with(&server.url(), eager()).unwrap();
    let waiting = client.send_async::<()>("e", (), LONG);
    let (called, ()) = tokio::join!(waiting, soon("the end", client.close()));
    assert_eq!(called, Err(CallError::NotSent(SendError::Closed)));
}

// --- Failed attempts to connect --------------------------------------------------------------------------------------

#[tokio::test]
async fn connecting_fails_if_nothing_listens() {
    let url = ScriptedServer::start().await.url();
    let error = aaw_client::connect(&url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&url));
}

/// Responds to the handshake with this text, and returns the client's error.
async fn refused_with(response: &str) -> ConnectError {
    let server = ScriptedServer::start().await;
    let script = async { respond(server.tcp().await, response).await };
    let url = server.url();
    let (connected, ()) = tokio::join!(aaw_client::connect(&url), script);
    connected.unwrap_err()
}

/// Responds to the handshake on this connection, and closes it. A `|` separates parts that arrive one after the other.
async fn respond(mut stream: TcpStream, response: &str) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for (at, part) in response.split('|').enumerate() {
        if at > 0 {
            // Long enough that the client has read the part before. If not, the test passes without its point.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stream.write_all(part.as_bytes()).await.unwrap();
    }
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_refused_handshake_returns_the_status_and_the_body() {
    let error = refused_with("HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nno entry").await;
    let ConnectError::Refused { status: 403, body, .. } = &error else { panic!("{error}") };
    assert_eq!(body, "no entry");
    assert!(error.to_string().ends_with("refused the connection with 403: no entry"), "{error}");
}

#[tokio::test]
async fn the_reason_of_a_refusal_is_read_although_it_arrives_after_the_head() {
    for response in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\n|no |entry",
        "HTTP/1.1 403 Forb|idden\r\nTransfer-Encoding: chunked\r\n\r\n|3\r\nno |\r\n5\r\nentry\r\n0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\n\r\nno |entry",
        "HTTP/1.1 103 Early Hints\r\n\r\n|HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nno entry",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 42\r\n\r\n|{\"error\":\"no entry\",\"code\":\"not_allowed\"}",
    ] {
        let error = refused_with(response).await;
        assert!(error.to_string().ends_with("refused the connection with 403: no entry"), "{response}: {error}");
    }
    // A body that does not end is not waited for longer than a second.
    let server = ScriptedServer::start().await;
    let url = server.url();
    let script = async {
        let mut stream = server.tcp().await;
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nno entry").await.unwrap();
        stream
    };
    let (connected, _stream) = tokio::join!(aaw_client::connect(&url), script);
    let error = connected.unwrap_err();
    assert!(error.to_string().ends_with("with 403: no entry"), "{error}");
    let redirect = "HTTP/1.1 301 Moved\r\nLocation: https://host/?token=hunter2\r\nContent-Length: 9\r\n\r\n<p>moved.";
    let error = refused_with(redirect).await;
    assert!(error.to_string().ends_with("with 301 (it redirects to https://host/?token=[redacted])"), "{error}");
}

#[tokio::test]
async fn a_sub_protocol_that_was_not_offered_is_named() {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let script = async { ScriptedConnection::handshake(server.tcp().await, "mqtt").await };
    let (connected, _connection) = tokio::join!(aaw_client::connect(&url), script);
    let error = connected.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Handshake { problem, .. } if problem.contains("sub-protocol \"mqtt\"")),
        "{error}"
    );
}

#[tokio::test]
async fn an_extension_that_was_not_offered_fails_the_handshake() {
    let server = ScriptedServer::start().await;
    let url = server.url();
    #[expect(clippy::result_large_err)]
    let extended = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        response.headers_mut().insert("sec-websocket-protocol", "aaw.v1".parse().unwrap());
        response.headers_mut().insert("sec-websocket-extensions", "permessage-deflate".parse().unwrap());
        Ok(response)
    };
    let script = async { accept_hdr_async(server.tcp().await, extended).await };
    let (connected, _socket) = tokio::join!(aaw_client::connect(&url), script);
    let error = connected.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Handshake { problem, .. } if problem.contains("\"permessage-deflate\"")),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_in_the_url_is_sent_and_appears_in_no_error() {
    let response = "HTTP/1.1 404 Not Found\r\n\r\nCannot GET /x?token=hunter2";
    let (url, _attempts) = refuse_all(response).await;
    let url = format!("{url}/x?token=hunter2");
    let error = aaw_client::connect(&url).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/x?token=[redacted] refused the connection with 404: Cannot GET /x?token=[redacted]"),
        "{error}"
    );
    let client = aaw_client::connect_lazy_with(&url, eager()).unwrap();
    let mut events = client.connection_events();
    let event = soon("an error", events.next()).await;
    let call = waiting_call(&client).await;
    for text in [format!("{error:?}"), format!("{event:?}"), format!("{call} {call:?}")] {
        assert!(text.contains("[redacted]") && !text.contains("hunter2"), "{text}");
    }
    let server = ScriptedServer::start().await;
    let url = format!("{}/x?token=hunter2", server.url());
    let (client, connection) = tokio::join!(aaw_client::connect(&url), server.accept());
    assert_eq!(connection.request.uri(), "/x?token=hunter2");
    drop(client);
}

#[tokio::test]
async fn a_response_that_is_not_websocket_fails_the_handshake() {
    for response in ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n", ""] {
        let error = refused_with(response).await;
        assert!(matches!(error, ConnectError::Handshake { .. }), "{response:?}: {error}");
    }
}

#[tokio::test]
async fn an_attempt_to_connect_times_out() {
    let server = ScriptedServer::start().await;
    let config = Config { connect_timeout: Duration::from_millis(30), ..eager() };
    let error = aaw_client::connect_with(&server.url(), config).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_closes_before_the_welcome_fails_the_first_attempt() {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let script = async { server.accept_without_welcome().await.close(1013, "full").await };
    let (connected, ()) = tokio::join!(aaw_client::connect(&url), script);
    let error = connected.unwrap_err();
    assert!(
        matches!(
            &error,
            ConnectError::Disconnected { reason: DisconnectReason::ClosedByServer { code: 1013, .. }, .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_refused_connection_returns_the_reason() {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let script = async {
        let mut connection = server.accept_without_welcome().await;
        connection.send(r#"["aaw/error",{"error":"members only","code":"not_allowed"}]"#).await;
        connection.close(1008, "members only").await;
    };
    let prepared = aaw_client::prepare(&url, eager()).unwrap();
    let mut events = prepared.connection_events();
    let (connected, ()) = tokio::join!(prepared.connect(), script);
    let error = connected.unwrap_err().to_string();
    assert!(error.contains("1008") && error.ends_with("members only"), "{error}");
    let event = soon("an error", events.next()).await;
    assert!(
        matches!(&event, Some(ConnectionEvent::Error(ClientWarning::Reported(failure))) if failure.code == "not_allowed"),
        "{event:?}"
    );
}

// --- The original server ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_classic_server_receives_only_classic_frames() {
    let (_server, client, mut connection) = classic_pair().await;
    assert_eq!(client.state(), ConnectionState::Open { connection: None });
    let script = async {
        assert_eq!(connection.read().await, r#"["ping",null,1]"#);
        connection.send(r#"["ping",{"pong":true}]"#).await;
        assert_eq!(connection.read().await, r#"["explode",null,2]"#);
        connection.send(r#"["explode",{"error":"Error: Something went wrong"}]"#).await;
        assert_eq!(connection.read().await, r#"["slow",null,3]"#);
        assert_eq!(connection.read().await, r#"["news",{"a":1}]"#);
    };
    let calls = async {
        assert_eq!(client.send_async::<Value>("ping", (), LONG).await, Ok(json!({ "pong": true })));
        let Err(CallError::Failed(failure)) = client.send_async::<Value>("explode", (), LONG).await else { panic!() };
        assert_eq!((failure.error.as_str(), failure.code.as_str()), ("Error: Something went wrong", "handler"));
        // The classic dialect has no cancellation.
        let timed_out = client.send_async::<()>("slow", (), Duration::from_millis(1)).await;
        assert!(matches!(timed_out, Err(CallError::TimedOut { sent: true, .. })));
        client.send_event("news", json!({ "a": 1 })).await.unwrap();
    };
    tokio::join!(calls, script);
}

#[tokio::test]
async fn a_server_without_sub_protocols_gets_a_second_handshake_without_them() {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let script = async {
        let first = ScriptedConnection::handshake(server.tcp().await, "").await;
        assert!(first.request.headers().contains_key("sec-websocket-protocol"));
        let mut second = ScriptedConnection::handshake(server.tcp().await, "").await;
        assert!(!second.request.headers().contains_key("sec-websocket-protocol"));
        assert_eq!(second.read().await, r#"["ping",null,1]"#);
        second.send(r#"["ping",1,1]"#).await;
        second
    };
    let calls = async { aaw_client::connect(&url).await.unwrap().send_async::<i32>("ping", (), LONG).await };
    let (called, _connection) = tokio::join!(calls, script);
    assert_eq!(called, Ok(1));
}

/// Its first part is a sign of life, and so is each other one. The pong would follow it.
#[tokio::test]
async fn a_large_message_that_arrives_slowly_is_not_taken_for_silence() {
    const PARTS: usize = 20;
    let server = ScriptedServer::start().await;
    let interval = Duration::from_millis(200);
    let config = Config { heartbeat_interval: Some(interval), ..eager() };
    let client = aaw_client::connect_lazy_with(&server.url(), config).unwrap();
    let script = async {
        let mut connection = server.accept().await;
        assert_eq!(connection.read().await, r#"["large",null,1]"#);
        let text = format!(r#"["large","{}",1]"#, "x".repeat(10_000));
        let mut frame = vec![0x81, 126];
        frame.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(text.as_bytes());
        // For longer than the client waits for two pongs.
        for part in frame.chunks(frame.len().div_ceil(PARTS)) {
            connection.socket.get_mut().write_all(part).await.unwrap();
            tokio::time::sleep(interval / 2).await;
        }
        connection
    };
    let (response, _connection) = tokio::join!(client.send_async::<String>("large", (), LONG), script);
    assert_eq!(response.map(|text| text.len()), Ok(10_000));
}
