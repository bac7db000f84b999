//! The calls that the host polls: an author's future or stream, or the result of a call that ended when it began.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};
use pin_project_lite::pin_project;

use super::output::CallOutput;
use super::runtime::PackageRuntime;
use crate::abi::{self, CallVtable, PollArgs, RawCall, Sink, step};
use crate::catch_panic::catch_panic;
use crate::throttle::log_throttled;
use crate::waker;

/// A call that can be polled: a future or a stream, and how its output is written.
pub(super) trait PollCall: Send + 'static {
    /// Runs the handler, and writes items or a failure to `out`.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut CallOutput) -> CallProgress;
}

/// The result of a poll of a [`PollCall`].
#[derive(PartialEq)]
pub(super) enum CallProgress {
    /// It waits. Items may have been written.
    Pending,
    /// Items were written, the host wants no more in this poll, and others may follow.
    Item,
    /// The call has ended, with this value of [`step`].
    Ended(u32),
}

/// Writes the output of a future.
pub(super) trait WriteOutput<O>: Send + 'static {
    /// Writes an item or a failure to `out`, and returns a value of [`step`].
    fn write_output(&self, output: O, out: &mut CallOutput) -> u32;
}

pin_project! {
    /// A future, and how its output is written.
    pub(super) struct FutureCall<F, W> {
        #[pin]
        future: F,
        writer: W,
    }
}

impl<F, W> FutureCall<F, W> {
    pub(super) fn new(future: F, writer: W) -> Self {
        Self { future, writer }
    }
}

impl<F, W> PollCall for FutureCall<F, W>
where
    F: Future + Send + 'static,
    W: WriteOutput<F::Output>,
{
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut CallOutput) -> CallProgress {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Pending => CallProgress::Pending,
            Poll::Ready(output) => CallProgress::Ended(this.writer.write_output(output, out)),
        }
    }
}

/// The state of a call, in a box or in memory that the host has lent.
pub(super) struct CallState<C> {
    /// `None` once it has ended.
    call: Option<C>,
    /// Part of the instance, which the host keeps alive while it has calls.
    runtime: *const PackageRuntime,
}

impl<C: PollCall> CallState<C> {
    pub(super) fn new(call: C, runtime: &PackageRuntime) -> Self {
        Self { call: Some(call), runtime }
    }

    /// Polls the call, and returns a value of [`step`]. To be called within the runtime.
    ///
    /// # Safety
    /// `waker` lives for the length of this poll.
    #[inline]
    pub(super) unsafe fn poll(self: Pin<&mut Self>, waker: *const abi::Waker, out: &mut CallOutput) -> u32 {
        // SAFETY: the call is pinned with the state, and leaves it only by being dropped.
        let mut call = unsafe { self.map_unchecked_mut(|state| &mut state.call) };
        let mut progress = None;
        let caught = catch_panic(|| {
            let polled = match call.as_mut().as_pin_mut() {
                Some(inner) => {
                    // SAFETY: the caller's guarantee is passed on.
                    let waker = unsafe { waker::borrow(waker) };
                    inner.poll(&mut Context::from_waker(&waker), out)
                }
                None => CallProgress::Ended(step::END),
            };
            let has_ended = matches!(polled, CallProgress::Ended(_));
            progress = Some(polled);
            // The handler's state is dropped now, inside the runtime, rather than when the host drops the call: a reader
            // that takes its time must not keep it alive.
            if has_ended {
                call.set(None);
            }
        });
        match (progress, caught) {
            (Some(progress), caught) => {
                if let Err(panic) = caught {
                    log_panic_in_drop(&panic);
                }
                match progress {
                    CallProgress::Pending => step::PENDING,
                    CallProgress::Item => step::ITEM,
                    CallProgress::Ended(step) => step,
                }
            }
            (None, caught) => {
                drop_caught(|| call.set(None));
                out.text(caught.err().unwrap_or_default().as_bytes());
                step::PANIC
            }
        }
    }

    /// Drops the call within its runtime, which its destructor may need.
    fn cancel(&mut self) {
        if self.call.is_some() {
            // SAFETY: the instance outlives its calls.
            let runtime = unsafe { &*self.runtime };
            // If the runtime is unavailable, the call is dropped without it.
            let _ = runtime.enter(|| drop_caught(|| self.call = None));
        }
    }
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
    let state = Box::new(CallState::new(call, runtime));
    RawCall { data: Box::into_raw(state).cast(), vtable: &CallVtableOf::<C>::BOXED }
}

pub(super) struct CallVtableOf<C>(PhantomData<C>);

impl<C: PollCall> CallVtableOf<C> {
    pub(super) const BOXED: CallVtable = Self::with_drop(drop_boxed::<C>);
    pub(super) const PLACED: CallVtable = Self::with_drop(drop_placed::<C>);

    const fn with_drop(drop: unsafe extern "C" fn(*mut c_void)) -> CallVtable {
        CallVtable { size: size_of::<CallVtable>(), poll: poll::<C>, drop, poll_items: Some(poll_items::<C>) }
    }
}

unsafe extern "C" fn poll<C: PollCall>(data: *mut c_void, waker: *const abi::Waker, sink: Sink) -> u32 {
    // SAFETY: the host passes what one of the functions above has returned, and arguments for this one poll.
    unsafe { poll_in_runtime::<C>(data, waker, CallOutput::to_sink(sink)) }
}

unsafe extern "C" fn poll_items<C: PollCall>(data: *mut c_void, poll: *const PollArgs) -> u32 {
    // SAFETY: as in `poll`.
    unsafe { poll_in_runtime::<C>(data, (*poll).waker, CallOutput::in_place(&*poll)) }
}

/// # Safety
/// `data` is the state of a `C`, which no other thread uses, and `waker` lives for the length of this poll.
unsafe fn poll_in_runtime<C: PollCall>(data: *mut c_void, waker: *const abi::Waker, mut out: CallOutput) -> u32 {
    let data = data.cast::<CallState<C>>();
    // Read through the pointer: a reference to the whole state would invalidate those that the handler's future has to
    // itself.
    // SAFETY: as the caller guarantees; the instance outlives its calls.
    let runtime = unsafe { &*(*data).runtime };
    // SAFETY: as the caller guarantees. The state never moves.
    let mut state = unsafe { Pin::new_unchecked(&mut *data) };
    // SAFETY: as the caller guarantees.
    let polled = runtime.poll(|| unsafe { state.as_mut().poll(waker, &mut out) });
    polled.unwrap_or_else(|error| {
        // A call ends once, so it is not polled again.
        // SAFETY: the call does not leave its state, except by being dropped.
        let state = unsafe { state.get_unchecked_mut() };
        drop_caught(|| state.call = None);
        out.fail(&runtime_failure(&error))
    })
}

unsafe extern "C" fn drop_boxed<C: PollCall>(data: *mut c_void) {
    // SAFETY: the box of `boxed` or `BegunCall`; the host drops a call once, and does not use it again.
    let mut state = unsafe { Box::from_raw(data.cast::<CallState<C>>()) };
    state.cancel();
    drop_caught(|| drop(state));
}

unsafe extern "C" fn drop_placed<C: PollCall>(data: *mut c_void) {
    // SAFETY: the host's place, in which `BegunCall` has built the state; dropped once, and not used again.
    let state = unsafe { &mut *data.cast::<CallState<C>>() };
    state.cancel();
    // Nothing else in the state has a destructor.
    if state.call.is_some() {
        drop_caught(|| state.call = None);
    }
}

/// Runs a destructor. A panic in it has no caller to be reported to, so it is logged.
pub(super) fn drop_caught(f: impl FnOnce()) {
    if let Err(panic) = catch_panic(f) {
        log_panic_in_drop(&panic);
    }
}

#[cold]
fn log_panic_in_drop(panic: &str) {
    log_throttled!(error, panic, "a handler panicked while it was dropped");
}

/// Logs that the package's runtime is unavailable, and returns what the caller receives.
pub(super) fn runtime_failure(error: &std::io::Error) -> Failure {
    log_throttled!(error, %error, "the runtime of the events package cannot be used");
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

impl CompletedCall {
    /// Writes the failure, if any, and returns the step for the result.
    pub(super) fn write_to(&self, out: &CallOutput) -> u32 {
        match self.last_step() {
            None => step::END,
            Some(last) => {
                out.text(&last.text);
                last.step
            }
        }
    }

    fn last_step(&self) -> Option<LastStep> {
        let json = |failure| serde_json::to_vec(failure).unwrap_or_default();
        Some(match self {
            Self::Done => return None,
            Self::Refused(failure) => LastStep { step: step::REFUSED, text: json(failure) },
            Self::Failed(failure) => LastStep { step: step::ERROR, text: json(failure) },
            Self::Panicked(text) => LastStep { step: step::PANIC, text: text.as_bytes().to_vec() },
        })
    }
}

/// A call that returns `result` at its first poll. Allocates only when there is something to write.
pub(super) fn completed(result: CompletedCall) -> RawCall {
    let data = match result.last_step() {
        None => std::ptr::null_mut(),
        Some(last) => Box::into_raw(Box::new(last)).cast(),
    };
    RawCall { data, vtable: &COMPLETED }
}

/// Returned by the first poll; then the step becomes `END`.
struct LastStep {
    step: u32,
    text: Vec<u8>,
}

static COMPLETED: CallVtable = CallVtable {
    size: size_of::<CallVtable>(),
    poll: poll_completed,
    drop: drop_completed,
    poll_items: Some(poll_completed_items),
};

unsafe extern "C" fn poll_completed(data: *mut c_void, _: *const abi::Waker, sink: Sink) -> u32 {
    // SAFETY: null, or the box of `completed`; polled from one thread at a time.
    let Some(last) = (unsafe { data.cast::<LastStep>().as_mut() }) else { return step::END };
    if last.step != step::END {
        // SAFETY: the sink was passed to this call.
        unsafe { CallOutput::to_sink(sink) }.text(&last.text);
    }
    std::mem::replace(&mut last.step, step::END)
}

unsafe extern "C" fn poll_completed_items(data: *mut c_void, poll: *const PollArgs) -> u32 {
    // SAFETY: as in `poll_completed`; the host passes arguments for this one poll.
    unsafe { poll_completed(data, (*poll).waker, (*poll).failure) }
}

unsafe extern "C" fn drop_completed(data: *mut c_void) {
    if !data.is_null() {
        // SAFETY: the box of `completed`; the host drops a call once.
        drop(unsafe { Box::from_raw(data.cast::<LastStep>()) });
    }
}
