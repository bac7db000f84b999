//! Broadcasts that it runs, and never returns.

use aaw_event::prelude::*;

use crate::_services::App;

pub async fn handler(_: Empty, services: Services<App>) {
    services.ws.broadcast("waiting", true);
    std::future::pending::<()>().await;
}
