//! How does a Rust program call a server?
//!
//! Run it beside the stock server with the events of this repository:
//!
//! ```text
//! cargo run --release -p aaw-server &
//! cargo run -p aaw-example-caller
//! ```
//!
//! It makes a call, several concurrent calls, and streaming calls; it makes one-way sends, listens to pushes, and
//! closes. Expected output:
//!
//! ```text
//! open, as connection 6f1f…
//! ping responded with Pong { pong: true }
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
//! The URL of another server is an argument: `cargo run -p aaw-example-caller -- ws://127.0.0.1:8080`.

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
    let mut connection_events = client.connection_events();

    // A call whose response is deserialized as a struct.
    let pong: Pong = client.send_async("ping", (), DEFAULT_TIMEOUT).await?;
    println!("ping responded with {pong:?}");

    // Ten concurrent calls of one event over one connection. Each gets its own response.
    let calls = (0..10).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { client.send_async::<u32>("echo", n, DEFAULT_TIMEOUT).await })
    });
    let mut responses = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        responses.push(call.await??);
    }
    println!("ten at once: {responses:?}");

    // A streaming call: each item arrives as the handler yields it.
    let mut numbers = client.stream::<u32>("count", json!({ "to": 5 }));
    let mut counted = Vec::new();
    while let Some(number) = numbers.next().await {
        counted.push(number?);
    }
    println!("counted: {counted:?}");

    // It is a `Stream`. `take` drops it after the third item, which cancels the call: the server drops the handler.
    let endless = client.stream::<u32>("count", json!({ "to": u64::MAX }));
    println!("enough of {:?}", endless.take(3).try_collect::<Vec<_>>().await?);

    // A failed call has the error of the handler or of the server, with a code for programs.
    for event in ["explode", "nowhere"] {
        match client.send_async::<Value>(event, (), DEFAULT_TIMEOUT).await {
            Err(CallError::Failed(failure)) => println!("{event} failed: {failure} (code {})", failure.code),
            other => println!("{event}: {other:?}"),
        }
    }

    // A one-way send has no response. The handler of this one pushes an event back, so listen before sending.
    let mut notified = client.on("notified");
    client.send_event("notify", json!({ "hello": "me" })).await?;
    let push = tokio::time::timeout(Duration::from_secs(3), notified.next()).await?.ok_or("the client has ended")?;
    println!("notified: {}", push.json());

    // A broadcast reaches all other connections, here that of a second client.
    let other = aaw_client::connect(&url).await?;
    let (sender, mut pushes) = tokio::sync::mpsc::unbounded_channel();
    let _subscription = other.on_each("broadcast", move |push| drop(sender.send(push)));
    client.send_event("announce", "happy birthday").await?;
    let push =
        tokio::time::timeout(Duration::from_secs(3), pushes.recv()).await?.ok_or("the other client has ended")?;
    println!("broadcast: {}", push.json());

    other.close().await;
    client.close().await;
    while let Some(event) = connection_events.next().await {
        if let ConnectionEvent::Close(reason) = event {
            println!("close: {reason}");
        }
    }
    Ok(())
}
