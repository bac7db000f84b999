//! Adds the connection to a room. The handler is one-way, so it completes before the connection's next call starts.

use aaw_event::prelude::*;

#[derive(Deserialize, JsonSchema)]
pub struct Body {
    name: String,
}

pub fn handler(body: Body, services: Services) -> Result<()> {
    services.room.join(&body.name)
}
