//! Takes an item each time that it is let through the gate, and answers all of them; ends after `take`. Counted there.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    take: Option<usize>,
}

pub async fn handler(body: Body, services: Services<App>, mut incoming: Upload<Value>) -> Result<Vec<Value>> {
    let gate = services.gate(&body.gate);
    let watched = services.watched(Some(&body.gate));
    let mut taken = Vec::new();
    while taken.len() < body.take.unwrap_or(usize::MAX) {
        gate.pass().await;
        let Some(item) = incoming.next().await else { break };
        watched.item();
        taken.push(item?);
    }
    Ok(taken)
}
