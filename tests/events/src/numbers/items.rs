//! Yields 1.5, and then an infinity.

use aaw_event::prelude::*;

pub fn handler() -> impl Stream<Item = f64> {
    stream! {
        yield 1.5;
        yield f64::INFINITY;
        yield 2.5;
    }
}
