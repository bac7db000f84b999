//! Answers what it is sent, byte for byte: a `RawValue` is JSON that nobody takes apart.

use aaw_event::RawValue;

pub async fn handler(body: Box<RawValue>) -> Box<RawValue> {
    body
}
