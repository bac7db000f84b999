//! Connections that rarely call: their memory before the first call, and what the calls cost.

use std::time::Duration;

use crate::connection::Connection;
use crate::crowd;
use crate::measurement::{BoxError, percentile};
use crate::process::Server;
use crate::wire::{SMALL, Wire};

pub(crate) struct Measurement {
    /// The memory of a connection without any call so far, in bytes.
    pub(crate) idle: f64,
    /// The processor time of the server, in seconds.
    pub(crate) cpu_per_call: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Measures `count` connections: idle for `settle`, and then while each calls once in `period`.
pub(crate) async fn measure(
    server: &Server,
    wire: Wire,
    count: usize,
    settle: Duration,
    period: Duration,
) -> Result<Measurement, BoxError> {
    Connection::open(server.address, wire).await?.call_once(SMALL).await?;
    let before = server.memory()?;
    let connections = crowd::open(server, wire, count).await?;
    tokio::time::sleep(settle).await;
    let idle = server.memory()?.saturating_sub(before) as f64 / count as f64;
    let calls = crowd::call_each(server, connections, period).await?;
    let [p50, p99] = [0.5, 0.99].map(|part| percentile(&calls.latencies, part));
    Ok(Measurement { idle, cpu_per_call: calls.cpu_per_call, p50, p99 })
}
