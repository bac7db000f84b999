//! Yields what comes in.

use aaw_event::RawValue;
use aaw_event::prelude::*;

pub fn handler(
    _: Empty,
    _: Services,
    mut incoming: Upload<Box<RawValue>>,
) -> impl Stream<Item = Result<Box<RawValue>>> {
    try_stream! {
        while let Some(item) = incoming.next().await {
            yield item?;
        }
    }
}
