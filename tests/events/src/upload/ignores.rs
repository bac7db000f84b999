//! Drops its upload, and returns at once; with `gate`, once it has passed the gate.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: Option<String>,
}

pub async fn handler(body: Body, services: Services<App>, upload: Upload<Value>) -> &'static str {
    drop(upload);
    if let Some(gate) = body.gate {
        services.gate(&gate).pass().await;
    }
    "ignored"
}
