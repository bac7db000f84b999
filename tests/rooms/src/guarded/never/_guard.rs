use std::time::Duration;

use aaw_event::prelude::*;

pub async fn handler(call: GuardedCall) -> Result<()> {
    // Uses a timer of the library that the package is loaded from.
    tokio::time::sleep(Duration::from_millis(1)).await;
    Err(Error::new(format!("{} is always refused", call.event)))
}
