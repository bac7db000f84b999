//! Waits at a gate, as `gate/hold` does, for any time.

use std::time::Duration;

use crate::_services::App;
use aaw_event::prelude::*;

pub const MAX_CALL_TIME: Duration = Duration::MAX;

pub async fn handler(gate: String, services: Services<App>) -> String {
    services.gate(&gate).pass().await;
    gate
}
