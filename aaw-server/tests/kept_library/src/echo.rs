use aaw_event::RawValue;

pub async fn handler(body: Box<RawValue>) -> Box<RawValue> {
    body
}
