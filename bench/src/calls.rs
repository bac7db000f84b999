//! The cost and the latency of a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::measurement::BoxError;
use crate::process::Server;
use crate::wire::Wire;

/// The number of connections, of concurrent calls on each, and of bytes of each body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) size: usize,
}

pub(crate) struct Measurement {
    /// The processor time of the server, in seconds.
    pub(crate) cpu_per_call: f64,
    /// The times from the write of a call to its response, sorted. With several concurrent calls, times to the next.
    pub(crate) latencies: Vec<Duration>,
}

/// Measures a server under load for `time`, after a warm-up of half of it.
pub(crate) async fn measure(server: &Server, wire: Wire, load: Load, time: Duration) -> Result<Measurement, BoxError> {
    let counting = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..load.connections {
        let connection = Connection::open(server.address, wire).await?;
        callers.spawn(run(connection, load, Arc::clone(&counting), Arc::clone(&done)));
    }
    tokio::time::sleep(time / 2).await;
    let cpu = server.cpu()?;
    counting.store(true, Ordering::Relaxed);
    tokio::time::sleep(time).await;
    counting.store(false, Ordering::Relaxed);
    let cpu = server.cpu()? - cpu;
    done.store(true, Ordering::Relaxed);
    let (mut calls, mut latencies) = (0, Vec::new());
    while let Some(caller) = callers.join_next().await {
        let (counted, times) = caller??;
        calls += counted;
        latencies.extend(times);
    }
    if calls == 0 {
        return Err("no call had a response in the measured time".into());
    }
    latencies.sort();
    Ok(Measurement { cpu_per_call: cpu.as_secs_f64() / calls as f64, latencies })
}

/// Makes calls until `done` is set, always with the concurrent calls of the load. Returns the number and the latencies of
/// those that were counted.
async fn run(
    mut connection: Connection,
    load: Load,
    counting: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
) -> Result<(usize, Vec<Duration>), BoxError> {
    let (mut calls, mut latencies, mut out) = (0, Vec::new(), Vec::new());
    let mut free = load.in_flight;
    while !done.load(Ordering::Relaxed) {
        let started = Instant::now();
        connection.call(free, load.size, &mut out).await?;
        free = connection.responses(load.size).await?;
        if counting.load(Ordering::Relaxed) {
            calls += free;
            latencies.push(started.elapsed());
        }
    }
    Ok((calls, latencies))
}
