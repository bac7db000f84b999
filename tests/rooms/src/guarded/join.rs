use aaw_event::prelude::*;

use crate::_services::App;

pub fn handler(name: String, services: Services<App>) -> Result<()> {
    services.has_run("guarded/join");
    services.room.join(&name)
}
