//! A call over HTTP, driven step by step: the same for unary, one-way and streaming handlers.

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

use super::error::HttpError as Failed;
#[cfg(feature = "auth")]
use super::request;
use crate::auth::{self, Session};
#[cfg(feature = "auth")]
use crate::auth::{Held, Holder};
use crate::dispatch::{Ask, Asker, Begun, HandlerStream, Next, NoUpload, Pending, Shape};
use crate::hub::host_ops::{AtHome, Behalf};
use crate::hub::table::{Answering, Hub};
use crate::net::context::ServerContext;

/// The result of polling an [`HttpCall`].
#[derive(Debug, PartialEq)]
pub(super) enum CallStep {
    /// A response or an item. Its JSON was appended to the buffer.
    Item,
    /// The call is complete.
    End,
    /// The call failed, perhaps after some items.
    Failed(Failure),
}

/// A call in progress. Dropping it drops its handler.
pub(super) struct HttpCall {
    state: HttpCallState,
    /// The limit of an item, in bytes.
    max_item: usize,
    /// Completes when the session that authorised the call ends. `None` if the event needs no session.
    session_end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Its session counts as in use until this is dropped.
    _caller: Arc<Requester>,
}

enum HttpCallState {
    /// The call was complete when it was begun.
    Done(Vec<u8>, Completion),
    Pending(Box<Pending>),
    Stream(Box<HandlerStream>),
    Finished,
}

impl HttpCall {
    /// Finds the event and polls its handler once. A stream that is read item by item is not polled yet.
    pub(super) fn begin(
        shared: &ServerContext,
        caller: Requester,
        name: &str,
        body: &str,
        shape: Shape,
    ) -> Result<Self, Failure> {
        let max_item = shared.config.max_message;
        let caller = Arc::new(caller);
        let session_end = if is_protected(name) { caller.until_session_ends() } else { None };
        let call = Ask { name, body, shape };
        let state = match shared.dispatch.begin::<_, NoUpload>(call, Vec::new(), &caller, None) {
            Begun::Done(response, completion) => HttpCallState::Done(response, completion),
            Begun::Pending(pending) => HttpCallState::Pending(Box::new(pending)),
            Begun::Stream(stream) => HttpCallState::Stream(Box::new(stream)),
            Begun::NotJson => return Err(Failure::new(Code::BAD_BODY, "The body is not valid JSON")),
        };
        Ok(Self { state, max_item, session_end, _caller: caller })
    }

    /// Whether the call may produce several items; otherwise it produces one or none.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.state, HttpCallState::Stream(_))
    }

    /// Whether the call is known to produce nothing more.
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.state, HttpCallState::Finished)
    }

    /// Polls for the next step. The JSON of an item is appended to `out`; other steps leave it unchanged.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<CallStep> {
        if let Some(session_end) = &mut self.session_end
            // A unary call may have ended its session itself, by logging out, and must still get its response.
            && matches!(self.state, HttpCallState::Stream(_))
            && session_end.as_mut().poll(cx).is_ready()
        {
            (self.state, self.session_end) = (HttpCallState::Finished, None);
            return Poll::Ready(CallStep::Failed(Failure::new(Code::NOT_AUTHENTICATED, "Not authenticated")));
        }
        let completion = match &mut self.state {
            HttpCallState::Stream(stream) => match ready!(stream.poll_next(cx, out, self.max_item)) {
                Next::Item => return Poll::Ready(CallStep::Item),
                Next::Over(completion) => completion,
            },
            HttpCallState::Pending(pending) => {
                let (response, completion) = ready!(Pin::new(&mut **pending).poll(cx));
                append(out, response, &completion);
                completion
            }
            HttpCallState::Done(response, completion) => {
                append(out, std::mem::take(response), completion);
                std::mem::replace(completion, Completion::StreamEnded)
            }
            HttpCallState::Finished => Completion::StreamEnded,
        };
        // Drops the handler, if it has not been dropped yet.
        self.state = HttpCallState::Finished;
        Poll::Ready(match completion {
            Completion::Responded => CallStep::Item,
            Completion::OneWayDone | Completion::StreamEnded => CallStep::End,
            Completion::Failed(failure) | Completion::Refused(failure) => CallStep::Failed(failure),
        })
    }
}

fn append(out: &mut Vec<u8>, response: Vec<u8>, completion: &Completion) {
    if !matches!(completion, Completion::Responded) {
        return;
    }
    if out.is_empty() {
        *out = response;
    } else {
        out.extend_from_slice(&response);
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
            max_message: shared.config.max_message,
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
