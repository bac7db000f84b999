//! Streams and uploads of the client against a scripted server, over TCP.

// Test code: a panic is how it says no.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::time::Duration;

use aaw_client::{CallError, Client, Config, DisconnectReason, ItemStream, SendError, UploadError};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, poll};
use scripted::{Peer, Server, classic_pair, eager, pair, pair_with, soon};
use serde_json::{Value, json};
use tokio::net::TcpStream;

const LONG: Duration = Duration::from_secs(10);

/// Room for four items.
async fn small() -> (Server, Client, Peer<TcpStream>) {
    pair_with(Config { stream_window: 4, ..eager() }).await
}

async fn next(stream: &mut ItemStream<u32>) -> Option<Result<u32, CallError>> {
    soon("an item, or the end", stream.next()).await
}

/// Reads what the client sends next, so that all that it said before has been read.
async fn nothing_was_sent(client: &Client, peer: &mut Peer<TcpStream>) {
    client.send_event("nothing before", ()).await.unwrap();
    assert_eq!(peer.read().await, r#"["nothing before",null]"#);
}

fn failed(error: Option<Result<u32, CallError>>) -> (String, String) {
    match error {
        Some(Err(CallError::Failed(failure))) => (failure.error, failure.code.to_string()),
        other => panic!("{other:?}"),
    }
}

// --- Items -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_stream_yields_its_items_and_then_ends_for_good() {
    let (_server, client, mut peer) = pair().await;
    let mut stream = client.stream::<u32>("count", json!({ "to": 3 }));
    assert_eq!(peer.read().await, r#"["count",{"to":3},1,"call",{"credit":64}]"#);
    for n in 1..=3 {
        peer.send(&format!(r#"["count",{n},1,"item"]"#)).await;
        assert_eq!(next(&mut stream).await, Some(Ok(n)));
    }
    peer.send(r#"["count",null,1,"end"]"#).await;
    assert_eq!(next(&mut stream).await, None);
    assert_eq!(next(&mut stream).await, None);
    drop(stream);
    nothing_was_sent(&client, &mut peer).await;
}

#[tokio::test]
async fn a_stream_is_one_as_futures_know_it() {
    let (_server, client, mut peer) = pair().await;
    let stream = client.stream::<u32>("count", ());
    let script = async {
        peer.read().await;
        for text in [r#"["count",1,1,"item"]"#, r#"["count",2,1,"item"]"#, r#"["count",null,1,"end"]"#] {
            peer.send(text).await;
        }
    };
    let (all, ()) = tokio::join!(soon("all", stream.map_ok(|n| n * 10).try_collect::<Vec<_>>()), script);
    assert_eq!(all, Ok(vec![10, 20]));
}

#[tokio::test]
async fn a_failure_comes_after_the_items_before_it_and_is_the_end() {
    let (_server, client, mut peer) = pair().await;
    let mut stream = client.stream::<u32>("count", ());
    peer.read().await;
    peer.send(r#"["count",1,1,"item"]"#).await;
    peer.send(r#"["count",{"error":"no","code":"mine"},1,"error"]"#).await;
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    assert_eq!(failed(next(&mut stream).await), ("no".into(), "mine".into()));
    assert_eq!(next(&mut stream).await, None);
    drop(stream);
    nothing_was_sent(&client, &mut peer).await;
}

#[tokio::test]
async fn room_is_told_again_when_the_reader_has_taken_half_and_not_before() {
    let (_server, client, mut peer) = small().await;
    let mut stream = client.stream::<u32>("count", ());
    assert_eq!(peer.read().await, r#"["count",null,1,"call",{"credit":4}]"#);
    for n in 1..=4 {
        peer.send(&format!(r#"["count",{n},1,"item"]"#)).await;
    }
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    // All four have come by now, since the answer behind them has; it is the taking that counts.
    let script = async {
        assert_eq!(peer.read().await, r#"["ping",null,2]"#);
        peer.send(r#"["ping",null,2]"#).await;
    };
    let (pinged, ()) = tokio::join!(client.send_async::<()>("ping", (), LONG), script);
    pinged.unwrap();
    nothing_was_sent(&client, &mut peer).await;
    assert_eq!(next(&mut stream).await, Some(Ok(2)));
    assert_eq!(peer.read().await, r#"["count",6,1,"credit"]"#);
    assert_eq!(next(&mut stream).await, Some(Ok(3)));
    nothing_was_sent(&client, &mut peer).await;
    assert_eq!(next(&mut stream).await, Some(Ok(4)));
    assert_eq!(peer.read().await, r#"["count",8,1,"credit"]"#);
}

#[tokio::test]
async fn a_window_of_any_size_lets_a_stream_go_on() {
    for (window, credits) in [(0, vec![2, 3, 4, 5]), (1, vec![2, 3, 4, 5]), (3, vec![4, 5, 6, 7]), (8, vec![12])] {
        let (_server, client, mut peer) = pair_with(Config { stream_window: window, ..eager() }).await;
        let mut stream = client.stream::<u32>("count", ());
        assert_eq!(peer.read().await, format!(r#"["count",null,1,"call",{{"credit":{}}}]"#, window.max(1)));
        let mut told = Vec::new();
        for n in 1..=4 {
            peer.send(&format!(r#"["count",{n},1,"item"]"#)).await;
            assert_eq!(next(&mut stream).await, Some(Ok(n)));
            if told.len() < credits.len() && (window < 8 || n == 4) {
                let frame: (String, u32, i64, String) = serde_json::from_str(&peer.read().await).unwrap();
                told.push(frame.1);
            }
        }
        assert_eq!(told, credits, "{window}");
    }
}

#[tokio::test]
async fn a_reader_that_pauses_delays_nothing_else() {
    let (_server, client, mut peer) = small().await;
    let _stalled = client.stream::<u32>("count", ());
    let mut other = client.stream::<u32>("count", ());
    peer.read().await;
    peer.read().await;
    for n in 1..=4 {
        peer.send(&format!(r#"["count",{n},1,"item"]"#)).await;
    }
    for n in 1..=100 {
        peer.send(&format!(r#"["count",{n},2,"item"]"#)).await;
        assert_eq!(next(&mut other).await, Some(Ok(n)));
        if n % 2 == 0 {
            assert_eq!(peer.read().await, format!(r#"["count",{},2,"credit"]"#, n + 4));
        }
    }
}

#[tokio::test]
async fn a_server_that_sends_more_than_there_is_room_for_is_cut_off() {
    let (_server, client, mut peer) = small().await;
    let mut stream = client.stream::<u32>("count", ());
    peer.read().await;
    for n in 1..=6 {
        peer.send(&format!(r#"["count",{n},1,"item"]"#)).await;
    }
    assert_eq!(peer.read().await, r#"["count",null,1,"cancel"]"#);
    for n in 1..=4 {
        assert_eq!(next(&mut stream).await, Some(Ok(n)));
    }
    let (error, code) = failed(next(&mut stream).await);
    assert!(code == "bad_frame" && error.contains("more items than the 4"), "{error}");
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn an_item_of_another_type_ends_the_stream_and_cancels_it() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct User {
        id: u32,
    }
    let (_server, client, mut peer) = pair().await;
    let mut stream = client.stream::<User>("users", ());
    peer.read().await;
    peer.send(r#"["users",{"id":1},1,"item"]"#).await;
    peer.send(r#"["users",{"id":"x"},1,"item"]"#).await;
    peer.send(r#"["users",{"id":3},1,"item"]"#).await;
    assert_eq!(soon("an item", stream.next()).await, Some(Ok(User { id: 1 })));
    let error = soon("an item", stream.next()).await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::BadAnswer(_)) && error.to_string().contains("id: invalid type"), "{error}");
    assert_eq!(soon("the end", stream.next()).await, None);
    assert_eq!(peer.read().await, r#"["users",null,1,"cancel"]"#);
}

// --- Its beginning and its end ---------------------------------------------------------------------------------------

#[tokio::test]
async fn dropping_a_stream_tells_the_server() {
    let (_server, client, mut peer) = pair().await;
    let mut stream = client.stream::<u32>("count", ());
    peer.read().await;
    peer.send(r#"["count",1,1,"item"]"#).await;
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    drop(stream);
    assert_eq!(peer.read().await, r#"["count",null,1,"cancel"]"#);
    // What has crossed with that is nobody's, and no trouble.
    let mut changes = client.connection_events();
    peer.send(r#"["count",2,1,"item"]"#).await;
    peer.send(r#"["count",null,1,"end"]"#).await;
    client.close().await;
    let mut troubles = Vec::new();
    while let Some(change) = changes.next().await {
        if let aaw_client::ConnectionEvent::Error(trouble) = change {
            troubles.push(trouble.to_string());
        }
    }
    assert!(troubles.is_empty(), "{troubles:?}");
}

#[tokio::test]
async fn a_stream_dropped_before_the_driver_saw_it_is_never_sent() {
    let (_server, client, mut peer) = pair().await;
    // On this one thread the driver has no chance between the two.
    drop(client.stream::<u32>("count", ()));
    nothing_was_sent(&client, &mut peer).await;
}

#[tokio::test]
async fn a_stream_that_waits_behind_others_is_cancelled_too() {
    let server = Server::start().await;
    let url = server.url();
    let script = async {
        let mut peer = server.accept_silently().await;
        peer.send(r#"["aaw/welcome",{"connection":"c1","limits":{"calls":1}}]"#).await;
        peer
    };
    let (client, mut peer) = tokio::join!(aaw_client::connect_with(&url, eager()), script);
    let client = client.unwrap();
    let first = client.stream::<u32>("first", ());
    let waiting = client.stream::<u32>("waiting", ());
    assert_eq!(peer.read().await, r#"["first",null,1,"call",{"credit":64}]"#);
    drop(waiting);
    drop(first);
    assert_eq!(peer.read().await, r#"["first",null,1,"cancel"]"#);
    nothing_was_sent(&client, &mut peer).await;
}

#[tokio::test]
async fn a_stream_opened_while_there_is_no_connection_waits_for_it() {
    let server = Server::start().await;
    let client = aaw_client::connect_lazy_with(&server.url(), eager()).unwrap();
    let mut stream = client.stream::<u32>("count", 7);
    assert!(poll!(std::pin::pin!(stream.next())).is_pending());
    let mut peer = server.accept().await;
    assert_eq!(peer.read().await, r#"["count",7,1,"call",{"credit":64}]"#);
    peer.send(r#"["count",null,1,"end"]"#).await;
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn a_break_ends_a_stream_behind_the_items_that_came() {
    let (server, client, mut peer) = pair().await;
    let mut stream = client.stream::<u32>("count", ());
    peer.read().await;
    peer.send(r#"["count",1,1,"item"]"#).await;
    peer.close(1012, "").await;
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    let lost = DisconnectReason::ClosedByServer { code: 1012, reason: String::new() };
    assert_eq!(next(&mut stream).await, Some(Err(CallError::OutcomeUnknown(lost))));
    assert_eq!(next(&mut stream).await, None);
    // It is not made again.
    let mut peer = server.accept().await;
    nothing_was_sent(&client, &mut peer).await;
}

#[tokio::test]
async fn closing_the_client_ends_its_streams() {
    let (_server, client, mut peer) = pair().await;
    let (mut uploads, mut stream) = client.duplex::<u32, u32>("mirror", ());
    peer.read().await;
    tokio::join!(soon("the end", client.close()), peer.closed());
    assert_eq!(next(&mut stream).await, Some(Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs))));
    assert_eq!(next(&mut stream).await, None);
    assert_eq!(uploads.send(1).await, Err(UploadError::Over));
    let mut late = client.stream::<u32>("count", ());
    assert_eq!(next(&mut late).await, Some(Err(CallError::NotSent(SendError::Closed))));
    assert_eq!(next(&mut late).await, None);
}

#[test]
fn a_runtime_that_is_shut_down_ends_its_streams() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_server, client, _peer, mut uploads, mut stream) = runtime.block_on(async {
        let (server, client, mut peer) = pair().await;
        let (uploads, stream) = client.duplex::<u32, u32>("mirror", ());
        peer.read().await;
        (server, client, peer, uploads, stream)
    });
    runtime.shutdown_timeout(LONG);
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    other.block_on(async {
        assert_eq!(next(&mut stream).await, Some(Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs))));
        assert_eq!(soon("an error", uploads.send(1)).await, Err(UploadError::Over));
        let mut late = client.stream::<u32>("count", ());
        assert_eq!(next(&mut late).await, Some(Err(CallError::NotSent(SendError::Closed))));
    });
}

#[tokio::test]
async fn what_cannot_be_called_is_the_streams_one_item() {
    let (_server, client, mut peer) = pair().await;
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    let mut stream = client.stream::<u32>("e", &map);
    assert!(matches!(next(&mut stream).await, Some(Err(CallError::NotSent(SendError::Payload(_))))));
    assert_eq!(next(&mut stream).await, None);
    let (mut uploads, mut stream) = client.duplex::<u32, u32>("aaw/hello", ());
    let reserved = SendError::ReservedName("aaw/hello".into());
    assert_eq!(next(&mut stream).await, Some(Err(CallError::NotSent(reserved))));
    assert_eq!(soon("an error", uploads.send(1)).await, Err(UploadError::Over));
    let mut stream = client.stream::<u32>("big", "x".repeat(2 << 20));
    assert!(matches!(next(&mut stream).await, Some(Err(CallError::NotSent(SendError::TooLarge { .. })))));
    nothing_was_sent(&client, &mut peer).await;
}

#[tokio::test]
async fn more_streams_than_fit_the_line_to_the_driver_are_made_in_their_order() {
    let (_server, client, mut peer) = pair().await;
    // The driver has no chance between them.
    let streams: Vec<_> = (0..600).map(|n| client.stream::<u32>("count", n)).collect();
    let mut streams = streams.into_iter();
    for n in 0..600 {
        let frame: (String, u32, i64, String, Value) = serde_json::from_str(&peer.read().await).unwrap();
        assert_eq!((frame.1, frame.2), (n, i64::from(n) + 1));
        peer.send(&format!(r#"["count",null,{},"end"]"#, frame.2)).await;
        assert_eq!(next(&mut streams.next().unwrap()).await, None);
    }
}

#[tokio::test]
async fn streams_that_are_dropped_while_the_line_is_full_leave_nothing_behind() {
    let (_server, client, _peer) = pair().await;
    let body = "x".repeat(60_000);
    // Until the server's socket, our own and the session's line are full, and the driver takes nothing more.
    while tokio::time::timeout(Duration::from_millis(200), client.send_event("e", &body)).await.is_ok() {}
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let streams: Vec<_> = (0..1000).map(|n| client.stream::<u32>("count", n)).collect();
    let while_held = tasks();
    assert!(while_held > before + 500, "the line is not full");
    drop(streams);
    let end = async {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    soon("their end", end).await;
}

#[tokio::test]
async fn an_open_stream_keeps_the_connection() {
    let (_server, client, mut peer) = pair().await;
    let (uploads, mut stream) = client.duplex::<u32, u32>("count", ());
    drop(client);
    peer.read().await;
    peer.send(r#"["count",1,1,"item"]"#).await;
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    peer.send(r#"["count",null,1,"end"]"#).await;
    assert_eq!(next(&mut stream).await, None);
    // Over, it does not; nor does what is left of it.
    assert_eq!(peer.closed().await, 1000);
    drop((stream, uploads));
}

#[tokio::test]
async fn the_original_server_gives_one_item_and_takes_none() {
    let (_server, client, mut peer) = classic_pair().await;
    let mut stream = client.stream::<u32>("ping", ());
    assert_eq!(peer.read().await, r#"["ping",null,1]"#);
    peer.send(r#"["ping",7]"#).await;
    assert_eq!(next(&mut stream).await, Some(Ok(7)));
    assert_eq!(next(&mut stream).await, None);
    let (mut uploads, mut stream) = client.duplex::<u32, u32>("mirror", ());
    assert_eq!(next(&mut stream).await, Some(Err(CallError::NotSent(SendError::NoUploads))));
    assert_eq!(soon("an error", uploads.send(1)).await, Err(UploadError::Over));
    nothing_was_sent(&client, &mut peer).await;
}

// --- UploadSender ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn items_are_sent_as_the_server_makes_room_and_the_end_behind_them() {
    let (_server, client, mut peer) = pair().await;
    let (mut uploads, mut stream) = client.duplex::<u32, u32>("mirror", "how");
    assert_eq!(peer.read().await, r#"["mirror","how",1,"call",{"credit":64,"in":true}]"#);
    assert!(poll!(std::pin::pin!(uploads.send(0))).is_pending(), "there is no room yet");
    nothing_was_sent(&client, &mut peer).await;
    peer.send(r#"["mirror",2,1,"credit"]"#).await;
    // The one above was dropped, and is not sent.
    soon("room", uploads.send(1)).await.unwrap();
    soon("room", uploads.send(2)).await.unwrap();
    assert!(poll!(std::pin::pin!(uploads.send(3))).is_pending());
    assert_eq!(peer.read().await, r#"["mirror",1,1,"item"]"#);
    assert_eq!(peer.read().await, r#"["mirror",2,1,"item"]"#);
    let waiting = tokio::spawn(async move {
        uploads.send(4).await.unwrap();
        uploads.close();
    });
    peer.send(r#"["mirror",3,1,"credit"]"#).await;
    assert_eq!(peer.read().await, r#"["mirror",4,1,"item"]"#);
    assert_eq!(peer.read().await, r#"["mirror",null,1,"end"]"#);
    waiting.await.unwrap();
    // The other direction goes on.
    peer.send(r#"["mirror",5,1,"item"]"#).await;
    assert_eq!(next(&mut stream).await, Some(Ok(5)));
}

#[tokio::test]
async fn an_upload_that_is_dropped_at_once_has_no_items() {
    let (_server, client, mut peer) = pair().await;
    let (uploads, _stream) = client.duplex::<u32, u32>("mirror", ());
    drop(uploads);
    assert_eq!(peer.read().await, r#"["mirror",null,1,"call",{"credit":64,"in":true}]"#);
    assert_eq!(peer.read().await, r#"["mirror",null,1,"end"]"#);
}

#[tokio::test]
async fn whatever_ends_the_call_wakes_its_sender() {
    for ending in ["end", "failure", "break", "drop"] {
        let (_server, client, mut peer) = pair().await;
        let (mut uploads, stream) = client.duplex::<u32, u32>("mirror", ());
        peer.read().await;
        let waiting = tokio::spawn(async move { (uploads.send(1).await, uploads) });
        tokio::task::yield_now().await;
        let mut stream = Some(stream);
        match ending {
            "end" => peer.send(r#"["mirror",null,1,"end"]"#).await,
            "failure" => peer.send(r#"["mirror",{"error":"no"},1,"error"]"#).await,
            "break" => peer.close(1001, "").await,
            _ => drop(stream.take()),
        }
        let (sent, mut uploads) = soon(ending, waiting).await.unwrap();
        assert_eq!(sent, Err(UploadError::Over), "{ending}");
        assert_eq!(uploads.send(2).await, Err(UploadError::Over));
        if ending == "drop" {
            assert_eq!(peer.read().await, r#"["mirror",null,1,"cancel"]"#);
        }
        if ending != "break" {
            drop((uploads, stream));
            nothing_was_sent(&client, &mut peer).await;
        }
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_sent_fails_alone() {
    let (_server, client, mut peer) = pair().await;
    let (mut uploads, _stream) = client.duplex::<Value, u32>("mirror", ());
    peer.read().await;
    peer.send(r#"["mirror",2,1,"credit"]"#).await;
    let error = soon("room", uploads.send(json!("x".repeat(2 << 20)))).await.unwrap_err();
    assert!(matches!(error, UploadError::TooLarge { limit: 1_048_576, .. }), "{error}");
    for n in [1, 2] {
        soon("room", uploads.send(json!(n))).await.unwrap();
        assert_eq!(peer.read().await, format!(r#"["mirror",{n},1,"item"]"#));
    }
    let (mut uploads, _stream) = client.duplex::<std::collections::HashMap<(u8, u8), u8>, u32>("mirror", ());
    let error = uploads.send([((1, 2), 3)].into()).await.unwrap_err();
    assert!(matches!(error, UploadError::Payload(_)), "{error}");
}

#[tokio::test]
async fn an_upload_is_a_sink() {
    let (_server, client, mut peer) = pair().await;
    let (uploads, _stream) = client.duplex::<u32, u32>("mirror", ());
    let forwarded = tokio::spawn(futures_util::stream::iter(0..10).map(Ok).forward(uploads));
    peer.read().await;
    for n in 0..10 {
        peer.send(&format!(r#"["mirror",{},1,"credit"]"#, n + 1)).await;
        assert_eq!(peer.read().await, format!(r#"["mirror",{n},1,"item"]"#));
    }
    assert_eq!(peer.read().await, r#"["mirror",null,1,"end"]"#);
    soon("the end", forwarded).await.unwrap().unwrap();

    let (mut uploads, _stream) = client.duplex::<u32, u32>("mirror", ());
    peer.read().await;
    peer.send(r#"["mirror",1,2,"credit"]"#).await;
    soon("room", uploads.feed(1)).await.unwrap();
    soon("a flush", uploads.flush()).await.unwrap();
    assert_eq!(peer.read().await, r#"["mirror",1,2,"item"]"#);
    soon("an end", futures_util::SinkExt::close(&mut uploads)).await.unwrap();
    assert_eq!(peer.read().await, r#"["mirror",null,2,"end"]"#);
    assert_eq!(uploads.send(2).await, Err(UploadError::Over));
}

/// Calls that wait for a place do not hold up the items that a call waits for, whose end makes the place.
#[tokio::test]
async fn items_pass_calls_that_wait() {
    let config = Config { max_in_flight: 1, ..eager() };
    let (_server, client, mut peer) = pair_with(config).await;
    let (mut uploads, mut stream) = client.duplex::<u32, u32>("mirror", ());
    peer.read().await;
    // So much waits that the driver takes no more commands.
    let body = "x".repeat(1000);
    let calls: Vec<_> = (0..400)
        .map(|_| {
            let (client, body) = (client.clone(), body.clone());
            tokio::spawn(async move { client.send_async::<()>("call", body, LONG).await })
        })
        .collect();
    tokio::task::yield_now().await;
    peer.send(r#"["mirror",64,1,"credit"]"#).await;
    for n in 0..10 {
        soon("room", uploads.send(n)).await.unwrap();
        assert_eq!(peer.read().await, format!(r#"["mirror",{n},1,"item"]"#));
    }
    peer.send(r#"["mirror",null,1,"end"]"#).await;
    assert_eq!(next(&mut stream).await, None);
    assert!(peer.read().await.starts_with(r#"["call","#));
    calls.into_iter().for_each(|call| call.abort());
}

#[tokio::test]
async fn a_server_that_reads_slowly_makes_uploads_wait() {
    let (_server, client, mut peer) = pair().await;
    let (mut uploads, _stream) = client.duplex::<(u64, String), u32>("mirror", ());
    peer.read().await;
    // As much room as there can be.
    peer.send(r#"["mirror",9007199254740992,1,"credit"]"#).await;
    let body = "x".repeat(100_000);
    let mut sent = 0;
    // Until the server's socket, our own and the way to it are full.
    while tokio::time::timeout(Duration::from_millis(200), uploads.send((sent, body.clone()))).await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "100 MB were taken, and nobody has read any");
    }
    let rest = tokio::spawn(async move {
        for n in sent..sent + 50 {
            uploads.send((n, body.clone())).await.unwrap();
        }
    });
    for n in 0..sent + 50 {
        assert!(peer.read().await.starts_with(&format!(r#"["mirror",[{n},"x"#)));
    }
    assert_eq!(peer.read().await, r#"["mirror",null,1,"end"]"#);
    rest.await.unwrap();
}

/// Two uploads and sends beside them: each gets its turns.
#[tokio::test]
async fn uploads_and_sends_take_turns() {
    let (_server, client, mut peer) = pair().await;
    let body = "x".repeat(60_000);
    let mut streams = Vec::new();
    for id in 1..=2 {
        let (mut uploads, stream) = client.duplex::<String, u32>("mirror", ());
        peer.read().await;
        peer.send(&format!(r#"["mirror",1000000,{id},"credit"]"#)).await;
        streams.push(stream);
        let body = body.clone();
        tokio::spawn(async move { while uploads.send(body.clone()).await.is_ok() {} });
    }
    let sender = client.clone();
    tokio::spawn(async move { while sender.send_event("send", &body).await.is_ok() {} });
    let mut seen = [0; 3];
    // All three never end by themselves.
    while seen.iter().any(|seen| *seen < 20) {
        let text = peer.read().await;
        let whose = [r#",1,"item"]"#, r#",2,"item"]"#].iter().position(|end| text.ends_with(end));
        seen[whose.unwrap_or(2)] += 1;
        assert!(seen.iter().sum::<u32>() < 2000, "somebody starves: {seen:?}");
    }
    drop(streams);
    drop(client);
}
