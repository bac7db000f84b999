//! Pushes `data` as `event`, `times` times. One-way.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    event: String,
    #[serde(default)]
    data: Value,
    times: Option<u32>,
}

pub fn handler(body: Body, services: Services) -> Result<()> {
    (0..body.times.unwrap_or(1)).try_for_each(|_| services.ws.send_event(&body.event, &body.data))
}
