//! Takes what comes in within a task of its own, which outlives the call; the items, and that task's end, are counted at
//! the gate. With `waits` the call is never answered.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    waits: bool,
}

pub async fn handler(body: Body, services: Services<App>, mut incoming: Upload<Value>) -> &'static str {
    let watched = services.watched(Some(&body.gate));
    tokio::spawn(async move {
        while let Some(Ok(_)) = incoming.next().await {
            watched.item();
        }
    });
    if body.waits {
        std::future::pending::<()>().await;
    }
    "it goes on"
}
