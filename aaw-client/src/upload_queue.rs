//! The queue of an upload: items on their way from an `UploadSender` to the driver.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use aaw_protocol::client::EncodedMessage;

use crate::UploadError;
use crate::sync::{lock, store_waker, unlock_and_wake};

/// The items of one upload that the driver has not taken yet. Two bounds apply, and the sender waits for both: the
/// server's credit, and [`MAX_BYTES`](Self::MAX_BYTES).
///
/// Items do not share the queue of calls and one-way sends: there, calls that wait for others to complete would block
/// the items that those others need to complete.
#[derive(Debug, Default)]
pub(crate) struct UploadQueue(Mutex<UploadQueueState>);

#[derive(Debug, Default)]
struct UploadQueueState {
    items: VecDeque<EncodedMessage>,
    bytes: usize,
    /// Items pushed so far.
    pushed: u64,
    /// The server's credit: the number of items it accepts in all.
    credit: u64,
    /// Bytes of the largest message that the server accepts.
    message_limit: usize,
    /// The sender has ended the upload.
    ended: bool,
    /// The call has ended, and the driver takes no more items.
    call_ended: bool,
    /// The driver was notified, and has not found the queue empty since.
    driver_notified: bool,
    sender: Option<Waker>,
}

/// Whether the caller has to notify the driver that the queue has something to take.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotifyDriver {
    Yes,
    No,
}

/// What [`UploadQueue::take`] returns.
#[derive(Debug, PartialEq)]
pub(crate) enum NextUpload {
    Item(EncodedMessage),
    /// The upload has ended and all its items were taken.
    End,
    /// No item is queued. The next push notifies the driver.
    Empty,
}

impl UploadQueue {
    /// Bytes that may be queued: enough to keep a socket busy until the sender has pushed more.
    const MAX_BYTES: usize = 64 << 10;

    // --- The sender's side -------------------------------------------------------------------------------------------

    /// Waits until an item may be pushed.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let mut state = lock(&self.0);
        if state.call_ended || state.ended {
            return Poll::Ready(Err(UploadError::CallEnded));
        }
        if state.pushed < state.credit && state.bytes < Self::MAX_BYTES {
            return Poll::Ready(Ok(()));
        }
        store_waker(&mut state.sender, cx);
        Poll::Pending
    }

    /// Waits until the driver has taken every item to write it.
    pub(crate) fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let mut state = lock(&self.0);
        if state.items.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if state.call_ended {
            return Poll::Ready(Err(UploadError::CallEnded));
        }
        store_waker(&mut state.sender, cx);
        Poll::Pending
    }

    /// Pushes an item, after [`poll_ready`](Self::poll_ready) was ready.
    pub(crate) fn push(&self, item: EncodedMessage) -> Result<NotifyDriver, UploadError> {
        let mut state = lock(&self.0);
        let (size, limit) = (item.item_size(), state.message_limit);
        if size > limit {
            return Err(UploadError::TooLarge { size, limit });
        }
        if state.call_ended || state.ended {
            return Err(UploadError::CallEnded);
        }
        state.pushed += 1;
        state.bytes += size;
        state.items.push_back(item);
        Ok(state.notify_driver())
    }

    /// Ends the upload behind the items that were pushed.
    pub(crate) fn end(&self) -> NotifyDriver {
        let mut state = lock(&self.0);
        if std::mem::replace(&mut state.ended, true) { NotifyDriver::No } else { state.notify_driver() }
    }

    // --- The driver's side -------------------------------------------------------------------------------------------

    /// Sets the server's credit to `credit` items in all, each of at most `message_limit` bytes.
    pub(crate) fn set_credit(&self, credit: u64, message_limit: usize) {
        let mut state = lock(&self.0);
        state.credit = credit;
        state.message_limit = message_limit;
        unlock_and_wake(state, |state| state.sender.take());
    }

    pub(crate) fn take(&self) -> NextUpload {
        let mut state = lock(&self.0);
        match state.items.pop_front() {
            Some(item) => {
                let was_full = state.bytes >= Self::MAX_BYTES;
                state.bytes -= item.item_size();
                // The second condition is for `poll_empty`.
                if (was_full && state.bytes < Self::MAX_BYTES) || state.items.is_empty() {
                    unlock_and_wake(state, |state| state.sender.take());
                }
                NextUpload::Item(item)
            }
            None if state.ended => NextUpload::End,
            None => {
                state.driver_notified = false;
                NextUpload::Empty
            }
        }
    }

    /// Marks the call as ended: the driver takes no more items, and the sender fails from now on.
    pub(crate) fn end_call(&self) {
        let mut state = lock(&self.0);
        state.call_ended = true;
        unlock_and_wake(state, |state| state.sender.take());
    }
}

impl UploadQueueState {
    fn notify_driver(&mut self) -> NotifyDriver {
        let notified = std::mem::replace(&mut self.driver_notified, true);
        if notified || self.call_ended { NotifyDriver::No } else { NotifyDriver::Yes }
    }
}
