use aaw_event::prelude::*;

use crate::_services::App;

pub fn handler(body: Value, services: Services<App>) {
    services.record_note(body);
}
