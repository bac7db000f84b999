//! Needs a session.

use crate::_services::App;
use aaw_event::prelude::*;

pub async fn handler(_: Empty, services: Services<App>) -> &'static str {
    services.gate("secret").release(1);
    services.gate("secret").pass().await;
    "secret"
}
