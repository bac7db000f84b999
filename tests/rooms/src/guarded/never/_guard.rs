use std::time::Duration;

use aaw_event::prelude::*;

pub async fn handler(call: GuardedCall) -> Result<()> {
    // By a timer of the package's own.
    tokio::time::sleep(Duration::from_millis(1)).await;
    Err(Error::new(format!("Nobody may call {}", call.event)))
}
