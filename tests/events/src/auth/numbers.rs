//! Yields 1 to 10.

use aaw_event::prelude::*;

pub fn handler(_: Empty) -> impl Stream<Item = u64> {
    stream! {
        for number in 1..=10 {
            yield number;
        }
    }
}
