//! Returns its body after a short sleep. Its call is pending once, and uses a timer of the library that the event is
//! loaded from.

use std::time::Duration;

use aaw_event::RawValue;

pub async fn handler(body: Box<RawValue>) -> Box<RawValue> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    body
}
