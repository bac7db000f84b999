//! Takes nothing of what comes in, and answers at once; with a gate, when it is let through.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: Option<String>,
}

pub async fn handler(body: Body, services: Services<App>, incoming: Upload<Value>) -> &'static str {
    drop(incoming);
    if let Some(gate) = body.gate {
        services.gate(&gate).pass().await;
    }
    "ignored"
}
