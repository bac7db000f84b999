//! Runs what the test has set on its thread. Pushes `step` 1 before that and 2 after it.

use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(_: (), services: Services<App>) -> Result<bool> {
    services.ws.send_event("step", 1)?;
    if let Some(run) = services.blocking.get() {
        run();
    }
    services.ws.send_event("step", 2)?;
    Ok(true)
}
