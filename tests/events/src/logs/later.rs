//! Logs before and after it has waited at a gate, and when it is dropped.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
}

struct LogsDrop;

impl Drop for LogsDrop {
    fn drop(&mut self) {
        tracing::warn!("dropped");
    }
}

pub async fn handler(body: Body, services: Services<App>) {
    let _logs = LogsDrop;
    tracing::warn!("before");
    services.gate(&body.gate).pass().await;
    tracing::warn!("after");
}
