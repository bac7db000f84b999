//! Many connections that mostly wait.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::measurement::BoxError;
use crate::process::Server;
use crate::wire::{SMALL, Wire};

/// Connections that are opened at the same time.
const CONCURRENT: usize = 16;

/// Connections from one address. It has 28 000 ports on most machines, and Linux searches long for a free one as soon as half
/// of them are in use.
const PER_ADDRESS: usize = 10_000;

/// Opens connections, from several addresses if one has too few ports.
pub(crate) async fn open(server: &Server, wire: Wire, count: usize) -> Result<Vec<Connection>, BoxError> {
    let address = server.address;
    let mut openers = JoinSet::new();
    for first in 0..CONCURRENT {
        openers.spawn(async move {
            let mut opened = Vec::with_capacity(count / CONCURRENT + 1);
            for number in (first..count).step_by(CONCURRENT) {
                let source = u32::from(Ipv4Addr::LOCALHOST) + (number / PER_ADDRESS) as u32;
                opened.push(Connection::open_from(source.into(), address, wire).await?);
            }
            Ok::<_, BoxError>(opened)
        });
    }
    let mut connections = Vec::with_capacity(count);
    while let Some(opened) = openers.join_next().await {
        connections.extend(opened??);
    }
    Ok(connections)
}

pub(crate) struct Calls {
    /// The processor time of the server, in seconds.
    pub(crate) cpu_per_call: f64,
    /// The times from the write of a call to its response, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// They are still open.
    pub(crate) connections: Vec<Connection>,
}

/// Each connection calls once. The calls are spread evenly over `period`.
pub(crate) async fn call_each(
    server: &Server,
    connections: Vec<Connection>,
    period: Duration,
) -> Result<Calls, BoxError> {
    let count = connections.len();
    let mut callers = JoinSet::new();
    let (cpu, started) = (server.cpu()?, Instant::now());
    for (number, mut connection) in connections.into_iter().enumerate() {
        let at = started + period.mul_f64(number as f64 / count as f64);
        callers.spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            let called = Instant::now();
            connection.call_once(SMALL).await?;
            Ok::<_, BoxError>((connection, called.elapsed()))
        });
    }
    let (mut idle, mut latencies) = (Vec::with_capacity(count), Vec::with_capacity(count));
    while let Some(caller) = callers.join_next().await {
        let (connection, latency) = caller??;
        idle.push(connection);
        latencies.push(latency);
    }
    let cpu = server.cpu()? - cpu;
    latencies.sort();
    Ok(Calls { cpu_per_call: cpu.as_secs_f64() / count as f64, latencies, connections: idle })
}
