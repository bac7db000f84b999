//! From a call to its handler's outcome.
//!
//! A handler is polled once where its call arrived. Most are done then, and cost no task, no channel and no wake-up.
//! What is pending goes on as a task of its own, so that it can use another core, and its outcome comes back through the
//! connection's outbox.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use aaw_event::host::{Call as HandlerCall, Step};
use aaw_protocol::server::{Call, CallKey, Outcome};
use aaw_protocol::{Code, Failure, Shortened};
use arc_swap::ArcSwap;

use crate::hub::Peer;
use crate::outbox::Mail;
use crate::record::{CallKind, CallRecord, cancelled, redact, redact_failure};
use crate::registry::Registry;

/// Sees every call when it is over.
pub(crate) type CallHook = Arc<dyn Fn(&CallRecord<'_>) + Send + Sync>;

/// Runs calls.
pub(crate) struct Dispatch {
    pub(crate) registry: ArcSwap<Registry>,
    pub(crate) hook: Option<CallHook>,
}

/// What a call has come to after its first poll.
pub(crate) enum Begun {
    /// It is over.
    Done(Vec<u8>, Outcome),
    /// Its handler waits for something.
    Pending(Pending),
}

impl Dispatch {
    /// Finds the event and polls its handler once.
    pub(crate) fn begin(&self, call: &Call<'_>, peer: &Arc<Peer>) -> Begun {
        let registry = self.registry.load();
        let event = registry.get(&call.event);
        let kind = event.map_or(CallKind::Unknown, |event| event.kind.into());
        let record = self.hook.as_ref().map(|hook| Record::new(hook, &call.event, call.body, kind, peer));
        let frame = call.begin_answer();
        let event = match event {
            Some(event) if event.protected => {
                let error = format!("Authentication is not enabled — {} is unreachable", call.event);
                return refused(record, frame, Failure::new(Code::UNREACHABLE, error));
            }
            Some(event) => event,
            None => return refused(record, frame, Failure::unknown_event(&call.event)),
        };
        let begun = frame.len();
        let handler = event.instance.call(event.index, call.body, peer);
        let mut pending = Pending { handler, frame, begun, record };
        // Nothing is lost by a waker that wakes nobody: a handler that is pending is polled again, by its own task.
        match pending.poll(&mut Context::from_waker(Waker::noop()), &call.event) {
            Poll::Ready(outcome) => Begun::Done(pending.frame, outcome),
            Poll::Pending => Begun::Pending(pending),
        }
    }
}

impl Dispatch {
    /// A call was refused before it came here, by its session: the hook sees it too.
    pub(crate) fn refused(&self, event: &str, body: &str, failure: &Failure, peer: &Arc<Peer>) {
        if let Some(hook) = &self.hook {
            let kind = self.registry.load().get(event).map_or(CallKind::Unknown, |event| event.kind.into());
            Record::new(hook, event, body, kind, peer).finish(&[], &Outcome::Refused(failure.clone()));
        }
    }
}

fn refused(record: Option<Record>, frame: Vec<u8>, failure: Failure) -> Begun {
    let outcome = Outcome::Refused(failure);
    if let Some(record) = record {
        record.finish(&[], &outcome);
    }
    Begun::Done(frame, outcome)
}

/// A handler that is not done, with the frame its answer goes into.
pub(crate) struct Pending {
    handler: HandlerCall,
    frame: Vec<u8>,
    /// How much of the frame was there before the answer.
    begun: usize,
    record: Option<Record>,
}

impl Pending {
    fn poll(&mut self, cx: &mut Context<'_>, event: &str) -> Poll<Outcome> {
        let step = std::task::ready!(self.handler.poll(cx, &mut self.frame));
        let outcome = match step {
            Step::Item => Outcome::Answered,
            Step::End => Outcome::Ran,
            // Its body never became one: it was not run.
            Step::Failed(failure) if failure.code == Code::BAD_BODY => Outcome::Refused(failure),
            Step::Failed(failure) => Outcome::Failed(failure),
            Step::Panicked(what) => {
                tracing::error!(event, "the handler panicked: {what}");
                Outcome::Failed(Failure::new(Code::PANIC, "Internal error"))
            }
        };
        if let Some(record) = self.record.take() {
            record.finish(&self.frame[self.begun..], &outcome);
        }
        Poll::Ready(outcome)
    }

    /// The rest of the call, as a task of its own: its outcome is posted to the peer's outbox.
    pub(crate) fn finish(self, key: CallKey, event: String, peer: Arc<Peer>) -> Finish {
        Finish { pending: self, key, event, peer }
    }
}

/// A call that runs as a task. Dropped before its end, it drops the handler.
pub(crate) struct Finish {
    pending: Pending,
    key: CallKey,
    event: String,
    peer: Arc<Peer>,
}

impl Future for Finish {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let outcome = std::task::ready!(this.pending.poll(cx, &this.event));
        this.peer.outbox.post(Mail::Outcome(this.key, std::mem::take(&mut this.pending.frame), outcome));
        Poll::Ready(())
    }
}

/// What the hook will be told, collected only if there is one.
struct Record {
    hook: CallHook,
    event: String,
    body: String,
    kind: CallKind,
    peer: Arc<Peer>,
    begun: Instant,
    told: bool,
}

impl Record {
    fn new(hook: &CallHook, event: &str, body: &str, kind: CallKind, peer: &Arc<Peer>) -> Self {
        Self {
            hook: Arc::clone(hook),
            event: Shortened(event).to_string(),
            body: redact(event, body).unwrap_or_else(|| body.to_owned()),
            kind,
            peer: Arc::clone(peer),
            begun: Instant::now(),
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
            Outcome::Ran => self.tell(Ok(None)),
            Outcome::Failed(failure) | Outcome::Refused(failure) => {
                let redacted = redact_failure(&self.event, failure);
                self.tell(Err(redacted.as_ref().unwrap_or(failure)));
            }
        }
    }

    fn tell(&mut self, result: Result<Option<&str>, &Failure>) {
        self.told = true;
        (self.hook)(&CallRecord {
            event: &self.event,
            connection: self.peer.id,
            client_key: self.peer.client_key.as_deref(),
            kind: self.kind,
            body: &self.body,
            result,
            elapsed: self.begun.elapsed(),
        });
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
