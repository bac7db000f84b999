//! A call that came over HTTP, step by step: the same for an answer, a plain event and a stream.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "auth")]
use std::sync::Weak;
use std::task::{Context, Poll, ready};

use aaw_event::host::Caller;
use aaw_protocol::server::Completion;
use aaw_protocol::{Code, Failure, is_protected};
use axum::http::HeaderMap;
use uuid::Uuid;

use super::failed::Failed;
#[cfg(feature = "auth")]
use super::request;
use crate::auth::{self, Session};
#[cfg(feature = "auth")]
use crate::auth::{Held, Holder};
use crate::dispatch::{Ask, Asker, Begun, HandlerStream, Next, NoUpload, Pending, Shape};
use crate::hub::host_ops::{AtHome, Behalf};
use crate::hub::table::{Answering, Hub};
use crate::net::context::ServerContext;

/// What a poll gave.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// An item; its JSON was appended.
    Item,
    /// Nothing more comes.
    End,
    /// It failed, perhaps after items.
    Failed(Failure),
}

/// A call that runs. Dropping it drops its handler.
pub(super) struct Run {
    state: State,
    /// Bytes that an item may have.
    most: usize,
    /// Ready when the session has ended that it needs.
    until: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// A session is in use for as long as this is.
    _who: Arc<Requester>,
}

enum State {
    /// It was done when it was begun.
    Done(Vec<u8>, Completion),
    Pending(Box<Pending>),
    Stream(Box<HandlerStream>),
    /// Nothing more comes.
    Over,
}

impl Run {
    /// Finds the event and polls its handler once, unless it is a stream that is read item by item.
    pub(super) fn begin(
        shared: &ServerContext,
        who: Requester,
        name: &str,
        body: &str,
        shape: Shape,
    ) -> Result<Self, Failure> {
        let most = shared.config.max_message_bytes;
        let who = Arc::new(who);
        let until = if is_protected(name) { who.until_session_ends() } else { None };
        let ask = Ask { name, body, shape };
        let state = match shared.dispatch.begin::<_, NoUpload>(ask, Vec::new(), &who, None) {
            Begun::Done(answer, outcome) => State::Done(answer, outcome),
            Begun::Pending(pending) => State::Pending(Box::new(pending)),
            Begun::Stream(stream) => State::Stream(Box::new(stream)),
            Begun::NotJson => return Err(Failure::new(Code::BAD_BODY, "The body is no JSON")),
        };
        Ok(Self { state, most, until, _who: who })
    }

    /// Whether items may follow upon each other; otherwise there is one, or none.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.state, State::Stream(_))
    }

    /// Whether it is known that nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The next step. The JSON of an item is appended to `out`, which is otherwise left as it was.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Step> {
        if let Some(until) = &mut self.until
            // A call that answers once may have ended it itself, and is owed its answer.
            && matches!(self.state, State::Stream(_))
            && until.as_mut().poll(cx).is_ready()
        {
            (self.state, self.until) = (State::Over, None);
            return Poll::Ready(Step::Failed(Failure::new(Code::NOT_AUTHENTICATED, "Not authenticated")));
        }
        let outcome = match &mut self.state {
            State::Stream(stream) => match ready!(stream.poll_next(cx, out, self.most)) {
                Next::Item => return Poll::Ready(Step::Item),
                Next::Over(outcome) => outcome,
            },
            State::Pending(pending) => {
                let (answer, outcome) = ready!(Pin::new(&mut **pending).poll(cx));
                append(out, answer, &outcome);
                outcome
            }
            State::Done(answer, outcome) => {
                append(out, std::mem::take(answer), outcome);
                std::mem::replace(outcome, Completion::StreamEnded)
            }
            State::Over => Completion::StreamEnded,
        };
        // The handler is dropped, at the latest, here.
        self.state = State::Over;
        Poll::Ready(match outcome {
            Completion::Responded => Step::Item,
            Completion::OneWayDone | Completion::StreamEnded => Step::End,
            Completion::Failed(failure) | Completion::Refused(failure) => Step::Failed(failure),
        })
    }
}

fn append(out: &mut Vec<u8>, answer: Vec<u8>, outcome: &Completion) {
    if !matches!(outcome, Completion::Responded) {
    } else if out.is_empty() {
        *out = answer;
    } else {
        out.extend_from_slice(&answer);
    }
}

/// Who calls over HTTP: nobody whom anything could be sent to.
pub(super) struct Requester {
    id: Uuid,
    hub: Arc<Hub>,
    max_message: usize,
    address: Option<IpAddr>,
    /// Of the token that came with the request.
    #[cfg(feature = "auth")]
    held: Option<Held>,
}

impl Requester {
    /// Whoever sends this request. A token that it shows must be one.
    pub(super) async fn identify(
        shared: &ServerContext,
        address: Option<IpAddr>,
        headers: &HeaderMap,
    ) -> Result<Self, Failed> {
        #[cfg(feature = "auth")]
        let held = match (&shared.dispatch.auth, request::bearer(headers)?) {
            (Some(auth), Some(token)) => Some(auth.bearer(token).await?),
            _ => None,
        };
        #[cfg(not(feature = "auth"))]
        let _ = headers;
        Ok(Self {
            id: Uuid::new_v4(),
            hub: Arc::clone(&shared.hub),
            max_message: shared.config.max_message_bytes,
            address,
            #[cfg(feature = "auth")]
            held,
        })
    }

    /// The user's id, if it is known.
    pub(super) fn user(&self) -> Option<String> {
        self.session().map(|session| session.identity().id.clone())
    }

    #[cfg(feature = "auth")]
    fn until_session_ends(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let session = Arc::clone(&self.held.as_ref()?.session);
        Some(Box::pin(session.wait_until_ended()))
    }

    #[cfg(not(feature = "auth"))]
    fn until_session_ends(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        None
    }
}

impl Asker for Requester {
    fn uuid(&self) -> Uuid {
        self.id
    }

    fn client_key(&self) -> Option<&str> {
        None
    }

    fn address(&self) -> Option<IpAddr> {
        self.address
    }

    #[cfg(not(feature = "auth"))]
    fn session(&self) -> Option<Arc<Session>> {
        None
    }

    #[cfg(feature = "auth")]
    fn session(&self) -> Option<Arc<Session>> {
        self.held.as_ref().map(|held| Arc::clone(&held.session)).filter(|session| !session.is_over())
    }

    #[cfg(feature = "auth")]
    fn holder(self: &Arc<Self>) -> Option<Weak<dyn Holder>> {
        None
    }

    /// A request is what its token says; one that logs in is answered a token, and there is nothing that could keep it.
    #[cfg(feature = "auth")]
    fn hold(&self, held: Held) -> Option<Arc<Held>> {
        Some(Arc::new(held))
    }

    #[cfg(feature = "auth")]
    fn release(&self, _session: &Arc<Session>) -> Option<Arc<Held>> {
        None
    }
}

impl Caller for Requester {
    fn id(&self) -> String {
        self.id.to_string()
    }

    fn send_event(&self, _event: &str, _data: &str) -> Result<(), Failure> {
        Err(Failure::new(Code::NO_CONNECTION, "A call over HTTP has no connection that an event could be sent to"))
    }

    fn broadcast(&self, data: &str, _include_self: bool) {
        self.hub.broadcast(data, self.max_message, None);
    }

    fn host_op(&self, op: &str, args: &str) -> Result<String, Failure> {
        if op == "identity" {
            return Ok(self.identity_json().unwrap_or_else(|| "null".into()));
        }
        self.behalf().host_op(op, args)
    }

    fn host_op_async(self: Arc<Self>, op: String, args: String) -> Answering {
        let runtime = self.hub.runtime();
        match auth::host_op_async(self.hub.auth.as_ref(), &self, &op, &args) {
            Some(asked) => Box::pin(AtHome::new(runtime, asked)),
            None => Box::pin(AtHome::new(runtime, async move { self.behalf().host_op_async(&op, &args).await })),
        }
    }
}

impl Requester {
    fn behalf(&self) -> Behalf<'_> {
        Behalf { hub: &self.hub, connection: None, most: self.max_message }
    }
}
