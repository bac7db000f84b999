//! Checks that the server responds.

use aaw_event::prelude::*;

pub async fn handler() -> Value {
    json!({ "pong": true })
}
