//! Returns the ids of the connections in a room.

use aaw_event::prelude::*;

pub async fn handler(name: String, services: Services) -> Vec<String> {
    services.room.members(&name).into_iter().map(|member| member.id).collect()
}
