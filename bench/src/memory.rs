//! The memory of idle connections.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::connection::{Connection, Recipients};
use crate::measurement::BoxError;
use crate::process::Server;
use crate::pushes::{Audience, members};
use crate::wire::{LARGE, SMALL, Wire};

/// The number of pushes to each connection.
const PUSHES: u64 = 300;

/// Pushes in one write. A divisor of their number.
const IN_FLIGHT: u64 = 6;

/// Connections that transfer a large body at the same time.
const CONCURRENT: usize = 8;

/// Bytes for each connection.
pub(crate) struct Memory {
    pub(crate) after_calls: f64,
    pub(crate) after_pushes: Option<f64>,
    pub(crate) after_large_echoes: f64,
}

/// The large bodies end when the server has kept this much of them, in bytes: the machine may not have more.
const MOST: u64 = 1 << 30;

/// Measures the memory of `count` idle connections: after one call each, then after small pushes, and then after a large
/// body in both directions. `settle` passes before each measurement. The pushes and the large bodies end after `limit`, the
/// latter also when the server keeps too much of them; then the increase is divided by the number of connections that had one.
pub(crate) async fn measure(
    server: &Server,
    wire: Wire,
    count: usize,
    has_pushes: bool,
    settle: Duration,
    limit: Duration,
) -> Result<Memory, BoxError> {
    let mut sender = Connection::open(server.address, wire).await?;
    sender.call_once(SMALL).await?;
    let before = server.memory()?;
    let settled = async || {
        tokio::time::sleep(settle).await;
        server.memory()
    };
    let each = |memory: u64| memory.saturating_sub(before) as f64 / count as f64;
    let mut connections = members(server, wire, Recipients::All, count).await?;
    acknowledge(&mut connections).await?;
    let after_calls = settled().await?;
    let mut after_pushes = None;
    if has_pushes {
        let mut audience = Audience::new(connections, Recipients::All);
        let started = Instant::now();
        while audience.sent() < PUSHES && started.elapsed() < limit {
            audience.send(&mut sender, IN_FLIGHT).await?;
        }
        connections = audience.end().await?;
        acknowledge(&mut connections).await?;
        after_pushes = Some(settled().await?);
    }
    let before_large = after_pushes.unwrap_or(after_calls);
    let started = Instant::now();
    let (mut idle, mut calling) = (Vec::with_capacity(count), JoinSet::new());
    loop {
        let may_start = started.elapsed() < limit && server.memory()? < before_large + MOST;
        while may_start && calling.len() < CONCURRENT && !connections.is_empty() {
            let Some(mut connection) = connections.pop() else { break };
            calling.spawn(async move {
                connection.call_once(LARGE).await?;
                connection.acknowledge().await?;
                Ok::<_, BoxError>(connection)
            });
        }
        let Some(connection) = calling.join_next().await else { break };
        idle.push(connection??);
    }
    let growth = settled().await? as f64 - before_large as f64;
    Ok(Memory {
        after_calls: each(after_calls),
        after_pushes: after_pushes.map(each),
        after_large_echoes: (each(before_large) + growth / idle.len().max(1) as f64).max(0.0),
    })
}

/// Has nothing retained for the connections. A measurement begins after it, since clients do it within 10 s.
async fn acknowledge(connections: &mut [Connection]) -> Result<(), BoxError> {
    for connection in connections {
        connection.acknowledge().await?;
    }
    Ok(())
}
