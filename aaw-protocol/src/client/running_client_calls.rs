//! The client calls that run on a connection.

use std::collections::{BTreeMap, HashMap};

use super::keys::ClientCallKey;

/// The client calls of the current connection that have no response yet.
#[derive(Debug, Default)]
pub(super) struct RunningClientCalls {
    /// The last id that the server used. Ids are −1, −2 and so on.
    pub(super) last_id: i64,
    pub(super) by_id: BTreeMap<i64, ClientCallKey>,
    pub(super) by_key: HashMap<ClientCallKey, RunningClientCall>,
    /// The number of keys assigned, on all connections.
    pub(super) keys: u64,
}

#[derive(Debug)]
pub(super) struct RunningClientCall {
    pub(super) id: i64,
    pub(super) event_json: Box<str>,
}

impl RunningClientCalls {
    pub(super) fn remove(&mut self, key: ClientCallKey) -> Option<RunningClientCall> {
        let call = self.by_key.remove(&key)?;
        self.by_id.remove(&call.id);
        Some(call)
    }

    /// Resets the state for another connection. Returns the calls that were running, in their order.
    pub(super) fn reset(&mut self) -> impl Iterator<Item = ClientCallKey> + use<> {
        self.last_id = 0;
        self.by_key.clear();
        std::mem::take(&mut self.by_id).into_values().rev()
    }
}
