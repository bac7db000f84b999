//! Runs when somebody has connected: they are in the room before they can say anything, and until they go.

use aaw_event::prelude::*;

use crate::_services::{Confirm, EVERYBODY};

pub fn handler(_: OpenInfo, services: Services<Confirm>) -> Result<()> {
    services.room.join(EVERYBODY)
}
