use aaw_event::prelude::*;

use crate::_services::App;

pub fn handler(name: String, services: Services<App>) -> Result<()> {
    services.record("guarded/join");
    services.room.join(&name)
}
