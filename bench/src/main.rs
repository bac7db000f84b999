//! What a call costs.
//!
//! ```text
//! cargo run --release -p aaw-bench            about two minutes
//! cargo run --release -p aaw-bench -- quick   a few seconds, to see that it works
//! cargo run --release -p aaw-bench -- streams   about a minute: items instead of calls, on our server alone
//! cargo run --release -p aaw-bench -- rooms   about a minute: a message to a room of 1 000
//! cargo run --release -p aaw-bench -- logins   half a minute: log-ins a second, and what calls bear beside them
//! cargo run --release -p aaw-bench -- load linked   ten seconds on one server alone, for a profiler
//! ```
//!
//! Each server is a process of its own, on the first processor; the generator has the second. The servers take turns
//! within each round, so a machine that changes its speed changes it for all. CPU time a call is what the system accounts
//! to the server's process; it is the figure to compare, since the generator shares the machine.
//!
//! * *linked*, *library*: aaw's server with the package `events`, linked into it, or opened as a library.
//! * *tungstenite*: tokio-tungstenite and nothing else, echoing the same frames, tuned as ours is: a small read buffer,
//!   and one flush for all that was read.
//! * *as it comes*: the same with its defaults, and a flush for each message.

mod generator;
mod logins;
mod process;
mod rooms;
mod servers;
mod streams;

use std::process::ExitCode;
use std::time::Duration;

use generator::Load;
use process::Server;

/// The servers, and how the table calls them.
const SERVERS: [(&str, &str); 4] =
    [("linked", "linked"), ("library", "library"), ("tungstenite", "echo"), ("as it comes", "plain-echo")];

/// What is measured: connections, and calls in flight on each.
const LOADS: [Load; 3] = [
    Load { connections: 32, in_flight: 32 },
    Load { connections: 64, in_flight: 1 },
    Load { connections: 1, in_flight: 1 },
];

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    // Each of the thousands of idle connections is a file, here and in the server, which inherits the limit.
    if let Err(error) = rlimit::increase_nofile_limit(16 << 10) {
        eprintln!("bench: the number of open files cannot be raised: {error}");
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

type Failure = Box<dyn std::error::Error>;

fn compare(rounds: usize, time: Duration) -> Result<(), Failure> {
    let processors = std::thread::available_parallelism()?;
    println!("{processors} processors, {rounds} rounds, {} ms a measurement; medians", time.as_millis());
    let runtime = runtime()?;
    for load in LOADS {
        let mut results: Vec<Vec<generator::Measured>> = vec![Vec::new(); SERVERS.len()];
        for _ in 0..rounds {
            for ((_, kind), results) in SERVERS.iter().zip(&mut results) {
                let server = Server::start(kind)?;
                results.push(runtime.block_on(generator::measure(&server, load, time))?);
            }
        }
        let baseline = median(results[2].iter().map(|measured| measured.cpu_per_call));
        println!("\n{} connections, {} in flight", load.connections, load.in_flight);
        for ((name, _), measured) in SERVERS.iter().zip(&results) {
            let calls = median(measured.iter().map(|measured| measured.calls_per_second));
            let cpu = median(measured.iter().map(|measured| measured.cpu_per_call));
            print!("  {name:12} {calls:>9.0} calls/s {:>7.2} µs CPU/call {:>6.2} ×", cpu * 1e6, cpu / baseline);
            // With several in flight this would be the time between two reads, which says nothing.
            match load.in_flight {
                1 => println!("   p50 {:>6.1} µs", median(measured.iter().map(|measured| measured.p50)) * 1e6),
                _ => println!(),
            }
        }
    }
    Ok(())
}

fn measure_streams(items: u64, calls: u32, stall: Duration, rounds: usize) -> Result<(), Failure> {
    runtime()?.block_on(streams::measure(items, calls, stall, rounds))
}

fn measure_rooms(members: u64, time: Duration, rounds: usize) -> Result<(), Failure> {
    runtime()?.block_on(rooms::measure(members, time, rounds))
}

fn measure_logins(connections: usize, time: Duration) -> Result<(), Failure> {
    runtime()?.block_on(logins::measure(connections, time))
}

fn load(kind: &str, time: Duration) -> Result<(), Failure> {
    let server = Server::start(kind)?;
    println!("{kind} is process {}", server.id());
    let measured = runtime()?.block_on(generator::measure(&server, LOADS[0], time))?;
    println!("{:.2} µs CPU/call", measured.cpu_per_call * 1e6);
    Ok(())
}

fn compare_idle(connections: usize) -> Result<(), Failure> {
    let runtime = runtime()?;
    println!("\n{connections} idle connections");
    for (name, kind) in SERVERS {
        let server = Server::start(kind)?;
        let bytes = runtime.block_on(generator::idle(&server, connections))?;
        println!("  {name:12} {bytes:>9} bytes/connection");
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
