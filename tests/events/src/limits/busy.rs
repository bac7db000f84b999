//! Is always ready to continue, and never ends. Each turn counts as an item at the gate.

use crate::_services::App;
use aaw_event::prelude::*;

pub async fn handler(gate: String, services: Services<App>) {
    let watcher = services.watch(Some(&gate));
    loop {
        watcher.item();
        tokio::task::yield_now().await;
    }
}
