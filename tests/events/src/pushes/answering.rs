//! Pushes `step` 1 and 2, and returns 3; with `late`, it is pending once between the two.

use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    #[serde(default)]
    late: bool,
}

pub async fn handler(body: Body, services: Services) -> Result<i32> {
    services.ws.send_event("step", 1)?;
    if body.late {
        tokio::task::yield_now().await;
    }
    services.ws.send_event("step", 2)?;
    Ok(3)
}
