//! Queues that never make their writer wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A bounded queue from the driver to one listener. When it is full the oldest item is lost, and counted: the driver
/// waits for nobody, and a reader that catches up sees the latest.
#[derive(Debug)]
pub(crate) struct Inbox<T>(Mutex<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    capacity: usize,
    lost: u64,
    ended: bool,
    reader: Option<Waker>,
}

impl<T> Inbox<T> {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        let capacity = capacity.max(1);
        Arc::new(Self(Mutex::new(Inner { items: VecDeque::new(), capacity, lost: 0, ended: false, reader: None })))
    }

    pub(crate) fn put(&self, item: T) {
        let mut inner = self.lock();
        if inner.items.len() == inner.capacity {
            inner.items.pop_front();
            inner.lost += 1;
        }
        inner.items.push_back(item);
        wake(inner);
    }

    /// Nothing more will come. What is there can still be read.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.ended = true;
        wake(inner);
    }

    /// Items lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lock().lost
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut inner = self.lock();
        match inner.items.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if inner.ended => Poll::Ready(None),
            None => {
                inner.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing in here panics with the lock held but an allocation, which leaves a queue behind that is still one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes without the lock, so that the reader does not wake up only to wait for it.
fn wake<T>(mut inner: MutexGuard<'_, Inner<T>>) {
    let reader = inner.reader.take();
    drop(inner);
    if let Some(reader) = reader {
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_lost_and_counted() {
        let inbox = Inbox::new(2);
        for n in 0..5 {
            inbox.put(n);
        }
        inbox.end();
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(inbox.lost(), 3);
        assert_eq!(inbox.poll_next(&mut cx), Poll::Ready(Some(3)));
        assert_eq!(inbox.poll_next(&mut cx), Poll::Ready(Some(4)));
        assert_eq!(inbox.poll_next(&mut cx), Poll::Ready(None));
    }
}
