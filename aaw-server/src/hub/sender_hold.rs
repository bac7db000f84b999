//! Holds up a sender whose pushes overrun readers that do read.
//!
//! A push never waits: its handler runs on, and the calls that follow it do not start. The sender has one hold at a time, to which
//! its further pushes of the same poll add. Each reader that it waits for has a [`HeldSender`] in its mailbox, and the hold ends
//! when the last of these is dropped. So the senders also go on when a mailbox ends, or its backlog is dropped.
//!
//! A sender is a connection, a request over HTTP, or a client with all of these. Those that wait for the hold of their client have
//! holds of their own, which end with it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The number of senders at which those that are gone are looked for first.
const FIRST_SWEEP: usize = 64;

/// Counts the readers that a sender waits for, and wakes what waits for them: the sender's connection and its running calls.
#[derive(Debug)]
pub(crate) struct SenderHold {
    /// One more while the hold begins.
    readers: AtomicUsize,
    waiting: Mutex<Waiting>,
    /// Counts the holds of clients that have not ended. `None` for the hold of a connection or a request.
    open_clients: Option<Arc<AtomicUsize>>,
}

/// What waits for the end of a hold.
#[derive(Debug, Default)]
struct Waiting {
    wakers: Vec<Waker>,
    /// The connections and requests of a client, in the order in which they began to wait.
    senders: Vec<HeldSender>,
    /// The number of senders at which those that are gone are removed.
    sweep_at: usize,
}

/// The part of a hold that one reader has, or the hold of the sender's client. Dropping it releases the sender, unless it waits
/// for other readers. That wakes tasks, and may drop them: not to be done under a lock.
#[derive(Debug)]
pub(crate) struct HeldSender(Arc<SenderHold>);

impl SenderHold {
    /// Begins a hold, which lasts at least until the returned part is dropped.
    pub(crate) fn begin() -> (Arc<Self>, HeldSender) {
        Self::begin_counted(None)
    }

    /// As [`begin`](Self::begin), for a client. The hold is one of `open_clients` until it ends.
    pub(crate) fn begin_for_client(open_clients: &Arc<AtomicUsize>) -> (Arc<Self>, HeldSender) {
        open_clients.fetch_add(1, Ordering::Relaxed);
        Self::begin_counted(Some(Arc::clone(open_clients)))
    }

    fn begin_counted(open_clients: Option<Arc<AtomicUsize>>) -> (Arc<Self>, HeldSender) {
        let hold = Arc::new(Self { readers: AtomicUsize::new(1), waiting: Mutex::default(), open_clients });
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
        let mut waiting = self.lock();
        if !waiting.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.wakers.push(cx.waker().clone());
        }
        drop(waiting);
        // Again, since it may have ended before the waker was registered.
        if self.has_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Lets the hold of a connection or a request last until this one ends, that of its client. To be called without a lock.
    pub(crate) fn add_sender(&self, sender: HeldSender) {
        let mut gone = Vec::new();
        let mut waiting = self.lock();
        waiting.senders.push(sender);
        if waiting.senders.len() > waiting.sweep_at.max(FIRST_SWEEP) {
            gone.extend(waiting.senders.extract_if(.., |sender| sender.is_gone()));
            waiting.sweep_at = 2 * waiting.senders.len();
        }
        drop(waiting);
        drop(gone);
        // It may have ended before the sender was added.
        if self.has_ended() {
            self.wake_waiting();
        }
    }

    /// Wakes what waits, which no longer asks whether the hold has ended.
    pub(crate) fn wake_waiting(&self) {
        let Waiting { wakers, senders, .. } = std::mem::take(&mut *self.lock());
        wakers.into_iter().for_each(Waker::wake);
        drop(senders);
    }

    /// Drops the wakers of what waits: the sender is gone.
    pub(crate) fn forget_waiting(&self) {
        let waiting = std::mem::take(&mut *self.lock());
        // Dropping them may drop tasks: not under the lock.
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Returns whether the sender does not exist any more, and nothing else has a part of its hold.
    fn is_gone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Drop for HeldSender {
    fn drop(&mut self) {
        if self.0.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            if let Some(open) = &self.0.open_clients {
                open.fetch_sub(1, Ordering::Relaxed);
            }
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
        assert_eq!(hold.lock().wakers.len(), 1, "a task is woken once");
        drop(second);
        assert!(hold.poll_ended(&mut cx).is_ready() && hold.lock().wakers.is_empty());
    }

    #[test]
    fn the_holds_of_connections_end_with_that_of_their_client() {
        let open = Arc::default();
        let (client, begun) = SenderHold::begin_for_client(&open);
        assert_eq!(open.load(Ordering::Relaxed), 1);
        let (connection, part) = SenderHold::begin();
        client.add_sender(part);
        assert!(!connection.has_ended());
        drop(begun);
        assert!(connection.has_ended());
        assert_eq!(open.load(Ordering::Relaxed), 0);
        let (late, part) = SenderHold::begin();
        client.add_sender(part);
        assert!(late.has_ended(), "the client's has ended");
    }

    #[test]
    fn senders_that_are_gone_take_no_memory_of_their_clients_hold() {
        let (client, _begun) = SenderHold::begin_for_client(&Arc::default());
        let (connection, part) = SenderHold::begin();
        client.add_sender(part);
        for _ in 0..10 * FIRST_SWEEP {
            client.add_sender(SenderHold::begin().1);
        }
        assert!(client.lock().senders.len() <= 2 * FIRST_SWEEP);
        assert!(!connection.has_ended());
    }
}
