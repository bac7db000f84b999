//! Answers the body as it reaches a handler.

use aaw_event::prelude::*;

pub async fn handler(body: Value) -> Value {
    body
}
