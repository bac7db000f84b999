//! Where handlers run: the host's runtime when linked, one's own when loaded.

use std::future::poll_fn;
use std::io;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{self, Handle};

use crate::contain::contained;

/// How long a stopping package's blocking work is waited for, by a thread that does nothing else.
const LAST_WAIT: Duration = Duration::from_secs(30);

pub(super) enum Runtime {
    /// The host's is this one's too.
    Host,
    /// A loaded package has its own statics, so its own tokio: the host's reactor is not there for it. One worker, for
    /// its timers, sockets and spawned tasks; the handlers themselves are polled by the host's threads. Started on
    /// first use.
    Own(OnceLock<runtime::Runtime>),
}

impl Runtime {
    pub(super) fn own() -> Self {
        Self::Own(OnceLock::new())
    }

    /// Runs one poll of a handler. `f` must not panic.
    ///
    /// With a runtime of its own that is inside of `block_on`: `enter` alone gives the handler no cooperative budget,
    /// and a handler that is always ready then starves the host's timers. About 50 ns.
    ///
    /// # Errors
    /// When the runtime cannot be started or entered, or, after `f` has run, not be left.
    pub(super) fn poll<R>(&self, f: impl FnOnce() -> R) -> io::Result<R> {
        let Self::Own(runtime) = self else { return Ok(f()) };
        no_panic(|| {
            let runtime = started(runtime)?;
            // `block_on` may not be nested, as it would be when a handler's work makes the host poll another call of
            // this library: then the outer one's budget serves both. tokio's context belongs to the library, as all
            // statics do.
            if Handle::try_current().is_ok() {
                let _guard = runtime.enter();
                return Ok(f());
            }
            let mut f = Some(f);
            Ok(runtime.handle().block_on(poll_fn(|_| match f.take() {
                Some(f) => Poll::Ready(f()),
                None => Poll::Pending,
            })))
        })
    }

    /// Runs what does not wait: a plain handler, a destructor. It can spawn. `f` must not panic.
    ///
    /// # Errors
    /// As for [`Runtime::poll`].
    pub(super) fn enter<R>(&self, f: impl FnOnce() -> R) -> io::Result<R> {
        let Self::Own(runtime) = self else { return Ok(f()) };
        no_panic(|| {
            let _guard = started(runtime)?.enter();
            Ok(f())
        })
    }

    /// Whether there is a runtime that [`Runtime::shut_down`] would have to wait for.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Own(runtime) if runtime.get().is_some())
    }

    /// Ends the tasks, and waits for them. On a thread that no runtime knows.
    pub(super) fn shut_down(self) {
        if let Self::Own(runtime) = self
            && let Some(runtime) = runtime.into_inner()
        {
            runtime.shutdown_timeout(LAST_WAIT);
        }
    }
}

/// tokio panics where it gets no thread for its worker, on a thread that is ending, and where a handler has leaked the
/// guard of a `Handle::enter`. None of these may end the host.
fn no_panic<R>(f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    contained(f).unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

fn started(cell: &OnceLock<runtime::Runtime>) -> io::Result<&runtime::Runtime> {
    if let Some(runtime) = cell.get() {
        return Ok(runtime);
    }
    let new = runtime::Builder::new_multi_thread().worker_threads(1).thread_name("aaw-events").enable_all().build()?;
    if let Err(late) = cell.set(new) {
        // Another thread was first.
        late.shutdown_background();
    }
    cell.get().ok_or_else(|| io::Error::other("there is no runtime"))
}
