//! Adds one pass.

use aaw_event::prelude::*;

use crate::_services::App;

pub fn handler(_: Empty, services: Services<App>) {
    services.passes.add_permits(1);
}
