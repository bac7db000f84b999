//! The command line.

use std::time::Duration;

use clap::Parser;

use crate::sources::Sources;

/// Attacks the stock server with its default settings, and measures what a well-behaved client notices.
#[derive(Debug, Clone, Parser)]
#[command(name = "tests/attacks/run")]
pub(crate) struct Options {
    /// Only the attacks with this in their name; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Only attacks from here; may be given several times
    #[arg(long, value_name = "FROM")]
    sources: Vec<Sources>,
    /// How long an attack takes, unless it waits for a timeout of the server's
    #[arg(long, value_name = "SECONDS", default_value_t = 6.0)]
    seconds: f64,
    /// Each attack once, short and smaller, with loose limits of latency: for a machine that others use too
    #[arg(long)]
    pub(crate) quick: bool,
    /// Print the table as Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Print the attacks, and run none
    #[arg(long)]
    pub(crate) list: bool,
    /// How often a row is repeated, at most, if only its latency was too high and the machine was busy
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    repeat: u32,
}

impl Options {
    /// Whether an attack of this name runs.
    pub(crate) fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str()))
    }

    /// Where an attack comes from. `quick` is where it does in a short run.
    pub(crate) fn sources(&self, quick: Sources) -> Vec<Sources> {
        match (self.sources.is_empty(), self.quick) {
            (false, _) => self.sources.clone(),
            (true, true) => vec![quick],
            (true, false) => vec![Sources::One, Sources::Fifty, Sources::Proxy],
        }
    }

    pub(crate) fn quiet_time(&self) -> Duration {
        Duration::from_millis(if self.quick { 800 } else { 3000 })
    }

    /// How long an attack takes that must take `at_least` in a full run.
    pub(crate) fn attack_time(&self, at_least: Duration) -> Duration {
        let chosen = Duration::try_from_secs_f64(self.seconds).unwrap_or_default().max(Duration::from_millis(100));
        if self.quick { chosen.min(Duration::from_millis(1500)) } else { chosen.max(at_least) }
    }

    pub(crate) fn repeats(&self) -> u32 {
        if self.quick { self.repeat.min(1) } else { self.repeat }
    }

    /// What `p99` during the attack may exceed twice its quiet value by.
    pub(crate) fn latency_slack(&self) -> Duration {
        Duration::from_millis(if self.quick { 500 } else { 5 })
    }

    /// How long anything that a bystander does may take.
    pub(crate) fn slowest_bystander(&self) -> Duration {
        Duration::from_secs(if self.quick { 4 } else { 1 })
    }
}
