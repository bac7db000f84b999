use aaw_event::prelude::*;

pub async fn handler(name: String, services: Services) -> usize {
    services.room.size(&name)
}
