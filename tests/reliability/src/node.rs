//! The programs in JavaScript: each prints one line of JSON.

use std::process::Stdio;
use std::time::Duration;

use aaw_tests::cargo::workspace;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::process::Command;

use crate::calls::BoxError;

/// Runs a program of `tests/reliability` under Node, with these options, and returns what it has printed.
pub(crate) async fn run<T: DeserializeOwned>(program: &str, options: &Value, limit: Duration) -> Result<T, BoxError> {
    let mut node = Command::new("node");
    // Node 22 has WebSocket without it, and knows it still.
    node.args(["--experimental-websocket", "--no-warnings", "--expose-gc"]);
    node.arg(workspace().join("tests/reliability").join(program)).arg(options.to_string());
    node.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let node = node.spawn().map_err(|error| format!("cannot start node: {error}"))?;
    let output = tokio::time::timeout(limit, node.wait_with_output()).await;
    let output = output.map_err(|_| format!("{program} has not ended within {limit:?}"))??;
    if !output.status.success() {
        return Err(format!("{program} has ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
