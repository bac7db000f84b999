//! Places that are given up: of an address with as many connections as it may have, one that has not responded to a ping makes
//! room for a new one. Its client has probably lost its network, and is the one that connects again.

use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use uuid::Uuid;

/// A connection that can give up its place.
pub(crate) trait PlaceHolder: fmt::Debug + Send + Sync {
    /// Tells the connection to close.
    fn give_up_place(&self);
}

/// The connections of an address that have not responded to a ping, by the time from which on they give up their place.
#[derive(Debug, Default)]
pub(super) struct SilentConnections(Mutex<ByDue>);

type ByDue = BTreeMap<(Instant, Uuid), Arc<dyn PlaceHolder>>;

impl SilentConnections {
    /// Offers the place of this connection, from the time `due` on.
    pub(super) fn offer(self: &Arc<Self>, id: Uuid, due: Instant, connection: Arc<dyn PlaceHolder>) -> OfferedPlace {
        self.lock().insert((due, id), connection);
        OfferedPlace { connections: Arc::clone(self), key: (due, id) }
    }

    /// Tells the connection that has been silent for longest to close. `false` if none has been for long enough.
    pub(super) fn evict(&self, now: Instant) -> bool {
        let mut connections = self.lock();
        let due = connections.first_entry().filter(|entry| entry.key().0 <= now);
        let Some(connection) = due.map(OccupiedEntry::remove) else { return false };
        drop(connections);
        connection.give_up_place();
        true
    }

    /// Whether one of them has been silent for long enough.
    pub(super) fn has_due(&self, now: Instant) -> bool {
        self.lock().first_key_value().is_some_and(|((due, _), _)| *due <= now)
    }

    fn lock(&self) -> MutexGuard<'_, ByDue> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a silent connection, which a new one may get, until this is dropped.
#[derive(Debug)]
pub(super) struct OfferedPlace {
    connections: Arc<SilentConnections>,
    key: (Instant, Uuid),
}

impl Drop for OfferedPlace {
    fn drop(&mut self) {
        let connection = self.connections.lock().remove(&self.key);
        // Without the lock.
        drop(connection);
    }
}
