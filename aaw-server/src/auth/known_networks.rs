//! The client networks from which users have logged in lately.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::generations::Generations;
use crate::client_network::ClientNetwork;

/// The maximum number of e-mail addresses in one generation; two are kept, in 8 MB at most.
const GENERATION_SIZE: usize = 32 << 10;

/// The networks of one address: those that were used last. A user with a /48 network of IPv6 can log in from 65 536 networks,
/// which must not push out those of others.
pub(super) const MAX_NETWORKS: usize = 8;

/// For each e-mail address the networks from which a log-in with it has succeeded last. To push out those of others, a client
/// needs as many users as a generation has entries, and each of them takes a registration, with the hash of its password.
///
/// They are in memory alone: after a restart a user is unknown everywhere until the next log-in, or until a client resumes a
/// session.
#[derive(Debug)]
pub(super) struct KnownNetworks {
    /// Randomly seeded, so that no address that collides with another can be found.
    hasher: RandomState,
    /// The networks of each address, the latest last.
    networks: Mutex<Generations<Vec<ClientNetwork>>>,
}

impl KnownNetworks {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), networks: Mutex::new(Generations::new(GENERATION_SIZE, |_| true)) }
    }

    /// Records that a log-in with this address, or the resumption of a session of its user, has succeeded.
    pub(super) fn add(&self, email: &str, network: ClientNetwork) {
        let mut all = self.lock();
        let networks = all.get_or_insert_with(self.hasher.hash_one(email), Vec::new);
        networks.retain(|known| *known != network);
        if networks.len() >= MAX_NETWORKS {
            networks.remove(0);
        }
        networks.push(network);
    }

    /// Whether a network is one of the last ones of this address. Only a network that is keeps the entry in use.
    pub(super) fn contains(&self, email: &str, network: ClientNetwork) -> bool {
        let is_known =
            self.lock().peek(self.hasher.hash_one(email)).is_some_and(|networks| networks.contains(&network));
        if is_known {
            self.add(email, network);
        }
        is_known
    }

    fn lock(&self) -> MutexGuard<'_, Generations<Vec<ClientNetwork>>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn network(n: u32) -> ClientNetwork {
        ClientNetwork::from(IpAddr::from(Ipv4Addr::from_bits(n)))
    }

    #[test]
    fn networks_in_use_stay_and_the_number_of_addresses_is_bounded() {
        let known = KnownNetworks::new();
        known.add("ada", network(1));
        assert!(known.contains("ada", network(1)));
        assert!(!known.contains("ada", network(2)) && !known.contains("bob", network(1)));
        for n in 0..3 * GENERATION_SIZE {
            known.add(&format!("eve{n}"), network(1));
            if n % (GENERATION_SIZE / 2) == 0 {
                assert!(known.contains("ada", network(1)), "after {n}");
            }
        }
        assert!(known.lock().len() <= 2 * GENERATION_SIZE);
    }

    #[test]
    fn a_user_with_many_networks_pushes_out_no_others() {
        let known = KnownNetworks::new();
        known.add("ada", network(1));
        for n in 0..3 * GENERATION_SIZE {
            known.add("eve", network(n as u32));
        }
        assert!(known.contains("ada", network(1)));
        assert_eq!(known.lock().len(), 2);
    }

    #[test]
    fn an_address_keeps_the_networks_that_it_has_used_last() {
        let known = KnownNetworks::new();
        for n in 0..MAX_NETWORKS as u32 {
            known.add("ada", network(n));
        }
        assert!(known.contains("ada", network(0)));
        known.add("ada", network(100));
        assert!(known.contains("ada", network(0)) && known.contains("ada", network(100)));
        assert!(!known.contains("ada", network(1)));
    }
}
