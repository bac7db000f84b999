//! The client against a scripted server, over TCP.

// Test code: a panic is how it says no.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::time::Duration;

use aaw_client::{
    Backoff, CallError, ClientWarning, Config, ConnectError, ConnectionEvent, DisconnectReason, SendError, State,
};
use scripted::{Peer, Server, classic_pair, eager, pair, pair_with, soon};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const LONG: Duration = Duration::from_secs(10);

// --- Calls -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn calls_of_one_event_at_once_each_get_their_own_answer() {
    let (_server, client, mut peer) = pair().await;
    let calls = (0..100).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { client.send_async::<i32>("echo", n, LONG).await.unwrap() })
    });
    let calls: Vec<_> = calls.collect();
    let mut frames = Vec::new();
    for _ in 0..100 {
        frames.push(serde_json::from_str::<(String, i32, i64)>(&peer.read().await).unwrap());
    }
    // Ids are taken in the order of writing; the answers come the other way round.
    assert!(frames.iter().enumerate().all(|(at, frame)| frame.2 == at as i64 + 1));
    for (event, body, id) in frames.into_iter().rev() {
        peer.send(&json!([event, body, id]).to_string()).await;
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), n as i32);
    }
}

#[tokio::test]
async fn failures_carry_text_code_and_data() {
    let (_server, client, mut peer) = pair().await;
    let script = async {
        peer.read().await;
        peer.send(r#"["e",{"error":"no","code":"mine","data":{"a":1}},1,"error"]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<()>("e", (), LONG), script);
    let Err(CallError::Failed(failure)) = called else { panic!("{called:?}") };
    assert_eq!((failure.error.as_str(), failure.code.as_str()), ("no", "mine"));
    assert_eq!(failure.data.unwrap().get(), r#"{"a":1}"#);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_names_the_field() {
    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code)]
    struct User {
        id: u32,
    }
    let (_server, client, mut peer) = pair().await;
    for (answer, expected) in [
        (r#"["e",[{"id":1},{"id":"x"}],1]"#, "[1].id: invalid type: string"),
        (r#"["e",[{}],2]"#, "[0]: missing field `id`"),
        (r#"["e",not json,3]"#, "expected"),
    ] {
        let script = async {
            peer.read().await;
            peer.send(answer).await;
        };
        let (called, ()) = tokio::join!(client.send_async::<Vec<User>>("e", (), LONG), script);
        let error = called.unwrap_err();
        assert!(matches!(&error, CallError::BadAnswer(_)) && error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_call_that_times_out_tells_the_server() {
    let (_server, client, mut peer) = pair().await;
    let after = Duration::from_millis(20);
    let error = client.send_async::<()>("e", (), after).await.unwrap_err();
    assert_eq!(error, CallError::TimedOut { after, sent: true });
    assert_eq!(peer.read().await, r#"["e",null,1]"#);
    assert_eq!(peer.read().await, r#"["e",null,1,"cancel"]"#);
}

#[tokio::test]
async fn dropping_a_call_tells_the_server() {
    let (_server, client, mut peer) = pair().await;
    {
        let call = client.send_async::<()>("e", (), LONG);
        tokio::pin!(call);
        tokio::select! {
            _ = &mut call => panic!("nobody answers it"),
            frame = peer.read() => assert_eq!(frame, r#"["e",null,1]"#),
        }
    }
    assert_eq!(peer.read().await, r#"["e",null,1,"cancel"]"#);
}

#[tokio::test]
async fn a_call_dropped_before_the_driver_saw_it_is_never_sent() {
    let (_server, client, mut peer) = pair().await;
    {
        let call = client.send_async::<()>("dropped", (), LONG);
        tokio::pin!(call);
        // On this one thread the driver has no chance between the poll and the drop.
        assert!(futures_util::poll!(&mut call).is_pending());
    }
    client.send_event("next", ()).await.unwrap();
    assert_eq!(peer.read().await, r#"["next",null]"#);
}

#[tokio::test]
async fn what_cannot_be_sent_says_why() {
    let (_server, client, _peer) = pair().await;
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
    let (_server, client, mut peer) = pair().await;
    for n in 0..50 {
        client.send_event("send", n).await.unwrap();
        let call = client.send_async::<()>("call", n, LONG);
        tokio::pin!(call);
        assert!(futures_util::poll!(&mut call).is_pending());
        let frame = peer.read().await;
        assert_eq!(frame, format!(r#"["send",{n}]"#));
        assert_eq!(peer.read().await, format!(r#"["call",{n},{}]"#, n + 1));
        peer.send(&format!(r#"["call",null,{}]"#, n + 1)).await;
        call.await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_reads_slowly_makes_senders_wait_and_fails_none() {
    let (_server, client, mut peer) = pair().await;
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
        assert_eq!(peer.read().await.len(), body.len() + 8);
    }
    senders.await.unwrap();
}

/// Every time that can be set, set to the largest.
fn endless() -> Config {
    let endless = Duration::MAX;
    Config {
        connect_timeout: endless,
        heartbeat: Some(endless),
        backoff: Backoff { min: endless, max: endless, ..Backoff::default() },
        ..Config::default()
    }
}

#[tokio::test]
async fn a_time_of_the_largest_duration_never_ends_and_panics_nowhere() {
    let (_server, client, mut peer) = pair_with(endless()).await;
    // More than a clock can hold, twice, and less.
    for (id, timeout) in [(1, Duration::MAX), (2, Duration::from_secs(u64::MAX)), (3, Duration::from_secs(1 << 62))] {
        let script = async {
            assert_eq!(peer.read().await, format!(r#"["e",null,{id}]"#));
            peer.send(&format!(r#"["e",{id},{id}]"#)).await;
        };
        let (called, ()) = tokio::join!(client.send_async::<u32>("e", (), timeout), script);
        assert_eq!(called, Ok(id));
    }
    let mut changes = client.connection_events();
    drop(peer);
    assert!(matches!(soon("close", changes.next()).await, Some(ConnectionEvent::Close(DisconnectReason::Broken(_)))));
    soon("the end", client.close()).await;
}

// --- Pushes ----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_push_with_the_name_of_an_open_call_reaches_listeners_and_not_the_call() {
    let (_server, client, mut peer) = pair().await;
    let mut pushes = client.on("e");
    let mut all = client.on_any();
    let mut typed = client.on("e").parsed::<i32>();
    let script = async {
        peer.read().await;
        peer.send(r#"["e",1]"#).await;
        peer.send(r#"["other","x"]"#).await;
        peer.send(r#"["e",2,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<i32>("e", (), LONG), script);
    assert_eq!(called, Ok(2));
    assert_eq!(soon("a push", pushes.next()).await.unwrap().parse(), Ok(1));
    assert_eq!(soon("a push", futures_util::StreamExt::next(&mut typed)).await, Some(Ok(1)));
    assert_eq!(soon("a push", all.next()).await.unwrap().event(), "e");
    assert_eq!(soon("a push", all.next()).await.unwrap().json(), r#""x""#);
}

#[tokio::test]
async fn a_slow_listener_loses_the_oldest_and_holds_up_nobody() {
    let (_server, client, mut peer) = pair_with(Config { push_buffer: 4, ..eager() }).await;
    let mut slow = client.on("n");
    for n in 0..1000 {
        peer.send(&format!(r#"["n",{n}]"#)).await;
    }
    let script = async {
        peer.read().await;
        peer.send(r#"["e",null,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<()>("e", (), LONG), script);
    assert_eq!(called, Ok(()));
    assert_eq!(slow.lost(), 996);
    for n in 996..1000 {
        assert_eq!(slow.next().await.unwrap().parse(), Ok(n));
    }
}

#[tokio::test]
async fn several_events_are_heard_in_their_order_and_nothing_else_takes_their_place() {
    let (_server, client, mut peer) = pair_with(Config { push_buffer: 4, ..eager() }).await;
    // One that is named twice is heard once.
    let mut pushes = client.on_any_of(["a", "b", "a"]);
    for text in [r#"["a",1]"#, r#"["a",2]"#, r#"["b",3]"#, r#"["a",4]"#] {
        peer.send(text).await;
    }
    for _ in 0..100 {
        peer.send(r#"["other",0]"#).await;
    }
    let script = async {
        peer.read().await;
        peer.send(r#"["e",null,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<()>("e", (), LONG), script);
    assert_eq!(called, Ok(()));
    for expected in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")] {
        let push = soon("a push", pushes.next()).await.unwrap();
        assert_eq!((push.event(), push.json()), expected);
    }
    assert_eq!(pushes.lost(), 0);
}

#[tokio::test]
async fn a_callback_is_called_until_its_subscription_is_dropped() {
    let (_server, client, mut peer) = pair().await;
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let subscription = client.on_each("e", move |push| drop(sender.send(push.json().to_owned())));
    peer.send(r#"["e",1]"#).await;
    assert_eq!(soon("a call", seen.recv()).await.as_deref(), Some("1"));
    drop(subscription);
    // Its sender is dropped with it.
    assert_eq!(soon("the end", seen.recv()).await, None);
}

// --- Connections -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn it_offers_a_key_of_its_own_first_and_sends_the_headers_it_was_given() {
    let server = Server::start().await;
    let mut config = eager();
    config.headers.insert("authorization", "Bearer x".parse().unwrap());
    let url = server.url();
    let (client, peer) = tokio::join!(aaw_client::connect_with(&url, config), server.accept());
    assert_eq!(client.unwrap().connection_id().as_deref(), Some("c1"));
    let header = |name| peer.request.headers().get(name).unwrap().to_str().unwrap();
    let (key, rest) = header("sec-websocket-protocol").split_once(", ").unwrap();
    assert!(key.starts_with('_') && key.len() == 37 && rest == "aaw.v1");
    assert_eq!(header("authorization"), "Bearer x");
}

#[tokio::test]
async fn who_listens_before_connecting_hears_the_first_word() {
    let server = Server::start().await;
    let prepared = aaw_client::prepare(&server.url(), eager()).unwrap();
    let (mut pushes, mut changes) = (prepared.on("message"), prepared.connection_events());
    let script = async {
        let mut peer = server.accept().await;
        peer.send(r#"["message","welcome"]"#).await;
        peer
    };
    let (client, _peer) = tokio::join!(prepared.connect(), script);
    let _client = client.unwrap();
    assert!(matches!(soon("open", changes.next()).await, Some(ConnectionEvent::Open { .. })));
    assert_eq!(soon("a push", pushes.next()).await.unwrap().json(), r#""welcome""#);
}

#[tokio::test]
async fn after_a_break_it_connects_again_and_listeners_stay() {
    let (server, client, mut peer) = pair().await;
    let mut pushes = client.on("e");
    let mut changes = client.connection_events();
    let script = async {
        peer.read().await;
        drop(peer);
        server.accept().await
    };
    let (called, mut peer) = tokio::join!(client.send_async::<()>("e", (), LONG), script);
    assert!(matches!(called, Err(CallError::OutcomeUnknown(DisconnectReason::Broken(_)))), "{called:?}");
    assert!(matches!(soon("close", changes.next()).await, Some(ConnectionEvent::Close(DisconnectReason::Broken(_)))));
    assert!(matches!(soon("open", changes.next()).await, Some(ConnectionEvent::Open { .. })));
    assert_eq!(client.state(), State::Open { connection: Some("c1".into()) });
    peer.send(r#"["e",1]"#).await;
    assert_eq!(soon("a push", pushes.next()).await.unwrap().json(), "1");
}

#[tokio::test]
async fn the_reason_of_a_close_is_told() {
    let (server, client, mut peer) = pair().await;
    let mut changes = client.connection_events();
    for code in [1001, 1008, 1009, 1012, 1013] {
        peer.close(code, "because").await;
        let Some(ConnectionEvent::Close(why)) = soon("close", changes.next()).await else { panic!() };
        assert_eq!(why, DisconnectReason::ClosedByServer { code, reason: "because".into() });
        assert!(why.to_string().contains("because"));
        peer = server.accept().await;
        assert!(matches!(soon("open", changes.next()).await, Some(ConnectionEvent::Open { .. })));
    }
}

#[tokio::test]
async fn what_is_made_while_there_is_no_connection_waits_for_it_in_order() {
    let server = Server::start().await;
    let client = aaw_client::connect_lazy_with(&server.url(), eager()).unwrap();
    assert_eq!(client.state(), State::Connecting);
    client.send_event("first", 1).await.unwrap();
    let script = async {
        let mut peer = server.accept_silently().await;
        // It does not wait for the welcome either.
        assert_eq!(peer.read().await, r#"["first",1]"#);
        assert_eq!(peer.read().await, r#"["then",2,1]"#);
        peer.send(r#"["then",3,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<i32>("then", 2, LONG), script);
    assert_eq!(called, Ok(3));
}

#[tokio::test]
async fn what_waits_for_a_connection_is_bounded() {
    let server = Server::start().await;
    let config = Config { max_waiting_sends: 1000, max_waiting_calls: 1000, ..eager() };
    let client = aaw_client::connect_lazy_with(&server.url(), config).unwrap();
    let mut taken = 0;
    let error = loop {
        match client.send_event("e", "x".repeat(100)).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error, taken), (SendError::QueueFull { limit: 1000 }, 7));
    let error = client.send_async::<()>("e", "x".repeat(1100), Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { sent: false, .. }), "one always fits: {error}");
}

#[tokio::test]
async fn a_client_that_connects_lazily_keeps_trying_and_says_so() {
    let free = Server::start().await;
    let url = free.url();
    let port = free.port();
    drop(free);
    let client = aaw_client::connect_lazy_with(&url, eager()).unwrap();
    let mut changes = client.connection_events();
    for _ in 0..3 {
        let change = soon("a failure", changes.next()).await;
        assert!(
            matches!(&change, Some(ConnectionEvent::Error(ClientWarning::Connect(ConnectError::Unreachable { .. })))),
            "{change:?}"
        );
    }
    // Another may have taken the port meanwhile; then this test has nothing to say.
    let Ok(listener) = tokio::net::TcpListener::bind(("127.0.0.1", port)).await else { return };
    let stream = soon("an attempt", listener.accept()).await.unwrap().0;
    let mut peer = Peer::shake_hands(stream, "aaw.v1").await;
    peer.read().await;
    peer.send(r#"["aaw/welcome",{"connection":"c1"}]"#).await;
    while !matches!(soon("open", changes.next()).await, Some(ConnectionEvent::Open { .. })) {}
}

#[tokio::test]
async fn a_silent_server_is_pinged_and_then_left() {
    let config = Config { heartbeat: Some(Duration::from_millis(30)), ..eager() };
    let (server, client, peer) = pair_with(config).await;
    let mut changes = client.connection_events();
    // It reads nothing, so it answers no ping.
    assert!(matches!(soon("close", changes.next()).await, Some(ConnectionEvent::Close(DisconnectReason::Silent))));
    let mut peer = {
        drop(peer);
        server.accept().await
    };
    assert!(matches!(soon("open", changes.next()).await, Some(ConnectionEvent::Open { .. })));
    // This one reads, and tungstenite answers pings.
    for _ in 0..4 {
        assert!(matches!(peer.message().await, Some(tokio_tungstenite::tungstenite::Message::Ping(_))));
    }
    assert!(matches!(client.state(), State::Open { .. }));
}

#[tokio::test]
async fn nonsense_from_the_server_hurts_nothing() {
    let (_server, client, mut peer) = pair().await;
    let mut changes = client.connection_events();
    let nonsense = ["", "hello", "{}", "[]", "[7]", r#"["e",1,77]"#, r#"["e",1,-1,"item"]"#, r#"["e",1,"x"]"#];
    for text in nonsense {
        peer.send(text).await;
    }
    peer.send(&format!(r#"["e",{}]"#, "[".repeat(100_000))).await;
    peer.send(r#"["aaw/error",{"error":"Unknown event: x","code":"unknown_event"}]"#).await;
    let script = async {
        assert_eq!(peer.read().await, r#"["e",null,1]"#);
        peer.send(r#"["e",null,1]"#).await;
    };
    let (called, ()) = tokio::join!(client.send_async::<()>("e", (), LONG), script);
    assert_eq!(called, Ok(()));
    let mut troubles = Vec::new();
    // Each, the nested one, and what the server says.
    while troubles.len() < nonsense.len() + 2 {
        match soon("an error", changes.next()).await {
            Some(ConnectionEvent::Error(trouble)) => troubles.push(trouble),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(troubles.last(), Some(ClientWarning::Reported(failure)) if failure.error == "Unknown event: x"));
}

#[tokio::test]
async fn too_large_a_message_ends_the_connection_with_1009() {
    let (server, client, mut peer) = pair_with(Config { max_message: 10_000, ..eager() }).await;
    let mut changes = client.connection_events();
    peer.send(&format!(r#"["e","{}"]"#, "x".repeat(20_000))).await;
    assert_eq!(peer.closed().await, 1009);
    let change = soon("close", changes.next()).await;
    assert!(
        matches!(&change, Some(ConnectionEvent::Close(DisconnectReason::Broken(why))) if why.contains("max_message")),
        "{change:?}"
    );
    server.accept().await;
}

// --- The end ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn closing_writes_what_was_sent_and_ends_what_is_open() {
    let (_server, client, mut peer) = pair().await;
    let mut changes = client.connection_events();
    let mut pushes = client.on("e");
    let caller = client.clone();
    let call = tokio::spawn(async move { caller.send_async::<()>("call", (), LONG).await });
    assert_eq!(peer.read().await, r#"["call",null,1]"#);
    client.send_event("last", ()).await.unwrap();
    let script = async {
        assert_eq!(peer.read().await, r#"["last",null]"#);
        assert_eq!(peer.closed().await, 1000);
    };
    tokio::join!(soon("the end", client.close()), script);
    assert_eq!(call.await.unwrap(), Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs)));
    assert!(matches!(soon("close", changes.next()).await, Some(ConnectionEvent::Close(DisconnectReason::ClosedByUs))));
    assert!(changes.next().await.is_none() && pushes.next().await.is_none());
    assert_eq!(client.state(), State::Closed);
    assert_eq!(client.send_event("e", ()).await, Err(SendError::Closed));
    assert_eq!(client.send_async::<()>("e", (), LONG).await, Err(CallError::NotSent(SendError::Closed)));
    assert!(client.on("e").next().await.is_none());
    soon("a second end", client.close()).await;
}

#[tokio::test]
async fn dropping_the_last_clone_closes_the_connection() {
    let (_server, client, mut peer) = pair().await;
    let clone = client.clone();
    let mut pushes = client.on("e");
    drop(client);
    clone.send_event("e", ()).await.unwrap();
    drop(clone);
    assert_eq!(peer.read().await, r#"["e",null]"#);
    assert_eq!(peer.closed().await, 1000);
    assert!(soon("the end", pushes.next()).await.is_none());
}

#[tokio::test]
async fn dropping_the_last_clone_of_a_client_whose_server_reads_nothing_ends_it_too() {
    let (_server, client, _peer) = pair().await;
    let mut changes = client.connection_events();
    let body = "x".repeat(60_000);
    // Until the server's socket, our own and the session's line are full.
    while tokio::time::timeout(Duration::from_millis(200), client.send_event("e", &body)).await.is_ok() {}
    drop(client);
    let end = async { while changes.next().await.is_some() {} };
    soon("the end", end).await;
}

#[tokio::test]
async fn closing_while_there_is_no_connection_ends_what_waits_as_not_sent() {
    let server = Server::start().await;
    let client = aaw_client::connect_lazy_with(&server.url(), eager()).unwrap();
    let waiting = client.send_async::<()>("e", (), LONG);
    let (called, ()) = tokio::join!(waiting, soon("the end", client.close()));
    assert_eq!(called, Err(CallError::NotSent(SendError::Closed)));
}

// --- When there is no connection to be had ---------------------------------------------------------------------------

#[tokio::test]
async fn connecting_fails_where_nothing_listens() {
    let url = Server::start().await.url();
    let error = aaw_client::connect(&url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&url));
}

/// Answers the handshake with some text, and gives back the error.
async fn refused_with(answer: &str) -> ConnectError {
    let server = Server::start().await;
    let script = async {
        let mut stream = server.tcp().await;
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let url = server.url();
    let (connected, ()) = tokio::join!(aaw_client::connect(&url), script);
    connected.unwrap_err()
}

#[tokio::test]
async fn a_refusal_says_what_the_server_said() {
    let error = refused_with("HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nno entry").await;
    let ConnectError::Refused { status: 403, body, .. } = &error else { panic!("{error}") };
    assert_eq!(body, "no entry");
    assert!(error.to_string().ends_with("refused the connection with 403: no entry"), "{error}");
}

#[tokio::test]
async fn what_is_no_websocket_is_named() {
    for answer in ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n", ""] {
        let error = refused_with(answer).await;
        assert!(matches!(error, ConnectError::Handshake { .. }), "{answer:?}: {error}");
    }
}

#[tokio::test]
async fn an_attempt_has_an_end() {
    let server = Server::start().await;
    let config = Config { connect_timeout: Duration::from_millis(30), ..eager() };
    let error = aaw_client::connect_with(&server.url(), config).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_up_at_once_fails_the_first_attempt() {
    let server = Server::start().await;
    let url = server.url();
    let script = async { server.accept_silently().await.close(1013, "full").await };
    let (connected, ()) = tokio::join!(aaw_client::connect(&url), script);
    let error = connected.unwrap_err();
    assert!(
        matches!(
            &error,
            ConnectError::DisconnectReason { why: DisconnectReason::ClosedByServer { code: 1013, .. }, .. }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_refuses_the_connection_says_why() {
    let server = Server::start().await;
    let url = server.url();
    let script = async {
        let mut peer = server.accept_silently().await;
        peer.send(r#"["aaw/error",{"error":"members only","code":"not_allowed"}]"#).await;
        peer.close(1008, "members only").await;
    };
    let prepared = aaw_client::prepare(&url, eager()).unwrap();
    let mut changes = prepared.connection_events();
    let (connected, ()) = tokio::join!(prepared.connect(), script);
    let error = connected.unwrap_err().to_string();
    assert!(error.ends_with("the server closed the connection (1008, not allowed): members only"), "{error}");
    let change = soon("an error", changes.next()).await;
    assert!(
        matches!(&change, Some(ConnectionEvent::Error(ClientWarning::Reported(failure))) if failure.code == "not_allowed"),
        "{change:?}"
    );
}

// --- The original server ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn to_a_classic_server_go_only_classic_frames() {
    let (_server, client, mut peer) = classic_pair().await;
    assert_eq!(client.state(), State::Open { connection: None });
    let script = async {
        assert_eq!(peer.read().await, r#"["ping",null,1]"#);
        peer.send(r#"["ping",{"pong":true}]"#).await;
        assert_eq!(peer.read().await, r#"["explode",null,2]"#);
        peer.send(r#"["explode",{"error":"Error: Something went wrong"}]"#).await;
        assert_eq!(peer.read().await, r#"["slow",null,3]"#);
        assert_eq!(peer.read().await, r#"["news",{"a":1}]"#);
    };
    let calls = async {
        assert_eq!(client.send_async::<Value>("ping", (), LONG).await, Ok(json!({ "pong": true })));
        let Err(CallError::Failed(failure)) = client.send_async::<Value>("explode", (), LONG).await else { panic!() };
        assert_eq!((failure.error.as_str(), failure.code.as_str()), ("Error: Something went wrong", "handler"));
        // No cancel follows.
        let timed_out = client.send_async::<()>("slow", (), Duration::from_millis(1)).await;
        assert!(matches!(timed_out, Err(CallError::TimedOut { sent: true, .. })));
        client.send_event("news", json!({ "a": 1 })).await.unwrap();
    };
    tokio::join!(calls, script);
}

#[tokio::test]
async fn a_server_that_knows_no_sub_protocols_is_asked_once_more_without() {
    let server = Server::start().await;
    let url = server.url();
    let script = async {
        let first = Peer::shake_hands(server.tcp().await, "").await;
        assert!(first.request.headers().contains_key("sec-websocket-protocol"));
        let mut second = Peer::shake_hands(server.tcp().await, "").await;
        assert!(!second.request.headers().contains_key("sec-websocket-protocol"));
        assert_eq!(second.read().await, r#"["ping",null,1]"#);
        second.send(r#"["ping",1,1]"#).await;
        second
    };
    let calls = async { aaw_client::connect(&url).await.unwrap().send_async::<i32>("ping", (), LONG).await };
    let (called, _peer) = tokio::join!(calls, script);
    assert_eq!(called, Ok(1));
}
