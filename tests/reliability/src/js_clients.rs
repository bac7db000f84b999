//! The clients of the JavaScript library: `clients.mjs`, in one process of Node.

use std::process::Stdio;
use std::time::Duration;

use aaw_tests::cargo::workspace;
use serde_json::json;
use tokio::process::Command;

use crate::calls::{BoxError, Clients, Report};

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
    let mut node = Command::new("node");
    // Node 22 has WebSocket without it, and knows it still.
    node.arg("--experimental-websocket").arg("--no-warnings").arg(workspace().join("tests/reliability/clients.mjs"));
    node.arg(options.to_string()).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = tokio::time::timeout(limit, node.output()).await;
    let output = output.map_err(|_| format!("the JavaScript clients have not ended within {limit:?}"))?;
    let output = output.map_err(|error| format!("cannot start node: {error}; --js-clients 0 does without"))?;
    if !output.status.success() {
        return Err(format!("the JavaScript clients have ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
