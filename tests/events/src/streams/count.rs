//! Yields the numbers 1 to `to`, without waiting. Counted at `gate`, if there is one.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    to: u64,
    gate: Option<String>,
}

pub fn handler(body: Body, services: Services<App>) -> impl Stream<Item = u64> {
    stream! {
        let watcher = services.watch(body.gate.as_deref());
        for number in 1..=body.to {
            watcher.item();
            yield number;
        }
    }
}
