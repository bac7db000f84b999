//! The clients of the JavaScript library: `clients.mjs`, in one process of Node.

use std::time::Duration;

use serde_json::json;

use crate::calls::{BoxError, Clients, Report};
use crate::node;

/// Makes `calls[n]` calls with the client of number `first` + n, all clients at the same time.
pub(crate) async fn run(plan: &Clients, calls: &[u64], first: u32, limit: Duration) -> Result<Report, BoxError> {
    if calls.is_empty() {
        return Ok(Report::default());
    }
    let options = json!({
        "url": plan.url,
        "seed": plan.seed,
        "timeout": plan.timeout.as_millis() as u64,
        "inFlight": plan.in_flight,
        "time": plan.time.as_millis() as u64,
        "hasDefaultTimeouts": plan.has_default_timeouts,
        "first": first,
        "calls": calls,
    });
    let report = node::run("clients.mjs", &options, limit).await;
    report.map_err(|error| format!("{error}; --js-clients 0 does without").into())
}
