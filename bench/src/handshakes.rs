//! The cost of a connection that is opened and closed.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::measurement::BoxError;
use crate::process::Server;
use crate::wire::Wire;

/// Connections that are opened or closed at the same time.
const CONCURRENT: usize = 16;

pub(crate) struct Measurement {
    /// The processor time of the server, in seconds.
    pub(crate) cpu: f64,
    pub(crate) per_second: f64,
}

/// Opens and closes connections for `time`, after a warm-up of half of it. A protocol with a greeting exchanges it.
pub(crate) async fn measure(server: &Server, wire: Wire, time: Duration) -> Result<Measurement, BoxError> {
    open_and_close(server, wire, time / 2).await?;
    let (cpu, started) = (server.cpu()?, Instant::now());
    let handshakes = open_and_close(server, wire, time).await? as f64;
    let (cpu, elapsed) = ((server.cpu()? - cpu).as_secs_f64(), started.elapsed().as_secs_f64());
    Ok(Measurement { cpu: cpu / handshakes, per_second: handshakes / elapsed })
}

/// Returns the number of connections that were opened and closed.
async fn open_and_close(server: &Server, wire: Wire, time: Duration) -> Result<usize, BoxError> {
    let (address, started) = (server.address, Instant::now());
    let mut openers = JoinSet::new();
    for _ in 0..CONCURRENT {
        openers.spawn(async move {
            let mut count = 0;
            while started.elapsed() < time {
                Connection::open(address, wire).await?.close().await?;
                count += 1;
            }
            Ok::<_, BoxError>(count)
        });
    }
    let mut count = 0;
    while let Some(opener) = openers.join_next().await {
        count += opener??;
    }
    Ok(count)
}
