//! What the host polls: an author's future or stream, or what is left of a call that ended as it began.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};
use pin_project_lite::pin_project;

use super::runtime::Runtime;
use crate::abi::{self, CallVtable, RawCall, Sink, step};
use crate::contain::contained;
use crate::waker;

/// What a call does when it is polled.
pub(super) trait Work: Send + 'static {
    /// Writes to the sink what there is to say.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, out: Out) -> Progress;
}

/// How far a poll of some [`Work`] has come.
#[derive(PartialEq)]
pub(super) enum Progress {
    Waits,
    /// An item was written, and others may follow.
    Item,
    /// That was all: a value of [`step`].
    Over(u32),
}

/// What becomes of a future's output.
pub(super) trait Ending<O>: Send + 'static {
    /// Writes to the sink what there is to say, and gives a value of [`step`].
    fn end(&self, output: O, out: Out) -> u32;
}

pin_project! {
    /// A future, and what becomes of its output.
    struct Once<F, E> {
        #[pin]
        future: F,
        ending: E,
    }
}

impl<F, E> Work for Once<F, E>
where
    F: Future + Send + 'static,
    E: Ending<F::Output>,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, out: Out) -> Progress {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Pending => Progress::Waits,
            Poll::Ready(output) => Progress::Over(this.ending.end(output, out)),
        }
    }
}

/// The sink of the poll that runs.
#[derive(Clone, Copy)]
pub(super) struct Out(Sink);

impl Out {
    pub(super) fn write(self, bytes: &[u8]) {
        // Whether the host has taken it is for the host: the step is the same.
        // SAFETY: an `Out` is made in `poll` only, and nobody keeps it beyond: it is handed to `Work::poll` alone.
        let _ = unsafe { self.0.write(bytes) };
    }

    pub(super) fn fail(self, failure: &Failure) -> u32 {
        self.write(&serde_json::to_vec(failure).unwrap_or_default());
        step::ERROR
    }
}

/// A handler's future or stream in its box: the one allocation of a call.
struct Running<W> {
    /// `None` when it has ended.
    work: Option<W>,
    /// Part of the instance, which the host keeps for as long as its calls.
    runtime: *const Runtime,
}

/// Boxes `future`, to be polled in `runtime`.
pub(super) fn running<F, E>(future: F, ending: E, runtime: &Runtime) -> RawCall
where
    F: Future + Send + 'static,
    E: Ending<F::Output>,
{
    working(Once { future, ending }, runtime)
}

/// Boxes `work`, to be polled in `runtime`.
pub(super) fn working<W: Work>(work: W, runtime: &Runtime) -> RawCall {
    let running = Box::new(Running { work: Some(work), runtime });
    RawCall { data: Box::into_raw(running).cast(), vtable: &Table::<W>::VTABLE }
}

struct Table<W>(PhantomData<W>);

impl<W: Work> Table<W> {
    const VTABLE: CallVtable = CallVtable { size: size_of::<CallVtable>(), poll: poll::<W>, drop: drop_running::<W> };
}

unsafe extern "C" fn poll<W: Work>(data: *mut c_void, waker: *const abi::Waker, sink: Sink) -> u32 {
    // SAFETY: `data` is the box of `working`, and the host polls from one thread at a time.
    let running = unsafe { &mut *data.cast::<Running<W>>() };
    // SAFETY: the box never moves, and the work leaves it only by being dropped.
    let mut work = unsafe { Pin::new_unchecked(&mut running.work) };
    // SAFETY: the instance outlives its calls.
    let runtime = unsafe { &*running.runtime };
    let out = Out(sink);
    let polled = runtime.poll(|| {
        let polled = contained(|| {
            let Some(inner) = work.as_mut().as_pin_mut() else { return Progress::Over(step::END) };
            // SAFETY: the host's waker lives as long as this poll.
            let waker = unsafe { waker::borrowed(waker) };
            inner.poll(&mut Context::from_waker(&waker), out)
        });
        // At once, while the runtime is there: what a stream holds is not for its reader to keep.
        if !matches!(polled, Ok(Progress::Waits | Progress::Item)) {
            drop_contained(|| work.set(None));
        }
        polled
    });
    match polled {
        Ok(Ok(Progress::Waits)) => step::PENDING,
        Ok(Ok(Progress::Item)) => step::ITEM,
        Ok(Ok(Progress::Over(step))) => step,
        Ok(Err(panic)) => {
            out.write(panic.as_bytes());
            step::PANIC
        }
        Err(error) => {
            // A call has one end: it is not tried again.
            drop_contained(|| work.set(None));
            out.fail(&no_runtime(&error))
        }
    }
}

unsafe extern "C" fn drop_running<W>(data: *mut c_void) {
    // SAFETY: the host drops a call once, and uses it no more.
    let mut running = unsafe { Box::from_raw(data.cast::<Running<W>>()) };
    if running.work.is_some() {
        // SAFETY: the instance outlives its calls.
        let runtime = unsafe { &*running.runtime };
        // What a handler leaves behind may spawn or use its timers. Where no runtime can be had, it is dropped without.
        let _ = runtime.enter(|| drop_contained(|| running.work = None));
    }
    drop_contained(|| drop(running));
}

/// Nobody waits for what a destructor says, except a log.
pub(super) fn drop_contained(f: impl FnOnce()) {
    if let Err(panic) = contained(f) {
        tracing::error!(panic, "a handler panicked while it was dropped");
    }
}

pub(super) fn no_runtime(error: &std::io::Error) -> Failure {
    tracing::error!(%error, "the runtime of the events package cannot be used");
    Failure::internal(Code::HANDLER)
}

/// How a call ended that never ran, or ran at once.
pub(super) enum Ended {
    /// A plain event has run, or there was nothing to do.
    Done,
    /// The handler was not run.
    Refused(Failure),
    Failed(Failure),
    Panicked(String),
}

/// Costs an allocation only when there is something to say.
pub(super) fn ended(how: Ended) -> RawCall {
    let json = |failure| serde_json::to_vec(&failure).unwrap_or_default();
    let last = match how {
        Ended::Done => return RawCall { data: std::ptr::null_mut(), vtable: &ENDED },
        Ended::Refused(failure) => LastStep { step: step::REFUSED, text: json(failure) },
        Ended::Failed(failure) => LastStep { step: step::ERROR, text: json(failure) },
        Ended::Panicked(text) => LastStep { step: step::PANIC, text: text.into_bytes() },
    };
    RawCall { data: Box::into_raw(Box::new(last)).cast(), vtable: &ENDED }
}

/// Given at the first poll; afterwards the step is `END`.
struct LastStep {
    step: u32,
    text: Vec<u8>,
}

static ENDED: CallVtable = CallVtable { size: size_of::<CallVtable>(), poll: poll_ended, drop: drop_ended };

unsafe extern "C" fn poll_ended(data: *mut c_void, _: *const abi::Waker, sink: Sink) -> u32 {
    // SAFETY: null, or the box of `ended`; polled from one thread at a time.
    let Some(last) = (unsafe { data.cast::<LastStep>().as_mut() }) else { return step::END };
    if last.step != step::END {
        Out(sink).write(&last.text);
    }
    std::mem::replace(&mut last.step, step::END)
}

unsafe extern "C" fn drop_ended(data: *mut c_void) {
    if !data.is_null() {
        // SAFETY: the box of `ended`; the host drops a call once.
        drop(unsafe { Box::from_raw(data.cast::<LastStep>()) });
    }
}
