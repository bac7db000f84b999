//! The results of calls and one-way sends: on their way from the driver to the futures that wait for them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use aaw_protocol::slab::{Slab, SlabKey};

use crate::sync::{lock, store_waker, unlock_and_wake};

/// Replies of the driver, each for one waiting future. One slab holds all of them; a oneshot channel for each call would be an
/// allocation.
#[derive(Debug)]
pub(crate) struct Replies<T>(Mutex<RepliesState<T>>);

#[derive(Debug)]
struct RepliesState<T> {
    slab: Slab<Reply<T>>,
    /// The driver has ended.
    closed: bool,
}

#[derive(Debug)]
enum Reply<T> {
    Awaited(Option<Waker>),
    Sent(T),
}

/// Names the future that a reply is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyKey(SlabKey);

/// Waits for a reply: `None` if the driver has ended without one. After it was dropped, [`Replies::is_awaited`] is `false`.
#[derive(Debug)]
pub(crate) struct ReplyFuture<'a, T> {
    replies: &'a Replies<T>,
    key: ReplyKey,
    completed: bool,
}

impl<T> Default for Replies<T> {
    fn default() -> Self {
        Self(Mutex::new(RepliesState { slab: Slab::default(), closed: false }))
    }
}

impl<T> Replies<T> {
    /// The capacity that is kept when nothing waits.
    const KEPT_CAPACITY: usize = 1024;

    /// Returns a future for a reply to the [key](ReplyFuture::key).
    pub(crate) fn wait(&self) -> ReplyFuture<'_, T> {
        let key = ReplyKey(lock(&self.0).slab.insert(Reply::Awaited(None)));
        ReplyFuture { replies: self, key, completed: false }
    }

    // --- The driver's side -------------------------------------------------------------------------------------------

    /// Returns whether the future still waits.
    pub(crate) fn is_awaited(&self, key: ReplyKey) -> bool {
        lock(&self.0).slab.get(key.0).is_some()
    }

    /// Sends a reply. Has no effect if the future was dropped.
    pub(crate) fn send(&self, key: ReplyKey, result: T) {
        let mut state = lock(&self.0);
        if let Some(reply) = state.slab.get_mut(key.0)
            && let Reply::Awaited(waker) = reply
        {
            let waker = waker.take();
            *reply = Reply::Sent(result);
            unlock_and_wake(state, |_| waker);
        }
    }

    /// Ends all futures that have no reply.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.0);
        state.closed = true;
        let wakers: Vec<_> = state
            .slab
            .iter_mut()
            .filter_map(|reply| match reply {
                Reply::Awaited(waker) => waker.take(),
                Reply::Sent(_) => None,
            })
            .collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<T> RepliesState<T> {
    fn remove(&mut self, key: ReplyKey) -> Option<Reply<T>> {
        let reply = self.slab.remove(key.0);
        if self.slab.is_empty() && self.slab.capacity() > Replies::<T>::KEPT_CAPACITY {
            self.slab.free_if_empty();
        }
        reply
    }
}

impl<T> ReplyFuture<'_, T> {
    pub(crate) fn key(&self) -> ReplyKey {
        self.key
    }

    /// Returns whether it has completed, so that it must not be polled again.
    pub(crate) fn is_completed(&self) -> bool {
        self.completed
    }

    /// Makes [`Replies::is_awaited`] `false`, as dropping the future does.
    pub(crate) fn abandon(&mut self) {
        if !std::mem::replace(&mut self.completed, true) {
            // Dropped after the lock is released: a result may be long, and a waker is code of the runtime.
            let _reply = lock(&self.replies.0).remove(self.key);
        }
    }
}

impl<T> Future for ReplyFuture<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.replies.0);
        let closed = state.closed;
        if let Some(Reply::Awaited(waker)) = state.slab.get_mut(self.key.0)
            && !closed
        {
            store_waker(waker, cx);
            return Poll::Pending;
        }
        let reply = state.remove(self.key);
        drop(state);
        self.completed = true;
        match reply {
            Some(Reply::Sent(result)) => Poll::Ready(Some(result)),
            Some(Reply::Awaited(_)) | None => Poll::Ready(None),
        }
    }
}

impl<T> Drop for ReplyFuture<'_, T> {
    fn drop(&mut self) {
        self.abandon();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_reply_wakes_its_future_once() {
        let (replies, wakes) = (Replies::default(), Arc::new(Counter::default()));
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let (mut first, mut second) = (pin!(replies.wait()), pin!(replies.wait()));
        assert!(first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending());
        replies.send(second.key(), 2);
        replies.send(second.key(), 3);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert_eq!(second.as_mut().poll(&mut cx), Poll::Ready(Some(2)));
        assert!(second.is_completed() && !replies.is_awaited(second.key()));
    }

    #[test]
    fn a_dropped_future_is_not_awaited() {
        let replies = Replies::default();
        let (dropped, sent) = (replies.wait(), replies.wait());
        let key = dropped.key();
        assert!(replies.is_awaited(key));
        drop(dropped);
        assert!(!replies.is_awaited(key));
        replies.send(key, 1);
        replies.send(sent.key(), 2);
        drop(sent);
        assert!(lock(&replies.0).slab.is_empty());
    }

    #[test]
    fn the_end_of_the_driver_ends_those_without_a_reply() {
        let (replies, wakes) = (Replies::default(), Arc::new(Counter::default()));
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let (mut waiting, mut sent) = (pin!(replies.wait()), pin!(replies.wait()));
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        replies.send(sent.key(), 1);
        replies.close();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert_eq!(sent.as_mut().poll(&mut cx), Poll::Ready(Some(1)));
        assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(None));
        assert_eq!(pin!(replies.wait()).poll(&mut cx), Poll::Ready(None));
    }

    #[test]
    fn the_memory_of_a_burst_is_freed() {
        let replies = Replies::<u64>::default();
        drop((0..10_000).map(|_| replies.wait()).collect::<Vec<_>>());
        assert_eq!(lock(&replies.0).slab.capacity(), 0);
    }
}
