//! Reads the upload in a task that outlives the call. The items and the end of the task are counted at the gate. With
//! `waits` the call never returns.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    waits: bool,
}

pub async fn handler(body: Body, services: Services<App>, mut upload: Upload<Value>) -> &'static str {
    let watcher = services.watch(Some(&body.gate));
    tokio::spawn(async move {
        while let Some(Ok(_)) = upload.next().await {
            watcher.item();
        }
    });
    if body.waits {
        std::future::pending::<()>().await;
    }
    "returned"
}
