//! Keeps what it is told.

use crate::_services::App;
use aaw_event::prelude::*;

pub fn handler(closed: Closed, services: Services<App>) {
    services.hooks().closed.push((services.ws.id(), closed));
}
