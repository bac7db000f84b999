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
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "auth")]
use std::sync::Weak;
use std::task::{Context, Poll, Waker, ready};

use aaw_event::host::{Caller, HandlerKind, Step, UploadSource};
use aaw_protocol::server::Completion;
use aaw_protocol::{Code, EventName, Failure, codec, is_reserved};
use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::auth::{Asked, Service, Session};
#[cfg(feature = "auth")]
use crate::auth::{Held, Holder};
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
    /// Who is calling, if that is known at all.
    pub(crate) auth: Option<Arc<Service>>,
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
        let session = self.session()?;
        // Texts always serialise.
        serde_json::to_string(&*session.identity()).ok()
    }

    /// Where it comes from, if that is known.
    #[cfg_attr(not(feature = "auth"), expect(dead_code, reason = "limits look at it"))]
    fn address(&self) -> Option<IpAddr>;

    /// The session that it has, if that is not over.
    fn session(&self) -> Option<Arc<Session>>;

    /// A handler is about to change who the caller is: what comes after its call has to wait for it.
    fn changes(&self) {}

    /// Who is to be told of a session's end, if somebody can be.
    #[cfg(feature = "auth")]
    fn holder(self: &Arc<Self>) -> Option<Weak<dyn Holder>>;

    /// Takes this session from now on, and gives back what it had before; or this one, if it is too late.
    #[cfg(feature = "auth")]
    fn hold(&self, held: Held) -> Option<Arc<Held>>;

    /// Gives up this session, if it has it.
    #[cfg(feature = "auth")]
    fn release(&self, session: &Arc<Session>) -> Option<Arc<Held>>;
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
    Done(Vec<u8>, Completion),
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

impl UploadSource for NoUpload {
    fn poll_next(&self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<aaw_event::host::UploadStep> {
        match *self {}
    }
}

impl Dispatch {
    /// Finds the event and polls its handler once. The answer, as JSON, is appended to `frame`.
    ///
    /// With an `upload` the event must be one that takes its caller's stream.
    pub(crate) fn begin<C: Asker, I: UploadSource>(
        &self,
        ask: Ask<'_>,
        mut frame: Vec<u8>,
        who: &Arc<C>,
        upload: Option<&Arc<I>>,
    ) -> Begun {
        let Ask { name, body, shape } = ask;
        let registry = self.registry.load();
        let event = registry.get(name);
        let is_built_in = event.is_none() && self.has_built_in(name);
        let record = self.hook.as_ref().map(|hook| Record::new(hook, name, body, event, is_built_in, &**who));
        let takes_upload = event.is_some_and(|event| event.takes_upload);
        let refusal = match event {
            Some(event) if event.protected => self.judge(name, &**who).err(),
            None if !is_built_in => Some(Failure::unknown_event(name)),
            _ => None,
        };
        let refusal = refusal.or_else(|| {
            let error = || format!("{name} takes no stream from its caller");
            (upload.is_some() && !takes_upload).then(|| Failure::new(Code::BAD_BODY, error()))
        });
        if let Some(failure) = refusal {
            return refuse(failure, body, frame, record);
        }
        let Some(event) = event else { return self.begin_built_in(name, body, frame, who, record) };
        // What is no JSON is no call, and guards are for calls; without one the handler finds out.
        if !event.guards.is_empty() && !codec::is_json(body) {
            return refuse_no_json(record);
        }
        let mut handler = match guards::begin(event, body, who, upload) {
            Ok(handler) => handler,
            Err(failure) => return refuse(failure, body, frame, record),
        };
        let place = || Place { event: event.name.clone(), connection: who.uuid() };
        if event.kind == HandlerKind::Streaming {
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
                Completion::Refused(failure) => refuse(failure, body, frame, record),
                outcome => {
                    if let Some(record) = record {
                        record.finish(&frame[head..], &outcome);
                    }
                    Begun::Done(frame, outcome)
                }
            },
        }
    }

    /// Whether the caller may call an event that needs a session.
    fn judge(&self, name: &str, who: &impl Asker) -> Result<(), Failure> {
        match &self.auth {
            Some(auth) => auth.judge(who.session().as_deref(), name),
            None => {
                let error = format!("Authentication is not enabled — {name} is unreachable");
                Err(Failure::new(Code::UNREACHABLE, error))
            }
        }
    }

    /// Whether aaw itself answers this event.
    fn has_built_in(&self, name: &str) -> bool {
        is_reserved(name) && self.auth.is_some() && Service::answers(name)
    }

    /// A call that aaw itself answers: a change of who the caller is.
    fn begin_built_in<C: Asker>(
        &self,
        name: &str,
        body: &str,
        frame: Vec<u8>,
        who: &Arc<C>,
        record: Option<Record>,
    ) -> Begun {
        if !codec::is_json(body) {
            return refuse_no_json(record);
        }
        let registry = self.registry.load();
        let deliver = || registry.password_reset.as_ref().map(|hook| hooks::deliver(hook, who));
        match self.auth.as_ref().and_then(|auth| auth.ask(name, body, who, deliver)) {
            Some(asked) => Begun::Pending(Pending::BuiltIn(BuiltIn { asked, frame, record })),
            None => refuse(Failure::unknown_event(name), body, frame, record),
        }
    }

    /// A call was refused before it came here: the hook sees it too.
    pub(crate) fn refused<C: Asker>(&self, name: &str, body: &str, failure: &Failure, who: &Arc<C>) {
        if let Some(hook) = &self.hook {
            let registry = self.registry.load();
            let is_built_in = self.has_built_in(name);
            let record = Record::new(hook, name, body, registry.get(name), is_built_in, &**who);
            record.finish(&[], &Completion::Refused(failure.clone()));
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
    let outcome = Completion::Refused(failure);
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

fn outcome(step: Step, most: usize, event: &EventName, connection: Uuid) -> Completion {
    match step {
        Step::Item => Completion::Responded,
        Step::End => Completion::OneWayDone,
        Step::Refused(failure) => Completion::Refused(failure),
        Step::Failed(failure) => Completion::Failed(failure),
        Step::TooLarge(len) => {
            let error = format!("The answer has {len} bytes, and a message may have {most}");
            Completion::Failed(Failure::new(Code::TOO_LARGE, error))
        }
        Step::Panicked(what) => {
            tracing::error!(%connection, %event, "the handler panicked: {what}");
            Completion::Failed(Failure::internal(Code::PANIC))
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
    /// Of aaw's own.
    BuiltIn(BuiltIn),
}

impl Pending {
    /// Whether the caller's further calls wait for it: one that changes who the caller is, so that they are judged by
    /// that; and a plain event, which has run when it has been begun, also where a guard kept it waiting. So who joins a
    /// room and then asks for its size sees the one in the other.
    pub(crate) fn is_barrier(&self) -> bool {
        matches!(self, Self::BuiltIn(_) | Self::Answer(Answering { kind: HandlerKind::OneWay, .. }))
    }
}

impl Future for Pending {
    type Output = (Vec<u8>, Completion);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Answer(answering) => Pin::new(answering).poll(cx),
            Self::Gather(gather) => Pin::new(gather).poll(cx),
            Self::BuiltIn(built_in) => Pin::new(built_in).poll(cx),
        }
    }
}

/// An event of aaw's own that is being answered.
pub(crate) struct BuiltIn {
    asked: Asked,
    frame: Vec<u8>,
    record: Option<Record>,
}

impl Future for BuiltIn {
    type Output = (Vec<u8>, Completion);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { asked, frame, record } = &mut *self;
        let (answer, outcome) = match ready!(asked.as_mut().poll(cx)) {
            Ok(answer) => (answer, Completion::Responded),
            Err(failure) => (String::new(), Completion::Failed(failure)),
        };
        if let Some(record) = record.take() {
            record.finish(answer.as_bytes(), &outcome);
        }
        frame.extend_from_slice(answer.as_bytes());
        Poll::Ready((std::mem::take(frame), outcome))
    }
}

/// A handler that answers once, and has not yet.
pub(crate) struct Answering {
    handler: Handler,
    kind: HandlerKind,
    frame: Vec<u8>,
    /// How long the frame was before the answer.
    head: usize,
    /// Bytes that the answer may have.
    most: usize,
    record: Option<Record>,
    place: Place,
}

impl Future for Answering {
    type Output = (Vec<u8>, Completion);

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
