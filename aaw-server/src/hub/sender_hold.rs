//! Holds up a sender whose pushes overrun readers that do read.
//!
//! A push never waits: its handler runs on, and the calls that follow it do not start. The sender has one hold at a time, to which
//! its further pushes of the same poll add. Each reader that it waits for has a [`HeldSender`] in its mailbox, and the hold ends
//! when the last of these is dropped. So the senders also go on when a mailbox ends, or its backlog is dropped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Counts the readers that a sender waits for, and wakes what waits for them: the sender's connection and its running calls.
#[derive(Debug)]
pub(crate) struct SenderHold {
    /// One more while the hold begins.
    readers: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

/// The part of a hold that one reader has. Dropping it releases the sender, unless it waits for other readers. That wakes tasks,
/// and may drop them: not to be done under a lock.
#[derive(Debug)]
pub(crate) struct HeldSender(Arc<SenderHold>);

impl SenderHold {
    /// Begins a hold, which lasts at least until the returned part is dropped.
    pub(crate) fn begin() -> (Arc<Self>, HeldSender) {
        let hold = Arc::new(Self { readers: AtomicUsize::new(1), wakers: Mutex::default() });
        (Arc::clone(&hold), HeldSender(hold))
    }

    /// Returns a part of the hold, unless it has ended.
    pub(crate) fn part(self: &Arc<Self>) -> Option<HeldSender> {
        let more = |readers| if readers == 0 { None } else { Some(readers + 1) };
        self.readers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(HeldSender(Arc::clone(self)))
    }

    /// Returns whether the sender may go on.
    pub(crate) fn has_ended(&self) -> bool {
        self.readers.load(Ordering::Acquire) == 0
    }

    /// Completes when the sender may go on.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_ended() {
            return Poll::Ready(());
        }
        let mut wakers = self.lock();
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
        drop(wakers);
        // Again, since it may have ended before the waker was registered.
        if self.has_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Wakes what waits, which no longer asks whether the hold has ended.
    pub(crate) fn wake_waiting(&self) {
        let wakers = std::mem::take(&mut *self.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Drops the wakers of what waits: the sender is gone.
    pub(crate) fn forget_waiting(&self) {
        let wakers = std::mem::take(&mut *self.lock());
        // Dropping them may drop tasks: not under the lock.
        drop(wakers);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        // Nothing panics while it holds the lock.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldSender {
    /// Returns the part of another reader.
    pub(crate) fn for_another_reader(&self) -> Self {
        self.0.readers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }

    /// Returns whether both are parts of one hold.
    pub(crate) fn is_of_same_hold(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Drop for HeldSender {
    fn drop(&mut self) {
        if self.0.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.wake_waiting();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_with_its_last_reader() {
        let (hold, begun) = SenderHold::begin();
        let (first, second) = (begun.for_another_reader(), begun.for_another_reader());
        let waker = futures_util::task::noop_waker();
        let mut cx = Context::from_waker(&waker);
        drop((begun, first));
        assert!(hold.poll_ended(&mut cx).is_pending() && hold.poll_ended(&mut cx).is_pending());
        assert_eq!(hold.lock().len(), 1, "a task is woken once");
        drop(second);
        assert!(hold.poll_ended(&mut cx).is_ready() && hold.lock().is_empty());
    }
}
