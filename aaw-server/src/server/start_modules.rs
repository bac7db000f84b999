//! Builds the services of modules: each `services()` runs on a thread of its own.
//!
//! `services()` is code of the application that usually connects to something. It may wait for a database that does not
//! respond, and it may block its thread meanwhile. On a thread of its own it holds up neither the runtime's workers nor
//! the caller, who can stop waiting at any time.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aaw_event::host::{Instance, StartFuture};
use aaw_protocol::{Code, Failure};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Span;
use tracing::dispatcher::{get_default, with_default};

use crate::error::StartError;
use crate::module_host::{ModuleHost, Modules};
use crate::registry::Events;

/// How long `services()` may take before a warning is logged, and before an error is.
const WARNING: Duration = Duration::from_secs(5);
const ERROR: Duration = Duration::from_secs(30);

/// Builds the services of all modules, one after the other.
///
/// Dropping the future aborts the `services()` that runs at its next `await`.
pub(super) async fn start_modules(sources: &[Events], modules: &Arc<Modules>) -> Result<Vec<Instance>, StartError> {
    let mut instances = Vec::with_capacity(sources.len());
    for source in sources {
        instances.push(start_module(source, modules).await?);
    }
    Ok(instances)
}

async fn start_module(source: &Events, modules: &Arc<Modules>) -> Result<Instance, StartError> {
    let failed = |failure| StartError::Services { origin: source.origin.clone(), failure };
    let host = modules.host();
    let starting = spawn(source.module.start(Arc::clone(&host) as _)).map_err(StartError::Thread)?;
    let abandoned = AbandonOnDrop(Some(host));
    let result = report_delay(source, starting).await;
    abandoned.disarm();
    // The thread ends without a result only if it panics.
    result.unwrap_or_else(|_| Err(Failure::internal(Code::PANIC))).map_err(failed)
}

/// Awaits the start of a module, and logs it if that takes long: nothing else says what the program waits for.
async fn report_delay(
    source: &Events,
    Starting { mut started, is_polled }: Starting,
) -> Result<Result<Instance, Failure>, oneshot::error::RecvError> {
    let origin = &source.origin;
    let cause = || match is_polled.load(Ordering::Relaxed) {
        true => "it blocks its thread, in a computation or in a call that waits",
        false => "it awaits something that does not complete",
    };
    if let Ok(started) = timeout(WARNING, &mut started).await {
        return started;
    }
    tracing::warn!("services() of {origin} has not returned for {WARNING:?}; its events are not served yet: {}", cause());
    if let Ok(started) = timeout(ERROR - WARNING, &mut started).await {
        return started;
    }
    tracing::error!(
        "services() of {origin} has not returned for {ERROR:?}: {}, for example a connection to a database that does not \
         respond; its events are not served, and the server still waits",
        cause()
    );
    started.await
}

/// A `services()` that runs on its thread. Dropping the receiver aborts it at its next `await`.
struct Starting {
    started: oneshot::Receiver<Result<Instance, Failure>>,
    /// Whether the future is being polled. If this is so for long, it blocks its thread.
    is_polled: Arc<AtomicBool>,
}

/// Runs a start on a new thread, which is not one of the runtime's: a runtime that is shut down waits for those.
fn spawn(start: StartFuture) -> std::io::Result<Starting> {
    let (mut sender, started) = oneshot::channel();
    let is_polled = Arc::<AtomicBool>::default();
    let polled = Arc::clone(&is_polled);
    // What the thread of the caller has in thread-locals.
    let (runtime, span, subscriber) = (runtime::Handle::current(), Span::current(), get_default(Clone::clone));
    let run = async move {
        let mut start = pin!(start);
        let start = poll_fn(|cx| {
            polled.store(true, Ordering::Relaxed);
            let result = start.as_mut().poll(cx);
            polled.store(false, Ordering::Relaxed);
            result
        });
        let result = tokio::select! {
            biased;
            () = sender.closed() => return,
            result = start => result,
        };
        // Nobody waits any more if this fails; the instance is then dropped here.
        let _ = sender.send(result);
    };
    let thread = std::thread::Builder::new().name("aaw-services".to_owned());
    thread.spawn(move || with_default(&subscriber, || span.in_scope(|| runtime.block_on(run))))?;
    Ok(Starting { started, is_polled })
}

/// Takes a module out of the count of running modules if its start is given up: the server must not wait for a
/// `services()` that may never return.
struct AbandonOnDrop(Option<Arc<ModuleHost>>);

impl AbandonOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        if let Some(host) = &self.0 {
            host.abandon();
        }
    }
}
