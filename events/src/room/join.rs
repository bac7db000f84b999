//! Puts the connection into a room. Plain, so it has joined when its next call is taken up.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    name: String,
}

pub fn handler(body: Body, services: Services) -> Result<()> {
    services.room.join(&body.name)
}
