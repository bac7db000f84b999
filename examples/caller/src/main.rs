//! How does a Rust program use a server of events?
//!
//! Run it beside the stock server with the events of this repository:
//!
//! ```text
//! cargo run --release -p aaw-server &
//! cargo run -p aaw-example-caller
//! ```
//!
//! It calls, calls several at once, reads many answers to one call, sends, listens, and ends; expect
//!
//! ```text
//! open, as connection 6f1f…
//! ping answered Pong { pong: true }
//! ten at once: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
//! counted: [1, 2, 3, 4, 5]
//! enough of [1, 2, 3]
//! explode failed: Something went wrong (code handler)
//! nowhere failed: Unknown event: nowhere (code unknown_event)
//! notified: {"hello":"me"}
//! broadcast: "happy birthday"
//! close: the client was closed
//! ```
//!
//! Another URL can be given: `cargo run -p aaw-example-caller -- ws://127.0.0.1:8080`.

use std::time::Duration;

use aaw_client::{CallError, ConnectionEvent, DEFAULT_TIMEOUT};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "printed with Debug")]
struct Pong {
    pong: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://localhost:1337".into());
    let client = aaw_client::connect(&url).await?;
    println!("open, as connection {}", client.connection_id().as_deref().unwrap_or("unknown"));
    let mut changes = client.connection_events();

    // A call, and its answer as a type of one's own.
    let pong: Pong = client.send_async("ping", (), DEFAULT_TIMEOUT).await?;
    println!("ping answered {pong:?}");

    // Ten calls of one event at once, over one connection: each gets its own answer.
    let calls = (0..10).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { client.send_async::<u32>("echo", n, DEFAULT_TIMEOUT).await })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await??);
    }
    println!("ten at once: {answers:?}");

    // A call with many answers: each item comes as its handler yields it.
    let mut numbers = client.stream::<u32>("count", json!({ "to": 5 }));
    let mut counted = Vec::new();
    while let Some(number) = numbers.next().await {
        counted.push(number?);
    }
    println!("counted: {counted:?}");

    // It is a stream as others are. Dropping it, as `take` does after the third, drops the handler too.
    let endless = client.stream::<u32>("count", json!({ "to": u64::MAX }));
    println!("enough of {:?}", endless.take(3).try_collect::<Vec<_>>().await?);

    // A call that fails says what the server said.
    for event in ["explode", "nowhere"] {
        match client.send_async::<Value>(event, (), DEFAULT_TIMEOUT).await {
            Err(CallError::Failed(failure)) => println!("{event} failed: {failure} (code {})", failure.code),
            other => println!("{event}: {other:?}"),
        }
    }

    // A plain event answers nothing; this one sends something back by itself. Listen first, then send.
    let mut notified = client.on("notified");
    client.send_event("notify", json!({ "hello": "me" })).await?;
    let push = tokio::time::timeout(Duration::from_secs(3), notified.next()).await?.ok_or("the client has ended")?;
    println!("notified: {}", push.json());

    // A broadcast goes to all others: to a second client, say.
    let other = aaw_client::connect(&url).await?;
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let _subscription = other.on_each("broadcast", move |push| drop(told.send(push)));
    client.send_event("announce", "happy birthday").await?;
    let push = tokio::time::timeout(Duration::from_secs(3), hear.recv()).await?.ok_or("the other client has ended")?;
    println!("broadcast: {}", push.json());

    other.close().await;
    client.close().await;
    while let Some(change) = changes.next().await {
        if let ConnectionEvent::Close(why) = change {
            println!("close: {why}");
        }
    }
    Ok(())
}
