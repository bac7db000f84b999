//! Calls that did not complete in their first poll.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aaw_event::host::HandlerKind;
use aaw_protocol::server::Completion;
use aaw_protocol::{Code, Failure};
use uuid::Uuid;

use super::call_recorder::CallRecorder;
use super::call_span::CallSpan;
use super::completion::{LogContext, completion_of};
use super::gather::GatherStream;
use super::guards::GuardedHandler;
use super::response_buffer::ResponseBuffer;
use super::response_frame::FrameHead;
use super::run_limit::RunLimit;
use crate::auth::BuiltInFuture;
use crate::auth::identity_change::{HandlerPoll, IdentityChange};
use crate::generation::{Generation, replaced};
use crate::poll_watch;
use crate::throttle::log_throttled;

/// The rest of a call, to be run as a task: completes with the frame, which contains the response if there is one, and
/// the call's completion. Dropping it drops the handler.
pub(crate) struct PendingCall {
    /// `None` once dropped.
    kind: Option<PendingKind>,
    is_barrier: bool,
    generation: Option<Arc<Generation>>,
    /// The id of the caller.
    caller: Uuid,
    /// `None` if no session authorized the call: then none can end it.
    identity_change: Option<IdentityChange>,
    limit: RunLimit,
    span: CallSpan,
}

pub(super) enum PendingKind {
    Unary(PendingUnary),
    Gather(Box<GatherStream>),
    BuiltIn(PendingBuiltIn),
}

impl PendingCall {
    /// `generation`: that of its event; `None` for a built-in event, which is never replaced.
    ///
    /// `limit`: how long the handler may run; after that the call fails with `timeout`.
    ///
    /// `has_session`: a session authorized the call. `began_identity_change`: in its first poll the handler has begun a log-in
    /// or log-out.
    ///
    /// Such a call is a barrier, and so is every built-in event, so that the calls behind it are authorized by its
    /// result. A one-way event is one too, because a one-way handler has run when the next call begins, also where a
    /// guard delays it: a client that joins a room and then requests its size counts itself.
    pub(super) fn new(
        kind: PendingKind,
        generation: Option<Arc<Generation>>,
        caller: Uuid,
        has_session: bool,
        began_identity_change: bool,
        limit: Duration,
    ) -> Self {
        let is_barrier = began_identity_change
            || matches!(
                kind,
                PendingKind::BuiltIn(_) | PendingKind::Unary(PendingUnary { kind: HandlerKind::OneWay, .. })
            );
        let identity_change = has_session.then(|| IdentityChange::new(began_identity_change));
        let limit = RunLimit::new(limit);
        Self { kind: Some(kind), is_barrier, generation, caller, identity_change, limit, span: CallSpan::default() }
    }

    /// Polls and drops the handler within this span from now on.
    pub(super) fn set_span(&mut self, span: CallSpan) {
        self.span = span;
    }

    /// Returns the bytes of the response that is under construction.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.kind {
            Some(PendingKind::Gather(call)) => call.held_bytes(),
            Some(PendingKind::BuiltIn(call)) => call.frame.capacity(),
            // A unary handler writes its response only when it completes, to a buffer of the thread.
            Some(PendingKind::Unary(_)) | None => 0,
        }
    }

    /// Returns whether the response grows while the handler runs.
    pub(crate) fn grows(&self) -> bool {
        matches!(&self.kind, Some(PendingKind::Gather(_)))
    }

    /// Returns whether the caller's further calls wait for this one.
    pub(crate) fn is_barrier(&self) -> bool {
        self.is_barrier
    }

    /// Returns whether the handler has begun a log-in or log-out, now or later. Such a call is not aborted by the end of
    /// the session that authorized it. `None` if no session did.
    pub(crate) fn identity_change(&self) -> Option<IdentityChange> {
        self.identity_change.clone()
    }

    /// The generation of the events that it belongs to; `None` for a built-in event.
    pub(crate) fn generation(&self) -> Option<&Arc<Generation>> {
        self.generation.as_ref()
    }

    /// Fails the call if it has run for too long. To be called whenever it is not polled although it was woken.
    pub(crate) fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<(Vec<u8>, Completion)> {
        if let Some(PendingKind::Gather(call)) = &mut self.kind {
            call.rest();
        }
        self.poll_time(cx)
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<(Vec<u8>, Completion)> {
        let Self { kind: Some(kind), caller, limit, span, .. } = self else { return Poll::Pending };
        ready!(limit.poll(cx));
        let (frame, completion) = span.in_scope(|| kind.fail_over_limit(limit.duration(), *caller));
        span.finish(&completion);
        Poll::Ready((frame, completion))
    }
}

impl Future for PendingCall {
    type Output = (Vec<u8>, Completion);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Self { kind: Some(kind), caller, identity_change, span, .. } = this else { return Poll::Pending };
        let polled = span.in_scope(|| {
            let _poll = HandlerPoll::later(*caller, identity_change.as_ref());
            match kind {
                PendingKind::Unary(call) => Pin::new(call).poll(cx),
                PendingKind::Gather(call) => Pin::new(&mut **call).poll(cx),
                PendingKind::BuiltIn(call) => Pin::new(call).poll(cx),
            }
        });
        let Poll::Ready((frame, completion)) = polled else { return this.poll_time(cx) };
        span.finish(&completion);
        Poll::Ready((frame, completion))
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        let Self { kind, generation, span, .. } = self;
        if generation.as_ref().is_some_and(|generation| generation.has_ended())
            && let Some(kind) = kind
        {
            // Without effect if it has completed before.
            let (_, completion) = span.in_scope(|| kind.end(Completion::Failed(replaced())));
            span.finish(&completion);
        }
        span.in_scope(|| *kind = None);
    }
}

impl PendingKind {
    /// Completes a call that has run for longer than `limit`.
    fn fail_over_limit(&mut self, limit: Duration, connection: Uuid) -> (Vec<u8>, Completion) {
        let event = match self {
            Self::Unary(call) => Some(&call.log.event),
            Self::Gather(call) => Some(call.event()),
            Self::BuiltIn(_) => None,
        };
        let event = event.map(tracing::field::display);
        log_throttled!(warn, %connection, event, "a call ran for {limit:?}, the longest allowed, and was dropped");
        let error = format!("The call did not complete within the server's limit of {limit:?}");
        self.end(Completion::Failed(Failure::new(Code::TIMEOUT, error)))
    }

    /// Ends the call in place of its handler, which is dropped.
    fn end(&mut self, completion: Completion) -> (Vec<u8>, Completion) {
        match self {
            Self::Unary(call) => call.end(completion),
            Self::Gather(call) => call.end(completion),
            Self::BuiltIn(call) => call.end(completion),
        }
    }
}

/// A call of a unary handler; or of a one-way handler that a guard delays.
pub(super) struct PendingUnary {
    pub(super) handler: GuardedHandler,
    pub(super) kind: HandlerKind,
    pub(super) head: FrameHead,
    /// The most bytes that the response may have.
    pub(super) max_len: usize,
    pub(super) recorder: Option<Box<CallRecorder>>,
    pub(super) log: LogContext,
}

impl PendingUnary {
    /// Ends the call in place of its handler, which is dropped.
    fn end(&mut self, completion: Completion) -> (Vec<u8>, Completion) {
        self.handler = GuardedHandler::Refused;
        if let Some(recorder) = self.recorder.take() {
            recorder.finish(&[], &completion);
        }
        (Vec::new(), completion)
    }
}

impl Future for PendingUnary {
    type Output = (Vec<u8>, Completion);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handler, head, max_len, recorder, log, .. } = &mut *self;
        let _polling = poll_watch::polling(log.event.as_str());
        let mut response = ResponseBuffer::take();
        head.write(&log.event, &mut response.bytes);
        let head_len = response.bytes.len();
        let step = ready!(handler.poll(cx, &mut response.bytes, *max_len, log.event.as_str()));
        let completion = completion_of(step, *max_len, &log.event, log.connection);
        if let Some(recorder) = recorder.take() {
            recorder.finish(&response.bytes[head_len..], &completion);
        }
        let frame = if matches!(completion, Completion::Responded) { response.into_frame() } else { Vec::new() };
        Poll::Ready((frame, completion))
    }
}

/// A call of a built-in event.
pub(super) struct PendingBuiltIn {
    pub(super) response: BuiltInFuture,
    pub(super) frame: Vec<u8>,
    pub(super) recorder: Option<Box<CallRecorder>>,
}

impl PendingBuiltIn {
    /// As [`PendingUnary::end`].
    fn end(&mut self, completion: Completion) -> (Vec<u8>, Completion) {
        self.response = Box::pin(std::future::pending());
        if let Some(recorder) = self.recorder.take() {
            recorder.finish(&[], &completion);
        }
        (std::mem::take(&mut self.frame), completion)
    }
}

impl Future for PendingBuiltIn {
    type Output = (Vec<u8>, Completion);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { response, frame, recorder } = &mut *self;
        let (response, completion) = match ready!(response.as_mut().poll(cx)) {
            Ok(response) => (response, Completion::Responded),
            Err(failure) => (String::new(), Completion::Failed(failure)),
        };
        if let Some(recorder) = recorder.take() {
            recorder.finish(response.as_bytes(), &completion);
        }
        frame.extend_from_slice(response.as_bytes());
        Poll::Ready((std::mem::take(frame), completion))
    }
}
