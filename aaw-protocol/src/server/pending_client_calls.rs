//! The client calls of a connection that are in flight.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::keys::ClientCallKey;

/// The client calls of one connection that are in flight.
#[derive(Debug, Default)]
pub(super) struct PendingClientCalls {
    /// The last id used. Ids are −1, −2 and so on.
    pub(super) last_id: i64,
    pub(super) by_id: BTreeMap<i64, PendingClientCall>,
    pub(super) ids: HashMap<ClientCallKey, i64>,
    pub(super) deadlines: BTreeSet<(Instant, i64)>,
}

#[derive(Debug)]
pub(super) struct PendingClientCall {
    pub(super) key: ClientCallKey,
    pub(super) event_json: Box<str>,
    pub(super) deadline: Option<Instant>,
}

impl PendingClientCalls {
    pub(super) fn remove(&mut self, id: i64) -> Option<PendingClientCall> {
        let call = self.by_id.remove(&id)?;
        self.ids.remove(&call.key);
        if let Some(deadline) = call.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(call)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}
