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

/// What waits, by client.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    /// Of clients with entries only.
    waiting: HashMap<Client, VecDeque<T>>,
    /// These clients, in the order of their turns.
    order: VecDeque<Client>,
}

impl<T> Turns<T> {
    pub(crate) fn push(&mut self, client: Client, entry: T) {
        let waiting = self.waiting.entry(client).or_default();
        if waiting.is_empty() {
            self.order.push_back(client);
        }
        waiting.push_back(entry);
    }

    /// Removes the oldest entry of the client whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.pop_by(VecDeque::pop_front)
    }

    /// Removes the latest entry of the client whose turn it is.
    pub(crate) fn pop_latest(&mut self) -> Option<T> {
        self.pop_by(VecDeque::pop_back)
    }

    fn pop_by(&mut self, pop: impl FnOnce(&mut VecDeque<T>) -> Option<T>) -> Option<T> {
        let client = self.order.pop_front()?;
        let waiting = self.waiting.get_mut(&client)?;
        let entry = pop(waiting);
        if waiting.is_empty() {
            self.waiting.remove(&client);
        } else {
            self.order.push_back(client);
        }
        entry
    }
}

#[cfg(feature = "auth")]
impl<T> Turns<T> {
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

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), order: VecDeque::new() }
    }
}
