//! What a connection of aaw costs as connections become more.

use std::time::{Duration, Instant};

use crate::crowd;
use crate::measurement::{BoxError, percentile, runtime};
use crate::process::Server;
use crate::wire::Wire;

/// More connections say nothing new.
const MOST: usize = 50_000;

/// Open files of a process that are not connections of this measurement.
const OTHER_FILES: u64 = 100;

/// How long connections are idle before their memory is measured.
const SETTLE: Duration = Duration::from_secs(3);

/// The time in which each connection calls once.
const PERIOD: Duration = Duration::from_secs(5);

/// No number of connections takes as long.
const DEADLINE: Duration = Duration::from_secs(60);

/// Measures 1000 connections, 10 000, and as many as this machine bears, each with a new server.
pub(crate) fn measure() -> Result<(), BoxError> {
    let files = rlimit::increase_nofile_limit(MOST as u64 + OTHER_FILES)?;
    let most = usize::try_from(files.saturating_sub(OTHER_FILES))?.min(MOST);
    if most < MOST {
        println!("The limit of open files of a process, {files}, allows {most} connections.\n");
    }
    println!(
        "| connections | handshakes/s | µs CPU/handshake | idle without a call, bytes | one call each in {} s: µs CPU/call \
         | p50, µs | p99, µs | idle after one call, bytes |\n|--:|--:|--:|--:|--:|--:|--:|--:|",
        PERIOD.as_secs()
    );
    let mut counts = vec![1000, 10_000, most];
    counts.retain(|count| *count <= most);
    counts.dedup();
    for count in counts {
        runtime()?.block_on(async { tokio::time::timeout(DEADLINE, measure_count(count)).await? })?;
    }
    Ok(())
}

async fn measure_count(count: usize) -> Result<(), BoxError> {
    let server = Server::start("linked")?;
    // The first connection and call allocate what all share.
    let first = crowd::open(&server, Wire::V1, 1).await?;
    let first = crowd::call_each(&server, first, Duration::ZERO).await?.connections;
    let before = server.memory()?;
    let each = |memory: u64| memory.saturating_sub(before) as f64 / count as f64;
    let (cpu, started) = (server.cpu()?, Instant::now());
    let connections = crowd::open(&server, Wire::V1, count).await?;
    let (cpu, elapsed) = ((server.cpu()? - cpu).as_secs_f64(), started.elapsed().as_secs_f64());
    tokio::time::sleep(SETTLE).await;
    let idle = each(server.memory()?);
    let calls = crowd::call_each(&server, connections, PERIOD).await?;
    tokio::time::sleep(SETTLE).await;
    let after_call = each(server.memory()?);
    let [p50, p99] = [0.5, 0.99].map(|part| percentile(&calls.latencies, part).as_secs_f64() * 1e6);
    println!(
        "| {count} | {:.0} | {:.1} | {idle:.0} | {:.1} | {p50:.0} | {p99:.0} | {after_call:.0} |",
        count as f64 / elapsed,
        cpu / count as f64 * 1e6,
        calls.cpu_per_call * 1e6
    );
    drop((calls, first));
    Ok(())
}
