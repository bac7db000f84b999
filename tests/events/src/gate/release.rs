//! Lets handlers pass a gate: `many`, or one.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    many: Option<usize>,
}

pub async fn handler(body: Body, services: Services<App>) {
    services.gate(&body.gate).release(body.many.unwrap_or(1));
}
