//! A call over HTTP, polled step by step, with the same steps for unary, one-way and streaming handlers.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aaw_event::host::ItemSink;
use aaw_protocol::server::{Completion, ResponseMode};
use aaw_protocol::{Code, Failure, is_protected};

use crate::auth::identity_change::IdentityChange;
use crate::auth::{IdentifiedCaller, SessionGuard};
use crate::dispatch::{
    CallSource, DispatchRequest, Dispatched, HandlerStream, NoUpload, PendingCall, ResponseFrame, StreamStep,
};
use crate::generation::{Generation, replaced};
use crate::hub::EventCaller;
use crate::memory_budget::{
    Admission, CallBudget, ConnectionBudget, HeldByHandler, RUNNING_CALL, out_of_memory_budget,
};
use crate::net::context::ServerContext;

/// The result of [`HttpCall::poll`].
#[derive(Debug, PartialEq)]
pub(super) enum CallStep {
    /// The JSON of an item was written, and the sink takes no more in this poll.
    Item,
    /// The call has completed.
    End,
    /// The call has failed, perhaps after items.
    Failed(Failure),
}

/// Completes when something has ended.
type BoxedEnd = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A running call. Dropping it drops its handler.
pub(super) struct HttpCall {
    state: HttpCallState,
    /// Counts the response while it is under construction. Items are counted by the caller, which they are appended for.
    budget: CallBudget,
    /// Counts the body, which the handler may keep, and the handler.
    held: Option<HeldByHandler>,
    /// The most bytes that an item may have.
    max_message: usize,
    /// Completes when the session that authorized the call has ended.
    session_end: Option<BoxedEnd>,
    /// Completes when the call is ended because its events were replaced. `None` for a call that is over, and for one of a
    /// built-in event.
    generation_end: Option<(Arc<Generation>, BoxedEnd)>,
    /// May be held up as a sender.
    caller: Arc<EventCaller>,
    /// Keeps the session registered as in use, so that its end is noticed.
    _session: Option<Arc<SessionGuard>>,
}

enum HttpCallState {
    /// Completed in its first poll.
    Done(Vec<u8>, Completion),
    Pending(Box<PendingCall>),
    Stream(Box<HandlerStream>),
    Finished,
}

impl HttpCall {
    /// Dispatches a call, which polls its handler once unless it is a stream that is read item by item.
    pub(super) fn begin(
        shared: &ServerContext,
        caller: &Arc<EventCaller>,
        memory: &Arc<ConnectionBudget>,
        event: &str,
        body: &str,
        mode: ResponseMode,
    ) -> Result<Self, Failure> {
        // Read once: the session that authorizes the call is the one whose end stops it.
        let session = is_protected(event).then(|| caller.context().session.current()).flatten();
        // Counted before, so that the call can wait.
        let cost = Cell::new(0);
        let (source, session_guard) = (CallSource::Http, session.as_deref());
        let request = DispatchRequest { event, source, body, mode, session: session_guard, cost: &cost };
        let mut response = Vec::new();
        let frame = ResponseFrame::new(&mut response, 0);
        let state = match shared.dispatch.begin::<_, NoUpload>(request, frame, caller, None) {
            Dispatched::Done(completion) => HttpCallState::Done(response, completion),
            Dispatched::Pending(pending) => HttpCallState::Pending(Box::new(pending)),
            Dispatched::Stream(stream) => HttpCallState::Stream(Box::new(stream)),
            Dispatched::NotJson => return Err(not_json()),
        };
        let session_end = session.as_ref().map(|guard| {
            let ended = Arc::clone(guard.session()).wait_until_ended();
            Box::pin(ended) as BoxedEnd
        });
        let generation = match &state {
            HttpCallState::Pending(pending) => pending.generation(),
            HttpCallState::Stream(stream) => Some(stream.generation()),
            HttpCallState::Done(..) | HttpCallState::Finished => None,
        };
        let generation_end = generation.map(|generation| {
            let ended = Box::pin(Arc::clone(generation).wait_until_ended());
            (Arc::clone(generation), ended as BoxedEnd)
        });
        let mut budget = CallBudget::numbered(memory);
        match &state {
            HttpCallState::Done(response, _) => budget.set(response.capacity()),
            HttpCallState::Pending(pending) => budget.set(pending.held_bytes()),
            HttpCallState::Stream(_) | HttpCallState::Finished => {}
        }
        let held = match &state {
            HttpCallState::Pending(_) | HttpCallState::Stream(_) => {
                let head = caller.context().handshake_bytes();
                Some(HeldByHandler::new(memory, body.len() + head + RUNNING_CALL))
            }
            HttpCallState::Done(..) | HttpCallState::Finished => None,
        };
        let max_message = shared.dispatch.max_response;
        let caller = Arc::clone(caller);
        Ok(Self { state, budget, held, max_message, session_end, generation_end, caller, _session: session })
    }

    /// Returns whether the call may have several items. Otherwise it has one or none.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.state, HttpCallState::Stream(_))
    }

    /// Returns whether the call has completed.
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.state, HttpCallState::Finished)
    }

    /// Polls the next step. The JSON of an item is appended to `out`, which is left as it was in every other case.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<CallStep> {
        self.poll_items(cx, out)
    }

    /// Polls until the call waits or ends, or until the sink takes no more. Whatever the result, items may have been written.
    pub(super) fn poll_items(&mut self, cx: &mut Context<'_>, sink: &mut dyn ItemSink) -> Poll<CallStep> {
        if let Some(session_end) = &mut self.session_end
            && session_end.as_mut().poll(cx).is_ready()
        {
            self.session_end = None;
            // A call that has completed, or has ended its own session, must still be responded to.
            let is_aborted = match &self.state {
                HttpCallState::Stream(_) => true,
                HttpCallState::Pending(pending) => {
                    !pending.identity_change().as_ref().is_some_and(IdentityChange::has_begun)
                }
                HttpCallState::Done(..) | HttpCallState::Finished => false,
            };
            if is_aborted {
                self.finish();
                return Poll::Ready(CallStep::Failed(Failure::new(Code::NOT_AUTHENTICATED, "Not authenticated")));
            }
        }
        if self.poll_replaced(cx).is_ready() {
            self.count_replaced();
            self.finish();
            return Poll::Ready(CallStep::Failed(replaced()));
        }
        match self.admit(cx) {
            Admission::Run => {}
            Admission::Wait => {
                let HttpCallState::Pending(pending) = &mut self.state else { return Poll::Pending };
                // Its time goes on.
                let (_, completion) = ready!(pending.poll_limit(cx));
                self.finish();
                return Poll::Ready(last_step(completion));
            }
            Admission::Refuse => {
                self.finish();
                return Poll::Ready(CallStep::Failed(out_of_memory_budget(Code::TOO_LARGE)));
            }
        }
        let completion = match &mut self.state {
            HttpCallState::Stream(stream) => match ready!(stream.poll_items(cx, sink, self.max_message)) {
                StreamStep::Item => {
                    // It is polled again when what it has written was sent.
                    stream.rest();
                    return Poll::Ready(CallStep::Item);
                }
                StreamStep::End(completion) => completion,
            },
            HttpCallState::Pending(pending) => {
                let polled = Pin::new(&mut **pending).poll(cx);
                if polled.is_pending() {
                    self.budget.set_pending(pending.held_bytes(), cx);
                }
                let (response, completion) = ready!(polled);
                append(sink, response, &completion);
                completion
            }
            HttpCallState::Done(response, completion) => {
                append(sink, std::mem::take(response), completion);
                std::mem::replace(completion, Completion::StreamEnded)
            }
            HttpCallState::Finished => Completion::StreamEnded,
        };
        self.finish();
        Poll::Ready(last_step(completion))
    }
}

impl HttpCall {
    /// Completes when the call is to end because its events were replaced.
    pub(super) fn poll_replaced(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((generation, ended)) = &mut self.generation_end else { return Poll::Pending };
        // A future that has completed is not polled again.
        if generation.has_ended() { Poll::Ready(()) } else { ended.as_mut().poll(cx) }
    }

    /// Counts the call as one that was ended because its events were replaced.
    pub(super) fn count_replaced(&self) {
        if let Some((generation, _)) = &self.generation_end {
            generation.count_ended_call();
        }
    }

    /// Decides by what the connection holds whether the handler may be polled. While the request is held up as a sender, not even its
    /// response is sent: a client that calls in a loop waits for those that read what its calls push.
    fn admit(&mut self, cx: &mut Context<'_>) -> Admission {
        if self.caller.poll_held(cx).is_pending() {
            return Admission::Wait;
        }
        match &self.state {
            HttpCallState::Stream(_) => self.budget.admit(false, cx),
            HttpCallState::Pending(pending) => self.budget.admit(pending.grows(), cx),
            HttpCallState::Done(..) | HttpCallState::Finished => Admission::Run,
        }
    }

    /// Drops the handler, if it still exists.
    fn finish(&mut self) {
        (self.state, self.session_end, self.generation_end) = (HttpCallState::Finished, None, None);
        self.held = None;
        self.budget.set(0);
    }
}

fn last_step(completion: Completion) -> CallStep {
    match completion {
        Completion::Responded => CallStep::Item,
        Completion::OneWayDone | Completion::StreamEnded => CallStep::End,
        Completion::Failed(failure) | Completion::Refused(failure) => CallStep::Failed(failure),
    }
}

pub(super) fn not_json() -> Failure {
    Failure::new(Code::BAD_BODY, "The body is not valid JSON")
}

/// Appends a response, without a copy where possible.
fn append(sink: &mut dyn ItemSink, response: Vec<u8>, completion: &Completion) {
    if !matches!(completion, Completion::Responded) {
        return;
    }
    let out = sink.buffer();
    let start = out.len();
    if out.is_empty() {
        *out = response;
    } else {
        out.extend_from_slice(&response);
    }
    sink.end_item(start);
}
