//! One call of an event or a hook.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use super::output::{ItemSink, NO_OUTPUT, WrittenItems, with_output};
use super::place::Place;
use super::running::RunningPackage;
use crate::abi::{CallVtable, PollArgs, RawCall, step};
use crate::sink::SinkBuffer;
use crate::waker;

/// A running call, polled in place on the host's thread.
///
/// It may be polled by different tasks in turn, each with its own waker; only the most recent waker is woken. Dropping
/// the call cancels the handler: its future is dropped, and a panic in a destructor is caught and logged.
#[must_use = "a call does nothing unless polled"]
pub struct Call {
    raw: RawCall,
    /// The memory of the call's state, if the host has lent it. Not used by anything else before `raw` has been dropped.
    place: Option<Place>,
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
    /// The package has violated the ABI: it was not built by aaw-event, or not by a version that this host knows. The text
    /// says how, and is for the log only. Nothing that it says about lengths has been trusted. The call should be
    /// dropped.
    Broken(String),
}

// SAFETY: the ABI lets a call be polled and dropped by any thread, one at a time.
unsafe impl Send for Call {}

impl Call {
    /// # Safety
    /// `raw` was made by `package`, and is kept nowhere else.
    pub(super) unsafe fn new(raw: RawCall, package: Arc<RunningPackage>, place: Option<Place>) -> Self {
        Self { raw, place, _package: package }
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
        let step = self.poll_items(cx, out, max_len).step;
        if step != Poll::Ready(Step::Item) {
            // A handler can still fail when its item has been written, in the item's destructor.
            out.truncate(head_len);
        }
        step
    }

    /// Runs the handler until it waits or ends, or until `sink` takes no further item. The items are written to the end of
    /// the sink's buffer as JSON, each of at most `max_len` bytes.
    ///
    /// A batch of items costs one crossing of the ABI, and one entry of the package's runtime. With [`Step::Item`], the sink
    /// has refused a further item. With [`Step::TooLarge`], that item was not written, those before it were. Items may
    /// also have been written when the result is pending, or the end.
    pub fn poll_items(&mut self, cx: &mut Context<'_>, sink: &mut dyn ItemSink, max_len: usize) -> PolledItems {
        // SAFETY: a table is at least as long as in the first version of the ABI, and begins with its size.
        let poll_items = unsafe {
            if (&raw const (*self.raw.vtable).size).read() > CallVtable::SIZE_WITHOUT_POLL_ITEMS {
                (*self.raw.vtable).poll_items
            } else {
                None
            }
        };
        let Some(poll_items) = poll_items else { return self.poll_items_one_by_one(cx, sink, max_len) };
        poll_in_place(cx, sink, max_len, |poll| {
            // SAFETY: `&mut self` makes this the only poll, and its arguments outlive it.
            unsafe { poll_items(self.raw.data, poll) }
        })
    }

    #[cfg(test)]
    pub(super) fn raw(&self) -> RawCall {
        self.raw
    }

    #[cfg(test)]
    pub(super) fn with_vtable(mut self, vtable: &'static CallVtable) -> Self {
        self.raw.vtable = vtable;
        self
    }

    /// As [`Call::poll_items`], for a package that was built before there was output in place.
    fn poll_items_one_by_one(&mut self, cx: &mut Context<'_>, sink: &mut dyn ItemSink, max_len: usize) -> PolledItems {
        let mut items = 0;
        loop {
            let out = sink.buffer();
            let start = out.len();
            let step = self.poll_once(cx, out, max_len);
            if step != Poll::Ready(Step::Item) {
                return PolledItems { items, step };
            }
            items += 1;
            if !sink.end_item(start) {
                return PolledItems { items, step };
            }
        }
    }

    fn poll_once(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>, max_len: usize) -> Poll<Step> {
        let head_len = out.len();
        let mut buffer = SinkBuffer::limited(out, max_len);
        let code = waker::lend(cx.waker(), |waker| {
            // SAFETY: `&mut self` makes this the only poll; waker and sink outlive it.
            unsafe { ((*self.raw.vtable).poll)(self.raw.data, waker, buffer.sink()) }
        });
        let refused_len = buffer.refused_len();
        match (code, refused_len) {
            (step::PENDING, _) => {}
            (step::ITEM, Some(len)) => return Poll::Ready(Step::TooLarge(len)),
            (step::ITEM, None) => return Poll::Ready(Step::Item),
            (code, refused_len) => {
                let text = out.split_off(head_len);
                return Poll::Ready(ended(code, &text, refused_len));
            }
        }
        out.truncate(head_len);
        Poll::Pending
    }
}

/// What [`Call::poll_items`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct PolledItems {
    /// The number of items that were written.
    pub items: u64,
    /// What the poll has ended with.
    pub step: Poll<Step>,
}

/// Polls a call through `poll`, which takes the arguments of the poll and returns a value of [`step`].
#[inline]
pub(super) fn poll_in_place(
    cx: &mut Context<'_>,
    sink: &mut dyn ItemSink,
    max_len: usize,
    poll: impl FnOnce(*const PollArgs) -> u32,
) -> PolledItems {
    let mut text = Vec::new();
    let mut failure = SinkBuffer::limited(&mut text, max_len);
    let (code, WrittenItems { count: items, refused_len, violation }) = with_output(sink, max_len, |output| {
        waker::lend(cx.waker(), |waker| {
            let args = PollArgs { size: size_of::<PollArgs>(), waker, output, failure: failure.sink() };
            poll(&raw const args)
        })
    });
    let step = match (code, refused_len) {
        _ if violation.is_some() => Step::Broken(violation.unwrap_or_default()),
        (step::PENDING, None) => return PolledItems { items, step: Poll::Pending },
        (step::PENDING | step::ITEM, Some(len)) => Step::TooLarge(len),
        (step::ITEM, None) if items > 0 => Step::Item,
        (step::ITEM, None) => Step::Broken("it returned an item without having ended one".to_owned()),
        (code, _) => {
            let refused_len = failure.refused_len();
            ended(code, &text, refused_len)
        }
    };
    PolledItems { items, step: Poll::Ready(step) }
}

/// Begins a call through `begin`, which does not poll it, and returns a value of [`step`].
#[inline]
pub(super) fn begin_without_poll(max_len: usize, begin: impl FnOnce(*const PollArgs) -> u32) -> Poll<Step> {
    let mut text = Vec::new();
    let mut failure = SinkBuffer::limited(&mut text, max_len);
    let (waker, output) = (std::ptr::null(), NO_OUTPUT);
    let args = PollArgs { size: size_of::<PollArgs>(), waker, output, failure: failure.sink() };
    let code = begin(&raw const args);
    let refused_len = failure.refused_len();
    match code {
        step::PENDING => Poll::Pending,
        step::ITEM => Poll::Ready(Step::Broken("it returned an item of a stream that was not polled".to_owned())),
        code => Poll::Ready(ended(code, &text, refused_len)),
    }
}

/// The step with which a call has ended.
fn ended(code: u32, text: &[u8], refused_len: Option<usize>) -> Step {
    match (code, refused_len) {
        (step::END, _) => Step::End,
        (step::ERROR | step::REFUSED, Some(len)) => Step::TooLarge(len),
        (step::ERROR, None) => Step::Failed(parse_failure(text)),
        (step::REFUSED, None) => Step::Refused(parse_failure(text)),
        (step::PANIC, None) => Step::Panicked(String::from_utf8_lossy(text).into_owned()),
        (step::PANIC, Some(len)) => Step::Panicked(format!("with a text of {len} bytes, more than the host accepts")),
        (unknown, _) => Step::Broken(format!("it returned the step {unknown}, which this host does not know")),
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
        if let Some(place) = self.place.take() {
            place.put_back();
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}
