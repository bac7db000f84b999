//! The client calls of a connection that are in flight.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::keys::ClientCallKey;

/// The client calls of one connection that are in flight. Without any, which is nearly always the case, there are no
/// tables.
#[derive(Debug, Default)]
pub(super) struct PendingClientCalls {
    /// The last id used. Ids are −1, −2 and so on.
    last_id: i64,
    tables: Option<Box<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    by_id: BTreeMap<i64, PendingClientCall>,
    ids: HashMap<ClientCallKey, i64>,
    deadlines: BTreeSet<(Instant, i64)>,
}

#[derive(Debug)]
pub(super) struct PendingClientCall {
    pub(super) key: ClientCallKey,
    pub(super) event_json: Box<str>,
    pub(super) deadline: Option<Instant>,
}

impl PendingClientCalls {
    pub(super) fn len(&self) -> usize {
        self.tables.as_ref().map_or(0, |tables| tables.by_id.len())
    }

    /// Returns the id of the next call.
    pub(super) fn next_id(&self) -> i64 {
        self.last_id - 1
    }

    /// Returns whether a call with this id was made.
    pub(super) fn is_used(&self, id: i64) -> bool {
        id >= self.last_id
    }

    /// Returns the id of a call that is in flight.
    pub(super) fn id_of(&self, key: ClientCallKey) -> Option<i64> {
        self.tables.as_ref()?.ids.get(&key).copied()
    }

    /// Inserts a call with the [next id](Self::next_id).
    pub(super) fn insert(&mut self, call: PendingClientCall) {
        self.last_id -= 1;
        let tables = self.tables.get_or_insert_default();
        tables.ids.insert(call.key, self.last_id);
        if let Some(deadline) = call.deadline {
            tables.deadlines.insert((deadline, self.last_id));
        }
        tables.by_id.insert(self.last_id, call);
    }

    pub(super) fn remove(&mut self, id: i64) -> Option<PendingClientCall> {
        let tables = self.tables.as_mut()?;
        let call = tables.by_id.remove(&id)?;
        tables.ids.remove(&call.key);
        if let Some(deadline) = call.deadline {
            tables.deadlines.remove(&(deadline, id));
        }
        if tables.by_id.is_empty() {
            self.tables = None;
        }
        Some(call)
    }

    /// Returns the earliest deadline, and the id of its call.
    pub(super) fn next_deadline(&self) -> Option<(Instant, i64)> {
        self.tables.as_ref()?.deadlines.first().copied()
    }
}
