//! The same load with other systems, for comparison: how many calls ran twice, never, or without their callers' knowing. `tests/reliability/peers/run`
//! builds and runs it.
//!
//! Each system has the same clients in JavaScript ([`load`]), the same proxy with the same faults, and a server that records
//! the calls in a process of its own ([`system`]). The faults of the n-th connection are the same for all: they follow from
//! the seed.

mod load;
mod system;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use aaw_tests::fault_proxy::{FaultPlan, FaultProxy, RandomFaults};
use aaw_tests::random::Random;
use clap::Args;

use crate::calls::BoxError;
use load::{CallCounts, Load, PushCounts};
use system::{System, SystemServer};
use table::Row;

/// The timeout of a call, in all of its attempts together.
const TIMEOUT: Duration = Duration::from_secs(40);

/// The time between two pushes to a client.
const PUSH_INTERVAL: Duration = Duration::from_millis(20);

/// The time after which a connection with pushes is cut, on average. Its clients send too little for cuts after a number of
/// bytes.
const PUSH_CUT_TIME: Duration = Duration::from_secs(2);

/// Makes the same calls with aaw and with Socket.IO, and writes a table of what has become of them.
///
/// Fails if a call of aaw ran twice, or has no response; or if a push of aaw was lost or received twice.
#[derive(Debug, Args)]
pub(crate) struct PeersOptions {
    /// The calls of each system
    #[arg(long, default_value_t = 20_000)]
    calls: u64,
    /// The clients of each system, in one process of Node
    #[arg(long, default_value_t = 10)]
    clients: u32,
    /// Calls of a client that are in flight together
    #[arg(long, default_value_t = 16)]
    in_flight: u32,
    /// After this time no further calls are made with a system
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// The seed of a run that is to be repeated [default: a random one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Bytes after which a connection is cut, on average
    #[arg(long, default_value_t = 8000)]
    cut_every: u64,
    /// The pushes to each client, one every 20 ms, which are made after the calls
    #[arg(long, default_value_t = 3000)]
    pushes: u64,
    /// Writes the table to this file, too
    #[arg(long)]
    write: Option<PathBuf>,
    /// The program `aaw-server`
    #[arg(long, hide = true)]
    server: PathBuf,
}

impl PeersOptions {
    /// The arguments of the same run.
    fn to_repeat(&self, seed: u64) -> String {
        let Self { calls, clients, in_flight, seconds, cut_every, pushes, .. } = self;
        format!(
            "--seed {seed} --calls {calls} --clients {clients} --in-flight {in_flight} --seconds {seconds} \
             --cut-every {cut_every} --pushes {pushes}"
        )
    }

    fn load(&self, seed: u64) -> Load {
        Load {
            seed,
            clients: self.clients,
            calls: self.calls,
            in_flight: self.in_flight,
            time: Duration::from_secs(self.seconds),
            timeout: TIMEOUT,
            pushes: self.pushes,
            push_interval: PUSH_INTERVAL,
        }
    }
}

/// Runs the load with each system, and prints the table. Returns whether aaw has lost and repeated nothing.
pub(crate) async fn run(options: &PeersOptions) -> Result<bool, BoxError> {
    let seed = options.seed.unwrap_or_else(Random::new_seed);
    let command = format!("tests/reliability/peers/run {}", options.to_repeat(seed));
    println!("{command}");
    let load = options.load(seed);
    let faults = RandomFaults { mean_bytes: options.cut_every, ..RandomFaults::default() };
    let push_faults = RandomFaults { by_time: 8, mean_time: PUSH_CUT_TIME, ..faults.clone() };
    let plans = [faults.clone(), push_faults].map(|faults| FaultPlan::Random { seed, faults });
    let mut rows = Vec::new();
    for system in System::ALL {
        let row = measure(system, options, &load, &plans).await?;
        println!("{}: {} calls, {} responses", system.name(), row.calls.made, row.calls.responses);
        for (error, count) in &row.calls.errors {
            println!("  {count} failed: {error}");
        }
        rows.push(row);
    }
    let page = table::page(&rows, &command, &load, &faults, PUSH_CUT_TIME);
    println!("\n{page}");
    if let Some(path) = &options.write {
        std::fs::write(path, page)?;
    }
    let violations = rows.iter().filter(|row| row.system == System::Aaw).flat_map(violations).collect::<Vec<_>>();
    for violation in &violations {
        println!("violation: {violation}");
    }
    if violations.is_empty() {
        println!("passed");
    } else {
        println!("failed. To repeat: {command}");
    }
    Ok(violations.is_empty())
}

/// Makes the calls, and then the pushes, each with a server and a proxy of its own.
async fn measure(
    system: System,
    options: &PeersOptions,
    load: &Load,
    [of_calls, of_pushes]: &[FaultPlan; 2],
) -> Result<Row, BoxError> {
    let mut server = SystemServer::start(system, &options.server).await;
    let proxy = FaultProxy::start(server.addr(), of_calls.clone()).await;
    let calls = load.make_calls(system, proxy.addr(), server.addr()).await?;
    let (call_cuts, server_time) = (proxy.stats().faults(), server.cpu_time());
    drop(proxy);
    server.stop().await;

    // Both variants of Socket.IO have the same pushes.
    if !system.has_pushes() {
        return Ok(Row { system, calls, call_cuts, server_time, pushes: None });
    }
    let mut server = SystemServer::start(system, &options.server).await;
    let proxy = FaultProxy::start(server.addr(), of_pushes.clone()).await;
    let pushes = load.receive_pushes(system, proxy.addr()).await?;
    let push_cuts = proxy.stats().faults();
    drop(proxy);
    server.stop().await;
    Ok(Row { system, calls, call_cuts, server_time, pushes: Some((pushes, push_cuts)) })
}

/// What is wrong in aaw's row.
fn violations(row: &Row) -> Vec<String> {
    let CallCounts { made, responses, once, repeated, resumed, .. } = row.calls;
    let mut violations = Vec::new();
    let mut check = |is_right: bool, violation: String| {
        if !is_right {
            violations.push(violation);
        }
    };
    check(made > 0, "no call was made".into());
    check(responses == made, format!("{responses} of {made} calls have a response"));
    check(once == made, format!("{once} of {made} calls ran once, {repeated} several times"));
    check(resumed > 0, "no connection was resumed".into());
    if let Some((PushCounts { sent, lost, doubled, .. }, _)) = row.pushes {
        check(lost == 0, format!("{lost} of {sent} pushes were lost"));
        check(doubled == 0, format!("{doubled} of {sent} pushes were received several times"));
    }
    violations
}
