//! How many cursors are open.

use aaw_event::prelude::*;

use crate::_services::Users;

pub async fn handler(_: Empty, services: Services<Users>) -> usize {
    services.open_cursors()
}
