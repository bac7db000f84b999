//! A transfer of the Rust client.

use aaw_client::{Client, connect_lazy_with};
use aaw_tests::counting_allocator::{most_allocated, reset_most_allocated};
use aaw_tests::resumption::client_config;
use serde_json::json;

use super::transfer::{ITEM_BYTES, Transfer};
use crate::calls::BoxError;

/// Transfers the items, and checks each. Returns the most that was allocated at any time, in bytes.
pub(super) async fn transfer(transfer: Transfer, items: u64, url: &str) -> Result<u64, BoxError> {
    let client = connect_lazy_with(url, client_config())?;
    let before = reset_most_allocated();
    match transfer {
        Transfer::Stream => stream(&client, items).await?,
        Transfer::Upload => upload(&client, items).await?,
    }
    let allocated = most_allocated().saturating_sub(before);
    client.close().await;
    Ok(allocated as u64)
}

async fn stream(client: &Client, items: u64) -> Result<(), BoxError> {
    let mut stream = client.stream::<u64>("streams/count", json!({ "to": items }));
    for expected in 1..=items {
        match stream.next().await {
            Some(Ok(item)) if item == expected => {}
            other => return Err(format!("expected item {expected}, got {other:?}").into()),
        }
    }
    expect_end(stream.next().await)
}

fn item(number: u64) -> String {
    format!("{number:0ITEM_BYTES$}")
}

async fn upload(client: &Client, items: u64) -> Result<(), BoxError> {
    let (mut sender, mut stream) = client.duplex::<String, String>("upload/echo", ());
    let send = async move {
        for number in 0..items {
            sender.send(item(number)).await.map_err(|error| format!("item {number} of the upload: {error}"))?;
        }
        Ok::<_, BoxError>(())
    };
    let receive = async {
        for expected in 0..items {
            match stream.next().await {
                Some(Ok(received)) if received == item(expected) => {}
                other => return Err(format!("expected item {expected}, got {other:?}").into()),
            }
        }
        expect_end(stream.next().await)
    };
    tokio::try_join!(send, receive).map(|_| ())
}

fn expect_end<T: std::fmt::Debug, E: std::fmt::Debug>(next: Option<Result<T, E>>) -> Result<(), BoxError> {
    match next {
        None => Ok(()),
        Some(next) => Err(format!("expected the end, got {next:?}").into()),
    }
}
