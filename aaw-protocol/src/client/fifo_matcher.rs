//! Matches responses without an id, as those of the JavaScript package: each belongs to the oldest open call of its
//! event.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::clock::after;

/// The written calls of one connection to a classic server, by event, oldest first.
///
/// A call that its caller abandoned keeps its place for as long again as its timeout was, because its response probably
/// still arrives and must not be taken for that of the next call. It does not keep it longer: otherwise one missing
/// response would shift the responses of all later calls of the event.
#[derive(Debug, Default)]
pub(super) struct FifoMatcher {
    events: HashMap<Box<str>, VecDeque<AwaitedResponse>>,
}

#[derive(Debug)]
struct AwaitedResponse {
    id: i64,
    /// How long to expect the response of an abandoned call. `None` while its caller waits.
    abandoned_until: Option<Instant>,
}

impl FifoMatcher {
    /// The maximum number of calls per event. Beyond it the oldest call is dropped: its response is the most overdue.
    const MAX_PER_EVENT: usize = 4096;

    /// Adds a call that was written.
    pub(super) fn add(&mut self, event_json: &str, id: i64) {
        let awaited = self.events.entry(event_json.into()).or_default();
        if awaited.len() == Self::MAX_PER_EVENT {
            awaited.pop_front();
        }
        awaited.push_back(AwaitedResponse { id, abandoned_until: None });
    }

    /// Marks a call as abandoned: its response is still expected for the duration `keep`.
    pub(super) fn abandon(&mut self, now: Instant, event_json: &str, id: i64, keep: Duration) {
        let awaited = self.events.get_mut(event_json).and_then(|all| all.iter_mut().find(|awaited| awaited.id == id));
        if let Some(awaited) = awaited {
            awaited.abandoned_until = Some(after(now, keep));
        }
    }

    /// Removes and returns the call that a response of `event_json` without an id belongs to. It may be abandoned.
    pub(super) fn take(&mut self, now: Instant, event_json: &str) -> Option<i64> {
        let awaited = self.events.get_mut(event_json)?;
        awaited.retain(|awaited| awaited.abandoned_until.is_none_or(|until| now < until));
        let first = awaited.pop_front().map(|awaited| awaited.id);
        if awaited.is_empty() {
            self.events.remove(event_json);
        }
        first
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
    }
}
