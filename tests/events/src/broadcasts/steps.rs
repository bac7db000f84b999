//! Broadcasts `bytes` bytes to all other connections, `times` times, and lets other tasks run after each.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    bytes: usize,
    times: u32,
}

pub async fn handler(body: Body, services: Services) {
    let data = "x".repeat(body.bytes);
    for _ in 0..body.times {
        services.ws.broadcast(&data, false);
        tokio::task::yield_now().await;
    }
}
