//! The connections that their clients can resume, and those of them that are away.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_protocol::resumption::ResumptionKey;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use sha2::{Digest as _, Sha256};

use crate::client_network::ClientNetwork;
use crate::hub::mailbox::Command;
use crate::hub::peer::Peer;

/// The connections whose state outlives their sockets, by the hash of their keys: a key that leaked from the memory of the
/// server would continue the connection.
#[derive(Debug, Default)]
pub(crate) struct ResumableConnections {
    connections: DashMap<KeyHash, ResumableConnection>,
    away: Mutex<AwayConnections>,
}

type KeyHash = [u8; 16];

/// A connection that its client can resume.
#[derive(Debug, Clone)]
pub(crate) struct ResumableConnection {
    pub(crate) peer: Arc<Peer>,
    /// The `Origin` of its handshake.
    pub(crate) origin: Option<Arc<str>>,
}

/// Keeps a connection among the resumable ones.
#[derive(Debug)]
pub(crate) struct ResumableGuard {
    all: Arc<ResumableConnections>,
    hash: KeyHash,
    /// Names the connection among those that are away, if it is.
    away: Option<u64>,
    peer: Arc<Peer>,
}

/// The connections that have no socket, from the one that lost it first on, of each client network.
#[derive(Debug, Default)]
struct AwayConnections {
    of_networks: HashMap<Option<ClientNetwork>, BTreeMap<u64, Arc<Peer>>>,
    count: usize,
    last: u64,
}

impl ResumableConnections {
    /// Adds a connection. `None` if the key belongs to another one.
    pub(crate) fn insert(
        self: &Arc<Self>,
        key: &ResumptionKey,
        connection: ResumableConnection,
    ) -> Option<ResumableGuard> {
        let hash = hash(key);
        let peer = Arc::clone(&connection.peer);
        match self.connections.entry(hash) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(vacant) => _ = vacant.insert(connection),
        }
        Some(ResumableGuard { all: Arc::clone(self), hash, away: None, peer })
    }

    /// Returns the connection with this key.
    pub(crate) fn get(&self, key: &ResumptionKey) -> Option<ResumableConnection> {
        self.connections.get(&hash(key)).map(|connection| connection.clone())
    }

    /// Returns the number of connections that are away.
    pub(crate) fn away(&self) -> usize {
        self.lock_away().count
    }

    fn lock_away(&self) -> MutexGuard<'_, AwayConnections> {
        // Nothing panics while it holds the lock.
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResumableGuard {
    /// The connection has no socket from now on. If more than `max` have none, the client network with the most of them loses
    /// the one that has been away for the longest time.
    pub(crate) fn go_away(&mut self, max: usize) {
        let mut away = self.all.lock_away();
        if self.away.is_some() {
            return;
        }
        away.last += 1;
        away.count += 1;
        self.away = Some(away.last);
        let last = away.last;
        away.of_networks.entry(network(&self.peer)).or_default().insert(last, Arc::clone(&self.peer));
        let dropped = if away.count > max { away.remove_oldest_of_greediest() } else { None };
        drop(away);
        if let Some(dropped) = dropped {
            dropped.mailbox.post(Command::DropAway);
        }
    }

    /// The connection has a socket again.
    pub(crate) fn come_back(&mut self) {
        if let Some(number) = self.away.take() {
            self.all.lock_away().remove(network(&self.peer), number);
        }
    }
}

impl Drop for ResumableGuard {
    fn drop(&mut self) {
        self.come_back();
        self.all.connections.remove(&self.hash);
    }
}

impl AwayConnections {
    fn remove(&mut self, network: Option<ClientNetwork>, number: u64) -> Option<Arc<Peer>> {
        let of_network = self.of_networks.get_mut(&network)?;
        let removed = of_network.remove(&number)?;
        if of_network.is_empty() {
            self.of_networks.remove(&network);
        }
        self.count -= 1;
        if self.count == 0 {
            // Of a burst, such as when a proxy restarts.
            self.of_networks = HashMap::new();
        }
        Some(removed)
    }

    fn remove_oldest_of_greediest(&mut self) -> Option<Arc<Peer>> {
        let (network, of_network) = self.of_networks.iter().max_by_key(|(_, of_network)| of_network.len())?;
        let (network, number) = (*network, *of_network.keys().next()?);
        self.remove(network, number)
    }
}

fn network(peer: &Peer) -> Option<ClientNetwork> {
    peer.context.address.map(ClientNetwork::from)
}

fn hash(key: &ResumptionKey) -> KeyHash {
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    std::array::from_fn(|byte| digest[byte])
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::hub::mailbox::Mailbox;

    fn key(number: u8) -> ResumptionKey {
        ResumptionKey::from_random([number; 16])
    }

    fn insert(all: &Arc<ResumableConnections>, number: u8, address: &str) -> ResumableGuard {
        let peer = Peer::new(None, address.parse().ok(), Mailbox::for_test(1000));
        all.insert(&key(number), ResumableConnection { peer, origin: None }).expect("a new key")
    }

    fn is_dropped(guard: &ResumableGuard) -> bool {
        let mut commands = VecDeque::new();
        guard.peer.mailbox.take(&mut commands);
        commands.iter().any(|command| matches!(command, Command::DropAway))
    }

    #[test]
    fn a_key_belongs_to_one_connection_until_that_is_over() {
        let all = Arc::<ResumableConnections>::default();
        let first = insert(&all, 1, "10.0.0.1");
        let peer = Peer::new(None, None, Mailbox::for_test(1000));
        assert!(all.insert(&key(1), ResumableConnection { peer, origin: None }).is_none());
        assert_eq!(all.get(&key(1)).expect("the first").peer.id(), first.peer.id());
        drop(first);
        assert!(all.get(&key(1)).is_none());
    }

    #[test]
    fn the_greediest_network_loses_its_oldest_connection() {
        let all = Arc::<ResumableConnections>::default();
        let mut honest = insert(&all, 1, "10.0.0.1");
        honest.go_away(3);
        let mut greedy: Vec<_> = (2..6).map(|number| insert(&all, number, "10.0.0.2")).collect();
        greedy.iter_mut().for_each(|guard| guard.go_away(3));
        assert!(!is_dropped(&honest));
        assert_eq!(greedy.iter().map(is_dropped).collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(all.away(), 3);
        greedy[3].come_back();
        honest.come_back();
        assert_eq!(all.away(), 1);
        drop(greedy);
        assert_eq!(all.away(), 0);
    }
}
