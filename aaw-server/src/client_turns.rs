//! A queue in which clients take turns, so that a client waits for one entry of each other client and not for all of them.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::client_network::ClientNetwork;

/// A client, by [`client`]; `None` if its address is unknown, or for the program itself.
pub(crate) type Client = Option<ClientNetwork>;

/// Returns the client with this address. All addresses of an IPv6 site (/48) are one: a client takes turns with the others,
/// however many networks it has.
pub(crate) fn client(address: Option<IpAddr>) -> Client {
    Some(ClientNetwork::from(address?).client())
}

/// The entries of one client.
pub(crate) trait Entries: Default {
    fn is_empty(&self) -> bool;
}

impl<T> Entries for VecDeque<T> {
    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }
}

/// What waits, by client: of each, a `Q`.
#[derive(Debug)]
pub(crate) struct Turns<Q> {
    /// Of clients with entries only.
    waiting: HashMap<Client, Q>,
    /// These clients, in the order of their turns.
    order: VecDeque<Client>,
}

impl<Q: Entries> Turns<Q> {
    /// Adds an entry of a client with `push`.
    pub(crate) fn push(&mut self, client: Client, push: impl FnOnce(&mut Q)) {
        let entries = self.waiting.entry(client).or_default();
        if entries.is_empty() {
            self.order.push_back(client);
        }
        push(entries);
    }

    /// Takes an entry of the client whose turn it is. If `take` returns none, that client has no turn, and the next one has
    /// it; `take` has then removed all its entries.
    pub(crate) fn take<T>(&mut self, mut take: impl FnMut(&mut Q) -> Option<T>) -> Option<T> {
        loop {
            let client = self.order.pop_front()?;
            let entries = self.waiting.get_mut(&client)?;
            let entry = take(entries);
            if entries.is_empty() {
                self.waiting.remove(&client);
            } else {
                self.order.push_back(client);
            }
            if entry.is_some() {
                return entry;
            }
        }
    }
}

#[cfg(feature = "auth")]
impl<T> Turns<VecDeque<T>> {
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The number of entries of a client.
    pub(crate) fn len_of(&self, client: Client) -> usize {
        self.waiting.get(&client).map_or(0, VecDeque::len)
    }

    /// The client with the most entries. The cost is proportional to the number of clients.
    pub(crate) fn greediest(&self) -> Option<Client> {
        self.order.iter().copied().max_by_key(|client| self.len_of(*client))
    }

    /// Removes the latest entry of a client.
    pub(crate) fn drop_latest(&mut self, client: Client) -> Option<T> {
        let waiting = self.waiting.get_mut(&client)?;
        let entry = waiting.pop_back();
        if waiting.is_empty() {
            self.waiting.remove(&client);
            self.order.retain(|other| *other != client);
        }
        entry
    }
}

impl<Q> Default for Turns<Q> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), order: VecDeque::new() }
    }
}
