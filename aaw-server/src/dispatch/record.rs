//! What the hook that sees every call is told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use aaw_protocol::server::Completion;
use aaw_protocol::{Failure, Shortened};
use uuid::Uuid;

use super::{Asker, CallHook};
use crate::record::{CallKind, CallRecord, cancelled, redact, redact_failure};
use crate::registry::RegisteredEvent;

/// What the hook will be told, collected only if there is one.
pub(super) struct Record {
    hook: CallHook,
    event: String,
    body: String,
    kind: CallKind,
    connection: Uuid,
    client_key: Option<String>,
    started: Instant,
    told: bool,
}

impl Record {
    pub(super) fn new(
        hook: &CallHook,
        name: &str,
        body: &str,
        event: Option<&RegisteredEvent>,
        is_built_in: bool,
        who: &impl Asker,
    ) -> Self {
        let unlisted = if is_built_in { CallKind::Unary } else { CallKind::Unknown };
        Self {
            hook: Arc::clone(hook),
            event: Shortened(name).to_string(),
            body: redact(name, body).unwrap_or_else(|| body.to_owned()),
            kind: event.map_or(unlisted, |event| event.kind.into()),
            connection: who.uuid(),
            client_key: who.client_key().map(str::to_owned),
            started: Instant::now(),
            told: false,
        }
    }

    pub(super) fn finish(mut self, answer: &[u8], outcome: &Completion) {
        match outcome {
            Completion::Responded | Completion::StreamEnded => {
                let answer = String::from_utf8_lossy(answer);
                let redacted = redact(&self.event, &answer);
                self.tell(Ok(Some(redacted.as_deref().unwrap_or(&answer))));
            }
            Completion::OneWayDone => self.tell(Ok(None)),
            Completion::Failed(failure) | Completion::Refused(failure) => {
                let redacted = redact_failure(&self.event, failure);
                self.tell(Err(redacted.as_ref().unwrap_or(failure)));
            }
        }
    }

    /// It was no call after all.
    pub(super) fn discard(mut self) {
        self.told = true;
    }

    fn tell(&mut self, result: Result<Option<&str>, &Failure>) {
        self.told = true;
        let record = CallRecord {
            event: &self.event,
            connection: self.connection,
            client_key: self.client_key.as_deref(),
            kind: self.kind,
            body: &self.body,
            result,
            elapsed: self.started.elapsed(),
        };
        // The hook is the program's own, and runs on a connection's task, or within a drop: its panic must end neither.
        if catch_unwind(AssertUnwindSafe(|| (self.hook)(&record))).is_err() {
            tracing::error!(event = self.event, "the hook that sees every call panicked");
        }
    }
}

/// A call that is dropped before its outcome is told too: the hook sees every call.
impl Drop for Record {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Err(&cancelled()));
        }
    }
}
