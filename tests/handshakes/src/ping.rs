use aaw_event::prelude::*;

pub async fn handler() -> Value {
    json!({ "pong": true })
}
