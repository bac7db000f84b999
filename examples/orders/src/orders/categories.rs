//! Returns all categories.

use aaw_event::prelude::*;

use crate::_services::Shop;

pub async fn handler(_: Empty, services: Services<Shop>) -> Vec<String> {
    services.categories()
}
