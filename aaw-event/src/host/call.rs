//! One call of an event.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use super::instance::Running;
use crate::abi::{RawCall, step};
use crate::sink::Buffer;
use crate::waker::Lent;

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
///
/// Exhaustive on purpose: a host that does not know a step would answer its caller wrongly, so a new one is a new
/// version of this crate.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// An item: its JSON was appended. It is the only one of an answer, after which the call may be dropped; a stream
    /// goes on at the next poll.
    Item,
    /// Nothing more comes. A plain event ends so at once, and so does a hook that went well.
    End,
    /// The handler was not run: its body does not fit. The words are for the caller.
    ///
    /// Only the package's own check of a body gives this: a handler that fails with the same code has
    /// [`Failed`](Self::Failed).
    Refused(Failure),
    /// It failed, perhaps after items, in the words that the caller is told. An error that is not for callers was logged by the package.
    Failed(Failure),
    /// Its item, or its failure, is longer than the host takes: so many bytes. None of them were copied. A stream
    /// does not end by that: the next poll gives its next item.
    TooLarge(usize),
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

    /// Runs the handler until it waits, has an item, or is done: one item a poll. What it answers is appended to `out` as JSON; in every other case
    /// `out` is left as it was.
    ///
    /// What is longer than `max_len` bytes is not copied: then it gives [`Step::TooLarge`]. That bounds `out`, not what
    /// the package needs to make the answer. After an end it gives [`Step::End`]; what the handler held has been dropped by
    /// then, within the poll that ended it.
    ///
    /// A stream that is always ready gives an item at each poll: whoever polls it in a loop bounds how many it takes in
    /// one turn.
    pub fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>, max_len: usize) -> Poll<Step> {
        let head_len = out.len();
        let mut buffer = Buffer::limited(out, max_len);
        let found = Lent::lend(cx.waker(), |waker| {
            // SAFETY: `&mut self` makes this the only thread in the call; waker and sink outlive the poll.
            unsafe { ((*self.raw.vtable).poll)(self.raw.data, waker, buffer.sink()) }
        });
        let refused_len = buffer.refused_len();
        let step = match (found, refused_len) {
            (step::ITEM | step::ERROR | step::REFUSED, Some(len)) => Step::TooLarge(len),
            (step::ITEM, None) => return Poll::Ready(Step::Item),
            (step::ERROR, None) => Step::Failed(failure(&out[head_len..])),
            (step::REFUSED, None) => Step::Refused(failure(&out[head_len..])),
            (step::END, _) => Step::End,
            (step::PANIC, None) => Step::Panicked(String::from_utf8_lossy(&out[head_len..]).into_owned()),
            (step::PANIC, Some(len)) => Step::Panicked(format!("in {len} bytes, which is more than the host takes")),
            (step::PENDING, _) => {
                out.truncate(head_len);
                return Poll::Pending;
            }
            (other, _) => {
                Step::Panicked(format!("the package answered a poll with {other}, which this host does not know"))
            }
        };
        out.truncate(head_len);
        Poll::Ready(step)
    }
}

fn failure(json: &[u8]) -> Failure {
    serde_json::from_slice(json).unwrap_or_else(|error| {
        tracing::error!(%error, "a package failed in words that are no failure");
        Failure::internal(Code::HANDLER)
    })
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
