//! Answers that carry no id, as those of the JavaScript package: each belongs to the oldest open call of its event.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::clock::after;

/// Written calls by event, oldest first, of one connection to a classic server.
///
/// A call that its caller has given up keeps its place for as long again as it was given: its answer is probably still
/// to come, and would otherwise be taken for that of the next call. Not for longer, since an event that never answered
/// once would turn the answers of all its later calls over to their predecessors.
#[derive(Debug, Default)]
pub(super) struct Oldest {
    events: HashMap<Box<str>, VecDeque<Slot>>,
}

#[derive(Debug)]
struct Slot {
    id: i64,
    /// Until when an answer is expected though nobody waits for it. `None` while somebody does.
    given_up: Option<Instant>,
}

impl Oldest {
    /// Calls of one event that are remembered. Beyond that the oldest is forgotten: its answer has been due for
    /// longest.
    const MOST: usize = 4096;

    pub(super) fn written(&mut self, event_json: &str, id: i64) {
        let slots = self.events.entry(event_json.into()).or_default();
        if slots.len() == Self::MOST {
            slots.pop_front();
        }
        slots.push_back(Slot { id, given_up: None });
    }

    /// The caller of `id` waits no more.
    pub(super) fn given_up(&mut self, now: Instant, event_json: &str, id: i64, keep: Duration) {
        let slot = self.events.get_mut(event_json).and_then(|slots| slots.iter_mut().find(|slot| slot.id == id));
        if let Some(slot) = slot {
            slot.given_up = Some(after(now, keep));
        }
    }

    /// Takes the call that an answer of `event_json` without an id belongs to. Its caller may have given up.
    pub(super) fn take(&mut self, now: Instant, event_json: &str) -> Option<i64> {
        let slots = self.events.get_mut(event_json)?;
        slots.retain(|slot| slot.given_up.is_none_or(|until| now < until));
        let first = slots.pop_front().map(|slot| slot.id);
        if slots.is_empty() {
            self.events.remove(event_json);
        }
        first
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
    }
}
