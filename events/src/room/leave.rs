//! Removes the connection from a room.

use aaw_event::prelude::*;

#[derive(Deserialize, JsonSchema)]
pub struct Body {
    name: String,
}

pub fn handler(body: Body, services: Services) {
    services.room.leave(&body.name);
}
