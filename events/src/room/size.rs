//! Returns the number of members of a room, which is 0 for a room without members.

use aaw_event::prelude::*;

#[derive(Deserialize, JsonSchema)]
pub struct Body {
    name: String,
}

#[derive(Serialize, JsonSchema)]
pub struct Size {
    size: usize,
}

pub async fn handler(body: Body, services: Services) -> Size {
    Size { size: services.room.size(&body.name) }
}
