//! Ends what still runs of events that were replaced, once the deadline has passed.

use std::sync::{Arc, Weak};
use std::time::Duration;

use aaw_protocol::clock;
use tokio::time::{Instant, timeout};

use crate::generation::Generation;
use crate::module_host::ModuleHost;
use crate::net::context::ServerContext;

/// How long the services of modules may take to stop before the log tells that they have not.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Spawns the task that waits for the end of the modules of a generation, and ends its calls after `deadline`.
///
/// The task does not keep the server alive.
pub(super) fn spawn(
    shared: &Arc<ServerContext>,
    generation: Arc<Generation>,
    hosts: Vec<Weak<ModuleHost>>,
    deadline: Duration,
) {
    let (modules, shared) = (Arc::clone(&shared.modules), Arc::downgrade(shared));
    let at: Instant = clock::after(Instant::now().into_std(), deadline).into();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = modules.wait_until_gone(&hosts) => return,
            () = tokio::time::sleep_until(at) => {}
        }
        let Some(shared) = shared.upgrade() else { return };
        generation.end();
        shared.hub.end_replaced();
        let have_stopped = timeout(STOP_TIMEOUT, modules.wait_until_gone(&hosts)).await.is_ok();
        let calls = generation.ended_calls();
        let services = if have_stopped {
            "their services have stopped"
        } else {
            "their services have not stopped yet: something else of theirs still runs, such as a hook, the delivery of a password \
             reset, a one-way call, a thread or a destructor"
        };
        tracing::warn!(
            calls,
            "ended {calls} calls and streams that still ran {deadline:?} after their events were replaced; {services}"
        );
    });
}
