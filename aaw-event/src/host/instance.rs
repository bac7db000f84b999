//! A package that runs.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use super::call::{Call, Step};
use super::caller::{self, Caller};
use super::logs::{self, Host, HostOf};
use super::module::Checked;
use super::upload::{self, UploadSource};
use crate::abi::{Bytes, CallArgs, RawInstance, RawUpload};

/// A package whose services are built: its events can be called. Cloning is cheap.
///
/// When the last clone and the last [`Call`] have gone, the package stops: its services are dropped, and a loaded
/// package's runtime is shut down on a thread of its own, which nobody waits for. A linked package's services are
/// dropped right there, where the last user lets go.
#[derive(Clone)]
pub struct Instance {
    running: Arc<Running>,
}

/// Stops the package when dropped.
pub(super) struct Running {
    module: Arc<Checked>,
    raw: RawInstance,
    /// The package retains it as well; this one is for calls into it.
    _host: Arc<HostOf>,
}

// SAFETY: the ABI lets an instance be used and stopped by any thread.
unsafe impl Send for Running {}
// SAFETY: and by several at once; only `stop` is exclusive, and that is `Drop`.
unsafe impl Sync for Running {}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: each `Call` holds its `Running`, so none is left; nobody can use `raw` again.
        unsafe { ((*self.raw.vtable).stop)(self.raw.data) }
    }
}

impl Instance {
    /// Begins a call of the event at `event` in [`Module::events`](super::Module::events), or of a hook.
    ///
    /// `body` is JSON, or empty when the caller sent none. It is parsed before this returns; a plain event has run to
    /// its end by then. An answer's handler, and that of a stream, runs when the [`Call`] is polled. What a handler takes
    /// from its caller after the body is empty.
    ///
    /// # Panics
    /// When there is no such event: the index comes from the same table.
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
    ///         Step::TooLarge(len) => Err(format!("{len} bytes are too many")),
    ///         Step::Panicked(_) => Err("Internal error".to_owned()),
    ///         Step::End => Err("it is a plain event".to_owned()),
    ///     }
    /// }
    /// ```
    pub fn call<C: Caller>(&self, event: usize, body: &str, caller: &Arc<C>) -> Call {
        self.begin(event, body, caller, std::ptr::null())
    }

    /// As [`Instance::call`], by a caller that sends items after its body.
    ///
    /// A handler that does not take them (see [`EventInfo::takes_upload`](super::EventInfo::takes_upload)) leaves
    /// `incoming` alone. One that does keeps it for as long as it likes; when it has dropped it, so has the package.
    ///
    /// # Panics
    /// As [`Instance::call`].
    pub fn call_with_upload<C: Caller, I: UploadSource>(
        &self,
        event: usize,
        body: &str,
        caller: &Arc<C>,
        incoming: &Arc<I>,
    ) -> Call {
        let incoming = upload::raw(incoming);
        self.begin(event, body, caller, &raw const incoming)
    }

    fn begin<C: Caller>(&self, event: usize, body: &str, caller: &Arc<C>, incoming: *const RawUpload) -> Call {
        let entry = &self.running.module.entries[event];
        let args = CallArgs {
            size: size_of::<CallArgs>(),
            event: Bytes::of(entry.name),
            body: Bytes::of(body),
            caller: caller::raw(caller),
            incoming,
        };
        // SAFETY: a running instance of the same package; everything in `args` outlives this call.
        let raw = unsafe { (entry.call)(self.running.raw.data, &raw const args) };
        // SAFETY: made by this instance, and kept nowhere else.
        unsafe { Call::new(raw, self.running.clone()) }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

/// A package whose services are being built; see [`Module::start`](super::Module::start).
///
/// Gives the [`Instance`], or says in words for the operator why there is none: what `services()` failed with (whole,
/// it is not for callers), or that it panicked (with the code `panic`). A loaded package builds its services in its own
/// runtime, polled from here.
#[must_use = "nothing runs until this is awaited"]
pub struct Starting {
    state: State,
    package: &'static str,
}

enum State {
    New { module: Arc<Checked>, host: Arc<HostOf> },
    Building { services: Call, running: Arc<Running> },
    Done,
}

impl Starting {
    pub(super) fn new(module: Arc<Checked>, package: &'static str, host: Arc<dyn Host>) -> Self {
        let host = Arc::new(HostOf { host, package });
        Self { state: State::New { module, host }, package }
    }

    fn failed(&self, code: Code, why: &str) -> Poll<Result<Instance, Failure>> {
        Poll::Ready(Err(Failure::new(code, format!("the package {} did not start: {why}", self.package))))
    }
}

impl Future for Starting {
    type Output = Result<Instance, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut services, running) = match std::mem::replace(&mut self.state, State::Done) {
            State::Building { services, running } => (services, running),
            State::New { module, host } => {
                let given = module.given.as_ref().map_or(std::ptr::null(), |given| given.as_ptr());
                // SAFETY: the table was checked; `given` is what this very package made, and lives in `module`.
                let raw = unsafe { (module.start)(logs::raw(&host), module.mode, given) };
                if raw.data.is_null() {
                    return self.failed(Code::PANIC, "it panicked");
                }
                let running = Arc::new(Running { module, raw, _host: host });
                // SAFETY: just started, and asked for once.
                let services = unsafe { ((*raw.vtable).services)(raw.data) };
                // SAFETY: made by this instance, and kept nowhere else.
                (unsafe { Call::new(services, running.clone()) }, running)
            }
            // As every future may, when polled after its end.
            State::Done => return Poll::Pending,
        };
        match services.poll(cx, &mut Vec::new(), usize::MAX) {
            Poll::Pending => {
                self.state = State::Building { services, running };
                Poll::Pending
            }
            Poll::Ready(Step::End) => {
                drop(services);
                Poll::Ready(Ok(Instance { running }))
            }
            Poll::Ready(Step::Failed(failure)) => self.failed(failure.code, &failure.error),
            Poll::Ready(Step::Panicked(text)) => self.failed(Code::PANIC, &format!("its services panicked: {text}")),
            Poll::Ready(step @ (Step::Item | Step::Refused(_) | Step::TooLarge(_))) => {
                self.failed(Code::HANDLER, &format!("its services ended in a way that they cannot: {step:?}"))
            }
        }
    }
}

impl fmt::Debug for Starting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starting").field("package", &self.package).finish_non_exhaustive()
    }
}
