//! The state of an open call: its handler runs, or its response waits for credit.

use std::collections::VecDeque;

use super::response::ResponseFormat;
use crate::timer_wheel::DeadlineKey;

/// An open call.
#[derive(Debug)]
pub(super) struct RunningCall<T> {
    /// The call's share of [`ServerConfig::max_running_bytes`](super::ServerConfig::max_running_bytes): its frame, or
    /// its deferred response.
    pub(super) bytes: usize,
    pub(super) format: ResponseFormat<'static>,
    /// The length of the response's beginning, `["event",`.
    pub(super) prefix_len: usize,
    pub(super) deadline: Option<DeadlineKey>,
    pub(super) event_json: Box<str>,
    /// Items sent.
    pub(super) items: u64,
    /// The response, including its beginning, of a finished handler whose caller has not granted credit for it.
    pub(super) deferred_response: Option<Vec<u8>>,
    /// What runs the handler.
    pub(super) task: Option<T>,
    /// Boxed, because most calls have no upload.
    pub(super) upload: Option<Box<UploadWindow>>,
}

/// The flow control of an upload.
#[derive(Debug, Default)]
pub(super) struct UploadWindow {
    /// The credit that was granted to the caller, in items from the start.
    pub(super) granted: u64,
    /// Items received.
    pub(super) received: u64,
    /// Whether the caller ended the upload.
    pub(super) ended: bool,
    /// The first grant. No item was taken at that time, so it is the number of items that may wait.
    window: u64,
    /// The costs of the items that the handler may not have taken yet, oldest first.
    untaken: VecDeque<usize>,
}

/// The memory of a waiting item besides its text: its slots in queues.
const ITEM_COST: usize = 64;

impl UploadWindow {
    pub(super) fn new(ended: bool) -> Self {
        Self { ended, ..Self::default() }
    }

    /// Counts a received item. Returns its cost until it is taken.
    pub(super) fn add_item(&mut self, data: &str) -> usize {
        let cost = data.len() + ITEM_COST;
        self.received += 1;
        self.untaken.push_back(cost);
        cost
    }

    /// Handles a grant of credit up to the `credit`-th item, which implies that the handler has taken all items but the
    /// last window of them. Returns the cost of the items that no longer wait.
    pub(super) fn release_taken(&mut self, credit: u64) -> usize {
        if self.granted == 0 {
            self.window = credit;
        }
        let taken = credit.saturating_sub(self.window);
        let mut freed = 0;
        while self.received - (self.untaken.len() as u64) < taken
            && let Some(cost) = self.untaken.pop_front()
        {
            freed += cost;
        }
        freed
    }

    /// The cost of the items that may not have been taken.
    pub(super) fn cost(&self) -> usize {
        self.untaken.iter().sum()
    }
}
