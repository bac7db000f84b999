//! From a call to its handler's outcome, whatever way the call came.
//!
//! A handler is polled once where its call arrived. Most are done then, and cost no task, no channel and no wake-up.
//! What is pending is a future: whoever began the call lets it go on as a task, so that it can use another core.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use aaw_event::host::{Call as HandlerCall, Step};
use aaw_protocol::server::Outcome;
use aaw_protocol::{Code, EventName, Failure, Shortened, codec};
use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::hub::Peer;
use crate::record::{CallKind, CallRecord, cancelled, redact, redact_failure};
use crate::registry::{Event, Registry};

/// Sees every call when it is over.
pub(crate) type CallHook = Arc<dyn Fn(&CallRecord<'_>) + Send + Sync>;

/// Runs calls.
pub(crate) struct Dispatch {
    pub(crate) registry: ArcSwap<Registry>,
    pub(crate) hook: Option<CallHook>,
    /// Bytes that an answer may have: what is larger is not even copied from its module.
    pub(crate) max_answer: usize,
}

/// What a call has come to after its first poll.
pub(crate) enum Begun {
    /// It is over. Behind what was in the frame stands its answer, if it has one.
    Done(Vec<u8>, Outcome),
    /// Its handler waits for something.
    Pending(Pending),
    /// Its body is not JSON, so it was no call. Nobody has looked at it before.
    NotJson,
}

impl Dispatch {
    /// Finds the event and polls its handler once. The answer, as JSON, is appended to `frame`.
    pub(crate) fn begin(&self, name: &str, body: &str, frame: Vec<u8>, peer: &Arc<Peer>) -> Begun {
        let registry = self.registry.load();
        let event = registry.get(name);
        let record = self.hook.as_ref().map(|hook| Record::new(hook, name, body, event, peer));
        let head = frame.len();
        let event = match event {
            Some(event) if event.protected => {
                let error = format!("Authentication is not enabled — {name} is unreachable");
                return refuse(Failure::new(Code::UNREACHABLE, error), body, frame, record);
            }
            Some(event) => event,
            None => return refuse(Failure::unknown_event(name), body, frame, record),
        };
        let mut frame = frame;
        let mut handler = event.instance.call(event.index, body, peer);
        // Nothing is lost by a waker that wakes nobody: what is pending is polled again, by its own task.
        match handler.poll(&mut Context::from_waker(Waker::noop()), &mut frame, self.max_answer) {
            Poll::Pending => {
                let (most, event, connection) = (self.max_answer, event.name.clone(), peer.id);
                Begun::Pending(Pending { handler, frame, head, most, record, event, connection })
            }
            Poll::Ready(step) => match outcome(step, self.max_answer, &event.name, peer.id) {
                Outcome::Refused(failure) => refuse(failure, body, frame, record),
                outcome => {
                    if let Some(record) = record {
                        record.finish(&frame[head..], &outcome);
                    }
                    Begun::Done(frame, outcome)
                }
            },
        }
    }

    /// A call was refused before it came here: the hook sees it too.
    pub(crate) fn refused(&self, name: &str, body: &str, failure: &Failure, peer: &Arc<Peer>) {
        if let Some(hook) = &self.hook {
            let registry = self.registry.load();
            Record::new(hook, name, body, registry.get(name), peer).finish(&[], &Outcome::Refused(failure.clone()));
        }
    }
}

/// Ends a call that was not run. Its body may not have been parsed, and what is not JSON is no call.
fn refuse(failure: Failure, body: &str, frame: Vec<u8>, record: Option<Record>) -> Begun {
    if !codec::is_json(body) {
        if let Some(record) = record {
            record.discard();
        }
        return Begun::NotJson;
    }
    let outcome = Outcome::Refused(failure);
    if let Some(record) = record {
        record.finish(&[], &outcome);
    }
    Begun::Done(frame, outcome)
}

fn outcome(step: Step, most: usize, event: &EventName, connection: Uuid) -> Outcome {
    match step {
        Step::Item => Outcome::Answered,
        Step::End => Outcome::Ran,
        Step::Refused(failure) => Outcome::Refused(failure),
        Step::Failed(failure) => Outcome::Failed(failure),
        Step::TooLarge(len) => {
            let error = format!("The answer has {len} bytes, and a message may have {most}");
            Outcome::Failed(Failure::new(Code::TOO_LARGE, error))
        }
        Step::Panicked(what) => {
            tracing::error!(%connection, %event, "the handler panicked: {what}");
            Outcome::Failed(Failure::internal(Code::PANIC))
        }
    }
}

/// The rest of a call, to be run as a task: the frame with the answer, and the outcome. Dropped before its end, it drops
/// the handler.
pub(crate) struct Pending {
    handler: HandlerCall,
    frame: Vec<u8>,
    /// How long the frame was before the answer.
    head: usize,
    /// Bytes that the answer may have.
    most: usize,
    record: Option<Record>,
    /// For the log.
    event: EventName,
    connection: Uuid,
}

impl Future for Pending {
    type Output = (Vec<u8>, Outcome);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handler, frame, head, most, record, event, connection } = &mut *self;
        let outcome = outcome(ready!(handler.poll(cx, frame, *most)), *most, event, *connection);
        if let Some(record) = record.take() {
            record.finish(&frame[*head..], &outcome);
        }
        Poll::Ready((std::mem::take(frame), outcome))
    }
}

/// What the hook will be told, collected only if there is one.
struct Record {
    hook: CallHook,
    event: String,
    body: String,
    kind: CallKind,
    peer: Arc<Peer>,
    started: Instant,
    told: bool,
}

impl Record {
    fn new(hook: &CallHook, name: &str, body: &str, event: Option<&Event>, peer: &Arc<Peer>) -> Self {
        Self {
            hook: Arc::clone(hook),
            event: Shortened(name).to_string(),
            body: redact(name, body).unwrap_or_else(|| body.to_owned()),
            kind: event.map_or(CallKind::Unknown, |event| event.kind.into()),
            peer: Arc::clone(peer),
            started: Instant::now(),
            told: false,
        }
    }

    fn finish(mut self, answer: &[u8], outcome: &Outcome) {
        match outcome {
            Outcome::Answered => {
                let answer = String::from_utf8_lossy(answer);
                let redacted = redact(&self.event, &answer);
                self.tell(Ok(Some(redacted.as_deref().unwrap_or(&answer))));
            }
            Outcome::Ran | Outcome::Ended => self.tell(Ok(None)),
            Outcome::Failed(failure) | Outcome::Refused(failure) => {
                let redacted = redact_failure(&self.event, failure);
                self.tell(Err(redacted.as_ref().unwrap_or(failure)));
            }
        }
    }

    /// It was no call after all.
    fn discard(mut self) {
        self.told = true;
    }

    fn tell(&mut self, result: Result<Option<&str>, &Failure>) {
        self.told = true;
        let record = CallRecord {
            event: &self.event,
            connection: self.peer.id,
            client_key: self.peer.client_key.as_deref(),
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

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch").field("registry", &self.registry).finish_non_exhaustive()
    }
}
