//! Returns its body unchanged, byte for byte: a `RawValue` is JSON that is not parsed. Only for `null` it returns `{}`: `null`
//! stands for a missing body, which reaches every handler as `{}`.

use aaw_event::RawValue;

pub async fn handler(body: Box<RawValue>) -> Box<RawValue> {
    body
}
