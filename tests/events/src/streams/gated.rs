//! Yields 1, 2, 3 and so on up to `to`, one for each pass of the gate. Counted at the gate.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    to: Option<u64>,
}

pub fn handler(body: Body, services: Services<App>) -> impl Stream<Item = u64> {
    stream! {
        let gate = services.gate(&body.gate);
        let watcher = services.watch(Some(&body.gate));
        for number in 1..=body.to.unwrap_or(u64::MAX) {
            gate.pass().await;
            watcher.item();
            yield number;
        }
    }
}
