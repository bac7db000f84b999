//! How many are in a room. One that nobody is in is empty, and no error.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    name: String,
}

#[derive(Serialize)]
pub struct Size {
    size: usize,
}

pub async fn handler(body: Body, services: Services) -> Size {
    Size { size: services.room.size(&body.name) }
}
