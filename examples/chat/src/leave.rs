//! Takes this connection out of a room. Not below `auth/`: who has logged out should be able to leave.

use aaw_event::prelude::*;

use crate::_services::{Chat, Room};

#[derive(Deserialize)]
pub struct Body {
    room: Room,
}

pub fn handler(body: Body, services: Services<Chat>) {
    services.room.leave(body.room.name());
}
