//! Runs when a client has connected, before any of its calls: adds it to the room, where it stays until it disconnects.

use aaw_event::prelude::*;

use crate::_services::{Confirm, EVERYONE};

pub fn handler(_: OpenInfo, services: Services<Confirm>) -> Result<()> {
    services.room.join(EVERYONE)
}
