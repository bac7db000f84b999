//! From a call to its handler's outcome, whatever way the call came.
//!
//! A handler is polled once where its call arrived. Most are done then, and cost no task, no channel and no wake-up.
//! What is pending is a future, and what yields is a stream: whoever began the call lets it go on, as a task, say, so
//! that it can use another core.

mod gather;
mod guards;
mod hooks;
mod record;
mod stream;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use aaw_event::host::{Caller, Incoming, Kind, Step};
use aaw_protocol::server::Outcome;
use aaw_protocol::{Code, EventName, Failure, codec};
use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::record::CallRecord;
use crate::registry::Registry;
use gather::Gather;
use guards::Handler;
use record::Record;
pub(crate) use stream::{HandlerStream, Next};

/// Sees every call when it is over.
pub(crate) type CallHook = Arc<dyn Fn(&CallRecord<'_>) + Send + Sync>;

/// Runs calls.
pub(crate) struct Dispatch {
    pub(crate) registry: ArcSwap<Registry>,
    pub(crate) hook: Option<CallHook>,
    /// Bytes that an answer may have: what is larger is not even copied from its module.
    pub(crate) max_answer: usize,
}

/// Who calls: what handlers find as `services.ws`, and what the log says of them.
pub(crate) trait Asker: Caller {
    /// Our id of the connection, or of the one request.
    fn uuid(&self) -> Uuid;

    /// By what the client tells itself apart, if it does.
    fn client_key(&self) -> Option<&str>;

    /// Who they have shown themselves to be, as JSON.
    fn identity_json(&self) -> Option<String> {
        None
    }
}

/// A call, as whoever took it in hands it over.
pub(crate) struct Ask<'a> {
    /// The event's name, as the caller wrote it.
    pub(crate) name: &'a str,
    /// The body. Perhaps no JSON: see [`Begun::NotJson`].
    pub(crate) body: &'a str,
    pub(crate) shape: Shape,
}

/// What the caller makes of a handler that yields. One that answers once is not concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All items in one array, as the one answer.
    Array,
    /// Item by item.
    Items,
    /// Nothing: it runs to its end for its own sake.
    Nothing,
}

/// What a call has come to after its first poll.
pub(crate) enum Begun {
    /// It is over. Behind what was in the frame stands its answer, if it has one.
    Done(Vec<u8>, Outcome),
    /// Its handler waits for something.
    Pending(Pending),
    /// Its handler yields, and the caller takes items. It was not polled yet.
    Stream(HandlerStream),
    /// Its body is not JSON, so it was no call. Nobody has looked at it before.
    NotJson,
}

/// No caller's stream.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "for callers without a connection"))]
pub(crate) enum NoUpload {}

impl Incoming for NoUpload {
    fn poll_next(&self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<aaw_event::host::IncomingStep> {
        match *self {}
    }
}

impl Dispatch {
    /// Finds the event and polls its handler once. The answer, as JSON, is appended to `frame`.
    ///
    /// With an `upload` the event must be one that takes its caller's stream.
    pub(crate) fn begin<C: Asker, I: Incoming>(
        &self,
        ask: Ask<'_>,
        mut frame: Vec<u8>,
        who: &Arc<C>,
        upload: Option<&Arc<I>>,
    ) -> Begun {
        let Ask { name, body, shape } = ask;
        let registry = self.registry.load();
        let event = registry.get(name);
        let record = self.hook.as_ref().map(|hook| Record::new(hook, name, body, event, &**who));
        let event = match event {
            Some(event) if event.protected => {
                let error = format!("Authentication is not enabled — {name} is unreachable");
                return refuse(Failure::new(Code::UNREACHABLE, error), body, frame, record);
            }
            Some(event) => event,
            None => return refuse(Failure::unknown_event(name), body, frame, record),
        };
        if upload.is_some() && !event.takes_incoming {
            let error = format!("{name} takes no stream from its caller");
            return refuse(Failure::new(Code::BAD_BODY, error), body, frame, record);
        }
        // What is no JSON is no call, and guards are for calls; without one the handler finds out.
        if !event.guards.is_empty() && !codec::is_json(body) {
            return refuse_no_json(record);
        }
        let mut handler = match guards::begin(event, body, who, upload) {
            Ok(handler) => handler,
            Err(failure) => return refuse(failure, body, frame, record),
        };
        let place = || Place { event: event.name.clone(), connection: who.uuid() };
        if event.kind == Kind::Stream {
            // A stream without credit is not polled, so nobody may have looked at the body for long.
            if !codec::is_json(body) {
                return refuse_no_json(record);
            }
            let stream = HandlerStream::new(handler, record, place());
            return match shape {
                Shape::Items => Begun::Stream(stream),
                Shape::Array | Shape::Nothing => {
                    let mut gather = Gather::new(stream, frame, shape == Shape::Array, self.max_answer);
                    match Pin::new(&mut gather).poll(&mut Context::from_waker(Waker::noop())) {
                        Poll::Ready((frame, outcome)) => Begun::Done(frame, outcome),
                        Poll::Pending => Begun::Pending(Pending::Gather(gather)),
                    }
                }
            };
        }
        let head = frame.len();
        // Nothing is lost by a waker that wakes nobody: what is pending is polled again, by its own task.
        match handler.poll(&mut Context::from_waker(Waker::noop()), &mut frame, self.max_answer, name) {
            Poll::Pending => {
                let most = self.max_answer;
                let (place, kind) = (place(), event.kind);
                Begun::Pending(Pending::Answer(Answering { handler, kind, frame, head, most, record, place }))
            }
            Poll::Ready(step) => match outcome(step, self.max_answer, &event.name, who.uuid()) {
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
    pub(crate) fn refused<C: Asker>(&self, name: &str, body: &str, failure: &Failure, who: &Arc<C>) {
        if let Some(hook) = &self.hook {
            let registry = self.registry.load();
            Record::new(hook, name, body, registry.get(name), &**who).finish(&[], &Outcome::Refused(failure.clone()));
        }
    }
}

/// Where something happens, for the log.
#[derive(Debug, Clone)]
struct Place {
    event: EventName,
    connection: Uuid,
}

/// Ends a call that was not run. Its body may not have been parsed, and what is not JSON is no call.
fn refuse(failure: Failure, body: &str, frame: Vec<u8>, record: Option<Record>) -> Begun {
    if !codec::is_json(body) {
        return refuse_no_json(record);
    }
    let outcome = Outcome::Refused(failure);
    if let Some(record) = record {
        record.finish(&[], &outcome);
    }
    Begun::Done(frame, outcome)
}

fn refuse_no_json(record: Option<Record>) -> Begun {
    if let Some(record) = record {
        record.discard();
    }
    Begun::NotJson
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
pub(crate) enum Pending {
    /// Of a handler that answers once.
    Answer(Answering),
    /// Of one that yields, to a caller who wants one answer.
    Gather(Gather),
}

impl Pending {
    /// Whether the caller's further calls wait for it: a plain event has run when it has been begun, also where a guard
    /// kept it waiting. So who joins a room and then asks for its size sees the one in the other.
    pub(crate) fn is_barrier(&self) -> bool {
        matches!(self, Self::Answer(Answering { kind: Kind::Plain, .. }))
    }
}

impl Future for Pending {
    type Output = (Vec<u8>, Outcome);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Answer(answering) => Pin::new(answering).poll(cx),
            Self::Gather(gather) => Pin::new(gather).poll(cx),
        }
    }
}

/// A handler that answers once, and has not yet.
pub(crate) struct Answering {
    handler: Handler,
    kind: Kind,
    frame: Vec<u8>,
    /// How long the frame was before the answer.
    head: usize,
    /// Bytes that the answer may have.
    most: usize,
    record: Option<Record>,
    place: Place,
}

impl Future for Answering {
    type Output = (Vec<u8>, Outcome);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handler, frame, head, most, record, place, .. } = &mut *self;
        let outcome = outcome(
            ready!(handler.poll(cx, frame, *most, place.event.as_str())),
            *most,
            &place.event,
            place.connection,
        );
        if let Some(record) = record.take() {
            record.finish(&frame[*head..], &outcome);
        }
        Poll::Ready((std::mem::take(frame), outcome))
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch").field("registry", &self.registry).finish_non_exhaustive()
    }
}
