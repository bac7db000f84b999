//! Holds up a whole client: all its connections and requests, also those that begin later.
//!
//! The [hold](super::sender_hold) of a connection begins with its first push to a reader that is behind. A client with many
//! connections, or with a new one for each push, has as many first pushes, which together exceed each limit. So a push to a reader that
//! is *overrun*, for which more than the sustained limit waits, holds up the client as well. Its connections and requests join the hold
//! before they start a call or poll a handler. Clients are counted as for taking turns: an IPv4 address or an IPv6 site.
//!
//! While no client is held up, which is one load, nothing is looked up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::client_network::ClientNetwork;
use crate::hub::sender_hold::{HeldSender, SenderHold};

/// The number of entries up to which those of holds that have ended are kept.
const MAX_ENDED: usize = 64;

/// The clients that are held up.
#[derive(Debug, Default)]
pub(crate) struct ClientHolds {
    /// The number of holds that have not ended.
    open: Arc<AtomicUsize>,
    /// Also some that have ended.
    clients: DashMap<ClientNetwork, Arc<SenderHold>>,
}

impl ClientHolds {
    /// Begins a hold of this client, or returns another part of the one that it has.
    pub(super) fn begin(&self, client: ClientNetwork) -> HeldSender {
        if self.clients.len() > MAX_ENDED + 2 * self.open.load(Ordering::Relaxed) {
            self.clients.retain(|_, hold| !hold.has_ended());
        }
        match self.clients.entry(client) {
            dashmap::Entry::Occupied(mut entry) => entry.get().part().unwrap_or_else(|| {
                let (hold, begun) = SenderHold::begin_for_client(&self.open);
                entry.insert(hold);
                begun
            }),
            dashmap::Entry::Vacant(entry) => {
                let (hold, begun) = SenderHold::begin_for_client(&self.open);
                entry.insert(hold);
                begun
            }
        }
    }

    /// Returns whether any client may be held up.
    #[inline]
    pub(super) fn has_any(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Returns the hold of this client, if it has not ended.
    pub(super) fn find(&self, client: ClientNetwork) -> Option<Arc<SenderHold>> {
        let hold = self.clients.get(&client)?;
        (!hold.has_ended()).then(|| Arc::clone(&hold))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn client(number: u8) -> ClientNetwork {
        IpAddr::from([192, 0, 2, number]).into()
    }

    #[test]
    fn a_client_is_held_up_until_all_parts_of_its_hold_have_ended() {
        let holds = ClientHolds::default();
        assert!(!holds.has_any());
        let (first, second) = (holds.begin(client(1)), holds.begin(client(1)));
        drop(first);
        assert!(holds.has_any() && holds.find(client(1)).is_some() && holds.find(client(2)).is_none());
        drop(second);
        assert!(!holds.has_any() && holds.find(client(1)).is_none());
        let _again = holds.begin(client(1));
        assert!(holds.find(client(1)).is_some());
    }

    #[test]
    fn holds_that_have_ended_do_not_accumulate() {
        let holds = ClientHolds::default();
        let _open = holds.begin(client(0));
        for first in 0..100 {
            for last in 0..100 {
                drop(holds.begin(IpAddr::from([10, 0, first, last]).into()));
            }
        }
        assert!(holds.clients.len() <= MAX_ENDED + 4, "{}", holds.clients.len());
        assert!(holds.find(client(0)).is_some());
    }
}
