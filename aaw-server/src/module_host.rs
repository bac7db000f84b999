//! The host of modules: it forwards their log messages, and waits for their end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aaw_event::host::{Host, LogRecord};
use tokio::sync::Notify;
use tracing::level_filters::LevelFilter;

/// Counts the running modules. The services of a module from a library are dropped on a thread of the module, so the
/// program has to wait for that thread; otherwise the destructors of the services may not complete.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    running: AtomicUsize,
    ended: Notify,
    /// The hosts of the modules whose events are served.
    current: Mutex<Vec<Weak<ModuleHost>>>,
}

impl Modules {
    /// Creates a host for one more module.
    pub(crate) fn host(self: &Arc<Self>) -> Arc<ModuleHost> {
        self.running.fetch_add(1, Ordering::AcqRel);
        Arc::new(ModuleHost { modules: Arc::clone(self), is_counted: AtomicBool::new(true) })
    }

    /// Locks the hosts of the modules whose events are served, while they are replaced.
    pub(crate) fn current(&self) -> MutexGuard<'_, Vec<Weak<ModuleHost>>> {
        // Nothing panics while it holds the lock.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until these modules have ended: their services have been dropped.
    pub(crate) async fn wait_until_gone(&self, hosts: &[Weak<ModuleHost>]) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // Registered before the check, so an end in between is not missed.
            ended.as_mut().enable();
            if hosts.iter().all(|host| host.strong_count() == 0) {
                return;
            }
            ended.await;
        }
    }

    /// Waits until no module runs any more.
    pub(crate) async fn wait_until_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.running.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// The host of one module. The module drops it after its services.
pub(crate) struct ModuleHost {
    modules: Arc<Modules>,
    is_counted: AtomicBool,
}

impl ModuleHost {
    /// No longer counts this module as running, although it may be: nothing waits for its end.
    pub(crate) fn abandon(&self) {
        if self.is_counted.swap(false, Ordering::AcqRel) && self.modules.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.modules.ended.notify_waiters();
        }
    }
}

impl Drop for ModuleHost {
    fn drop(&mut self) {
        self.abandon();
        self.modules.ended.notify_waiters();
    }
}

impl Host for ModuleHost {
    fn log(&self, record: LogRecord<'_>) {
        let LogRecord { level, target, message, package, .. } = record;
        // The level is part of the static metadata of a tracing event, so there is one event per level.
        macro_rules! log {
            ($level:ident) => {
                tracing::event!(target: "aaw::module", tracing::Level::$level, package, "{target}: {message}")
            };
        }
        match level {
            tracing::Level::ERROR => log!(ERROR),
            tracing::Level::WARN => log!(WARN),
            tracing::Level::INFO => log!(INFO),
            tracing::Level::DEBUG => log!(DEBUG),
            tracing::Level::TRACE => log!(TRACE),
        }
    }

    fn max_level(&self) -> LevelFilter {
        LevelFilter::current()
    }
}
