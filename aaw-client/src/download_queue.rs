//! The queue of a stream: items on their way from the driver to an `ItemStream`.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use crate::CallError;
use crate::sync::{lock, store_waker, unlock_and_wake};

/// The items of one stream that were not read yet, and how it ended. The credit that the reader grants the server
/// bounds it, so nothing is dropped.
#[derive(Debug, Default)]
pub(crate) struct DownloadQueue(Mutex<DownloadQueueState>);

#[derive(Debug, Default)]
struct DownloadQueueState {
    items: VecDeque<Box<str>>,
    end: Option<Result<(), CallError>>,
    reader: Option<Waker>,
    reader_dropped: bool,
    /// The task that waits to send the call to the driver.
    opener: Option<Waker>,
}

/// What the reader of a [`DownloadQueue`] gets.
#[derive(Debug, PartialEq)]
pub(crate) enum NextDownload {
    /// One JSON value.
    Item(Box<str>),
    /// How the stream ended. Comes after its items, and again on each further poll.
    End(Result<(), CallError>),
}

impl DownloadQueue {
    // --- The driver's side -------------------------------------------------------------------------------------------

    /// Appends the items, and leaves `items` empty.
    pub(crate) fn push(&self, items: &mut Vec<Box<str>>) {
        let mut state = lock(&self.0);
        // After the reader was dropped, items arrive until the server has processed the cancellation. They are
        // discarded.
        if state.reader_dropped || state.end.is_some() {
            items.clear();
        } else if !items.is_empty() {
            state.items.extend(items.drain(..));
            unlock_and_wake(state, |state| state.reader.take());
        }
    }

    /// Ends the stream. Queued items can still be read. Further calls have no effect.
    pub(crate) fn end(&self, result: Result<(), CallError>) {
        let mut state = lock(&self.0);
        if state.end.is_none() {
            state.end = Some(result);
            unlock_and_wake(state, |state| state.reader.take());
        }
    }

    pub(crate) fn is_reader_dropped(&self) -> bool {
        lock(&self.0).reader_dropped
    }

    // --- The reader's side -------------------------------------------------------------------------------------------

    /// Polls for the next item. `taken` are items that were taken out together, and is the reader's own: the queue is locked
    /// once for all of them.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>, taken: &mut VecDeque<Box<str>>) -> Poll<NextDownload> {
        if let Some(item) = taken.pop_front() {
            return Poll::Ready(NextDownload::Item(item));
        }
        let mut state = lock(&self.0);
        std::mem::swap(&mut state.items, taken);
        if let Some(item) = taken.pop_front() {
            return Poll::Ready(NextDownload::Item(item));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(NextDownload::End(end.clone()));
        }
        store_waker(&mut state.reader, cx);
        Poll::Pending
    }

    /// Marks the reader as dropped and discards the items. Returns whether the stream had ended.
    pub(crate) fn drop_reader(&self) -> bool {
        let mut state = lock(&self.0);
        state.reader_dropped = true;
        state.items = VecDeque::new();
        let ended = state.end.is_some();
        unlock_and_wake(state, |state| state.opener.take());
        ended
    }

    /// Waits until the reader is dropped. Only one task may wait.
    pub(crate) fn poll_reader_dropped(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if state.reader_dropped {
            return Poll::Ready(());
        }
        store_waker(&mut state.opener, cx);
        Poll::Pending
    }
}
