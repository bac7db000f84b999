//! Stores its body. One-way.

use crate::_services::App;
use aaw_event::prelude::*;

pub fn handler(body: Value, services: Services<App>) -> Result<()> {
    services.notes.lock().map_err(|_| Error::new("the notes are poisoned"))?.push(body);
    Ok(())
}
