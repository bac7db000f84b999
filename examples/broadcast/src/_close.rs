//! Runs after a connection has ended, for whatever reason.

use aaw_event::prelude::*;

use crate::_services::Online;

pub fn handler(closed: CloseInfo, services: Services<Online>) {
    tracing::info!(id = services.ws.id(), by = ?closed.by, code = closed.code, reason = closed.reason, "disconnected");
    services.decrement();
}
