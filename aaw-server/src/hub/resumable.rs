//! The connections that their clients can resume, and those of them that are away.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_protocol::resumption::ResumptionKey;
use dashmap::DashMap;
use sha2::{Digest as _, Sha256};

use crate::client_network::{ClientNetwork, site_limit};
use crate::hub::mailbox::Command;
use crate::hub::peer::Peer;

/// The connections whose state outlives their sockets, by the hash of their keys: a key that leaked from the memory of the
/// server would continue the connection.
#[derive(Debug, Default)]
pub(crate) struct ResumableConnections {
    connections: DashMap<KeyHash, ResumableConnection>,
    begun: AtomicU64,
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
    began: u64,
    /// Names the connection among those that are away, if it is.
    away: Option<NonZeroU64>,
    peer: Arc<Peer>,
}

/// How many connections may be without a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AwayLimits {
    pub(crate) total: usize,
    /// Of each client network.
    pub(crate) per_network: usize,
}

impl AwayLimits {
    /// Of each IPv6 site.
    fn per_site(self) -> usize {
        site_limit(self.per_network, self.total)
    }
}

/// The connections that have no socket.
#[derive(Debug, Default)]
struct AwayConnections {
    /// From the one that lost its socket first on.
    of_clients: HashMap<Client, BTreeMap<u64, AwayConnection>>,
    /// Ordered by count, then by the age of the connection that has been away for the longest time. The last entry loses a
    /// connection first, so a flood from many addresses displaces its own, younger connections.
    by_count: BTreeSet<(usize, u64, Client)>,
    /// The connections of each network of a site, in the same order.
    of_networks: HashMap<ClientNetwork, BTreeSet<u64>>,
    count: usize,
    last: u64,
}

#[derive(Debug)]
struct AwayConnection {
    peer: Arc<Peer>,
    /// The number of the connection among all that were resumable.
    began: u64,
}

/// An IPv4 address or an IPv6 site. `None`: the addresses of clients are not known.
type Client = Option<ClientNetwork>;

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
            dashmap::Entry::Occupied(_) => return None,
            dashmap::Entry::Vacant(vacant) => _ = vacant.insert(connection),
        }
        let began = self.begun.fetch_add(1, Ordering::Relaxed);
        Some(ResumableGuard { all: Arc::clone(self), hash, began, away: None, peer })
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
    /// The connection has no socket from now on. If more than the limit of its network or its site have none, the one that has been
    /// away for the longest time is dropped; if more than the limit of all have, that of the client with the most of them, which is
    /// an IPv4 address or an IPv6 site. Among clients with equally many, it is that of the connection that began last.
    pub(crate) fn go_away(&mut self, limits: AwayLimits) {
        let mut away = self.all.lock_away();
        if self.away.is_some() {
            return;
        }
        let network = network(&self.peer);
        self.away = Some(away.insert(network, AwayConnection { peer: Arc::clone(&self.peer), began: self.began }));
        // Without a known address, connections of many clients share one entry.
        let dropped = if let Some(network) = network
            && away.of_network(network) > limits.per_network
        {
            away.remove_oldest_of_network(network)
        } else if let Some(network) = network
            && network.site().is_some()
            && away.of_client(Some(network.client())) > limits.per_site()
        {
            away.remove_oldest(Some(network.client()))
        } else if away.count > limits.total {
            away.remove_oldest_of_largest()
        } else {
            None
        };
        drop(away);
        if let Some(dropped) = dropped {
            dropped.peer.mailbox.post(Command::DropAway);
        }
    }

    /// The connection has a socket again.
    pub(crate) fn come_back(&mut self) {
        if let Some(number) = self.away.take() {
            self.all.lock_away().remove(network(&self.peer), number.get());
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
    /// Returns the number by which the connection can be removed.
    fn insert(&mut self, network: Option<ClientNetwork>, connection: AwayConnection) -> NonZeroU64 {
        self.last += 1;
        let number = NonZeroU64::new(self.last).expect("the numbers do not come to an end");
        self.update(client(network), |of_client| of_client.insert(number.get(), connection));
        if let Some(network) = in_site(network) {
            self.of_networks.entry(network).or_default().insert(number.get());
        }
        self.count += 1;
        number
    }

    fn remove(&mut self, network: Option<ClientNetwork>, number: u64) -> Option<AwayConnection> {
        let removed = self.update(client(network), |of_client| of_client.remove(&number))?;
        if let Some(network) = in_site(network)
            && let Entry::Occupied(mut of_network) = self.of_networks.entry(network)
        {
            of_network.get_mut().remove(&number);
            if of_network.get().is_empty() {
                of_network.remove();
            }
        }
        self.count -= 1;
        if self.count == 0 {
            // Of a burst, such as when a proxy restarts.
            (self.of_clients, self.of_networks) = (HashMap::new(), HashMap::new());
        }
        Some(removed)
    }

    /// Changes the connections of a client, and keeps its place among the others.
    fn update<T>(&mut self, client: Client, change: impl FnOnce(&mut BTreeMap<u64, AwayConnection>) -> T) -> T {
        let of_client = self.of_clients.entry(client).or_default();
        let place = |of_client: &BTreeMap<u64, AwayConnection>| {
            of_client.first_key_value().map(|(_, oldest)| (of_client.len(), oldest.began, client))
        };
        let before = place(of_client);
        let changed = change(of_client);
        let after = place(of_client);
        if before != after {
            before.map(|before| self.by_count.remove(&before));
            self.by_count.extend(after);
        }
        if after.is_none() {
            self.of_clients.remove(&client);
        }
        changed
    }

    fn of_client(&self, client: Client) -> usize {
        self.of_clients.get(&client).map_or(0, BTreeMap::len)
    }

    /// Returns the number of connections of a network that are away.
    fn of_network(&self, network: ClientNetwork) -> usize {
        if network.site().is_none() {
            return self.of_client(Some(network));
        }
        self.of_networks.get(&network).map_or(0, BTreeSet::len)
    }

    fn remove_oldest_of_network(&mut self, network: ClientNetwork) -> Option<AwayConnection> {
        if network.site().is_none() {
            return self.remove_oldest(Some(network));
        }
        let number = *self.of_networks.get(&network)?.first()?;
        self.remove(Some(network), number)
    }

    fn remove_oldest(&mut self, client: Client) -> Option<AwayConnection> {
        let (number, oldest) = self.of_clients.get(&client)?.first_key_value()?;
        let (number, network) = (*number, network(&oldest.peer));
        self.remove(network, number)
    }

    fn remove_oldest_of_largest(&mut self) -> Option<AwayConnection> {
        let (.., client) = *self.by_count.last()?;
        self.remove_oldest(client)
    }
}

fn network(peer: &Peer) -> Option<ClientNetwork> {
    peer.context.address.map(ClientNetwork::from)
}

fn client(network: Option<ClientNetwork>) -> Client {
    network.map(ClientNetwork::client)
}

/// Returns the network if it is one of a site. An IPv4 address is a client itself.
fn in_site(network: Option<ClientNetwork>) -> Option<ClientNetwork> {
    network.filter(|network| network.site().is_some())
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
    fn the_network_with_the_most_connections_loses_its_oldest_one() {
        let all = Arc::<ResumableConnections>::default();
        let limits = AwayLimits { total: 3, per_network: 100 };
        let mut honest = insert(&all, 1, "10.0.0.1");
        honest.go_away(limits);
        let mut greedy: Vec<_> = (2..6).map(|number| insert(&all, number, "10.0.0.2")).collect();
        greedy.iter_mut().for_each(|guard| guard.go_away(limits));
        assert!(!is_dropped(&honest));
        assert_eq!(greedy.iter().map(is_dropped).collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(all.away(), 3);
        greedy[3].come_back();
        honest.come_back();
        assert_eq!(all.away(), 1);
        drop(greedy);
        assert_eq!(all.away(), 0);
        let away = all.lock_away();
        assert!(away.by_count.is_empty() && away.of_clients.is_empty());
    }

    #[test]
    fn a_network_that_exceeds_its_own_limit_loses_its_oldest_connection() {
        let all = Arc::<ResumableConnections>::default();
        let limits = AwayLimits { total: 100, per_network: 2 };
        let mut others: Vec<_> = (1..5).map(|number| insert(&all, number, &format!("10.0.0.{number}"))).collect();
        others.iter_mut().for_each(|guard| guard.go_away(limits));
        let mut greedy: Vec<_> = (5..8).map(|number| insert(&all, number, "10.0.1.1")).collect();
        greedy.iter_mut().for_each(|guard| guard.go_away(limits));
        assert!(!others.iter().any(is_dropped));
        assert_eq!(greedy.iter().map(is_dropped).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn a_site_has_a_limit_and_the_share_of_one_client() {
        let all = Arc::<ResumableConnections>::default();
        let limits = AwayLimits { total: 8, per_network: 2 };
        let mut others: Vec<_> = (1..5).map(|number| insert(&all, number, &format!("10.0.0.{number}"))).collect();
        others.iter_mut().for_each(|guard| guard.go_away(limits));
        let network = |number: u8| format!("2001:db8:1:{number}::1");
        let mut greedy: Vec<_> = (5..11).map(|number| insert(&all, number, &network(number))).collect();
        greedy.iter_mut().for_each(|guard| guard.go_away(limits));
        assert_eq!(greedy.iter().map(is_dropped).collect::<Vec<_>>(), [true, true, false, false, false, false]);
        // The table is full. The site has the most, although each of its networks has one.
        let mut one_more = insert(&all, 11, "10.0.0.5");
        one_more.go_away(limits);
        assert!(is_dropped(&greedy[2]) && !is_dropped(&one_more) && !others.iter().any(is_dropped));
        drop((greedy, others, one_more));
        let away = all.lock_away();
        assert!(away.by_count.is_empty() && away.of_clients.is_empty() && away.of_networks.is_empty());
    }

    #[test]
    fn a_network_of_a_site_has_a_limit_of_its_own() {
        let all = Arc::<ResumableConnections>::default();
        let limits = AwayLimits { total: 100, per_network: 2 };
        let mut other = insert(&all, 1, "2001:db8:1:1::1");
        other.go_away(limits);
        let mut greedy: Vec<_> = (2..5).map(|number| insert(&all, number, "2001:db8:1:2::1")).collect();
        greedy.iter_mut().for_each(|guard| guard.go_away(limits));
        assert_eq!(greedy.iter().map(is_dropped).collect::<Vec<_>>(), [true, false, false]);
        assert!(!is_dropped(&other));
    }

    /// The number of addresses does not matter.
    #[test]
    fn among_networks_with_equally_many_the_connection_that_began_last_is_dropped() {
        let all = Arc::<ResumableConnections>::default();
        let limits = AwayLimits { total: 3, per_network: 100 };
        let mut guards: Vec<_> = (1..6).map(|number| insert(&all, number, &format!("10.0.0.{number}"))).collect();
        guards.iter_mut().for_each(|guard| guard.go_away(limits));
        assert_eq!(guards.iter().map(is_dropped).collect::<Vec<_>>(), [false, false, false, true, true]);
    }
}
