//! A started package whose events can be called.

use std::ffi::c_void;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure, codec};

use super::call::{Call, Step, begin_without_poll, poll_in_place};
use super::caller::{self, Caller};
use super::place::Place;
use super::running::RunningPackage;
use super::table::CallEntry;
use super::upload::{self, UploadSource};
use crate::abi::{Bytes, CallArgs, InstanceVtable, RawCall, RawUpload, Space, mode};

/// A package whose services are built: its events can be called. Cloning is cheap.
///
/// The package stops when the last clone and the last [`Call`] have been dropped: its services are dropped, and a
/// loaded package's runtime is shut down on a separate thread, without blocking the caller. A linked package's services
/// are dropped on the thread that drops the last reference.
#[derive(Clone)]
pub struct Instance {
    pub(super) package: Arc<RunningPackage>,
}

impl Instance {
    pub(super) fn new(package: Arc<RunningPackage>) -> Self {
        Self { package }
    }

    /// Begins a call of the event at index `event` in [`Module::events`](super::Module::events), or of a hook. The call
    /// has no upload.
    ///
    /// `body` is JSON, or empty when the caller sent none. It is parsed before this returns. A one-way handler has also
    /// run to its end by then; a unary or streaming handler runs when the [`Call`] is polled.
    ///
    /// # Panics
    /// When there is no such index.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::sync::Arc;
    ///
    /// use aaw_event::host::{Caller, Instance, Step};
    ///
    /// async fn ping<C: Caller>(instance: &Instance, ping: usize, caller: &Arc<C>) -> Result<String, String> {
    ///     let mut call = instance.call(ping, "{}", caller);
    ///     let mut json = Vec::new();
    ///     match poll_fn(|cx| call.poll(cx, &mut json, 1024 * 1024)).await {
    ///         Step::Item => Ok(String::from_utf8_lossy(&json).into_owned()),
    ///         Step::Refused(failure) | Step::Failed(failure) => Err(failure.error),
    ///         Step::TooLarge(len) => Err(format!("the response has {len} bytes, more than 1 MiB")),
    ///         Step::Panicked(_) | Step::Broken(_) => Err("Internal error".to_owned()),
    ///         Step::End => Err("a one-way event has no response".to_owned()),
    ///     }
    /// }
    /// ```
    pub fn call<C: Caller>(&self, event: usize, body: &str, caller: &Arc<C>) -> Call {
        self.begin(event, body, caller, std::ptr::null())
    }

    /// Begins a call, as [`Instance::call`] does, with an upload.
    ///
    /// A handler that takes no upload (see [`EventInfo::takes_upload`](super::EventInfo::takes_upload)) ignores it. A
    /// handler that takes it may keep it beyond the call; when the handler has dropped it, the package holds no
    /// reference to it.
    ///
    /// # Panics
    /// As [`Instance::call`].
    pub fn call_with_upload<C: Caller, U: UploadSource>(
        &self,
        event: usize,
        body: &str,
        caller: &Arc<C>,
        upload: &Arc<U>,
    ) -> Call {
        let upload = upload::raw(upload);
        self.begin(event, body, caller, &raw const upload)
    }

    /// Begins a call and polls it once, in one crossing of the ABI. The response is appended to `out`, as
    /// [`Call::poll`] does. A call of a streaming event only begins, and is pending, unless its body does not fit.
    ///
    /// Unlike [`Instance::call`] it allocates nothing for a call that completes at once, unless the handler's state is
    /// larger than 512 bytes.
    ///
    /// # Panics
    /// As [`Instance::call`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::task::{Context, Waker};
    ///
    /// use aaw_event::host::{Begun, Caller, Instance, Step};
    ///
    /// fn ping<C: Caller>(instance: &Instance, ping: usize, caller: &Arc<C>) -> Option<String> {
    ///     let mut json = Vec::new();
    ///     match instance.run(ping, "{}", caller, &mut Context::from_waker(Waker::noop()), &mut json, 1024) {
    ///         Begun::Done(Step::Item) => Some(String::from_utf8_lossy(&json).into_owned()),
    ///         Begun::Done(_) => None,
    ///         Begun::Pending(_call) => None, // to be polled by a task
    ///     }
    /// }
    /// ```
    pub fn run<C: Caller>(
        &self,
        event: usize,
        body: &str,
        caller: &Arc<C>,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        max_len: usize,
    ) -> Begun {
        self.run_raw(event, body, caller, std::ptr::null(), cx, out, max_len)
    }

    /// Begins a call and polls it once, as [`Instance::run`] does, with an upload.
    ///
    /// # Panics
    /// As [`Instance::call`].
    #[expect(clippy::too_many_arguments, reason = "those of `run`, and the upload")]
    pub fn run_with_upload<C: Caller, U: UploadSource>(
        &self,
        event: usize,
        body: &str,
        caller: &Arc<C>,
        upload: &Arc<U>,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        max_len: usize,
    ) -> Begun {
        let upload = upload::raw(upload);
        self.run_raw(event, body, caller, &raw const upload, cx, out, max_len)
    }

    #[expect(clippy::too_many_arguments, reason = "those of `run`, and the upload")]
    fn run_raw<C: Caller>(
        &self,
        event: usize,
        body: &str,
        caller: &Arc<C>,
        upload: *const RawUpload,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        max_len: usize,
    ) -> Begun {
        let entry = &self.package.table.entries[event];
        let Some(run) = entry.run else { return self.run_in_two_steps(event, body, caller, upload, cx, out, max_len) };
        let instance = self.package.raw().data;
        let mut stored = RawCall { data: std::ptr::null_mut(), vtable: std::ptr::null() };
        if entry.is_streaming {
            // A stream lives for longer than most calls: it is not to occupy a place, which may be larger than it.
            let args = call_args(entry, body, caller, upload);
            let step = begin_without_poll(max_len, |poll| {
                // SAFETY: a running instance of the package that the entry belongs to; everything outlives this call.
                unsafe { run(instance, &raw const args, poll, &raw mut stored) }
            });
            return self.begun(step, stored, None);
        }
        let head_len = out.len();
        let place = Place::take();
        let args = CallArgs { place: place.space(), ..call_args(entry, body, caller, upload) };
        let polled = poll_in_place(cx, &mut *out, max_len, |poll| {
            // SAFETY: as above.
            unsafe { run(instance, &raw const args, poll, &raw mut stored) }
        });
        if polled.step != Poll::Ready(Step::Item) {
            // As in `Call::poll`.
            out.truncate(head_len);
        }
        self.begun(polled.step, stored, Some(place))
    }

    /// The result of a call that has returned `step`, and has `stored` itself, if its table is not null. If the call was
    /// built in the `place`, the place is kept with it.
    #[inline]
    fn begun(&self, step: Poll<Step>, stored: RawCall, place: Option<Place>) -> Begun {
        let is_stored = !stored.vtable.is_null();
        let place = match place {
            Some(place) if is_stored && std::ptr::eq(stored.data, place.space().ptr.cast()) => Some(place),
            Some(unused) => {
                unused.put_back();
                None
            }
            None => None,
        };
        if !is_stored {
            return Begun::Done(match step {
                Poll::Ready(step) => step,
                Poll::Pending => Step::Broken("it returned no call that could be polled again".to_owned()),
            });
        }
        // SAFETY: made by this instance, and kept nowhere else.
        let call = unsafe { Call::new(stored, self.package.clone(), place) };
        match step {
            Poll::Pending => Begun::Pending(call),
            // A call that is over must not be stored. If it is, it is dropped here, before its place is used again.
            Poll::Ready(step) => Begun::Done(step),
        }
    }

    /// As [`Instance::run`], for a package that was built before there was a function for it.
    #[expect(clippy::too_many_arguments, reason = "those of `run_raw`")]
    fn run_in_two_steps<C: Caller>(
        &self,
        event: usize,
        body: &str,
        caller: &Arc<C>,
        upload: *const RawUpload,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        max_len: usize,
    ) -> Begun {
        let is_streaming = self.package.table.entries[event].is_streaming;
        // The package would report it when the call is polled.
        if is_streaming && !codec::is_json(body) {
            return Begun::Done(Step::Refused(Failure::new(Code::BAD_BODY, "The body is not JSON")));
        }
        let mut call = self.begin(event, body, caller, upload);
        if is_streaming {
            return Begun::Pending(call);
        }
        match call.poll(cx, out, max_len) {
            Poll::Pending => Begun::Pending(call),
            Poll::Ready(step) => Begun::Done(step),
        }
    }

    /// Returns whether the package has a runtime of its own: whether it was loaded.
    pub fn has_runtime(&self) -> bool {
        self.package.table.mode != mode::LINKED
    }

    /// Runs `f` within the runtime of a loaded package, so that the calls that are begun and polled in it enter the
    /// runtime once, and not one by one. `f` should serve a batch of calls, and not take long: the handlers that it polls
    /// share one cooperative budget of tokio.
    ///
    /// A linked package has no runtime of its own, and one that was built before this function existed cannot be entered:
    /// then `f` simply runs.
    pub fn within_runtime<R>(&self, f: impl FnOnce() -> R) -> R {
        let instance = self.package.raw();
        // SAFETY: a table begins with its size.
        let size = unsafe { (&raw const (*instance.vtable).size).read() };
        if !self.has_runtime() || size <= InstanceVtable::SIZE_WITHOUT_RUNTIME {
            return f();
        }
        let mut scope = RuntimeScope { f: Some(f), result: None };
        let run = run_function(&scope);
        // SAFETY: a running instance, whose table is long enough. `scope` outlives the call and is of the type that
        // `run` expects. A status other than `OK` means that it did not run, which `scope` shows.
        unsafe {
            ((*instance.vtable).within_runtime)(instance.data, run, (&raw mut scope).cast());
        }
        match (scope.result, scope.f) {
            (Some(Ok(result)), _) => result,
            (Some(Err(panic)), _) => std::panic::resume_unwind(panic),
            // The runtime is not available. The calls will report it.
            (None, Some(f)) => f(),
            (None, None) => unreachable!("`f` was taken, and its result was stored"),
        }
    }

    fn begin<C: Caller>(&self, event: usize, body: &str, caller: &Arc<C>, upload: *const RawUpload) -> Call {
        let entry = &self.package.table.entries[event];
        let args = call_args(entry, body, caller, upload);
        // SAFETY: a running instance of the package that the entry belongs to; everything in `args` outlives this call.
        let raw = unsafe { (entry.call)(self.package.raw().data, &raw const args) };
        // SAFETY: made by this instance, and kept nowhere else.
        unsafe { Call::new(raw, self.package.clone(), None) }
    }
}

pub(super) fn call_args<C: Caller>(
    entry: &CallEntry,
    body: &str,
    caller: &Arc<C>,
    upload: *const RawUpload,
) -> CallArgs {
    CallArgs {
        size: size_of::<CallArgs>(),
        event: Bytes::of(entry.name),
        body: Bytes::of(body),
        caller: caller::raw(caller),
        upload,
        place: Space::NONE,
    }
}

/// What [`Instance::run`] returns.
#[derive(Debug)]
pub enum Begun {
    /// The call is over.
    Done(Step),
    /// The handler waits, and must be polled again; or it is a stream, which was not polled yet.
    Pending(Call),
}

/// A function that runs within a package's runtime, and then its result, or the payload of its panic.
struct RuntimeScope<F, R> {
    f: Option<F>,
    result: Option<std::thread::Result<R>>,
}

/// The function that runs a scope of this type.
fn run_function<F: FnOnce() -> R, R>(_: &RuntimeScope<F, R>) -> unsafe extern "C" fn(*mut c_void) {
    run_scope::<F, R>
}

unsafe extern "C" fn run_scope<F: FnOnce() -> R, R>(scope: *mut c_void) {
    // SAFETY: the scope of `within_runtime`, which nothing else uses meanwhile.
    let scope = unsafe { &mut *scope.cast::<RuntimeScope<F, R>>() };
    if let Some(f) = scope.f.take() {
        scope.result = Some(catch_unwind(AssertUnwindSafe(f)));
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}
