//! Returns all rooms.

use aaw_event::prelude::*;

use crate::_services::Room;

pub async fn handler(_: Empty) -> [Room; 3] {
    Room::ALL
}
