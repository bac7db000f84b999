//! Runs `_open`: the connection is not open, and starts no call, until it has passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aaw_event::OpenInfo;
use aaw_protocol::{Code, Failure};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::dispatch::Dispatch;
use crate::hub::{Command, EventCaller, Peer};

/// The `_open` hooks of all modules, running as a task.
pub(super) struct OpenHook {
    task: JoinHandle<()>,
    /// The number of modules that have accepted the connection.
    passed: Arc<AtomicUsize>,
}

impl OpenHook {
    /// Spawns the hooks. Their result is posted to the connection as [`Command::OpenHookDone`], after `timeout` at the
    /// latest.
    pub(super) fn spawn(
        dispatch: Arc<Dispatch>,
        caller: Arc<EventCaller>,
        peer: Arc<Peer>,
        info: OpenInfo,
        timeout: Duration,
    ) -> Self {
        let passed = Arc::<AtomicUsize>::default();
        let progress = Arc::clone(&passed);
        let opening = async move {
            let opened = dispatch.run_open_hooks(&caller, &info, &progress);
            let opened = tokio::time::timeout(timeout, opened).await;
            let opened = opened.unwrap_or_else(|_| {
                Err(Failure::new(Code::TIMEOUT, "The server took too long to accept the connection"))
            });
            peer.mailbox.post(Command::OpenHookDone(opened));
        };
        // A task of its own, within the connection's span.
        let task = tokio::spawn(opening.in_current_span());
        Self { task, passed }
    }

    /// Aborts hooks that still run, and returns the number of modules that have accepted the connection: those whose
    /// `_close` is to be run.
    pub(super) async fn finish(self) -> usize {
        self.task.abort();
        // When this returns, no part of the hooks runs any more.
        let _ = self.task.await;
        self.passed.load(Ordering::Acquire)
    }
}
