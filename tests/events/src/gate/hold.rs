//! Waits at a gate, then returns `answer`, or `{"held": gate}` without it.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    answer: Option<Value>,
}

pub async fn handler(body: Body, services: Services<App>) -> Value {
    services.gate(&body.gate).pass().await;
    body.answer.unwrap_or_else(|| json!({ "held": body.gate }))
}
