//! Yields one item, and then never ends.

use aaw_event::prelude::*;

pub fn handler(_: Empty) -> impl Stream<Item = u64> {
    stream! {
        yield 1;
        std::future::pending::<()>().await;
    }
}
