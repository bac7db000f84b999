//! Many calls from many clients, through connections that break, and the proof that each ran once. `tests/reliability/run`
//! builds and runs it. The subcommand `streams` does the same with streams and uploads, and `peers` compares the calls with
//! other systems.
//!
//! Clients call `counter/add` through a proxy that cuts, delays and splits their connections, or lets them go silent. The
//! server, in a process of its own, records which calls have run. At the end both are compared: see `verdict`.

mod calls;
mod js_clients;
mod node;
mod options;
mod peers;
mod rust_clients;
mod server;
mod streams;
mod verdict;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use aaw_tests::counting_allocator::CountingAllocator;
use aaw_tests::fault_proxy::{FaultPlan, FaultProxy, ProxyStats, RandomFaults};
use aaw_tests::random::Random;
use clap::Parser;

use calls::{BoxError, Clients, Report};
use options::{Command, Options};
use server::ServerProcess;
use verdict::Verdict;

/// How many violations are printed.
const SHOWN: usize = 30;

/// Counts what the server and the Rust client keep of streams.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    aaw_tests::raise_open_file_limit();
    let done = match &options.command {
        Some(Command::Server) => server::serve().await.map(|()| true),
        Some(Command::Peers(options)) => peers::run(options).await,
        Some(Command::Streams(options)) => streams::run(options).await,
        None => run(&options).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("reliability: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the calls, and prints what has happened. Returns whether everything was as expected.
async fn run(options: &Options) -> Result<bool, BoxError> {
    let seed = options.seed.unwrap_or_else(Random::new_seed);
    let clients = options.clients();
    println!("seed {seed}: {} calls of {clients} clients, {}", options.calls, options.expectation().name());
    let mut server = ServerProcess::start().await?;
    let faults = RandomFaults { mean_bytes: options.cut_every, ..RandomFaults::default() };
    let proxy = FaultProxy::start(server.addr(), FaultPlan::Random { seed, faults }).await;

    let started = Instant::now();
    let plan = Clients {
        url: proxy.url(),
        seed,
        timeout: options.call_timeout(),
        in_flight: options.in_flight,
        time: Duration::from_secs(options.seconds),
        has_default_timeouts: options.default_timeouts,
    };
    let calls = options.calls_by_client();
    let (of_rust, of_js) = calls.split_at(options.rust_clients as usize);
    let (of_rust, of_js) = tokio::join!(
        rust_clients::run(&plan, of_rust),
        js_clients::run(&plan, of_js, options.rust_clients, options.limit())
    );
    let mut report = of_rust;
    report.add(of_js?);
    let time = started.elapsed();
    let stats = proxy.stats();
    // The rest is for the server alone: black holes would keep their connections open.
    drop(proxy);
    let counted = server.counted(&report).await?;
    server.stop().await?;

    let verdict = Verdict::new(options.expectation(), options.calls, &report, &counted);
    print(&report, &stats, clients, time);
    for violation in verdict.violations.iter().take(SHOWN) {
        println!("violation: {violation}");
    }
    match verdict.violations.len() {
        0 => println!("passed"),
        many => {
            println!("failed: {many} violations. To repeat: tests/reliability/run {}", options.to_repeat(seed));
        }
    }
    Ok(verdict.violations.is_empty())
}

fn print(report: &Report, stats: &ProxyStats, clients: u32, time: Duration) {
    let mut labels = BTreeMap::<&str, u64>::new();
    for failed in &report.failed {
        *labels.entry(failed.label.name()).or_default() += 1;
    }
    let labels: Vec<_> = labels.into_iter().map(|(label, count)| format!("{count} {label}")).collect();
    let failed = if labels.is_empty() { "none failed".to_owned() } else { labels.join(", ") };
    let a_second = report.made as f64 / time.as_secs_f64();
    println!("{} calls, {} responses, {failed}; {time:.1?}, {a_second:.0} calls/s", report.made, report.responses);
    println!(
        "{} connections, {} of them after a broken one; {} closed, {} reset, {} black holes; {} KB to the server, {} KB to clients",
        stats.connections,
        stats.connections.saturating_sub(clients.into()),
        stats.closed,
        stats.resets,
        stats.black_holes,
        stats.to_server / 1000,
        stats.to_client / 1000,
    );
}
