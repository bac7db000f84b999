//! Long streams and uploads through connections that are cut: complete, in order, without doubles, and neither end keeps them in
//! memory. `tests/reliability/run streams` builds and runs it.

mod js_client;
mod plan;
mod rust_client;
mod transfer;

use std::time::{Duration, Instant};

use aaw_tests::fault_proxy::FaultProxy;
use aaw_tests::random::Random;
use clap::Args;

use crate::calls::BoxError;
use crate::server::ServerProcess;
use plan::plan;
use transfer::Transfer;

/// What the server may allocate at any time beyond what it had before, in bytes, and so may the Rust client together with
/// the proxy: queues that credit and logs bound. An upload of 20 000 items has ten times as much.
const MAX_ALLOCATED: u64 = 1 << 20;

/// What the JavaScript client may have on its heap after a garbage collection, beyond what it had before, in bytes.
const MAX_HEAP: u64 = 2 << 20;

/// Reads streams and sends uploads through connections that are cut, with both clients.
///
/// Fails if an item is missing, repeated or out of order, if a cut did not occur, or if an end keeps more than it may.
///
/// The full run: --items 100000 --cuts 200
#[derive(Debug, Args)]
pub(crate) struct StreamsOptions {
    /// The items of each stream and each upload
    #[arg(long, default_value_t = 20_000)]
    items: u64,
    /// The connections that are cut, of each stream and each upload
    #[arg(long, default_value_t = 40)]
    cuts: u64,
    /// The seed of a run that is to be repeated [default: a random one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// The time that each stream and each upload may take
    #[arg(long, default_value_t = 120)]
    seconds: u64,
}

#[derive(Debug, Clone, Copy)]
enum ClientKind {
    Rust,
    Js,
}

/// Runs all transfers. Returns whether everything was as expected.
pub(crate) async fn run(options: &StreamsOptions) -> Result<bool, BoxError> {
    let StreamsOptions { items, cuts, seconds, .. } = *options;
    let seed = options.seed.unwrap_or_else(Random::new_seed);
    let command =
        format!("tests/reliability/run streams --seed {seed} --items {items} --cuts {cuts} --seconds {seconds}");
    println!("{command}");
    let mut server = ServerProcess::start().await?;
    let mut violations = Vec::new();
    for (part, (client, transfer)) in [
        (ClientKind::Rust, Transfer::Stream),
        (ClientKind::Rust, Transfer::Upload),
        (ClientKind::Js, Transfer::Stream),
        (ClientKind::Js, Transfer::Upload),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{client:?}, {}", transfer.name());
        let random = Random::of_part(seed, part as u64);
        match check(options, &mut server, client, transfer, random).await {
            Ok(line) => println!("{name}: {line}"),
            Err(violation) => violations.push(format!("{name}: {violation}")),
        }
    }
    server.stop().await?;
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

/// Makes one transfer. Returns what it took.
async fn check(
    options: &StreamsOptions,
    server: &mut ServerProcess,
    client: ClientKind,
    transfer: Transfer,
    random: Random,
) -> Result<String, BoxError> {
    let StreamsOptions { items, cuts, .. } = *options;
    let proxy = FaultProxy::start(server.addr(), plan(transfer, items, cuts, random)).await;
    let limit = Duration::from_secs(options.seconds);
    server.most_allocated().await?;
    let started = Instant::now();
    let transferred = async {
        match client {
            ClientKind::Rust => rust_client::transfer(transfer, items, &proxy.url()).await,
            ClientKind::Js => js_client::transfer(transfer, items, &proxy.url(), limit).await,
        }
    };
    let of_client = tokio::time::timeout(limit, transferred).await;
    let (took, stats) = (started.elapsed(), proxy.stats());
    let of_client = of_client.map_err(|_| format!("not within {limit:?}: {stats:?}"))??;
    let of_server = server.most_allocated().await?;
    let max_of_client = match client {
        ClientKind::Rust => MAX_ALLOCATED,
        ClientKind::Js => MAX_HEAP,
    };
    ensure(stats.faults() == cuts && stats.connections == cuts + 1, || format!("{cuts} cuts were planned: {stats:?}"))?;
    ensure(of_client <= max_of_client, || format!("the client has kept {of_client} bytes"))?;
    ensure(of_server <= MAX_ALLOCATED, || format!("the server has kept {of_server} bytes"))?;
    Ok(format!(
        "{items} items through {cuts} cuts in {took:.1?}; at most {} KB of the client, {} KB of the server",
        of_client / 1000,
        of_server / 1000
    ))
}

fn ensure(is_right: bool, violation: impl FnOnce() -> String) -> Result<(), BoxError> {
    if is_right { Ok(()) } else { Err(violation().into()) }
}
