//! Returns the identity of the caller.

use aaw_event::prelude::*;

pub async fn handler(_: Empty, services: Services) -> Option<Identity> {
    services.identity()
}
