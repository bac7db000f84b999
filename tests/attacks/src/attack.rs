//! What an attack is: what the attackers do, how many they are, what it may cost, and what it must lead to.

use std::time::Duration;

use crate::budget::Keeps;
use crate::bystanders::Bystander;
use crate::field::AttackFn;
use crate::server::Events;
use crate::sources::Sources;

/// The bytes that all attackers together send in a second, unless an attack has its own figure: 1 Gbit/s, as a rented server can.
const FLOOD: f64 = 125e6;

/// One attack.
#[derive(Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What the attackers do.
    pub(crate) about: &'static str,
    pub(crate) run: AttackFn,
    /// The number of connections, and of those in a short run.
    pub(crate) connections: (usize, usize),
    pub(crate) bytes_per_second: f64,
    /// How long it takes at least, in a full run: until the server's own timeouts have passed.
    pub(crate) at_least: Duration,
    pub(crate) events: Events,
    pub(crate) has_auth: bool,
    /// `ulimit -n` of the server.
    pub(crate) open_files: Option<u32>,
    pub(crate) disk: Option<Disk>,
    pub(crate) keeps: Keeps,
    pub(crate) bystanders: &'static [Bystander],
    /// Whether a client that has connected before, at an address of the attackers, must be served on.
    pub(crate) spares_neighbours: bool,
    /// One of these must be among the outcomes, unless the run is too short for it.
    pub(crate) leads_to: &'static [&'static str],
    /// Where it comes from in a short run.
    pub(crate) quick_sources: Sources,
}

/// What happens to the disk of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    /// It is full, until the attack has ended.
    Full,
    /// The system makes its file system read-only, as it does after an error of a disk.
    ReadOnly,
}

impl Attack {
    /// An attack without anything special.
    pub(crate) const fn new(name: &'static str, about: &'static str, run: AttackFn) -> Self {
        Self {
            name,
            about,
            run,
            connections: (200, 100),
            bytes_per_second: FLOOD,
            at_least: Duration::ZERO,
            events: Events::Stock,
            has_auth: false,
            open_files: None,
            disk: None,
            keeps: Keeps::Held,
            bystanders: &[],
            spares_neighbours: true,
            leads_to: &[],
            quick_sources: Sources::One,
        }
    }
}
