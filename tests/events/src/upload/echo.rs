//! Yields the items of the upload.

use aaw_event::RawValue;
use aaw_event::prelude::*;

pub fn handler(_: Empty, _: Services, mut upload: Upload<Box<RawValue>>) -> impl Stream<Item = Result<Box<RawValue>>> {
    try_stream! {
        while let Some(item) = upload.next().await {
            yield item?;
        }
    }
}
