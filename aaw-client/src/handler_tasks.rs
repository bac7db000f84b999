//! The tasks that run the handlers of client calls.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::client::ClientCallKey;
use aaw_protocol::{Code, Failure};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{Instrument as _, Span};

use crate::handlers::{ErasedHandler, HandlerResult};

/// One task for each running client call, so that handlers run concurrently and a slow one delays nothing else.
/// Dropping it aborts all of them.
#[derive(Default)]
pub(crate) struct HandlerTasks {
    tasks: JoinSet<HandlerResult>,
    keys: HashMap<tokio::task::Id, ClientCallKey>,
    running: HashMap<ClientCallKey, AbortHandle>,
}

impl HandlerTasks {
    pub(crate) fn spawn(&mut self, key: ClientCallKey, handler: Arc<ErasedHandler>, data: Box<str>, span: Span) {
        // The handler is called in the task: its code before the first await must not block the driver.
        let task = self.tasks.spawn(async move { handler(data).await }.instrument(span));
        self.keys.insert(task.id(), key);
        self.running.insert(key, task);
    }

    /// Aborts the handler of a call, which then has no result.
    pub(crate) fn cancel(&mut self, key: ClientCallKey) {
        if let Some(task) = self.running.remove(&key) {
            task.abort();
        }
    }

    /// The result of the next handler that has finished.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(ClientCallKey, HandlerResult)> {
        while let Poll::Ready(Some(joined)) = self.tasks.poll_join_next_with_id(cx) {
            let (id, result) = match joined {
                Ok(finished) => finished,
                // The panic hook has logged the message.
                Err(error) => (error.id(), Err(Failure::internal(Code::PANIC))),
            };
            // A cancelled call is not in `running`.
            if let Some(key) = self.keys.remove(&id)
                && self.running.remove(&key).is_some()
            {
                return Poll::Ready((key, result));
            }
        }
        Poll::Pending
    }
}
