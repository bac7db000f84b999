//! The client networks from which users have logged in lately.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::client_network::ClientNetwork;

/// The maximum number of pairs in one generation; two are kept, in about 1 MB. Each pair takes a log-in that succeeded,
/// so strangers cannot push out those of others cheaply.
const GENERATION_SIZE: usize = 32 << 10;

/// Pairs of an e-mail address and a network from which a log-in with it has succeeded. They are in memory alone: after a
/// restart a user is unknown everywhere until the next log-in, or until a client resumes a session.
#[derive(Debug)]
pub(super) struct KnownNetworks {
    /// Randomly seeded, so that no pair that collides with another can be found.
    hasher: RandomState,
    generations: Mutex<Generations>,
}

/// A full young generation replaces the old one; a pair of the old one moves to the young one when it is used.
#[derive(Debug, Default)]
struct Generations {
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl KnownNetworks {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), generations: Mutex::default() }
    }

    /// Records that a log-in with this address, or the resumption of a session of its user, has succeeded.
    pub(super) fn add(&self, email: &str, network: ClientNetwork) {
        self.lock().add(self.hasher.hash_one((email, network)));
    }

    pub(super) fn contains(&self, email: &str, network: ClientNetwork) -> bool {
        let pair = self.hasher.hash_one((email, network));
        let mut generations = self.lock();
        let is_known = generations.young.contains(&pair) || generations.old.contains(&pair);
        if is_known {
            generations.add(pair);
        }
        is_known
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn add(&mut self, pair: u64) {
        if self.young.len() >= GENERATION_SIZE && !self.young.contains(&pair) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(pair);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn pairs_in_use_stay_and_their_number_is_bounded() {
        let network = |n: u32| ClientNetwork::from(IpAddr::from(Ipv4Addr::from_bits(n)));
        let known = KnownNetworks::new();
        known.add("ada", network(1));
        assert!(known.contains("ada", network(1)));
        assert!(!known.contains("ada", network(2)) && !known.contains("bob", network(1)));
        for n in 0..3 * GENERATION_SIZE {
            known.add("eve", network(n as u32));
            if n % (GENERATION_SIZE / 2) == 0 {
                assert!(known.contains("ada", network(1)), "after {n}");
            }
        }
        let generations = known.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_SIZE);
    }
}
