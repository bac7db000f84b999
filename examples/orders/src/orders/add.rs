//! A new product. It starts at 0, and whoever looks at its category sees it at once.

use aaw_event::prelude::*;

use crate::_services::{Order, Shop};

/// Characters of a name, so that nobody fills the shop with one.
const LONGEST_NAME: usize = 60;

#[derive(Deserialize)]
pub struct Body {
    category: String,
    name: String,
}

pub async fn handler(body: Body, services: Services<Shop>) -> Result<Order> {
    let name = body.name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        return Err(Error::new(format!("A product's name has 1 to {LONGEST_NAME} characters")));
    }
    services.add(&body.category, name)
}
