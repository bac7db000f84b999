//! Runs when a connection has ended, however that was.

use aaw_event::prelude::*;

use crate::_services::Visitors;

pub fn handler(closed: CloseInfo, services: Services<Visitors>) {
    tracing::info!(id = services.ws.id(), by = ?closed.by, code = closed.code, reason = closed.reason, "gone");
    services.go();
}
