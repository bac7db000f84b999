//! Yields the number of running `orders/watch` streams: now, and after each change.

use aaw_event::prelude::*;

use crate::_services::Shop;

pub fn handler(_: Empty, services: Services<Shop>) -> impl Stream<Item = usize> {
    stream! {
        let mut watching = services.watching();
        loop {
            let now = *watching.borrow_and_update();
            yield now;
            if watching.changed().await.is_err() {
                return;
            }
        }
    }
}
