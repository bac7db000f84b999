//! How many refused connections are treated at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::client_network::ClientNetwork;

/// The refused connections without TLS whose requests are read to their end at the same time, at most.
const MAX_LINGERING: usize = 256;

/// The refused connections whose TLS handshakes are completed at the same time, at most.
pub(super) const MAX_HANDSHAKES: usize = 64;

/// The same of one client address, so that one that is refused does not keep others from learning that they are.
const MAX_HANDSHAKES_OF_ADDRESS: usize = 8;

/// What part of its limit of connections a server has open for refused ones at most: its limit of open files may be as low.
const LINGERING_PART: usize = 16;
const HANDSHAKES_PART: usize = 64;

/// The refused connections that a server treats now.
#[derive(Debug, Default)]
pub(crate) struct RefusedConnections {
    lingering: AtomicUsize,
    handshakes: Mutex<Handshakes>,
}

#[derive(Debug, Default)]
struct Handshakes {
    count: usize,
    of_networks: HashMap<ClientNetwork, usize>,
}

/// Counts a refused connection until it is dropped.
#[derive(Debug)]
pub(super) struct Lingering(Arc<RefusedConnections>);

/// Counts a TLS handshake of a refused connection until it is dropped.
#[derive(Debug)]
pub(super) struct RefusedHandshake {
    refused: Arc<RefusedConnections>,
    network: Option<ClientNetwork>,
}

impl RefusedConnections {
    /// Counts a connection without TLS whose request is read to its end, unless there are too many for a server with this limit
    /// of connections.
    pub(super) fn linger(self: &Arc<Self>, max_connections: usize) -> Option<Lingering> {
        let lingering = Lingering(Arc::clone(self));
        let before = self.lingering.fetch_add(1, Ordering::Relaxed);
        (before < (max_connections / LINGERING_PART).clamp(8, MAX_LINGERING)).then_some(lingering)
    }

    /// Counts a TLS handshake, unless there are too many of this network or of all.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is no TLS"))]
    pub(super) fn handshake(
        self: &Arc<Self>,
        network: Option<ClientNetwork>,
        max_connections: usize,
    ) -> Option<RefusedHandshake> {
        let max = (max_connections / HANDSHAKES_PART).clamp(16, MAX_HANDSHAKES);
        // Nothing panics while it holds the lock.
        let mut handshakes = self.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        if handshakes.count >= max {
            return None;
        }
        if let Some(network) = network {
            let of_network = handshakes.of_networks.entry(network).or_default();
            if *of_network >= MAX_HANDSHAKES_OF_ADDRESS {
                return None;
            }
            *of_network += 1;
        }
        handshakes.count += 1;
        Some(RefusedHandshake { refused: Arc::clone(self), network })
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.lingering.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for RefusedHandshake {
    fn drop(&mut self) {
        let mut handshakes = self.refused.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        handshakes.count -= 1;
        if let Some(network) = self.network
            && let Some(of_network) = handshakes.of_networks.get_mut(&network)
        {
            *of_network -= 1;
            if *of_network == 0 {
                handshakes.of_networks.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> Option<ClientNetwork> {
        Some(address.parse::<std::net::IpAddr>().unwrap().into())
    }

    #[test]
    fn one_address_does_not_take_the_handshakes_of_others() {
        let refused = Arc::<RefusedConnections>::default();
        let of = |address: &str| refused.handshake(network(address), 65_536);
        let greedy: Vec<_> = (0..100).filter_map(|_| of("192.0.2.1")).collect();
        assert_eq!(greedy.len(), MAX_HANDSHAKES_OF_ADDRESS);
        let others: Vec<_> = (2..100).filter_map(|number| of(&format!("192.0.2.{number}"))).collect();
        assert_eq!(greedy.len() + others.len(), MAX_HANDSHAKES);
        drop((greedy, others));
        assert!(of("192.0.2.1").is_some());
        assert!(refused.handshakes.lock().unwrap().of_networks.is_empty());
    }

    #[test]
    fn a_server_with_few_connections_has_few_open_for_refused_ones() {
        let refused = Arc::<RefusedConnections>::default();
        let lingering = |max_connections| {
            let taken: Vec<_> = std::iter::from_fn(|| refused.linger(max_connections)).collect();
            taken.len()
        };
        assert_eq!([1, 896, 65_536].map(lingering), [8, 56, 256]);
        let handshakes = |max_connections| {
            let taken: Vec<_> = std::iter::from_fn(|| refused.handshake(None, max_connections)).collect();
            taken.len()
        };
        assert_eq!([1, 2048, 65_536].map(handshakes), [16, 32, 64]);
    }
}
