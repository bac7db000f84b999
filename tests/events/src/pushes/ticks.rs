//! Pushes `tick` with the numbers 1 to `times`, one every `every_ms`, and returns how many.

use std::time::Duration;

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    times: u64,
    every_ms: u64,
}

pub async fn handler(body: Body, services: Services) -> Result<u64> {
    // A tick that is late does not delay the next ones.
    let mut interval = tokio::time::interval(Duration::from_millis(body.every_ms.max(1)));
    for number in 1..=body.times {
        interval.tick().await;
        services.ws.send_event("tick", number)?;
    }
    Ok(body.times)
}
