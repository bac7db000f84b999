//! The open calls of a connection.

use super::keys::CallKey;
use super::running_call::RunningCall;
use crate::slab::Slab;
use crate::sorted_queue::SortedQueue;

/// The open calls of a connection, by their keys and by their ids. Without any, which is nearly always the case, there are no
/// tables.
#[derive(Debug)]
pub(super) struct RunningCalls<T> {
    tables: Option<Box<Tables<T>>>,
    /// The serial number of the last call when there are no tables.
    serial: u32,
}

#[derive(Debug)]
struct Tables<T> {
    calls: Slab<RunningCall<T>>,
    /// The calls with a v1 id, which start in the order of their ids.
    by_id: SortedQueue<i64, CallKey>,
}

impl<T> Default for RunningCalls<T> {
    fn default() -> Self {
        Self { tables: None, serial: 0 }
    }
}

impl<T> RunningCalls<T> {
    pub(super) fn len(&self) -> usize {
        self.tables.as_ref().map_or(0, |tables| tables.calls.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, key: CallKey) -> Option<&RunningCall<T>> {
        self.tables.as_ref()?.calls.get(key.0)
    }

    pub(super) fn get_mut(&mut self, key: CallKey) -> Option<&mut RunningCall<T>> {
        self.tables.as_mut()?.calls.get_mut(key.0)
    }

    /// Returns the key of the call with this v1 id.
    pub(super) fn key_of(&self, id: i64) -> Option<CallKey> {
        self.tables.as_ref()?.by_id.get(&id).copied()
    }

    /// Returns the call with this v1 id, to change it.
    pub(super) fn by_id_mut(&mut self, id: i64) -> Option<(CallKey, &mut RunningCall<T>)> {
        let key = self.key_of(id)?;
        Some((key, self.get_mut(key)?))
    }

    pub(super) fn insert(&mut self, call: RunningCall<T>) -> CallKey {
        let serial = self.serial;
        let tables = self
            .tables
            .get_or_insert_with(|| Box::new(Tables { calls: Slab::after(serial), by_id: SortedQueue::default() }));
        let id = call.format.v1_id();
        let key = CallKey(tables.calls.insert(call));
        if let Some(id) = id {
            tables.by_id.push(id, key);
        }
        key
    }

    pub(super) fn remove(&mut self, key: CallKey) -> Option<RunningCall<T>> {
        let tables = self.tables.as_mut()?;
        let call = tables.calls.remove(key.0)?;
        if let Some(id) = call.format.v1_id() {
            tables.by_id.remove(&id);
        }
        Some(call)
    }

    /// Returns all calls, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (CallKey, &RunningCall<T>)> {
        self.tables.iter().flat_map(|tables| tables.calls.iter()).map(|(key, call)| (CallKey(key), call))
    }

    /// Returns all calls, in no particular order.
    pub(super) fn into_calls(self) -> impl Iterator<Item = RunningCall<T>> {
        self.tables.into_iter().flat_map(|mut tables| tables.calls.drain())
    }

    /// Frees the tables if there are no calls.
    pub(super) fn release_memory(&mut self) {
        if let Some(tables) = self.tables.take_if(|tables| tables.calls.is_empty()) {
            self.serial = tables.calls.serial();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::response::ResponseFormat;

    fn call(format: ResponseFormat<'static>) -> RunningCall<()> {
        RunningCall {
            bytes: 0,
            format,
            prefix_len: 0,
            deadline: None,
            event_json: "".into(),
            items: 0,
            deferred_response: None,
            task: None,
            upload: None,
        }
    }

    #[test]
    fn a_call_is_found_by_its_key_and_its_id_until_it_is_removed() {
        assert_eq!(size_of::<RunningCalls<[u64; 9]>>(), 16);
        let mut calls = RunningCalls::default();
        for round in 0..3 {
            let keys: Vec<_> = (1..=100)
                .map(|id| (id + 100 * round, calls.insert(call(ResponseFormat::Single { id: id + 100 * round }))))
                .collect();
            let push = calls.insert(call(ResponseFormat::Nothing));
            calls.release_memory();
            assert_eq!((calls.len(), calls.iter().count()), (101, 101));
            let first = keys[0].1;
            // Every third one, and then the others.
            let (thirds, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|(id, _)| id % 3 == 0);
            for (id, key) in thirds.into_iter().chain(others) {
                assert_eq!(calls.key_of(id), Some(key));
                assert!(calls.get(key).is_some() && calls.remove(key).is_some() && calls.remove(key).is_none());
                assert_eq!(calls.key_of(id), None);
            }
            assert!(calls.remove(push).is_some() && calls.is_empty());
            calls.release_memory();
            assert!(calls.tables.is_none());
            calls.insert(call(ResponseFormat::Nothing));
            assert!(calls.get(first).is_none() && calls.get(push).is_none(), "their calls are over");
            calls = RunningCalls { serial: calls.tables.map_or(0, |tables| tables.calls.serial()), tables: None };
        }
    }
}
