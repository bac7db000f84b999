//! Returns the bodies that `note` has stored, in order.

use crate::_services::App;
use aaw_event::prelude::*;

pub async fn handler(_: Empty, services: Services<App>) -> Result<Vec<Value>> {
    Ok(services.notes.lock().map_err(|_| Error::new("the notes are poisoned"))?.clone())
}
