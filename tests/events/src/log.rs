//! Writes its body to the log.

use aaw_event::prelude::*;

pub async fn handler(body: Value) {
    tracing::warn!("an event says {body}");
}
