use std::collections::BTreeMap;
use std::time::Duration;

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    name: String,
    event: String,
    #[serde(default)]
    data: Value,
    timeout_ms: u64,
    #[serde(default)]
    except: Option<String>,
}

pub async fn handler(body: Body, services: Services) -> Result<BTreeMap<String, Value>> {
    let timeout = Duration::from_millis(body.timeout_ms);
    let except = body.except.as_deref();
    let results = services.room.send_async::<Value>(&body.name, &body.event, &body.data, timeout, except).await?;
    let value = |result: Result<Value>| result.unwrap_or_else(|error| Value::from(format!("failed: {}", error.code())));
    Ok(results.into_iter().map(|(id, result)| (id, value(result))).collect())
}
