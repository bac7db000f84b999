//! What a session keeps of a call that is open: its handler runs, or its answer waits for credit.

use std::collections::VecDeque;
use std::time::Instant;

use super::response::Reply;

/// A call that is open.
#[derive(Debug)]
pub(super) struct Running {
    /// What it counts towards [`ServerConfig::running`](super::ServerConfig::running): its frame, or its answer that waits.
    pub(super) bytes: usize,
    pub(super) reply: Reply<'static>,
    pub(super) begun: usize,
    pub(super) deadline: Option<Instant>,
    pub(super) event_json: Box<str>,
    /// Items that went out.
    pub(super) items: u64,
    /// The answer, with its beginning, of a handler that is done, while the caller has no credit for it.
    pub(super) parked: Option<Vec<u8>>,
    /// In a box: most calls have none.
    pub(super) upload: Option<Box<Upload>>,
}

/// A stream from the caller.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// Up to which item the caller has room, as it was told.
    pub(super) granted: u64,
    /// How many items came.
    pub(super) received: u64,
    /// Whether the caller said that no more come.
    pub(super) ended: bool,
    /// What the first grant gave: no item was taken then, so it is how many may wait.
    window: u64,
    /// What the items take that the handler may not have taken yet, the oldest first.
    waiting: VecDeque<usize>,
}

/// What an item that waits costs besides its text: its places in queues.
const ITEM_COST: usize = 64;

impl Upload {
    pub(super) fn new(ended: bool) -> Self {
        Self { ended, ..Self::default() }
    }

    /// An item came. Gives back what it costs until it is taken.
    pub(super) fn take(&mut self, data: &str) -> usize {
        let cost = data.len() + ITEM_COST;
        self.received += 1;
        self.waiting.push_back(cost);
        cost
    }

    /// The handler has room up to this item, so it has taken those that are a window behind. Gives back what those
    /// cost.
    pub(super) fn make_room(&mut self, room: u64) -> usize {
        if self.granted == 0 {
            self.window = room;
        }
        let taken = room.saturating_sub(self.window);
        let mut freed = 0;
        while self.received - (self.waiting.len() as u64) < taken
            && let Some(cost) = self.waiting.pop_front()
        {
            freed += cost;
        }
        freed
    }

    /// What the items cost that may not have been taken.
    pub(super) fn cost(&self) -> usize {
        self.waiting.iter().sum()
    }
}
