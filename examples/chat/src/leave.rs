//! Removes this connection from a room. It is not below `auth/`, so that a client can still leave after it has logged
//! out.

use aaw_event::prelude::*;

use crate::_services::{Chat, Room};

#[derive(Deserialize)]
pub struct Body {
    room: Room,
}

pub fn handler(body: Body, services: Services<Chat>) {
    services.room.leave(body.room.name());
}
