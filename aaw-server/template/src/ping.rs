//! The smallest event: `aaw call ws://localhost:1337 ping`

use aaw_event::prelude::*;

pub async fn handler() -> Value {
    json!({ "pong": true })
}
