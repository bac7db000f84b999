//! Returns its body unchanged, byte for byte: a `RawValue` is JSON that is not parsed.

use aaw_event::RawValue;

pub async fn handler(body: Box<RawValue>) -> Box<RawValue> {
    body
}
