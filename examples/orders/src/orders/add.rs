//! Adds a product with a total of 0. Clients that watch its category receive it at once.

use aaw_event::prelude::*;

use crate::_services::{Order, Shop};

/// The maximum length of a name, in characters.
const MAX_NAME_CHARS: usize = 60;

#[derive(Deserialize)]
pub struct Body {
    category: String,
    name: String,
}

pub async fn handler(body: Body, services: Services<Shop>) -> Result<Order> {
    let name = body.name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
        return Err(Error::new(format!("A product's name has 1 to {MAX_NAME_CHARS} characters")));
    }
    services.add(&body.category, name)
}
