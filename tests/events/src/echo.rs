//! Returns its body, byte for byte; for `null`, which stands for a missing body, `{}`.

use aaw_event::RawValue;

pub async fn handler(body: Box<RawValue>) -> Box<RawValue> {
    body
}
