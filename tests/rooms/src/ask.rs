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
    /// Whether a failure of the client call is this call's own failure, with its text and code.
    #[serde(default = "yes")]
    forwards: bool,
}

fn yes() -> bool {
    true
}

pub async fn handler(body: Body, services: Services) -> Result<Value> {
    let timeout = Duration::from_millis(body.timeout_ms);
    let response = match body.to {
        Some(to) => services.ws.send_async_to(&to, &body.event, &body.data, timeout).await,
        None => services.ws.send_async(&body.event, &body.data, timeout).await,
    };
    // Returned as it is, it is an internal error.
    if body.forwards {
        return response.map_err(|error| Error::new(error.message()).with_code(error.code().to_owned()));
    }
    response
}
