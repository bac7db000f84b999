//! Sends the event `notified` to the caller.

use aaw_event::prelude::*;

pub fn handler(body: Value, services: Services) -> Result<()> {
    services.ws.send_event("notified", body)
}
