//! The way of an upload's items from their sender to the driver.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use aaw_protocol::client::EncodedMessage;

use crate::UploadError;

/// Items on their way to the driver, no more than the server has room for, and few bytes of them: whoever sends waits
/// for both. Neither the line of calls and sends nor anything unbounded: in that line calls that wait for others to end
/// would hold up the very items that those wait for.
#[derive(Debug, Default)]
pub(crate) struct UploadQueue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<EncodedMessage>,
    bytes: usize,
    /// Items that were put in so far, and how many the server has room for in all.
    put: u64,
    room: u64,
    /// Bytes of the largest message that the server takes.
    limit: usize,
    /// No more are put in.
    ended: bool,
    /// The call is over, and nobody takes any out.
    call_over: bool,
    /// The driver knows that there is something to take out.
    told: bool,
    sender: Option<Waker>,
}

/// Whether the driver is to be told that there is something to take out.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    Driver,
    Nobody,
}

/// What the driver finds.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    Item(EncodedMessage),
    /// There will be no more.
    End,
    /// It will be told when there is more.
    Nothing,
}

impl UploadQueue {
    /// Bytes that wait to be taken out: enough to keep a socket busy until the sender has put in more.
    const FULL: usize = 64 << 10;

    // --- The sender's side -------------------------------------------------------------------------------------------

    /// Waits for room for an item.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let mut inner = self.lock();
        if inner.call_over || inner.ended {
            return Poll::Ready(Err(UploadError::Over));
        }
        if inner.put < inner.room && inner.bytes < Self::FULL {
            return Poll::Ready(Ok(()));
        }
        inner.wait(cx)
    }

    /// Waits until the driver has taken everything out, to write it.
    pub(crate) fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let mut inner = self.lock();
        if inner.items.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if inner.call_over {
            return Poll::Ready(Err(UploadError::Over));
        }
        inner.wait(cx)
    }

    /// Puts an item in, for which there [is room](Self::poll_room).
    pub(crate) fn put(&self, item: EncodedMessage) -> Result<Tell, UploadError> {
        let mut inner = self.lock();
        let (size, limit) = (item.item_size(), inner.limit);
        if size > limit {
            return Err(UploadError::TooLarge { size, limit });
        }
        if inner.call_over || inner.ended {
            return Err(UploadError::Over);
        }
        inner.put += 1;
        inner.bytes += size;
        inner.items.push_back(item);
        Ok(inner.tell())
    }

    /// Puts nothing more in.
    pub(crate) fn end(&self) -> Tell {
        let mut inner = self.lock();
        if std::mem::replace(&mut inner.ended, true) { Tell::Nobody } else { inner.tell() }
    }

    // --- The driver's side -------------------------------------------------------------------------------------------

    /// The server has room for `room` items in all, of `limit` bytes each.
    pub(crate) fn grant(&self, room: u64, limit: usize) {
        let mut inner = self.lock();
        inner.room = room;
        inner.limit = limit;
        wake(inner);
    }

    pub(crate) fn take(&self) -> Found {
        let mut inner = self.lock();
        match inner.items.pop_front() {
            Some(item) => {
                let full = inner.bytes >= Self::FULL;
                inner.bytes -= item.item_size();
                // Whoever waits for all to be taken, too.
                if (full && inner.bytes < Self::FULL) || inner.items.is_empty() {
                    wake(inner);
                }
                Found::Item(item)
            }
            None if inner.ended => Found::End,
            None => {
                inner.told = false;
                Found::Nothing
            }
        }
    }

    /// Nothing more is taken out, and whoever waits hears it.
    pub(crate) fn call_over(&self) {
        let mut inner = self.lock();
        inner.call_over = true;
        wake(inner);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics with the lock held but an allocation, which leaves a queue behind that is still one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Result<(), UploadError>> {
        if !self.sender.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.sender = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn tell(&mut self) -> Tell {
        if std::mem::replace(&mut self.told, true) || self.call_over { Tell::Nobody } else { Tell::Driver }
    }
}

/// Wakes without the lock, so that the sender does not wake up only to wait for it.
fn wake(mut inner: MutexGuard<'_, Inner>) {
    let sender = inner.sender.take();
    drop(inner);
    if let Some(sender) = sender {
        sender.wake();
    }
}
