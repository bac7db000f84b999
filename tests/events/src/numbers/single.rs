//! Takes an `f32` in a struct, and returns it.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    value: f32,
}

pub async fn handler(body: Body) -> f32 {
    body.value
}
