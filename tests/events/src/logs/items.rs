//! Yields 1, waits at a gate, and yields 2. Logs before each item, and when it is dropped.

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

pub fn handler(body: Body, services: Services<App>) -> impl Stream<Item = u64> {
    stream! {
        let _logs = LogsDrop;
        tracing::warn!("before");
        yield 1;
        services.gate(&body.gate).pass().await;
        tracing::warn!("after");
        yield 2;
    }
}
