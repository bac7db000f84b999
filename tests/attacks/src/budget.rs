//! How much memory an attack may cost, from the limits that the server documents.

use aaw_defaults::*;

/// What the limits were when this was written: the defaults of `Config`, and the figures of docs/deployment.md. The suite does
/// not link the server, so that both are built with their own features.
mod aaw_defaults {
    /// `max_held_bytes`, of a connection.
    pub(super) const HELD: u64 = 4 << 20;
    /// `max_held_bytes_per_address`.
    pub(super) const HELD_PER_ADDRESS: u64 = 64 << 20;
    /// `max_total_held_bytes`.
    pub(super) const HELD_IN_TOTAL: u64 = 512 << 20;
    /// `max_push_burst_bytes`, of a connection. At `max_held_bytes` nothing more is begun for it, but others go on to push to it.
    pub(super) const PUSHED: u64 = 16 << 20;
    /// `max_upload_bytes`, of a connection, for which `max_held_bytes` does not count either.
    pub(super) const UPLOADED: u64 = 256 << 20;
    /// A quarter more than the 145 MB that 65 536 idle connections take, if their clients can resume them.
    pub(super) const IDLE_CONNECTION: u64 = 180_000_000 / 65_536;
    /// The head of a request has at most 16 KiB.
    pub(super) const HEAD: u64 = 16 << 10;
}

/// What does not depend on the attack: what the allocator keeps for each thread, buffers of the threads, and tables.
const BASE: u64 = 8 << 20;

/// What the memory that is held costs besides, as a part of it: buffers that grow are larger than what is in them, and the
/// allocator does not return what is free between blocks in use.
const OVERHEAD: u64 = 4;

/// How many handshakes are in progress at a time when connections are opened as fast as here: a quarter of a second's.
const HANDSHAKES: u64 = 1000;

/// What a body may become in a handler that parses it into a tree, as a multiple of its size, and the largest body. A handler
/// that does not wait runs within the turn of its connection, so there are as many at a time as worker threads.
const TREE: u64 = 24 << 20;

/// What an attack makes the server keep, besides the connections themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// Nothing that has a limit of its own.
    Nothing,
    /// Heads of requests that have not arrived whole, of each connection.
    Heads,
    /// The same, of those connections whose handshake is in progress.
    Handshakes,
    /// What the limits of held memory count.
    Held,
    /// The same, of which one connection may hold as much as its pushes may be.
    Pushes,
    /// The same, of which one connection may hold as much as its uploads may be.
    Uploads,
    /// What the limits of held memory count, and bodies that handlers parse into trees.
    Trees,
}

/// A number of bytes, and how it comes about.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pub(crate) bytes: u64,
    pub(crate) derivation: String,
}

impl Budget {
    /// The budget of an attack by so many connections from so many addresses.
    pub(crate) fn new(keeps: Keeps, connections: usize, addresses: usize) -> Self {
        let count = connections as u64;
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let mut bytes = BASE + count * IDLE_CONNECTION;
        let mut derivation = format!("{} + {connections} × {IDLE_CONNECTION} B", mib(BASE));
        let heads = match keeps {
            Keeps::Heads => count,
            Keeps::Handshakes => count.min(HANDSHAKES),
            Keeps::Nothing | Keeps::Held | Keeps::Pushes | Keeps::Uploads | Keeps::Trees => 0,
        };
        if heads > 0 {
            bytes += heads * HEAD;
            derivation.push_str(&format!(" + {heads} × 16 KiB of heads"));
        }
        let of_connection = match keeps {
            Keeps::Held | Keeps::Trees => HELD,
            Keeps::Pushes => PUSHED,
            Keeps::Uploads => UPLOADED,
            Keeps::Nothing | Keeps::Heads | Keeps::Handshakes => 0,
        };
        if of_connection > 0 {
            let limits = [
                (count * of_connection, format!("{connections} × {} MiB held", of_connection >> 20)),
                (addresses as u64 * HELD_PER_ADDRESS, format!("{addresses} × 64 MiB held")),
                (HELD_IN_TOTAL, "512 MiB held".to_owned()),
            ];
            if let Some((held, text)) = limits.into_iter().min_by_key(|(held, _)| *held) {
                bytes += held + held / OVERHEAD;
                derivation.push_str(&format!(" + {text}, and a quarter"));
            }
        }
        if keeps == Keeps::Trees {
            bytes += threads * TREE;
            derivation.push_str(&format!(" + {threads} × 24 MiB of trees"));
        }
        Self { bytes, derivation }
    }
}

/// A number of bytes in MiB.
pub(crate) fn mib(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 100.0 { format!("{mib:.1} MiB") } else { format!("{mib:.0} MiB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_counts() {
        let budget = |connections, addresses| Budget::new(Keeps::Held, connections, addresses).bytes;
        let idle = |connections| BASE + connections * IDLE_CONNECTION;
        assert_eq!(budget(2, 1), idle(2) + (10 << 20));
        assert_eq!(budget(200, 1), idle(200) + (80 << 20));
        assert_eq!(budget(200, 50), idle(200) + (640 << 20));
    }
}
