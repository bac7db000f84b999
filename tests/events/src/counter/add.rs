//! Adds `by` to the counter, at once, and records that the call `id` has run. Returns after `delay_ms`: the sum after this
//! addition. The `padding` makes the call longer, `returned_bytes` its response.

use std::time::Duration;

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    id: u64,
    by: i64,
    delay_ms: Option<u64>,
    #[serde(default, rename = "padding")]
    _padding: String,
    #[serde(default)]
    returned_bytes: usize,
}

#[derive(Serialize)]
pub struct Added {
    id: u64,
    sum: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    padding: String,
}

pub async fn handler(body: Body, services: Services<App>) -> Added {
    let sum = services.counter.add(body.id, body.by);
    match body.delay_ms {
        None | Some(0) => {}
        Some(delay) => tokio::time::sleep(Duration::from_millis(delay)).await,
    }
    services.counter.completed(body.id);
    Added { id: body.id, sum, padding: "x".repeat(body.returned_bytes) }
}
