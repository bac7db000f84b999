//! What `tests/reliability/run` is asked to do.

use std::time::Duration;

use aaw_client::DEFAULT_TIMEOUT;
use clap::{Parser, Subcommand, ValueEnum};

use crate::peers::PeersOptions;
use crate::streams::StreamsOptions;

/// Makes calls through connections that break, and checks that each ran once.
///
/// The full run: --calls 1000000 --rust-clients 25 --js-clients 25 --seconds 3600
#[derive(Debug, Parser)]
#[command(name = "tests/reliability/run", args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    /// All calls together
    #[arg(long, default_value_t = 12_000)]
    pub(crate) calls: u64,
    /// Clients of the Rust library
    #[arg(long, default_value_t = 6)]
    pub(crate) rust_clients: u32,
    /// Clients of the JavaScript library, under Node
    #[arg(long, default_value_t = 6)]
    pub(crate) js_clients: u32,
    /// The seed of a run that is to be repeated [default: a random one, which is printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// After this time no further calls are made
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,
    /// Calls of a client that are in flight together
    #[arg(long, default_value_t = 16)]
    pub(crate) in_flight: u32,
    /// Bytes after which a connection is cut, on average
    #[arg(long, default_value_t = 8000)]
    pub(crate) cut_every: u64,
    /// Calls have their default timeout of 3 s, and some handlers take longer; what the clients know about calls that
    /// failed is compared with what the server has run
    #[arg(long)]
    pub(crate) default_timeouts: bool,
    /// What must be true at the end [default: responses; labels with --default-timeouts]
    #[arg(long)]
    pub(crate) expect: Option<Expectation>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What a run expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Expectation {
    /// Each call has its response
    Responses,
    /// Calls may fail, and what the client knows about them is true
    Labels,
}

impl Expectation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Responses => "each of which must have its response",
            Self::Labels => "which may fail, with what is true about them",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The server that the clients call
    #[command(hide = true)]
    Server,
    #[command(hide = true, bin_name = "tests/reliability/peers/run")]
    Peers(PeersOptions),
    Streams(StreamsOptions),
}

impl Options {
    pub(crate) fn clients(&self) -> u32 {
        self.rust_clients + self.js_clients
    }

    pub(crate) fn expectation(&self) -> Expectation {
        self.expect.unwrap_or(if self.default_timeouts { Expectation::Labels } else { Expectation::Responses })
    }

    /// The timeout of a call: the default, or longer than any sequence of faults takes.
    pub(crate) fn call_timeout(&self) -> Duration {
        if self.default_timeouts { DEFAULT_TIMEOUT } else { Duration::from_secs(90) }
    }

    /// The time after which all clients have ended.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds + 30) + self.call_timeout()
    }

    /// The number of calls of each client, the Rust clients first.
    pub(crate) fn calls_by_client(&self) -> Vec<u64> {
        let clients = u64::from(self.clients().max(1));
        let (each, rest) = (self.calls / clients, self.calls % clients);
        (0..u64::from(self.clients())).map(|client| each + u64::from(client < rest)).collect()
    }

    /// The arguments of the same run.
    pub(crate) fn to_repeat(&self, seed: u64) -> String {
        let Self { calls, rust_clients, js_clients, seconds, in_flight, cut_every, .. } = self;
        let expect = if self.expectation() == Expectation::Responses { "responses" } else { "labels" };
        let timeouts = if self.default_timeouts { " --default-timeouts" } else { "" };
        format!(
            "--seed {seed} --calls {calls} --rust-clients {rust_clients} --js-clients {js_clients} --seconds {seconds} \
             --in-flight {in_flight} --cut-every {cut_every} --expect {expect}{timeouts}"
        )
    }
}
