//! The queue of a listener: bounded, and it drops the oldest item instead of making its writer wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::sync::{lock, store_waker, unlock_and_wake};

/// A bounded queue from the driver to one listener. A push into a full queue drops and counts the oldest item: the
/// driver never waits for a listener, and a listener that catches up reads the latest items.
#[derive(Debug)]
pub(crate) struct LossyQueue<T>(Mutex<LossyQueueState<T>>);

#[derive(Debug)]
struct LossyQueueState<T> {
    items: VecDeque<T>,
    capacity: usize,
    dropped: u64,
    closed: bool,
    reader: Option<Waker>,
}

impl<T> LossyQueue<T> {
    /// Creates a queue of at most `capacity` items, and of at least one.
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        let capacity = capacity.max(1);
        let state = LossyQueueState { items: VecDeque::new(), capacity, dropped: 0, closed: false, reader: None };
        Arc::new(Self(Mutex::new(state)))
    }

    pub(crate) fn push(&self, item: T) {
        let mut state = lock(&self.0);
        if state.items.len() == state.capacity {
            state.items.pop_front();
            state.dropped += 1;
        }
        state.items.push_back(item);
        unlock_and_wake(state, |state| state.reader.take());
    }

    /// Ends the queue. Items that are still queued can be read.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.0);
        state.closed = true;
        unlock_and_wake(state, |state| state.reader.take());
    }

    /// The number of items dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        lock(&self.0).dropped
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        match state.items.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if state.closed => Poll::Ready(None),
            None => {
                store_waker(&mut state.reader, cx);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_and_counts_the_oldest_items() {
        let queue = LossyQueue::new(2);
        for n in 0..5 {
            queue.push(n);
        }
        queue.close();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(queue.dropped(), 3);
        assert_eq!(queue.poll_next(&mut cx), Poll::Ready(Some(3)));
        assert_eq!(queue.poll_next(&mut cx), Poll::Ready(Some(4)));
        assert_eq!(queue.poll_next(&mut cx), Poll::Ready(None));
    }
}
