//! A stream of texts that begins after something was awaited.

use aaw_event::prelude::*;

pub async fn handler() -> Result<impl Stream<Item = String>> {
    tokio::task::yield_now().await;
    Ok(stream! { yield "one".to_owned(); })
}
