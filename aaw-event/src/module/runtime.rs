//! The runtime of a package: the host's when linked, its own when loaded.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{self, Handle};

use crate::catch_panic::catch_panic;

/// How long a package that stops waits for its blocking tasks, on a thread of its own.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) enum PackageRuntime {
    /// The host's runtime.
    Host,
    /// A loaded package has its own statics, therefore its own tokio, which cannot use the host's reactor. This runtime
    /// has one worker, for the package's timers, sockets and spawned tasks; the handlers themselves are polled by the
    /// host's threads. Started on first use.
    Own(OnceLock<runtime::Runtime>),
}

impl PackageRuntime {
    pub(super) fn own() -> Self {
        Self::Own(OnceLock::new())
    }

    /// Runs one poll of a handler. `f` must not panic.
    ///
    /// The package's own runtime polls inside `block_on`: `enter` alone gives the handler no cooperative budget, and a
    /// handler that is always ready then starves the host's timers. `block_on` costs about 50 ns.
    ///
    /// # Errors
    /// When the runtime cannot be started or entered, or cannot be left after `f` has run.
    ///
    /// Within another poll of the same runtime, as within
    /// [`InstanceVtable::within_runtime`](crate::abi::InstanceVtable::within_runtime), it costs next to nothing: the polls
    /// share the budget.
    #[inline]
    pub(super) fn poll<R>(&self, f: impl FnOnce() -> R) -> io::Result<R> {
        if self.is_current() { Ok(f()) } else { self.poll_entering(f) }
    }

    fn poll_entering<R>(&self, f: impl FnOnce() -> R) -> io::Result<R> {
        let Self::Own(runtime) = self else { return Ok(f()) };
        no_panic(|| {
            let runtime = started(runtime)?;
            // `block_on` must not be nested, which would happen when a handler makes the host poll another call of this
            // library; the outer budget then serves both. tokio's context belongs to the library, as all statics do.
            if Handle::try_current().is_ok() {
                let _guard = runtime.enter();
                return Ok(f());
            }
            let mut f = Some(f);
            Ok(runtime.handle().block_on(poll_fn(|_| match f.take() {
                Some(f) => {
                    let _current = CurrentRuntime::set(self);
                    Poll::Ready(f())
                }
                None => Poll::Pending,
            })))
        })
    }

    /// Runs `f`, which does not wait (a one-way handler, a destructor) but may spawn. `f` must not panic.
    ///
    /// # Errors
    /// As for [`PackageRuntime::poll`].
    pub(super) fn enter<R>(&self, f: impl FnOnce() -> R) -> io::Result<R> {
        let Self::Own(runtime) = self else { return Ok(f()) };
        if self.is_current() {
            return Ok(f());
        }
        no_panic(|| {
            let _guard = started(runtime)?.enter();
            Ok(f())
        })
    }

    /// Whether nothing has to be entered on this thread: it polls in this runtime, or this is the host's.
    #[inline]
    fn is_current(&self) -> bool {
        match self {
            Self::Host => true,
            Self::Own(_) => std::ptr::eq(CURRENT.get(), self),
        }
    }

    /// Whether there is a runtime that [`PackageRuntime::shut_down`] would have to wait for.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Own(runtime) if runtime.get().is_some())
    }

    /// Shuts the runtime down and waits for it. Must be called on a thread that drives no runtime.
    pub(super) fn shut_down(self) {
        if let Self::Own(runtime) = self
            && let Some(runtime) = runtime.into_inner()
        {
            runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        }
    }
}

thread_local! {
    /// The runtime in which this thread polls. A library can have several, one for each time that it was started.
    static CURRENT: Cell<*const PackageRuntime> = const { Cell::new(std::ptr::null()) };
}

/// Marks a runtime as the current one of its thread, until this is dropped.
struct CurrentRuntime {
    outer: *const PackageRuntime,
}

impl CurrentRuntime {
    fn set(runtime: &PackageRuntime) -> Self {
        Self { outer: CURRENT.replace(runtime) }
    }
}

impl Drop for CurrentRuntime {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
    }
}

/// Converts a panic of tokio into an error. tokio panics when it gets no thread for its worker, on a thread that is
/// shutting down, and when a handler has leaked the guard of a `Handle::enter`. None of these may end the host.
fn no_panic<R>(f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    catch_panic(f).unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

fn started(cell: &OnceLock<runtime::Runtime>) -> io::Result<&runtime::Runtime> {
    if let Some(runtime) = cell.get() {
        return Ok(runtime);
    }
    let new = runtime::Builder::new_multi_thread().worker_threads(1).thread_name("aaw-events").enable_all().build()?;
    if let Err(late) = cell.set(new) {
        // Another thread has started one first.
        late.shutdown_background();
    }
    cell.get().ok_or_else(|| io::Error::other("the runtime was not started"))
}
