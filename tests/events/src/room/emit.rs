//! Pushes `data` as `event` to the members of a room.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    room: String,
    event: String,
    #[serde(default)]
    data: Value,
}

pub async fn handler(body: Body, services: Services) -> Result<()> {
    services.room.emit(&body.room, &body.event, &body.data, None)?;
    Ok(())
}
