//! Returns the body as the handler receives it.

use aaw_event::prelude::*;

pub async fn handler(body: Value) -> Value {
    body
}
