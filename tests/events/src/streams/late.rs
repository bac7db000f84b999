//! Waits at the gate before it opens its stream: yields 1 and 2, or fails with `refusal`.

use crate::_services::App;
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    gate: String,
    refusal: Option<String>,
}

pub async fn handler(body: Body, services: Services<App>) -> Result<impl Stream<Item = u64>> {
    services.gate(&body.gate).pass().await;
    if let Some(text) = body.refusal {
        return Err(Error::new(text));
    }
    Ok(stream! {
        yield 1;
        yield 2;
    })
}
