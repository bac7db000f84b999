//! One call of an event or a hook.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use super::running::RunningPackage;
use crate::abi::{RawCall, step};
use crate::sink::SinkBuffer;
use crate::waker;

/// A running call, polled in place on the host's thread.
///
/// It may be polled by different tasks in turn, each with its own waker; only the most recent waker is woken. Dropping
/// the call cancels the handler: its future is dropped, and a panic in a destructor is caught and logged.
#[must_use = "a call does nothing unless polled"]
pub struct Call {
    raw: RawCall,
    /// Dropped after `raw`: the package may stop only when its calls have been dropped.
    _package: Arc<RunningPackage>,
}

/// What a poll of a [`Call`] returns.
///
/// Exhaustive on purpose: a host that ignored an unknown step would respond wrongly to its caller, so a new step
/// requires a new version of this crate.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// An item: its JSON was appended. A unary call has exactly one, its response, after which the call may be dropped.
    /// A stream continues with the next poll.
    Item,
    /// The end: nothing follows. A one-way event, and a hook that has succeeded, return this at once.
    End,
    /// The body does not fit, so the handler did not run. The failure is meant for the caller.
    ///
    /// Only the package's own check of the body has this result. A handler that fails with the same code has
    /// [`Failed`](Self::Failed).
    Refused(Failure),
    /// The handler failed, possibly after items. The failure is meant for the caller; an internal error has already
    /// been logged by the package.
    Failed(Failure),
    /// An item or a failure had this many bytes, more than the host accepts. None of them were copied. This does not
    /// end a stream: the next poll returns its next item.
    TooLarge(usize),
    /// The handler panicked. The text (with the panic's location, when known) is for the log only; the host sends its
    /// own text with the code [`Code::PANIC`].
    Panicked(String),
}

// SAFETY: the ABI lets a call be polled and dropped by any thread, one at a time.
unsafe impl Send for Call {}

impl Call {
    /// # Safety
    /// `raw` was made by `package`, and is kept nowhere else.
    pub(super) unsafe fn new(raw: RawCall, package: Arc<RunningPackage>) -> Self {
        Self { raw, _package: package }
    }

    /// Runs the handler until it waits, has an item, or ends: at most one item per poll. The item is appended to `out`
    /// as JSON; in every other case `out` is left unchanged.
    ///
    /// An item or failure longer than `max_len` bytes is not copied: the result is then [`Step::TooLarge`]. That limits
    /// the length of `out`, not the memory in which the package builds the item. Polled after its end, the call returns
    /// [`Step::End`]. The handler's state is dropped within the poll that ends it.
    ///
    /// A stream that is always ready returns an item at each poll. A host that polls in a loop must limit how many
    /// items it takes in one turn.
    pub fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>, max_len: usize) -> Poll<Step> {
        let head_len = out.len();
        let mut buffer = SinkBuffer::limited(out, max_len);
        let code = waker::lend(cx.waker(), |waker| {
            // SAFETY: `&mut self` makes this the only poll; waker and sink outlive it.
            unsafe { ((*self.raw.vtable).poll)(self.raw.data, waker, buffer.sink()) }
        });
        let refused_len = buffer.refused_len();
        let step = match (code, refused_len) {
            (step::ITEM | step::ERROR | step::REFUSED, Some(len)) => Step::TooLarge(len),
            (step::ITEM, None) => return Poll::Ready(Step::Item),
            (step::ERROR, None) => Step::Failed(parse_failure(&out[head_len..])),
            (step::REFUSED, None) => Step::Refused(parse_failure(&out[head_len..])),
            (step::END, _) => Step::End,
            (step::PANIC, None) => Step::Panicked(String::from_utf8_lossy(&out[head_len..]).into_owned()),
            (step::PANIC, Some(len)) => {
                Step::Panicked(format!("with a text of {len} bytes, more than the host accepts"))
            }
            (step::PENDING, _) => {
                out.truncate(head_len);
                return Poll::Pending;
            }
            (unknown, _) => {
                Step::Panicked(format!("the package returned the step {unknown}, which this host does not know"))
            }
        };
        out.truncate(head_len);
        Poll::Ready(step)
    }
}

fn parse_failure(json: &[u8]) -> Failure {
    let mut failure: Failure = serde_json::from_slice(json).unwrap_or_else(|error| {
        tracing::error!(%error, "a package returned a failure that cannot be parsed");
        Failure::internal(Code::INTERNAL)
    });
    // Libraries that were built with an earlier version of this crate have no code of its own for this.
    if failure.code == Code::HANDLER && failure.error == Failure::INTERNAL {
        failure.code = Code::INTERNAL;
    }
    failure
}

impl Drop for Call {
    fn drop(&mut self) {
        // SAFETY: `self` owns the call, and its package is still running.
        unsafe { ((*self.raw.vtable).drop)(self.raw.data) }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}
