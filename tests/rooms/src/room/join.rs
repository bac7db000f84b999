use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    name: String,
    #[serde(default)]
    presence: bool,
}

pub fn handler(body: Body, services: Services) -> Result<()> {
    match body.presence {
        true => services.room.join_with(&body.name, Presence),
        false => services.room.join(&body.name),
    }
}
