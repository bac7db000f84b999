//! A transfer of the JavaScript client: `streams.mjs`, in a process of Node.

use std::time::Duration;

use serde_json::{Value, json};

use super::transfer::{ITEM_BYTES, Transfer};
use crate::calls::BoxError;
use crate::node;

/// Transfers the items, and checks each. Returns the most that was on the heap after a garbage collection, in bytes.
pub(super) async fn transfer(transfer: Transfer, items: u64, url: &str, limit: Duration) -> Result<u64, BoxError> {
    let options = json!({ "transfer": transfer.name(), "items": items, "itemBytes": ITEM_BYTES, "url": url });
    let report: Value = node::run("streams.mjs", &options, limit).await?;
    if let Some(error) = report["error"].as_str() {
        return Err(error.into());
    }
    Ok(report["heap"].as_u64().ok_or("the client reports its heap")?)
}
