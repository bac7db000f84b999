//! Measures the cost of a call.
//!
//! ```text
//! cargo run --release -p aaw-bench                  calls, and idle connections: about two minutes
//! cargo run --release -p aaw-bench -- quick         a few seconds, to check that it works
//! cargo run --release -p aaw-bench -- streams       items of streams, on our server only: about a minute
//! cargo run --release -p aaw-bench -- rooms         messages to a room of 1000: about a minute
//! cargo run --release -p aaw-bench -- logins        log-ins, and calls meanwhile: half a minute
//! cargo run --release -p aaw-bench -- load linked   ten seconds of load on one server, for a profiler
//! ```
//!
//! Each server is a process of its own on the first processor; the generator uses the second. The servers take turns
//! within each round, so that a change of the machine's speed affects all of them. Compare the CPU time per call, which
//! the system accounts to the process of the server: the other figures include the generator, which shares the machine.
//!
//! * *linked*, *library*: the server of aaw with the package `events`, linked into it, or loaded as a library.
//! * *tungstenite*: only tokio-tungstenite, which echoes the same frames, tuned like our server: a small read buffer,
//!   and one flush for everything that was read.
//! * *default*: the same with the defaults of tokio-tungstenite, and a flush for each message.

mod generator;
mod logins;
mod measurement;
mod process;
mod rooms;
mod servers;
mod streams;

use std::process::ExitCode;
use std::time::Duration;

use generator::Load;
use measurement::{BoxError, median};
use process::Server;

/// The servers: the label in the output, and the argument that starts one.
const SERVERS: [(&str, &str); 4] =
    [("linked", "linked"), ("library", "library"), ("tungstenite", "echo"), ("default", "default-echo")];

/// The loads that are measured.
const LOADS: [Load; 3] = [
    Load { connections: 32, in_flight: 32 },
    Load { connections: 64, in_flight: 1 },
    Load { connections: 1, in_flight: 1 },
];

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    // Each of the thousands of idle connections is an open file, here and in the server, which inherits the limit.
    if let Err(error) = rlimit::increase_nofile_limit(16 << 10) {
        eprintln!("bench: cannot raise the limit of open files: {error}");
    }
    let done = match argument.as_deref() {
        None => compare(5, Duration::from_secs(1)).and_then(|()| compare_idle(5000)),
        Some("quick") => compare(1, Duration::from_millis(200))
            .and_then(|()| compare_idle(200))
            .and_then(|()| measure_streams(2000, 100, Duration::from_millis(100), 1))
            .and_then(|()| measure_rooms(50, Duration::from_millis(200), 1)),
        Some("streams") => measure_streams(1_000_000, 10_000, Duration::from_secs(10), 3),
        Some("rooms") => measure_rooms(1000, Duration::from_secs(3), 3),
        Some("logins") => measure_logins(1000, Duration::from_secs(10)),
        Some("load") => load(std::env::args().nth(2).as_deref().unwrap_or("linked"), Duration::from_secs(10)),
        Some(kind) => servers::serve(kind),
    };
    done.map_or_else(
        |error| {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn compare(rounds: usize, time: Duration) -> Result<(), BoxError> {
    let processors = std::thread::available_parallelism()?;
    println!("{processors} processors, {rounds} rounds, {} ms a measurement; medians", time.as_millis());
    let runtime = runtime()?;
    for load in LOADS {
        let mut results: Vec<Vec<generator::Measurement>> = vec![Vec::new(); SERVERS.len()];
        for _ in 0..rounds {
            for ((_, kind), results) in SERVERS.iter().zip(&mut results) {
                let server = Server::start(kind)?;
                results.push(runtime.block_on(generator::measure(&server, load, time))?);
            }
        }
        let baseline = median(results[2].iter().map(|measured| measured.cpu_per_call));
        println!("\n{} connections, {} concurrent calls each", load.connections, load.in_flight);
        for ((name, _), measured) in SERVERS.iter().zip(&results) {
            let calls = median(measured.iter().map(|measured| measured.calls_per_second));
            let cpu = median(measured.iter().map(|measured| measured.cpu_per_call));
            print!("  {name:12} {calls:>9.0} calls/s {:>7.2} µs CPU/call {:>6.2} ×", cpu * 1e6, cpu / baseline);
            // With several concurrent calls this would be the time between two reads, not a latency.
            match load.in_flight {
                1 => println!("   p50 {:>6.1} µs", median(measured.iter().map(|measured| measured.p50)) * 1e6),
                _ => println!(),
            }
        }
    }
    Ok(())
}

fn measure_streams(items: u64, calls: u32, stall: Duration, rounds: usize) -> Result<(), BoxError> {
    runtime()?.block_on(streams::measure(items, calls, stall, rounds))
}

fn measure_rooms(members: u64, time: Duration, rounds: usize) -> Result<(), BoxError> {
    runtime()?.block_on(rooms::measure(members, time, rounds))
}

fn measure_logins(connections: usize, time: Duration) -> Result<(), BoxError> {
    runtime()?.block_on(logins::measure(connections, time))
}

fn load(kind: &str, time: Duration) -> Result<(), BoxError> {
    let server = Server::start(kind)?;
    println!("the server {kind} has process id {}", server.id());
    let measured = runtime()?.block_on(generator::measure(&server, LOADS[0], time))?;
    println!("{:.2} µs CPU/call", measured.cpu_per_call * 1e6);
    Ok(())
}

fn compare_idle(connections: usize) -> Result<(), BoxError> {
    let runtime = runtime()?;
    println!("\n{connections} idle connections");
    for (name, kind) in SERVERS {
        let server = Server::start(kind)?;
        let bytes = runtime.block_on(generator::idle(&server, connections))?;
        println!("  {name:12} {bytes:>9} bytes/connection");
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, BoxError> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
