//! The calls that the host polls: an author's future or stream, or the result of a call that ended when it began.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};
use pin_project_lite::pin_project;

use super::runtime::PackageRuntime;
use crate::abi::{self, CallVtable, RawCall, Sink, step};
use crate::catch_panic::catch_panic;
use crate::waker;

/// A call that can be polled: a future or a stream, and how its output is written.
pub(super) trait PollCall: Send + 'static {
    /// Runs the handler, and writes an item or a failure to `out`.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, out: CallOutput) -> CallProgress;
}

/// The result of a poll of a [`PollCall`].
#[derive(PartialEq)]
pub(super) enum CallProgress {
    Pending,
    /// An item was written, and others may follow.
    Item,
    /// The call has ended, with this value of [`step`].
    Ended(u32),
}

/// Writes the output of a future.
pub(super) trait WriteOutput<O>: Send + 'static {
    /// Writes an item or a failure to `out`, and returns a value of [`step`].
    fn write_output(&self, output: O, out: CallOutput) -> u32;
}

pin_project! {
    /// A future, and how its output is written.
    struct FutureCall<F, W> {
        #[pin]
        future: F,
        writer: W,
    }
}

impl<F, W> PollCall for FutureCall<F, W>
where
    F: Future + Send + 'static,
    W: WriteOutput<F::Output>,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, out: CallOutput) -> CallProgress {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Pending => CallProgress::Pending,
            Poll::Ready(output) => CallProgress::Ended(this.writer.write_output(output, out)),
        }
    }
}

/// The sink of the current poll.
#[derive(Clone, Copy)]
pub(super) struct CallOutput(Sink);

impl CallOutput {
    pub(super) fn write(self, bytes: &[u8]) {
        // A refusal is the host's concern: the step is the same.
        // SAFETY: a `CallOutput` is made in `poll` only and passed to `PollCall::poll` alone, which does not keep it.
        let _ = unsafe { self.0.write(bytes) };
    }

    /// Writes a failure, and returns the step for it.
    pub(super) fn fail(self, failure: &Failure) -> u32 {
        self.write(&serde_json::to_vec(failure).unwrap_or_default());
        step::ERROR
    }
}

/// A handler's future or stream in its box: the one allocation of a call.
struct BoxedCall<C> {
    /// `None` once it has ended.
    call: Option<C>,
    /// Part of the instance, which the host keeps alive while it has calls.
    runtime: *const PackageRuntime,
}

/// Boxes `future` as a call that is polled in `runtime`.
pub(super) fn from_future<F, W>(future: F, writer: W, runtime: &PackageRuntime) -> RawCall
where
    F: Future + Send + 'static,
    W: WriteOutput<F::Output>,
{
    boxed(FutureCall { future, writer }, runtime)
}

/// Boxes `call`, which is polled in `runtime`.
pub(super) fn boxed<C: PollCall>(call: C, runtime: &PackageRuntime) -> RawCall {
    let boxed = Box::new(BoxedCall { call: Some(call), runtime });
    RawCall { data: Box::into_raw(boxed).cast(), vtable: &CallVtableOf::<C>::VTABLE }
}

struct CallVtableOf<C>(PhantomData<C>);

impl<C: PollCall> CallVtableOf<C> {
    const VTABLE: CallVtable = CallVtable { size: size_of::<CallVtable>(), poll: poll::<C>, drop: drop_boxed::<C> };
}

unsafe extern "C" fn poll<C: PollCall>(data: *mut c_void, waker: *const abi::Waker, sink: Sink) -> u32 {
    // SAFETY: `data` is the box of `boxed`, and the host polls from one thread at a time.
    let boxed = unsafe { &mut *data.cast::<BoxedCall<C>>() };
    // SAFETY: the box never moves, and the call leaves it only by being dropped.
    let mut call = unsafe { Pin::new_unchecked(&mut boxed.call) };
    // SAFETY: the instance outlives its calls.
    let runtime = unsafe { &*boxed.runtime };
    let out = CallOutput(sink);
    let polled = runtime.poll(|| {
        let polled = catch_panic(|| {
            let Some(inner) = call.as_mut().as_pin_mut() else { return CallProgress::Ended(step::END) };
            // SAFETY: the host's waker lives for the length of this poll.
            let waker = unsafe { waker::borrow(waker) };
            inner.poll(&mut Context::from_waker(&waker), out)
        });
        // The handler's state is dropped now, inside the runtime, rather than when the host drops the call: a reader
        // that takes its time must not keep it alive.
        if !matches!(polled, Ok(CallProgress::Pending | CallProgress::Item)) {
            drop_caught(|| call.set(None));
        }
        polled
    });
    match polled {
        Ok(Ok(CallProgress::Pending)) => step::PENDING,
        Ok(Ok(CallProgress::Item)) => step::ITEM,
        Ok(Ok(CallProgress::Ended(step))) => step,
        Ok(Err(panic)) => {
            out.write(panic.as_bytes());
            step::PANIC
        }
        Err(error) => {
            // A call ends once, so it is not polled again.
            drop_caught(|| call.set(None));
            out.fail(&runtime_failure(&error))
        }
    }
}

unsafe extern "C" fn drop_boxed<C>(data: *mut c_void) {
    // SAFETY: the box of `boxed`; the host drops a call once, and does not use it again.
    let mut boxed = unsafe { Box::from_raw(data.cast::<BoxedCall<C>>()) };
    if boxed.call.is_some() {
        // SAFETY: the instance outlives its calls.
        let runtime = unsafe { &*boxed.runtime };
        // A destructor may spawn tasks or use timers. If the runtime is unavailable, the call is dropped without it.
        let _ = runtime.enter(|| drop_caught(|| boxed.call = None));
    }
    drop_caught(|| drop(boxed));
}

/// Runs a destructor. A panic in it has no caller to be reported to, so it is logged.
pub(super) fn drop_caught(f: impl FnOnce()) {
    if let Err(panic) = catch_panic(f) {
        tracing::error!(panic, "a handler panicked while it was dropped");
    }
}

/// Logs that the package's runtime is unavailable, and returns what the caller receives.
pub(super) fn runtime_failure(error: &std::io::Error) -> Failure {
    tracing::error!(%error, "the runtime of the events package cannot be used");
    Failure::internal(Code::INTERNAL)
}

/// The result of a call that has ended when it began.
pub(super) enum CompletedCall {
    /// A one-way handler has run, or there was nothing to do.
    Done,
    /// The handler did not run.
    Refused(Failure),
    Failed(Failure),
    Panicked(String),
}

/// A call that returns `result` at its first poll. Allocates only when there is something to write.
pub(super) fn completed(result: CompletedCall) -> RawCall {
    let json = |failure| serde_json::to_vec(&failure).unwrap_or_default();
    let last = match result {
        CompletedCall::Done => return RawCall { data: std::ptr::null_mut(), vtable: &COMPLETED },
        CompletedCall::Refused(failure) => LastStep { step: step::REFUSED, text: json(failure) },
        CompletedCall::Failed(failure) => LastStep { step: step::ERROR, text: json(failure) },
        CompletedCall::Panicked(text) => LastStep { step: step::PANIC, text: text.into_bytes() },
    };
    RawCall { data: Box::into_raw(Box::new(last)).cast(), vtable: &COMPLETED }
}

/// Returned by the first poll; then the step becomes `END`.
struct LastStep {
    step: u32,
    text: Vec<u8>,
}

static COMPLETED: CallVtable = CallVtable { size: size_of::<CallVtable>(), poll: poll_completed, drop: drop_completed };

unsafe extern "C" fn poll_completed(data: *mut c_void, _: *const abi::Waker, sink: Sink) -> u32 {
    // SAFETY: null, or the box of `completed`; polled from one thread at a time.
    let Some(last) = (unsafe { data.cast::<LastStep>().as_mut() }) else { return step::END };
    if last.step != step::END {
        CallOutput(sink).write(&last.text);
    }
    std::mem::replace(&mut last.step, step::END)
}

unsafe extern "C" fn drop_completed(data: *mut c_void) {
    if !data.is_null() {
        // SAFETY: the box of `completed`; the host drops a call once.
        drop(unsafe { Box::from_raw(data.cast::<LastStep>()) });
    }
}
