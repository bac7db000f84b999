//! Returns the sum of the counter, how many calls have run, the first of those that ran several times, and what is known of
//! the calls in `ids`.

use crate::_services::{App, Executions};
use aaw_event::prelude::*;

#[derive(Deserialize)]
pub struct Body {
    #[serde(default)]
    ids: Vec<u64>,
}

#[derive(Serialize)]
pub struct Counted {
    sum: i64,
    /// Ids, not executions.
    calls: usize,
    repeated: Vec<(u64, Executions)>,
    /// In the order of `ids`.
    executions: Vec<Executions>,
}

pub async fn handler(body: Body, services: Services<App>) -> Counted {
    let counter = &services.counter;
    let executions = body.ids.into_iter().map(|id| counter.executions(id)).collect();
    Counted { sum: counter.sum(), calls: counter.calls(), repeated: counter.repeated(20), executions }
}
