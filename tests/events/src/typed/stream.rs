//! A stream of texts, with an upload.

use aaw_event::prelude::*;

pub fn handler(_: Empty, _: Services, upload: Upload<bool>) -> impl Stream<Item = Result<String>> {
    upload.map(|item| Ok(item?.to_string()))
}
