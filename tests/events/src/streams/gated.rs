//! Yields 1, 2, 3 and so on, one each time that it is let through the gate; ends after `to`. Counted there as well.

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
        let watched = services.watched(Some(&body.gate));
        for number in 1..=body.to.unwrap_or(u64::MAX) {
            gate.pass().await;
            watched.item();
            yield number;
        }
    }
}
