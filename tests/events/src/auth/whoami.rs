//! Who calls.

use aaw_event::prelude::*;

pub async fn handler(_: Empty, services: Services) -> Option<Identity> {
    services.identity()
}
