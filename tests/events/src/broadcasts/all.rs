//! Broadcasts its body to all connections. One-way.

use aaw_event::prelude::*;

pub fn handler(body: Value, services: Services) {
    services.ws.broadcast(body, true);
}
