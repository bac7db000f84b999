//! Streams and uploads of aaw-client.

use std::collections::HashMap;

use aaw_client::{CallError, Client, SendError, UploadError, connect};
use aaw_tests::{DEADLINE, TestServer, within};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

async fn client() -> (TestServer, Client) {
    let server = TestServer::start().await;
    let client = connect(&server.url()).await.expect("it connects");
    (server, client)
}

/// Returns the counts of a gate, once they are at least `least`.
async fn counts(client: &Client, gate: &str, least: Value) -> HashMap<String, u64> {
    let mut body = json!({ "gate": gate });
    body.as_object_mut().expect("an object").extend(least.as_object().expect("an object").clone());
    client.send_async("gate/wait", body, DEADLINE).await.expect("a response")
}

#[tokio::test]
async fn a_stream_yields_the_items_that_a_call_returns_as_an_array() {
    let (_server, client) = client().await;
    let all: Vec<u64> = client.stream::<u64>("streams/count", json!({ "to": 1000 })).try_collect().await.unwrap();
    assert_eq!(all, (1..=1000).collect::<Vec<_>>());
    let called: Vec<u64> = client.send_async("streams/count", json!({ "to": 1000 }), DEADLINE).await.unwrap();
    assert_eq!(all, called);
    // A unary event has one item, a one-way event none.
    let echo: Vec<Value> = client.stream("echo", [1, 2]).try_collect().await.unwrap();
    assert_eq!(echo, [json!([1, 2])]);
    let one_way: Vec<Value> = client.stream("note", 1).try_collect().await.unwrap();
    assert!(one_way.is_empty());
}

#[tokio::test]
async fn a_stream_yields_its_error_after_its_items() {
    let (_server, client) = client().await;
    let mut stream = client.stream::<u64>("streams/fails_after", json!({ "items": 2, "text": "no", "code": "mine" }));
    assert_eq!(stream.next().await, Some(Ok(1)));
    assert_eq!(stream.next().await, Some(Ok(2)));
    let Some(Err(CallError::Failed(failure))) = stream.next().await else { panic!() };
    assert_eq!((failure.error.as_str(), failure.code.as_str()), ("no", "mine"));
    assert_eq!(stream.next().await, None);
    let mut stream = client.stream::<u64>("nowhere", ());
    assert!(matches!(stream.next().await, Some(Err(CallError::Failed(failure))) if failure.code == "unknown_event"));
}

#[tokio::test]
async fn a_stream_that_is_not_read_pauses_only_its_handler_and_dropping_it_drops_the_handler() {
    let (_server, client) = client().await;
    let mut stream = client.stream::<u64>("streams/endless", json!({ "gate": "g" }));
    assert_eq!(stream.next().await, Some(Ok(1)));
    // Another stream is read to its end. By then the first handler has yielded as many items as it has credit.
    let other: Vec<u64> = client.stream::<u64>("streams/count", json!({ "to": 10_000 })).try_collect().await.unwrap();
    assert_eq!(other.len(), 10_000);
    let counted = counts(&client, "g", json!({ "items": 64 })).await;
    // It may have produced one more item, which waits for credit.
    assert!(counted["items"] <= 65, "{counted:?}");
    for n in 2..1000 {
        assert_eq!(stream.next().await, Some(Ok(n)));
    }
    drop(stream);
    counts(&client, "g", json!({ "over": 1 })).await;
}

#[tokio::test]
async fn an_upload_can_be_echoed_as_a_stream() {
    let (_server, client) = client().await;
    let (mut uploads, stream) = client.duplex::<u64, u64>("upload/echo", ());
    let sender = tokio::spawn(async move {
        for n in 0..5000 {
            uploads.send(n).await.unwrap();
        }
    });
    let all: Vec<u64> = within("the end", String::new, stream.try_collect()).await.unwrap();
    assert_eq!(all, (0..5000).collect::<Vec<_>>());
    sender.await.unwrap();
}

#[tokio::test]
async fn an_upload_can_have_a_single_response() {
    let (_server, client) = client().await;
    let (uploads, mut stream) = client.duplex::<i64, i64>("upload/sum", ());
    futures_util::stream::iter((1..=1000).map(Ok)).forward(uploads).await.unwrap();
    assert_eq!(stream.next().await, Some(Ok(500_500)));
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn an_item_of_the_wrong_type_fails_the_call_with_its_position() {
    let (_server, client) = client().await;
    let (mut uploads, mut stream) = client.duplex::<Value, Vec<u32>>("upload/points", ());
    uploads.send(json!({ "x": 1 })).await.unwrap();
    uploads.send(json!({ "x": "one" })).await.unwrap();
    uploads.close();
    let Some(Err(CallError::Failed(failure))) = stream.next().await else { panic!() };
    assert!(failure.code == "bad_body" && failure.error.contains("Item 2"), "{failure:?}");
}

#[tokio::test]
async fn items_may_be_as_large_as_a_message() {
    let (_server, client) = client().await;
    let (mut uploads, mut stream) = client.duplex::<String, String>("upload/echo", ());
    let large = "x".repeat(1_000_000);
    let sent = large.clone();
    let sender = tokio::spawn(async move {
        for _ in 0..80 {
            uploads.send(sent.clone()).await.unwrap();
        }
    });
    let mut received = 0;
    while let Some(item) = stream.next().await {
        assert_eq!(item.unwrap().len(), large.len());
        received += 1;
    }
    assert_eq!(received, 80);
    sender.await.unwrap();
}

#[tokio::test]
async fn a_handler_that_ends_early_ends_the_upload() {
    let (_server, client) = client().await;
    let (mut uploads, mut stream) = client.duplex::<u64, Value>("upload/ignores", ());
    assert_eq!(stream.next().await, Some(Ok(json!("ignored"))));
    assert_eq!(stream.next().await, None);
    assert_eq!(uploads.send(1).await, Err(UploadError::CallEnded));
    // An event that takes no upload rejects it.
    let (mut uploads, mut stream) = client.duplex::<u64, Value>("echo", ());
    assert!(matches!(stream.next().await, Some(Err(CallError::Failed(failure))) if failure.code == "bad_body"));
    assert_eq!(uploads.send(1).await, Err(UploadError::CallEnded));
    client.close().await;
    let mut stream = client.stream::<Value>("ping", ());
    assert_eq!(stream.next().await, Some(Err(CallError::NotSent(SendError::Closed))));
}

/// Many tasks on several threads: no waker is lost, and no task receives the items of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_concurrent_streams_and_uploads_receive_their_own_items() {
    let (_server, client) = client().await;
    let tasks = (0..30u64).map(|task| {
        let client = client.clone();
        tokio::spawn(async move {
            let (mut uploads, stream) = client.duplex::<u64, u64>("upload/echo", ());
            let sender = tokio::spawn(async move {
                for n in 0..200 {
                    uploads.send(task * 1000 + n).await.unwrap();
                }
            });
            let counted: Vec<u64> =
                client.stream::<u64>("streams/count", json!({ "to": 200 })).try_collect().await.unwrap();
            assert_eq!(counted, (1..=200).collect::<Vec<_>>());
            let echoed: Vec<u64> = stream.try_collect().await.unwrap();
            assert_eq!(echoed, (task * 1000..task * 1000 + 200).collect::<Vec<_>>());
            sender.await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        within("the end of a task", String::new, task).await.unwrap();
    }
}
