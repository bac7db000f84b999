//! Waits at a gate, then returns a string of `bytes` bytes.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    bytes: usize,
}

pub async fn handler(body: Body, services: Services<App>) -> String {
    services.gate(&body.gate).pass().await;
    "x".repeat(body.bytes)
}
