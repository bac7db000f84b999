//! Finds the event of a call, authorizes the call, and begins its handler.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aaw_event::host::{HandlerKind, UploadSource};
use aaw_event::{AwayInfo, BackInfo, CloseInfo, OpenInfo};
use aaw_protocol::server::{Completion, ResponseMode};
use aaw_protocol::{Code, Failure, codec, is_reserved};
use arc_swap::ArcSwap;

use super::call_recorder::{CallHook, CallRecorder};
use super::call_span::CallSpan;
use super::completion::{LogContext, completion_of};
use super::describe;
use super::dispatched::Dispatched;
use super::gather::GatherStream;
use super::guards::BegunHandler;
use super::pending::{PendingBuiltIn, PendingCall, PendingKind, PendingUnary};
use super::request::{CallSource, DispatchRequest};
use super::response_frame::ResponseFrame;
use super::run_limit::RunLimits;
use super::stream::{HandlerStream, StreamTurn};
use super::{guards, hooks};
use uuid::Uuid;

use crate::auth::identity_change::HandlerPoll;
use crate::auth::{CallContext, IdentifiedCaller, Service, SessionGuard};
use crate::busy_turns::{BusyTurns, TaskKind};
use crate::client_turns::client;
use crate::poll_watch;
use crate::registry::{RegisteredEvent, Registry};
use crate::throttle::LogThrottles;

/// Dispatches the calls of one server.
pub(crate) struct Dispatch {
    pub(crate) registry: ArcSwap<Registry>,
    pub(crate) hook: Option<CallHook>,
    /// `None` if authentication is not enabled.
    pub(crate) auth: Option<Arc<Service>>,
    /// The most bytes that a response may have; a larger one is not copied from its module.
    pub(crate) max_response: usize,
    pub(crate) limits: RunLimits,
    pub(crate) throttles: LogThrottles,
    pub(crate) busy_turns: Arc<BusyTurns>,
}

impl Dispatch {
    /// Finds the event, authorizes the call, and polls the handler once. The response, as JSON, is appended to `frame`.
    ///
    /// With an `upload`, the event must take one.
    #[inline]
    pub(crate) fn begin<C: IdentifiedCaller, I: UploadSource>(
        &self,
        request: DispatchRequest<'_>,
        frame: ResponseFrame<'_>,
        caller: &Arc<C>,
        upload: Option<&Arc<I>>,
    ) -> Dispatched {
        match CallSpan::new(request.event, request.source, caller.context()) {
            None => self.begin_call(&request, frame, caller, upload),
            Some(span) => self.begin_in_span(span, &request, frame, caller, upload),
        }
    }

    #[cold]
    fn begin_in_span<C: IdentifiedCaller, I: UploadSource>(
        &self,
        mut span: CallSpan,
        request: &DispatchRequest<'_>,
        frame: ResponseFrame<'_>,
        caller: &Arc<C>,
        upload: Option<&Arc<I>>,
    ) -> Dispatched {
        let mut dispatched = span.in_scope(|| self.begin_call(request, frame, caller, upload));
        match &mut dispatched {
            Dispatched::Done(completion) => span.finish(completion),
            Dispatched::Pending(call) => call.set_span(span),
            Dispatched::Stream(stream) => stream.set_span(span),
            Dispatched::NotJson => span.discard(),
        }
        dispatched
    }

    fn begin_call<C: IdentifiedCaller, I: UploadSource>(
        &self,
        request: &DispatchRequest<'_>,
        frame: ResponseFrame<'_>,
        caller: &Arc<C>,
        upload: Option<&Arc<I>>,
    ) -> Dispatched {
        let &DispatchRequest { event: name, body, session, .. } = request;
        let registry = self.registry.load();
        let event = registry.get(name);
        request.cost.set(event.map_or(1, RegisteredEvent::cost));
        let is_built_in = event.is_none() && self.has_built_in(name);
        let recorder = self
            .hook
            .as_ref()
            .map(|hook| Box::new(CallRecorder::new(hook, name, body, event, is_built_in, caller.context())));
        let takes_upload = event.is_some_and(|event| event.takes_upload);
        let refusal = match event {
            Some(event) if event.protected => self.authorize(name, session).err(),
            None if !is_built_in => Some(registry.unknown_event(name)),
            _ => None,
        };
        let refusal = refusal.or_else(|| {
            let error = || format!("{name} does not take an upload");
            (upload.is_some() && !takes_upload).then(|| Failure::new(Code::BAD_BODY, error()))
        });
        if let Some(failure) = refusal {
            return refuse(failure, body, recorder);
        }
        let Some(event) = event else { return self.begin_built_in(request, frame, caller, recorder) };
        // A body that is not JSON is not a call, so no guard runs for it. Without guards the handler's own parsing
        // tells.
        if !event.guards.is_empty() && !codec::is_json(body) {
            return refuse_not_json(recorder);
        }
        let _polling = poll_watch::polling(name);
        let first_poll = HandlerPoll::first(caller.context().id);
        let limit = event.max_call_time.unwrap_or(self.limits.call);
        let log = || LogContext { event: event.name.clone(), connection: caller.context().id };
        let (mut frame, max_len) = (frame, self.max_response);
        let response_start = frame.buffer().len();
        let begun = guards::run(event, request, caller, upload, self.limits.guard, frame.buffer(), max_len);
        match begun {
            Err(failure) => refuse(failure, body, recorder),
            Ok(BegunHandler::Pending(handler)) if event.kind == HandlerKind::Streaming => {
                let kind = stream_kind(request.mode);
                let turn = StreamTurn::new(&self.busy_turns, client(caller.context().address), kind);
                let stream = HandlerStream::new(handler, recorder, log(), turn, Arc::clone(&registry.generation));
                self.begin_stream(stream, request, frame, caller.context().id, &first_poll, limit)
            }
            Ok(BegunHandler::Pending(handler)) => {
                let (kind, head, log) = (event.kind, frame.head(&event.name), log());
                let call = PendingUnary { handler, kind, head, max_len, recorder, log };
                Dispatched::Pending(PendingCall::new(
                    PendingKind::Unary(call),
                    Some(Arc::clone(&registry.generation)),
                    caller.context().id,
                    session.is_some(),
                    first_poll.began_identity_change(),
                    limit,
                ))
            }
            Ok(BegunHandler::Done(step)) => match completion_of(step, max_len, &event.name, caller.context().id) {
                Completion::Refused(failure) => refuse(failure, body, recorder),
                completion => {
                    if let Some(recorder) = recorder {
                        recorder.finish(&frame.buffer()[response_start..], &completion);
                    }
                    Dispatched::Done(completion)
                }
            },
        }
    }

    /// Records a call that was refused before dispatch.
    pub(crate) fn record_refused(
        &self,
        name: &str,
        source: CallSource,
        body: &str,
        failure: &Failure,
        caller: &CallContext,
    ) {
        let completion = || Completion::Refused(failure.clone());
        if let Some(mut span) = CallSpan::new(name, source, caller) {
            span.finish(&completion());
        }
        if let Some(hook) = &self.hook {
            let registry = self.registry.load();
            let is_built_in = self.has_built_in(name);
            let recorder = CallRecorder::new(hook, name, body, registry.get(name), is_built_in, caller);
            recorder.finish(&[], &completion());
        }
    }

    /// Returns whether there are hooks of connections: `_open`, `_close`, `_resume`, `_away` or `_back`.
    pub(crate) fn has_hooks(&self) -> bool {
        !self.registry.load().hooks.is_empty()
    }

    /// Runs the `_open` hooks, see [`hooks::open`].
    pub(crate) async fn run_open_hooks<C: IdentifiedCaller>(
        &self,
        caller: &Arc<C>,
        info: &OpenInfo,
        passed: &AtomicUsize,
    ) -> Result<(), Failure> {
        hooks::open(&self.registry.load_full(), caller, info, passed).await
    }

    /// Runs the `_close` hooks of the first `passed` modules.
    pub(crate) async fn run_close_hooks<C: IdentifiedCaller>(&self, caller: &Arc<C>, info: &CloseInfo, passed: usize) {
        hooks::close(&self.registry.load_full(), &self.throttles, caller, info, passed).await;
    }

    /// Returns whether there are `_resume` hooks.
    pub(crate) fn has_resume_hooks(&self) -> bool {
        self.registry.load().hooks.iter().any(|hooks| hooks.resume.is_some())
    }

    /// Returns whether there are `_away` or `_back` hooks.
    pub(crate) fn has_away_hooks(&self) -> bool {
        self.registry.load().hooks.iter().any(|hooks| hooks.away.is_some() || hooks.back.is_some())
    }

    /// Runs the `_resume` hooks, until one refuses the new socket.
    pub(crate) async fn run_resume_hooks<C: IdentifiedCaller>(
        &self,
        caller: &Arc<C>,
        info: &OpenInfo,
    ) -> Result<(), Failure> {
        hooks::resume(&self.registry.load_full(), caller, info).await
    }

    /// Runs the `_away` hooks.
    pub(crate) async fn run_away_hooks<C: IdentifiedCaller>(&self, caller: &Arc<C>, info: &AwayInfo) {
        hooks::away(&self.registry.load_full(), &self.throttles, caller, info).await;
    }

    /// Runs the `_back` hooks.
    pub(crate) async fn run_back_hooks<C: IdentifiedCaller>(&self, caller: &Arc<C>, info: &BackInfo) {
        hooks::back(&self.registry.load_full(), &self.throttles, caller, info).await;
    }

    /// Begins a call of a streaming handler. If its caller expects one response, the items are gathered.
    fn begin_stream(
        &self,
        stream: HandlerStream,
        request: &DispatchRequest<'_>,
        mut frame: ResponseFrame<'_>,
        caller: Uuid,
        first_poll: &HandlerPoll,
        limit: Duration,
    ) -> Dispatched {
        let collects = match request.mode {
            ResponseMode::Items | ResponseMode::Pushes => return Dispatched::Stream(stream),
            ResponseMode::Single => true,
            ResponseMode::Nothing => false,
        };
        let mut gather = GatherStream::new(stream, frame.take(), collects, self.max_response);
        match Pin::new(&mut gather).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready((response, completion)) => {
                frame.put_back(&response);
                Dispatched::Done(completion)
            }
            Poll::Pending => {
                let began_identity_change = first_poll.began_identity_change();
                let generation = Some(Arc::clone(gather.generation()));
                let kind = PendingKind::Gather(Box::new(gather));
                let has_session = request.session.is_some();
                Dispatched::Pending(PendingCall::new(
                    kind,
                    generation,
                    caller,
                    has_session,
                    began_identity_change,
                    limit,
                ))
            }
        }
    }

    /// Decides whether a protected event may be called with this session.
    pub(crate) fn authorize(&self, name: &str, session: Option<&SessionGuard>) -> Result<(), Failure> {
        match &self.auth {
            Some(auth) => auth.authorize(session, name),
            None => {
                let error = format!("Authentication is not enabled — {name} is unreachable");
                Err(Failure::new(Code::UNREACHABLE, error))
            }
        }
    }

    /// Returns whether a module has the event, or it is built in.
    pub(crate) fn has_event(&self, name: &str) -> bool {
        self.registry.load().get(name).is_some() || self.has_built_in(name)
    }

    fn has_built_in(&self, name: &str) -> bool {
        is_reserved(name) && (name == describe::NAME || self.auth.is_some() && Service::is_built_in(name))
    }

    fn begin_built_in<C: IdentifiedCaller>(
        &self,
        request: &DispatchRequest<'_>,
        mut frame: ResponseFrame<'_>,
        caller: &Arc<C>,
        recorder: Option<Box<CallRecorder>>,
    ) -> Dispatched {
        let &DispatchRequest { event: name, body, .. } = request;
        if !codec::is_json(body) {
            return refuse_not_json(recorder);
        }
        let described = (name == describe::NAME).then(|| {
            let is_authorized = |name: &str, session: Option<&SessionGuard>| self.authorize(name, session).is_ok();
            describe::begin(self.registry.load_full(), is_authorized, self.limits.guard, body, caller)
        });
        let registry = self.registry.load();
        let reset_hook = || registry.password_reset.as_ref().map(|hook| hooks::password_reset(hook, caller));
        let of_auth = || self.auth.as_ref().and_then(|auth| auth.begin_built_in(name, body, caller, reset_hook));
        match described.or_else(of_auth) {
            Some(response) => {
                let call = PendingBuiltIn { response, frame: frame.take(), recorder };
                let (kind, limit) = (PendingKind::BuiltIn(call), self.limits.call);
                let (has_session, changes_identity) = (request.session.is_some(), name != describe::NAME);
                Dispatched::Pending(PendingCall::new(
                    kind,
                    None,
                    caller.context().id,
                    has_session,
                    changes_identity,
                    limit,
                ))
            }
            None => refuse(Failure::unknown_event(name), body, recorder),
        }
    }
}

fn stream_kind(mode: ResponseMode) -> TaskKind {
    match mode {
        ResponseMode::Items | ResponseMode::Pushes => TaskKind::Flowing,
        ResponseMode::Single | ResponseMode::Nothing => TaskKind::Gathered,
    }
}

/// Completes a call that is not run. Its body may not have been parsed yet: if it is not JSON, the frame was not a
/// call.
fn refuse(failure: Failure, body: &str, recorder: Option<Box<CallRecorder>>) -> Dispatched {
    if !codec::is_json(body) {
        return refuse_not_json(recorder);
    }
    let completion = Completion::Refused(failure);
    if let Some(recorder) = recorder {
        recorder.finish(&[], &completion);
    }
    Dispatched::Done(completion)
}

fn refuse_not_json(recorder: Option<Box<CallRecorder>>) -> Dispatched {
    if let Some(recorder) = recorder {
        recorder.discard();
    }
    Dispatched::NotJson
}

#[cfg(test)]
impl Dispatch {
    /// Dispatches calls of these events, without a hook and with the default limits.
    pub(crate) fn for_test(registry: Registry, auth: Option<Arc<Service>>, max_response: usize) -> Self {
        Self {
            registry: ArcSwap::from_pointee(registry),
            hook: None,
            auth,
            max_response,
            limits: RunLimits::default(),
            throttles: LogThrottles::new(),
            busy_turns: Arc::default(),
        }
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch").field("registry", &self.registry).finish_non_exhaustive()
    }
}
