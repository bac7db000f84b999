//! Yields `items` items of `bytes` bytes. Counted at `gate`, if there is one.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    items: u64,
    bytes: usize,
    gate: Option<String>,
}

pub fn handler(body: Body, services: Services<App>) -> impl Stream<Item = String> {
    stream! {
        let watcher = services.watch(body.gate.as_deref());
        for _ in 0..body.items {
            watcher.item();
            yield "x".repeat(body.bytes);
        }
    }
}
