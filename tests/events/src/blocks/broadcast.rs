//! Broadcasts to all other connections, and then blocks its thread for some milliseconds.

use std::time::Duration;

use aaw_event::prelude::*;

pub async fn handler(ms: u64, services: Services) -> bool {
    services.ws.broadcast("before", false);
    std::thread::sleep(Duration::from_millis(ms));
    true
}
