//! Streams and uploads, against a scripted server over TCP.

use std::time::Duration;

use crate::scripted::{ScriptedConnection, ScriptedServer, classic_pair, eager, pair, pair_with, soon};
use aaw_client::{CallError, Client, Config, DisconnectReason, ItemStream, SendError, UploadError};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, poll};
use serde_json::{Value, json};
use tokio::net::TcpStream;

const LONG: Duration = Duration::from_secs(10);

/// A client whose streams have a window of four items.
async fn pair_with_window_4() -> (ScriptedServer, Client, ScriptedConnection<TcpStream>) {
    pair_with(Config { stream_window: 4, ..eager() }).await
}

async fn next(stream: &mut ItemStream<u32>) -> Option<Result<u32, CallError>> {
    soon("an item, or the end", stream.next()).await
}

/// Asserts that the client has sent nothing before this: sends an event and expects it as the next message.
async fn nothing_was_sent(client: &Client, connection: &mut ScriptedConnection<TcpStream>) {
    client.send_event("nothing before", ()).await.unwrap();
    assert_eq!(connection.read().await, r#"["nothing before",null]"#);
}

fn failed(error: Option<Result<u32, CallError>>) -> (String, String) {
    match error {
        Some(Err(CallError::Failed(failure))) => (failure.error, failure.code.to_string()),
        other => panic!("{other:?}"),
    }
}

// --- Items -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_stream_yields_its_items_and_then_none_on_every_poll() {
    let (_server, client, mut connection) = pair().await;
    let mut stream = client.stream::<u32>("count", json!({ "to": 3 }));
    assert_eq!(connection.read().await, r#"["count",{"to":3},1,"call",{"credit":64}]"#);
    for n in 1..=3 {
        connection.send(&format!(r#"["count",{n},1,"item"]"#)).await;
        assert_eq!(next(&mut stream).await, Some(Ok(n)));
    }
    connection.send(r#"["count",null,1,"end"]"#).await;
    assert_eq!(next(&mut stream).await, None);
    assert_eq!(next(&mut stream).await, None);
    drop(stream);
    nothing_was_sent(&client, &mut connection).await;
}

#[tokio::test]
async fn an_item_stream_implements_the_stream_trait() {
    let (_server, client, mut connection) = pair().await;
    let stream = client.stream::<u32>("count", ());
    let script = async {
        connection.read().await;
        for text in [r#"["count",1,1,"item"]"#, r#"["count",2,1,"item"]"#, r#"["count",null,1,"end"]"#] {
            connection.send(text).await;
        }
    };
    let (all, ()) = tokio::join!(soon("all", stream.map_ok(|n| n * 10).try_collect::<Vec<_>>()), script);
    assert_eq!(all, Ok(vec![10, 20]));
}

#[tokio::test]
async fn a_failure_comes_after_the_items_before_it_and_ends_the_stream() {
    let (_server, client, mut connection) = pair().await;
    let mut stream = client.stream::<u32>("count", ());
    connection.read().await;
    connection.send(r#"["count",1,1,"item"]"#).await;
    connection.send(r#"["count",{"error":"no","code":"mine"},1,"error"]"#).await;
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    assert_eq!(failed(next(&mut stream).await), ("no".into(), "mine".into()));
    assert_eq!(next(&mut stream).await, None);
    drop(stream);
    nothing_was_sent(&client, &mut connection).await;
}

#[tokio::test]
async fn credit_is_renewed_when_half_of_the_window_was_read_and_not_before() {
    let (_server, client, mut connection) = pair_with_window_4().await;
    let mut stream = client.stream::<u32>("count", ());
    assert_eq!(connection.read().await, r#"["count",null,1,"call",{"credit":4}]"#);
    for n in 1..=4 {
        connection.send(&format!(r#"["count",{n},1,"item"]"#)).await;
    }
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    // All four have arrived, because the response behind them has. Reading renews the credit, not arriving.
    let script = async {
        assert_eq!(connection.read().await, r#"["ping",null,2]"#);
        connection.send(r#"["ping",null,2]"#).await;
    };
    let (pinged, ()) = tokio::join!(client.send_async::<()>("ping", (), LONG), script);
    pinged.unwrap();
    nothing_was_sent(&client, &mut connection).await;
    assert_eq!(next(&mut stream).await, Some(Ok(2)));
    assert_eq!(connection.read().await, r#"["count",6,1,"credit"]"#);
    assert_eq!(next(&mut stream).await, Some(Ok(3)));
    nothing_was_sent(&client, &mut connection).await;
    assert_eq!(next(&mut stream).await, Some(Ok(4)));
    assert_eq!(connection.read().await, r#"["count",8,1,"credit"]"#);
}

#[tokio::test]
async fn a_stream_continues_with_a_window_of_any_size() {
    for (window, credits) in [(0, vec![2, 3, 4, 5]), (1, vec![2, 3, 4, 5]), (3, vec![4, 5, 6, 7]), (8, vec![12])] {
        let (_server, client, mut connection) = pair_with(Config { stream_window: window, ..eager() }).await;
        let mut stream = client.stream::<u32>("count", ());
        assert_eq!(connection.read().await, format!(r#"["count",null,1,"call",{{"credit":{}}}]"#, window.max(1)));
        let mut granted = Vec::new();
        for n in 1..=4 {
            connection.send(&format!(r#"["count",{n},1,"item"]"#)).await;
            assert_eq!(next(&mut stream).await, Some(Ok(n)));
            if granted.len() < credits.len() && (window < 8 || n == 4) {
                let frame: (String, u32, i64, String) = serde_json::from_str(&connection.read().await).unwrap();
                granted.push(frame.1);
            }
        }
        assert_eq!(granted, credits, "{window}");
    }
}

#[tokio::test]
async fn a_reader_that_pauses_delays_no_other_stream() {
    let (_server, client, mut connection) = pair_with_window_4().await;
    let _stalled = client.stream::<u32>("count", ());
    let mut other = client.stream::<u32>("count", ());
    connection.read().await;
    connection.read().await;
    for n in 1..=4 {
        connection.send(&format!(r#"["count",{n},1,"item"]"#)).await;
    }
    for n in 1..=100 {
        connection.send(&format!(r#"["count",{n},2,"item"]"#)).await;
        assert_eq!(next(&mut other).await, Some(Ok(n)));
        if n % 2 == 0 {
            assert_eq!(connection.read().await, format!(r#"["count",{},2,"credit"]"#, n + 4));
        }
    }
}

#[tokio::test]
async fn a_server_that_exceeds_the_credit_fails_the_stream() {
    let (_server, client, mut connection) = pair_with_window_4().await;
    let mut stream = client.stream::<u32>("count", ());
    connection.read().await;
    for n in 1..=6 {
        connection.send(&format!(r#"["count",{n},1,"item"]"#)).await;
    }
    assert_eq!(connection.read().await, r#"["count",null,1,"cancel"]"#);
    for n in 1..=4 {
        assert_eq!(next(&mut stream).await, Some(Ok(n)));
    }
    let (error, code) = failed(next(&mut stream).await);
    assert!(code == "bad_frame" && error.contains("more items than"), "{error}");
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn an_item_of_another_type_ends_the_stream_and_cancels_it() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct User {
        id: u32,
    }
    let (_server, client, mut connection) = pair().await;
    let mut stream = client.stream::<User>("users", ());
    connection.read().await;
    connection.send(r#"["users",{"id":1},1,"item"]"#).await;
    connection.send(r#"["users",{"id":"x"},1,"item"]"#).await;
    connection.send(r#"["users",{"id":3},1,"item"]"#).await;
    assert_eq!(soon("an item", stream.next()).await, Some(Ok(User { id: 1 })));
    let error = soon("an item", stream.next()).await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::BadResponse(_)) && error.to_string().contains("id: invalid type"), "{error}");
    assert_eq!(soon("the end", stream.next()).await, None);
    assert_eq!(connection.read().await, r#"["users",null,1,"cancel"]"#);
}

// --- How streams begin and end ---------------------------------------------------------------------------------------

#[tokio::test]
async fn a_dropped_stream_is_cancelled_on_the_server() {
    let (_server, client, mut connection) = pair().await;
    let mut stream = client.stream::<u32>("count", ());
    connection.read().await;
    connection.send(r#"["count",1,1,"item"]"#).await;
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    drop(stream);
    assert_eq!(connection.read().await, r#"["count",null,1,"cancel"]"#);
    // Items that the server sent before it received the cancellation are ignored without a warning.
    let mut events = client.connection_events();
    connection.send(r#"["count",2,1,"item"]"#).await;
    connection.send(r#"["count",null,1,"end"]"#).await;
    client.close().await;
    let mut warnings = Vec::new();
    while let Some(event) = events.next().await {
        if let aaw_client::ConnectionEvent::Error(warning) = event {
            warnings.push(warning.to_string());
        }
    }
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[tokio::test]
async fn a_stream_dropped_before_the_driver_takes_it_is_not_sent() {
    let (_server, client, mut connection) = pair().await;
    // The runtime has one thread, so the driver does not run between the two.
    drop(client.stream::<u32>("count", ()));
    nothing_was_sent(&client, &mut connection).await;
}

#[tokio::test]
async fn a_stream_that_waits_for_others_is_cancelled_when_dropped() {
    let server = ScriptedServer::start().await;
    let url = server.url();
    let script = async {
        let mut connection = server.accept_without_welcome().await;
        connection.send(r#"["aaw/welcome",{"connection":"c1","limits":{"calls":1}}]"#).await;
        connection
    };
    let (client, mut connection) = tokio::join!(aaw_client::connect_with(&url, eager()), script);
    let client = client.unwrap();
    let first = client.stream::<u32>("first", ());
    let waiting = client.stream::<u32>("waiting", ());
    assert_eq!(connection.read().await, r#"["first",null,1,"call",{"credit":64}]"#);
    drop(waiting);
    drop(first);
    assert_eq!(connection.read().await, r#"["first",null,1,"cancel"]"#);
    nothing_was_sent(&client, &mut connection).await;
}

#[tokio::test]
async fn a_stream_opened_while_there_is_no_connection_waits_for_it() {
    let server = ScriptedServer::start().await;
    let client = aaw_client::connect_lazy_with(&server.url(), eager()).unwrap();
    let mut stream = client.stream::<u32>("count", 7);
    assert!(poll!(std::pin::pin!(stream.next())).is_pending());
    let mut connection = server.accept().await;
    assert_eq!(connection.read().await, r#"["count",7,1,"call",{"credit":64}]"#);
    connection.send(r#"["count",null,1,"end"]"#).await;
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn a_broken_connection_ends_a_stream_after_its_items() {
    let (server, client, mut connection) = pair().await;
    let mut stream = client.stream::<u32>("count", ());
    connection.read().await;
    connection.send(r#"["count",1,1,"item"]"#).await;
    connection.close(1012, "").await;
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    let reason = DisconnectReason::ClosedByServer { code: 1012, reason: String::new() };
    assert_eq!(next(&mut stream).await, Some(Err(CallError::OutcomeUnknown(reason))));
    assert_eq!(next(&mut stream).await, None);
    // The call is not repeated.
    let mut connection = server.accept().await;
    nothing_was_sent(&client, &mut connection).await;
}

#[tokio::test]
async fn closing_the_client_ends_its_streams() {
    let (_server, client, mut connection) = pair().await;
    let (mut uploads, mut stream) = client.duplex::<u32, u32>("mirror", ());
    connection.read().await;
    tokio::join!(soon("the end", client.close()), connection.closed());
    assert_eq!(next(&mut stream).await, Some(Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs))));
    assert_eq!(next(&mut stream).await, None);
    assert_eq!(uploads.send(1).await, Err(UploadError::CallEnded));
    let mut late = client.stream::<u32>("count", ());
    assert_eq!(next(&mut late).await, Some(Err(CallError::NotSent(SendError::Closed))));
    assert_eq!(next(&mut late).await, None);
}

#[test]
fn a_runtime_that_is_shut_down_ends_its_streams() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_server, client, _connection, mut uploads, mut stream) = runtime.block_on(async {
        let (server, client, mut connection) = pair().await;
        let (uploads, stream) = client.duplex::<u32, u32>("mirror", ());
        connection.read().await;
        (server, client, connection, uploads, stream)
    });
    runtime.shutdown_timeout(LONG);
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    other.block_on(async {
        assert_eq!(next(&mut stream).await, Some(Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs))));
        assert_eq!(soon("an error", uploads.send(1)).await, Err(UploadError::CallEnded));
        let mut late = client.stream::<u32>("count", ());
        assert_eq!(next(&mut late).await, Some(Err(CallError::NotSent(SendError::Closed))));
    });
}

#[tokio::test]
async fn a_call_that_cannot_be_sent_yields_its_error_as_the_only_item() {
    let (_server, client, mut connection) = pair().await;
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    let mut stream = client.stream::<u32>("e", &map);
    assert!(matches!(next(&mut stream).await, Some(Err(CallError::NotSent(SendError::Payload(_))))));
    assert_eq!(next(&mut stream).await, None);
    let (mut uploads, mut stream) = client.duplex::<u32, u32>("aaw/hello", ());
    let reserved = SendError::ReservedName("aaw/hello".into());
    assert_eq!(next(&mut stream).await, Some(Err(CallError::NotSent(reserved))));
    assert_eq!(soon("an error", uploads.send(1)).await, Err(UploadError::CallEnded));
    let mut stream = client.stream::<u32>("big", "x".repeat(2 << 20));
    assert!(matches!(next(&mut stream).await, Some(Err(CallError::NotSent(SendError::TooLarge { .. })))));
    nothing_was_sent(&client, &mut connection).await;
}

#[tokio::test]
async fn more_streams_than_fit_the_command_queue_are_opened_in_order() {
    let (_server, client, mut connection) = pair().await;
    // The driver does not run while they are created.
    let streams: Vec<_> = (0..600).map(|n| client.stream::<u32>("count", n)).collect();
    let mut streams = streams.into_iter();
    for n in 0..600 {
        let frame: (String, u32, i64, String, Value) = serde_json::from_str(&connection.read().await).unwrap();
        assert_eq!((frame.1, frame.2), (n, i64::from(n) + 1));
        connection.send(&format!(r#"["count",null,{},"end"]"#, frame.2)).await;
        assert_eq!(next(&mut streams.next().unwrap()).await, None);
    }
}

#[tokio::test]
async fn streams_dropped_while_the_command_queue_is_full_leave_no_task_behind() {
    let (_server, client, _connection) = pair().await;
    let body = "x".repeat(60_000);
    // Until both sockets and the queue of the connection are full, and the driver takes no more commands.
    while tokio::time::timeout(Duration::from_millis(200), client.send_event("e", &body)).await.is_ok() {}
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let streams: Vec<_> = (0..1000).map(|n| client.stream::<u32>("count", n)).collect();
    let with_streams = tasks();
    assert!(with_streams > before + 500, "the command queue is not full");
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
    let (_server, client, mut connection) = pair().await;
    let (uploads, mut stream) = client.duplex::<u32, u32>("count", ());
    drop(client);
    connection.read().await;
    connection.send(r#"["count",1,1,"item"]"#).await;
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    connection.send(r#"["count",null,1,"end"]"#).await;
    assert_eq!(next(&mut stream).await, None);
    // A stream that has ended does not, and neither does its upload's sender.
    assert_eq!(connection.closed().await, 1000);
    drop((stream, uploads));
}

#[tokio::test]
async fn the_original_server_yields_one_item_and_accepts_no_upload() {
    let (_server, client, mut connection) = classic_pair().await;
    let mut stream = client.stream::<u32>("ping", ());
    assert_eq!(connection.read().await, r#"["ping",null,1]"#);
    connection.send(r#"["ping",7]"#).await;
    assert_eq!(next(&mut stream).await, Some(Ok(7)));
    assert_eq!(next(&mut stream).await, None);
    let (mut uploads, mut stream) = client.duplex::<u32, u32>("mirror", ());
    assert_eq!(next(&mut stream).await, Some(Err(CallError::NotSent(SendError::NoUploads))));
    assert_eq!(soon("an error", uploads.send(1)).await, Err(UploadError::CallEnded));
    nothing_was_sent(&client, &mut connection).await;
}

// --- Uploads ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn upload_items_are_sent_as_the_server_grants_credit_and_the_end_after_them() {
    let (_server, client, mut connection) = pair().await;
    let (mut uploads, mut stream) = client.duplex::<u32, u32>("mirror", "how");
    assert_eq!(connection.read().await, r#"["mirror","how",1,"call",{"credit":64,"in":true}]"#);
    assert!(poll!(std::pin::pin!(uploads.send(0))).is_pending(), "there is no credit yet");
    nothing_was_sent(&client, &mut connection).await;
    connection.send(r#"["mirror",2,1,"credit"]"#).await;
    // The send above was dropped, and its item is not sent.
    soon("credit", uploads.send(1)).await.unwrap();
    soon("credit", uploads.send(2)).await.unwrap();
    assert!(poll!(std::pin::pin!(uploads.send(3))).is_pending());
    assert_eq!(connection.read().await, r#"["mirror",1,1,"item"]"#);
    assert_eq!(connection.read().await, r#"["mirror",2,1,"item"]"#);
    let waiting = tokio::spawn(async move {
        uploads.send(4).await.unwrap();
        uploads.close();
    });
    connection.send(r#"["mirror",3,1,"credit"]"#).await;
    assert_eq!(connection.read().await, r#"["mirror",4,1,"item"]"#);
    assert_eq!(connection.read().await, r#"["mirror",null,1,"end"]"#);
    waiting.await.unwrap();
    // The other direction continues.
    connection.send(r#"["mirror",5,1,"item"]"#).await;
    assert_eq!(next(&mut stream).await, Some(Ok(5)));
}

#[tokio::test]
async fn an_upload_that_is_dropped_at_once_has_no_items() {
    let (_server, client, mut connection) = pair().await;
    let (uploads, _stream) = client.duplex::<u32, u32>("mirror", ());
    drop(uploads);
    assert_eq!(connection.read().await, r#"["mirror",null,1,"call",{"credit":64,"in":true}]"#);
    assert_eq!(connection.read().await, r#"["mirror",null,1,"end"]"#);
}

#[tokio::test]
async fn every_end_of_a_call_wakes_its_upload_sender() {
    for ending in ["end", "failure", "break", "drop"] {
        let (_server, client, mut connection) = pair().await;
        let (mut uploads, stream) = client.duplex::<u32, u32>("mirror", ());
        connection.read().await;
        let waiting = tokio::spawn(async move { (uploads.send(1).await, uploads) });
        tokio::task::yield_now().await;
        let mut stream = Some(stream);
        match ending {
            "end" => connection.send(r#"["mirror",null,1,"end"]"#).await,
            "failure" => connection.send(r#"["mirror",{"error":"no"},1,"error"]"#).await,
            "break" => connection.close(1001, "").await,
            _ => drop(stream.take()),
        }
        let (sent, mut uploads) = soon(ending, waiting).await.unwrap();
        assert_eq!(sent, Err(UploadError::CallEnded), "{ending}");
        assert_eq!(uploads.send(2).await, Err(UploadError::CallEnded));
        if ending == "drop" {
            assert_eq!(connection.read().await, r#"["mirror",null,1,"cancel"]"#);
        }
        if ending != "break" {
            drop((uploads, stream));
            nothing_was_sent(&client, &mut connection).await;
        }
    }
}

#[tokio::test]
async fn an_upload_item_that_cannot_be_sent_does_not_end_the_upload() {
    let (_server, client, mut connection) = pair().await;
    let (mut uploads, _stream) = client.duplex::<Value, u32>("mirror", ());
    connection.read().await;
    connection.send(r#"["mirror",2,1,"credit"]"#).await;
    let error = soon("credit", uploads.send(json!("x".repeat(2 << 20)))).await.unwrap_err();
    assert!(matches!(error, UploadError::TooLarge { limit: 1_048_576, .. }), "{error}");
    for n in [1, 2] {
        soon("credit", uploads.send(json!(n))).await.unwrap();
        assert_eq!(connection.read().await, format!(r#"["mirror",{n},1,"item"]"#));
    }
    let (mut uploads, _stream) = client.duplex::<std::collections::HashMap<(u8, u8), u8>, u32>("mirror", ());
    let error = uploads.send([((1, 2), 3)].into()).await.unwrap_err();
    assert!(matches!(error, UploadError::Payload(_)), "{error}");
}

#[tokio::test]
async fn an_upload_sender_implements_the_sink_trait() {
    let (_server, client, mut connection) = pair().await;
    let (uploads, _stream) = client.duplex::<u32, u32>("mirror", ());
    let forwarded = tokio::spawn(futures_util::stream::iter(0..10).map(Ok).forward(uploads));
    connection.read().await;
    for n in 0..10 {
        connection.send(&format!(r#"["mirror",{},1,"credit"]"#, n + 1)).await;
        assert_eq!(connection.read().await, format!(r#"["mirror",{n},1,"item"]"#));
    }
    assert_eq!(connection.read().await, r#"["mirror",null,1,"end"]"#);
    soon("the end", forwarded).await.unwrap().unwrap();

    let (mut uploads, _stream) = client.duplex::<u32, u32>("mirror", ());
    connection.read().await;
    connection.send(r#"["mirror",1,2,"credit"]"#).await;
    soon("credit", uploads.feed(1)).await.unwrap();
    soon("a flush", uploads.flush()).await.unwrap();
    assert_eq!(connection.read().await, r#"["mirror",1,2,"item"]"#);
    soon("an end", futures_util::SinkExt::close(&mut uploads)).await.unwrap();
    assert_eq!(connection.read().await, r#"["mirror",null,2,"end"]"#);
    assert_eq!(uploads.send(2).await, Err(UploadError::CallEnded));
}

/// The waiting calls can be sent only after the stream has ended, and the stream ends only after its upload: the items
/// must not wait behind the calls.
#[tokio::test]
async fn upload_items_overtake_waiting_calls() {
    let config = Config { max_concurrent_calls: 1, ..eager() };
    let (_server, client, mut connection) = pair_with(config).await;
    let (mut uploads, mut stream) = client.duplex::<u32, u32>("mirror", ());
    connection.read().await;
    // Enough bytes wait that the driver takes no more commands.
    let body = "x".repeat(1000);
    let calls: Vec<_> = (0..400)
        .map(|_| {
            let (client, body) = (client.clone(), body.clone());
            tokio::spawn(async move { client.send_async::<()>("call", body, LONG).await })
        })
        .collect();
    tokio::task::yield_now().await;
    connection.send(r#"["mirror",64,1,"credit"]"#).await;
    for n in 0..10 {
        soon("credit", uploads.send(n)).await.unwrap();
        assert_eq!(connection.read().await, format!(r#"["mirror",{n},1,"item"]"#));
    }
    connection.send(r#"["mirror",null,1,"end"]"#).await;
    assert_eq!(next(&mut stream).await, None);
    assert!(connection.read().await.starts_with(r#"["call","#));
    calls.into_iter().for_each(|call| call.abort());
}

#[tokio::test]
async fn a_server_that_reads_slowly_makes_uploads_wait() {
    let (_server, client, mut connection) = pair().await;
    let (mut uploads, _stream) = client.duplex::<(u64, String), u32>("mirror", ());
    connection.read().await;
    // The largest credit.
    connection.send(r#"["mirror",9007199254740992,1,"credit"]"#).await;
    let body = "x".repeat(100_000);
    let mut sent = 0;
    // Until both sockets and the upload queue are full.
    while tokio::time::timeout(Duration::from_millis(200), uploads.send((sent, body.clone()))).await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "100 MB were accepted although the server reads nothing");
    }
    let rest = tokio::spawn(async move {
        for n in sent..sent + 50 {
            uploads.send((n, body.clone())).await.unwrap();
        }
    });
    for n in 0..sent + 50 {
        assert!(connection.read().await.starts_with(&format!(r#"["mirror",[{n},"x"#)));
    }
    assert_eq!(connection.read().await, r#"["mirror",null,1,"end"]"#);
    rest.await.unwrap();
}

/// Two uploads and one-way sends at the same time: each makes progress.
#[tokio::test]
async fn uploads_and_sends_take_turns() {
    let (_server, client, mut connection) = pair().await;
    let body = "x".repeat(60_000);
    let mut streams = Vec::new();
    for id in 1..=2 {
        let (mut uploads, stream) = client.duplex::<String, u32>("mirror", ());
        connection.read().await;
        connection.send(&format!(r#"["mirror",1000000,{id},"credit"]"#)).await;
        streams.push(stream);
        let body = body.clone();
        tokio::spawn(async move { while uploads.send(body.clone()).await.is_ok() {} });
    }
    let sender = client.clone();
    tokio::spawn(async move { while sender.send_event("send", &body).await.is_ok() {} });
    let mut seen = [0; 3];
    // All three send until they fail.
    while seen.iter().any(|seen| *seen < 20) {
        let text = connection.read().await;
        let source = [r#",1,"item"]"#, r#",2,"item"]"#].iter().position(|end| text.ends_with(end));
        seen[source.unwrap_or(2)] += 1;
        assert!(seen.iter().sum::<u32>() < 2000, "one of them starves: {seen:?}");
    }
    drop(streams);
    drop(client);
}
