//! Collects what the hook of [`Server::on_call`](crate::Server::on_call) receives about a call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use aaw_protocol::redact::{body_shape, redact, redact_failure};
use aaw_protocol::server::Completion;
use aaw_protocol::{Failure, Shortened};
use uuid::Uuid;

use crate::auth::CallContext;
use crate::call_record::{CallKind, CallRecord, cancelled};
use crate::registry::RegisteredEvent;
use crate::throttle::log_throttled;

/// Receives a record of every call when it is over.
pub(crate) type CallHook = Arc<dyn Fn(&CallRecord<'_>) + Send + Sync>;

/// The record of a call that is not over. Made only if there is a hook.
///
/// Dropping it reports the call as cancelled, so that the hook receives every call exactly once.
pub(super) struct CallRecorder {
    hook: CallHook,
    event: String,
    body: String,
    kind: CallKind,
    connection: Uuid,
    client_key: Option<Box<str>>,
    started: Instant,
    reported: bool,
}

impl CallRecorder {
    pub(super) fn new(
        hook: &CallHook,
        name: &str,
        body: &str,
        event: Option<&RegisteredEvent>,
        is_built_in: bool,
        caller: &CallContext,
    ) -> Self {
        let kind = match event {
            Some(event) => event.kind.into(),
            None if is_built_in => CallKind::Unary,
            None => CallKind::Unknown,
        };
        let body = match redact(name, body) {
            Some(redacted) => redacted,
            // It may be a misspelt log-in.
            None if kind == CallKind::Unknown => body_shape(body),
            None => body.to_owned(),
        };
        Self {
            hook: Arc::clone(hook),
            event: Shortened(name).to_string(),
            body,
            kind,
            connection: caller.id,
            client_key: caller.client_key.clone(),
            started: Instant::now(),
            reported: false,
        }
    }

    /// Reports a call that has completed. `response` is JSON.
    pub(super) fn finish(mut self, response: &[u8], completion: &Completion) {
        match completion {
            Completion::Responded | Completion::StreamEnded => {
                let response = String::from_utf8_lossy(response);
                let redacted = redact(&self.event, &response);
                self.report(Ok(Some(redacted.as_deref().unwrap_or(&response))));
            }
            Completion::OneWayDone => self.report(Ok(None)),
            Completion::Failed(failure) | Completion::Refused(failure) => {
                let redacted = redact_failure(&self.event, failure);
                self.report(Err(redacted.as_ref().unwrap_or(failure)));
            }
        }
    }

    /// Reports nothing: the frame turned out not to be a call.
    pub(super) fn discard(mut self) {
        self.reported = true;
    }

    fn report(&mut self, result: Result<Option<&str>, &Failure>) {
        self.reported = true;
        let record = CallRecord {
            event: &self.event,
            connection: self.connection,
            client_key: self.client_key.as_deref(),
            kind: self.kind,
            body: &self.body,
            result,
            elapsed: self.started.elapsed(),
        };
        // The hook is the program's own code and runs on a connection's task or in a destructor. Its panic must end
        // neither.
        if catch_unwind(AssertUnwindSafe(|| (self.hook)(&record))).is_err() {
            log_throttled!(error, event = self.event, "the on_call hook panicked");
        }
    }
}

impl Drop for CallRecorder {
    fn drop(&mut self) {
        if !self.reported {
            self.report(Err(&cancelled()));
        }
    }
}
