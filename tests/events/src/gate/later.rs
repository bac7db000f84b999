//! Returns at once, and starts a task that waits at a gate and then pushes `later`; with `all` the task broadcasts
//! `later` to all connections instead.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    #[serde(default)]
    all: bool,
}

pub async fn handler(body: Body, services: Services<App>) {
    tokio::spawn(async move {
        services.gate(&body.gate).pass().await;
        if body.all {
            services.ws.broadcast("later", true);
        } else if services.ws.send_event("later", ()).is_err() {
            services.gate("later/unreachable").release(1);
            services.gate("later/unreachable").pass().await;
        }
    });
}
