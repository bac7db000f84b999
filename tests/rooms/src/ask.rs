use std::time::Duration;

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    event: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    to: Option<String>,
    timeout_ms: u64,
}

pub async fn handler(body: Body, services: Services) -> Result<Value> {
    let timeout = Duration::from_millis(body.timeout_ms);
    match body.to {
        Some(to) => services.ws.send_async_to(&to, &body.event, &body.data, timeout).await,
        None => services.ws.send_async(&body.event, &body.data, timeout).await,
    }
}
