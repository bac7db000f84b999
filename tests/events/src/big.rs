//! Answers a string of so many bytes.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    bytes: usize,
}

pub async fn handler(body: Body) -> String {
    "x".repeat(body.bytes)
}
