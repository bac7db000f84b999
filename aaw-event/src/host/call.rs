//! One call of an event.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use super::instance::Running;
use super::waker::HostWaker;
use crate::abi::{RawCall, Sink, step};

/// A call that runs, polled in place on the host's thread.
///
/// May be polled by one task now and by another later, each with its own waker; only the last one is woken. Dropping it
/// cancels the handler: its future is dropped, and what panics there is contained and logged.
#[must_use = "a call does nothing unless polled"]
pub struct Call {
    raw: RawCall,
    /// After `raw` is dropped, the instance may stop.
    _running: Arc<Running>,
}

/// What a poll of a [`Call`] gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// An item: its JSON was appended. It is the only one of an answer, after which the call may be dropped.
    Item,
    /// Nothing more comes. A plain event ends so at once.
    End,
    /// It failed, in the words that the caller is told. An error that is not for callers was logged by the package.
    Failed(Failure),
    /// It panicked. The text (with its place, when known) is for the log only: the caller is told
    /// [`Code::PANIC`] in words of the host's.
    Panicked(String),
}

// SAFETY: the ABI lets a call be polled and dropped by any thread, one at a time.
unsafe impl Send for Call {}

impl Call {
    /// # Safety
    /// `raw` was made by `running`, and is kept nowhere else.
    pub(super) unsafe fn new(raw: RawCall, running: Arc<Running>) -> Self {
        Self { raw, _running: running }
    }

    /// Runs the handler until it waits or is done. What it answers is appended to `out` as JSON; in every other case
    /// `out` is left as it was.
    ///
    /// After an end it gives [`Step::End`].
    pub fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Step> {
        let before = out.len();
        let found = HostWaker::lend(cx.waker(), |waker| {
            // SAFETY: `&mut self` makes this the only thread in the call; waker and sink outlive the poll.
            unsafe { ((*self.raw.vtable).poll)(self.raw.data, waker, Sink::of(out)) }
        });
        let step = match found {
            step::ITEM => return Poll::Ready(Step::Item),
            step::PENDING => return Poll::Pending,
            step::END => Step::End,
            step::ERROR => Step::Failed(serde_json::from_slice(&out[before..]).unwrap_or_else(|error| {
                tracing::error!(%error, "a package failed in words that are no failure");
                Failure::new(Code::HANDLER, "Internal error")
            })),
            step::PANIC => Step::Panicked(String::from_utf8_lossy(&out[before..]).into_owned()),
            other => Step::Panicked(format!("the package answered a poll with {other}, which this host does not know")),
        };
        out.truncate(before);
        Poll::Ready(step)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // SAFETY: nobody else has the call, and its instance still runs.
        unsafe { ((*self.raw.vtable).drop)(self.raw.data) }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}
