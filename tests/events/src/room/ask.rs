//! Calls `event` of all members of a room. Returns what each has responded, or the code of its failure.

use std::collections::BTreeMap;
use std::time::Duration;

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    room: String,
    event: String,
    #[serde(default)]
    data: Value,
}

pub async fn handler(body: Body, services: Services) -> Result<BTreeMap<String, Value>> {
    let timeout = Duration::from_secs(50);
    let results = services.room.send_async::<Value>(&body.room, &body.event, &body.data, timeout, None).await?;
    let value = |result: Result<Value>| result.unwrap_or_else(|error| json!({ "failed": error.code() }));
    Ok(results.into_iter().map(|(id, result)| (id, value(result))).collect())
}
