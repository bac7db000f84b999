//! Returns the connection's id.

use aaw_event::prelude::*;

pub async fn handler(_: Empty, services: Services) -> String {
    services.ws.id()
}
