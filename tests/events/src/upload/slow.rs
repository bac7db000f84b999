//! Reads one item of the upload for each pass of the gate, up to `take`, and returns them. Counted at the gate.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    take: Option<usize>,
}

pub async fn handler(body: Body, services: Services<App>, mut upload: Upload<Value>) -> Result<Vec<Value>> {
    let gate = services.gate(&body.gate);
    let watcher = services.watch(Some(&body.gate));
    let mut taken = Vec::new();
    while taken.len() < body.take.unwrap_or(usize::MAX) {
        gate.pass().await;
        let Some(item) = upload.next().await else { break };
        watcher.item();
        taken.push(item?);
    }
    Ok(taken)
}
