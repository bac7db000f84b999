//! Sleeps a moment, so that its call is pending, and a package that was loaded needs its own timers.

use std::time::Duration;

use aaw_event::RawValue;

pub async fn handler(body: Box<RawValue>) -> Box<RawValue> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    body
}
