//! Builds the services of modules: each `services()` runs on a thread of its own.
//!
//! `services()` is code of the application that usually connects to something. It may wait for a database that does not
//! respond, and it may block its thread while it does. On a thread of its own it blocks neither the workers of the runtime
//! nor the caller, who can stop waiting at any time.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
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

/// How long `services()` may take before a warning is logged.
const WARNING: Duration = Duration::from_secs(5);

/// How long `services()` may take before an error is logged.
const ERROR: Duration = Duration::from_secs(30);

/// Builds the services of all modules, one after the other.
///
/// Dropping the future aborts the running `services()` at its next `await`; one that blocks its thread continues there, and
/// its result is dropped.
pub(super) async fn start_modules(sources: &[Events], modules: &Arc<Modules>) -> Result<StartedModules, StartError> {
    let mut started = StartedModules::default();
    for source in sources {
        let host = modules.host();
        started.hosts.push(Arc::downgrade(&host));
        started.instances.push(start_module(source, host).await?);
    }
    Ok(started)
}

/// Modules whose services are built, in the order of their sources.
#[derive(Default)]
pub(super) struct StartedModules {
    pub(super) instances: Vec<Instance>,
    /// Each lives as long as something of its module runs.
    pub(super) hosts: Vec<Weak<ModuleHost>>,
}

async fn start_module(source: &Events, host: Arc<ModuleHost>) -> Result<Instance, StartError> {
    let starting = spawn(source.module.start(host.clone()))?;
    let abandon = AbandonOnDrop(Some(host));
    let started = starting.wait(&source.origin).await;
    abandon.disarm();
    // The thread ends without a result only if it panics.
    let started = started.unwrap_or_else(|_| Err(Failure::internal(Code::PANIC)));
    started.map_err(|failure| StartError::Services { origin: source.origin.clone(), failure })
}

/// A `services()` that runs on its thread. Dropping this aborts it at its next `await`.
struct Starting {
    result: oneshot::Receiver<Result<Instance, Failure>>,
    /// Whether the future is being polled. If this is so for long, it blocks its thread.
    is_polled: Arc<AtomicBool>,
}

impl Starting {
    /// Waits for the result. Logs it if that takes long: nothing else says what the program waits for.
    async fn wait(mut self, origin: &str) -> Result<Result<Instance, Failure>, oneshot::error::RecvError> {
        if let Ok(result) = timeout(WARNING, &mut self.result).await {
            return result;
        }
        tracing::warn!(
            "services() of {origin} has not returned for {WARNING:?}: it {}; its events are not served yet",
            self.describe_wait()
        );
        if let Ok(result) = timeout(ERROR - WARNING, &mut self.result).await {
            return result;
        }
        tracing::error!(
            "services() of {origin} has not returned for {ERROR:?}: it {}, for example a connection to a database that \
             does not respond; its events are not served, and the server still waits",
            self.describe_wait()
        );
        self.result.await
    }

    fn describe_wait(&self) -> &'static str {
        match self.is_polled.load(Ordering::Relaxed) {
            true => "blocks its thread",
            false => "awaits something",
        }
    }
}

/// Runs a start on a thread of its own, which is none of the runtime's: a runtime that is dropped waits for those.
fn spawn(start: StartFuture) -> Result<Starting, StartError> {
    let (mut sender, result) = oneshot::channel();
    let is_polled = Arc::<AtomicBool>::default();
    let polled = Arc::clone(&is_polled);
    // What the thread of the caller has in thread-locals.
    let (runtime, span, subscriber) = (runtime::Handle::current(), Span::current(), get_default(Clone::clone));
    let run = async move {
        let mut start = pin!(start);
        let start = poll_fn(|cx| {
            polled.store(true, Ordering::Relaxed);
            let poll = start.as_mut().poll(cx);
            polled.store(false, Ordering::Relaxed);
            poll
        });
        let result = tokio::select! {
            biased;
            () = sender.closed() => return,
            result = start => result,
        };
        // Fails if nothing waits for it any more; the instance is then dropped here.
        let _ = sender.send(result);
    };
    thread::Builder::new()
        .name("aaw-services".into())
        .spawn(move || with_default(&subscriber, || span.in_scope(|| runtime.block_on(run))))
        .map_err(StartError::Thread)?;
    Ok(Starting { result, is_polled })
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
