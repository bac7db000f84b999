//! Returns a string of `bytes` bytes.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    bytes: usize,
}

pub async fn handler(body: Body) -> String {
    "x".repeat(body.bytes)
}
