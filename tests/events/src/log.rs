//! Logs its body.

use aaw_event::prelude::*;

pub async fn handler(body: Value) {
    tracing::warn!("the body is {body}");
}
