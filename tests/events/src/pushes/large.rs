//! Pushes `bytes` bytes, `times` times. Returns how many pushes were accepted.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    bytes: usize,
    times: u32,
}

pub async fn handler(body: Body, services: Services) -> usize {
    let data = "x".repeat(body.bytes);
    (0..body.times).filter(|_| services.ws.send_event("large", &data).is_ok()).count()
}
