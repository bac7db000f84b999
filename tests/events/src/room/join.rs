//! Adds the connection to a room, with presence.

use aaw_event::prelude::*;

pub fn handler(name: String, services: Services) -> Result<()> {
    services.room.join_with(&name, Presence)
}
