//! Returns the counts of a gate, once they are at least those of the body.

use crate::_services::{App, Counts};
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    #[serde(flatten)]
    least: Counts,
}

pub async fn handler(body: Body, services: Services<App>) -> Counts {
    services.gate(&body.gate).wait(body.least).await
}
