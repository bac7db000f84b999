use aaw_event::prelude::*;

pub fn handler(name: String, services: Services) {
    services.room.leave(&name);
}
