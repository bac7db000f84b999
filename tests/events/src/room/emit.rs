//! Pushes `data` as `event` to the members of a room, `times` times.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    room: String,
    event: String,
    #[serde(default)]
    data: Value,
    times: Option<u32>,
}

pub async fn handler(body: Body, services: Services) -> Result<()> {
    for _ in 0..body.times.unwrap_or(1) {
        services.room.emit(&body.room, &body.event, &body.data, None)?;
    }
    Ok(())
}
