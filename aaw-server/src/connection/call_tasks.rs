//! Calls that run as tasks of their own, and what remains of them when the connection ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::linger_budget::{LingerBudget, LingerSwitch};
use super::stream_pump::StreamCredit;
use super::upload::UploadWriter;
use crate::auth::SessionGuard;
use crate::auth::identity_change::IdentityChange;
use crate::generation::Generation;

/// A call whose handler runs as a task.
pub(super) struct CallTask {
    pub(super) task: JoinHandle<()>,
    /// Whether the caller waits for a response.
    pub(super) expects_response: bool,
    /// Limits the time of a one-way send once its connection has ended.
    pub(super) linger: Option<LingerSwitch>,
    /// The credit of a streaming handler.
    pub(super) credit: Option<Arc<StreamCredit>>,
    /// The caller's stream to the handler.
    pub(super) upload: Option<UploadWriter>,
    /// The session that authorized this call, if its event is protected. The call is aborted when that session ends,
    /// even if the connection has since changed its session.
    pub(super) session: Option<Arc<SessionGuard>>,
    /// Whether the handler has begun a log-in or log-out. `None` without a session, and for a stream, which ends with its
    /// session in any case.
    pub(super) identity_change: Option<IdentityChange>,
    /// The generation of the events that it belongs to. `None` for a built-in event, which is never replaced.
    pub(super) generation: Option<Arc<Generation>>,
}

/// Drops the handlers whose caller waits for a response or reads a stream, since it has disconnected, and returns the
/// others: a client may send an event and leave. From now on they may spend `max_poll_time` in polls, all together.
pub(super) fn abort_expecting_response(
    calls: impl Iterator<Item = CallTask>,
    max_poll_time: Duration,
) -> Vec<JoinHandle<()>> {
    let (waited_for, others): (Vec<_>, Vec<_>) = calls.partition(|call| call.expects_response);
    waited_for.iter().for_each(|call| call.task.abort());
    let budget = LingerBudget::new(max_poll_time);
    others.iter().filter_map(|call| call.linger.as_ref()).for_each(|switch| switch.set(&budget));
    others.into_iter().map(|call| call.task).collect()
}

/// Waits for handlers to end, and aborts those that do not end within `timeout`, or before the server stops.
pub(super) async fn linger(mut handlers: Vec<JoinHandle<()>>, timeout: Duration, stopped: impl Future<Output = ()>) {
    if handlers.is_empty() {
        return;
    }
    let all = async {
        for handler in &mut handlers {
            // A panic in its task was logged where it happened.
            let _ = handler.await;
        }
    };
    let have_ended = tokio::select! {
        biased;
        ended = tokio::time::timeout(timeout, all) => ended.is_ok(),
        () = stopped => false,
    };
    if !have_ended {
        handlers.iter().for_each(JoinHandle::abort);
    }
}
