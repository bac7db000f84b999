//! The way of a stream's items from the driver to their reader.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use aaw_protocol::client::DisconnectReason;

use crate::CallError;
use crate::upload_queue::UploadQueue;

/// Items on their way to one reader. The room that the reader has told the server bounds them.
#[derive(Debug, Default)]
pub(crate) struct DownloadQueue(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<Box<str>>,
    end: Option<Result<(), CallError>>,
    reader: Option<Waker>,
    reader_gone: bool,
    /// Whoever is about to open the stream.
    opener: Option<Waker>,
}

/// What the reader of an [`DownloadQueue`] gets.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// One JSON value.
    Item(Box<str>),
    /// After the items that came: how it ended.
    End(Result<(), CallError>),
}

impl DownloadQueue {
    pub(crate) fn put(&self, item: Box<str>) {
        let mut inner = self.lock();
        // One that comes after the reader has gone is not kept, however long its call is.
        if !inner.reader_gone && inner.end.is_none() {
            inner.items.push_back(item);
            wake(inner);
        }
    }

    /// Nothing more comes. What is there can still be read. Only the first end counts.
    pub(crate) fn end(&self, how: Result<(), CallError>) {
        let mut inner = self.lock();
        if inner.end.is_none() {
            inner.end = Some(how);
            wake(inner);
        }
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut inner = self.lock();
        if let Some(item) = inner.items.pop_front() {
            return Poll::Ready(Next::Item(item));
        }
        if let Some(end) = &inner.end {
            return Poll::Ready(Next::End(end.clone()));
        }
        if !inner.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            inner.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The reader goes. Whether the stream was over.
    pub(crate) fn leave(&self) -> bool {
        let mut inner = self.lock();
        inner.reader_gone = true;
        inner.items = VecDeque::new();
        let (opener, over) = (inner.opener.take(), inner.end.is_some());
        drop(inner);
        if let Some(opener) = opener {
            opener.wake();
        }
        over
    }

    pub(crate) fn reader_gone(&self) -> bool {
        self.lock().reader_gone
    }

    /// Waits until the reader goes. For one that waits, no more.
    pub(crate) fn poll_reader_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.reader_gone {
            return Poll::Ready(());
        }
        inner.opener = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics with the lock held but an allocation, which leaves a queue behind that is still one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes without the lock, so that the reader does not wake up only to wait for it.
fn wake(mut inner: MutexGuard<'_, Inner>) {
    let reader = inner.reader.take();
    drop(inner);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// The driver's end of a stream. However it is lost, with the driver or before it got there, the stream ends.
#[derive(Debug)]
pub(crate) struct DriverEnd {
    pub(crate) inlet: Arc<DownloadQueue>,
    pub(crate) outlet: Option<Arc<UploadQueue>>,
}

impl DriverEnd {
    pub(crate) fn end(self, how: Result<(), CallError>) {
        self.inlet.end(how);
        // What is dropped does the rest.
    }
}

impl Drop for DriverEnd {
    fn drop(&mut self) {
        // The driver says how a stream ended, unless its runtime is shut down under it.
        self.inlet.end(Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs)));
        if let Some(outlet) = &self.outlet {
            outlet.call_over();
        }
    }
}
