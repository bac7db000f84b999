//! Measures the cost of a call, of a push and of a connection, compared with other servers. `bench/run` builds all servers and runs
//! the comparison; README.md says how each is configured and measured.
//!
//! ```text
//! bench/run [--quick] [--only GROUP,…] [ROW…]            all servers, or these: at most fifteen minutes
//! cargo run --profile dist -p aaw-bench -- quick         a few seconds, to check that it works
//! cargo run --profile dist -p aaw-bench -- streams       items of streams, on our server only: about a minute
//! cargo run --profile dist -p aaw-bench -- growth        up to 50 000 connections to our server: about a minute
//! cargo run --profile dist -p aaw-bench -- departures    members of a room that leave together: half a minute
//! cargo run --profile dist -p aaw-bench -- logins        log-ins, and calls meanwhile: half a minute
//! cargo run --profile dist -p aaw-bench -- budgets       memory while clients make the server hold all they can: six minutes
//! cargo run --profile dist -p aaw-bench -- load linked   ten seconds of load on one server, for a profiler; with a further
//!                                                        argument (v1, resumable) in that dialect
//! ```

mod batch;
mod budgets;
mod calls;
mod client_process;
mod clients;
mod compare;
mod connection;
mod crowd;
mod departures;
mod frames;
mod growth;
mod handshakes;
mod http;
mod items;
mod logins;
mod machine;
mod measurement;
mod memory;
mod options;
mod plot;
mod process;
mod pushes;
mod report;
mod rows;
mod servers;
mod sparse;
mod streams;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use calls::Load;
use compare::Extent;
use measurement::{BoxError, runtime};
use options::Options;
use process::Server;
use wire::{SMALL, Wire};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Each of the thousands of idle connections is an open file, here and in the server, which inherits the limit.
    if let Err(error) = rlimit::increase_nofile_limit(16 << 10) {
        eprintln!("bench: cannot raise the limit of open files: {error}");
    }
    let argument = arguments.first().map(String::as_str);
    let done = match argument {
        Some("compare") => compare(&arguments[1..]),
        Some("quick") => compare(&["--quick", "tungstenite", "aaw", "aaw-classic", "aaw-library"].map(str::to_owned))
            .and_then(|()| measure_streams(2000, 100, Duration::from_millis(100), 1))
            .and_then(|()| measure_departures(&[(50, 25)], 1)),
        Some("streams") => measure_streams(1_000_000, 10_000, Duration::from_secs(10), 3),
        Some("departures") => measure_departures(&[(1000, 999), (1000, 500), (5000, 4999)], 3),
        Some("growth") => growth::measure(),
        Some("logins") => measure_logins(1000, Duration::from_secs(10)),
        Some("budgets") => budgets::measure(&arguments[1..]),
        Some("client") => client_process::run(&arguments[1..]),
        Some("load") => {
            let [kind, wire] =
                [(1, "linked"), (2, "classic")].map(|(at, default)| arguments.get(at).map_or(default, String::as_str));
            load(kind, wire, Duration::from_secs(10))
        }
        kind => servers::serve(kind.unwrap_or_default()),
    };
    done.map_or_else(
        |error| {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Compares the servers. A run of all of them writes into the folder `bench`, where the last results are kept. With some
/// groups, only their figures are replaced.
fn compare(arguments: &[String]) -> Result<(), BoxError> {
    let options = Options::parse(arguments)?;
    let extent = if options.is_quick { Extent::QUICK } else { Extent::FULL };
    let mut report = compare::run(extent, &options)?;
    if !options.is_kept() {
        return report.write(&rows::target()?.join("bench"));
    }
    if !options.has_all_groups() {
        report.add_kept(rows::folder())?;
    }
    report.write(rows::folder())
}

fn measure_streams(items: u64, calls: u32, stall: Duration, rounds: usize) -> Result<(), BoxError> {
    runtime()?.block_on(streams::measure(items, calls, stall, rounds))
}

fn measure_departures(rooms: &[(u64, u64)], rounds: usize) -> Result<(), BoxError> {
    runtime()?.block_on(departures::measure(rooms, rounds))
}

fn measure_logins(connections: usize, time: Duration) -> Result<(), BoxError> {
    runtime()?.block_on(logins::measure(connections, time))
}

fn load(kind: &str, wire: &str, time: Duration) -> Result<(), BoxError> {
    let wire = match wire {
        "classic" => Wire::Classic,
        "v1" => Wire::V1,
        "resumable" => Wire::Resumable,
        other => return Err(format!("expected classic, v1 or resumable, found {other:?}").into()),
    };
    let server = Server::start(kind)?;
    println!("the server {kind} has process id {}", server.id());
    let load = Load { connections: 32, in_flight: 32, size: SMALL };
    let measured = runtime()?.block_on(calls::measure(&server, wire, load, time))?;
    println!("{:.2} µs CPU/call", measured.cpu_per_call * 1e6);
    Ok(())
}
