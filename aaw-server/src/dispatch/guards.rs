//! The guards of an event's folders: `_guard.rs`, run before the handler, outermost first.
//!
//! A guard that ends without a failure passes the call on; anything else refuses it, and nothing more of it runs. A
//! guard that waits delays its call: it is part of the call's future or stream, and is dropped with it. A guard that waits
//! for longer than [`Config::guard_timeout`](crate::Config::guard_timeout) refuses the call.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aaw_event::host::{Begun, Call as HandlerCall, ItemSink, PolledItems, Step, UploadSource};
use aaw_protocol::{Code, Failure};
use serde::Serialize;
use serde_json::value::RawValue;

use super::request::DispatchRequest;
use super::run_limit::RunLimit;
use crate::auth::IdentifiedCaller;
use crate::registry::RegisteredEvent;
use crate::throttle::log_throttled;

/// The most bytes that a guard's failure may have.
const MAX_LEN: usize = 64 << 10;

/// A handler together with the guards that have not passed yet. Polled like a handler; a guard's refusal is its
/// failure.
pub(super) enum GuardedHandler {
    Running(HandlerCall),
    Waiting(Box<WaitingGuard>),
    Refused,
}

/// A guard that has not decided yet.
pub(super) struct WaitingGuard {
    guard: HandlerCall,
    /// Its position among the event's guards.
    position: usize,
    limit: RunLimit,
    begin_next: BeginNext,
}

/// Begins the guard at a position, or behind the last guard the handler.
type BeginNext = Box<dyn Fn(usize) -> NextStage + Send>;

enum NextStage {
    Guard(HandlerCall),
    Handler(HandlerCall),
}

/// The body of a guard: an `aaw_event::GuardedCall`.
#[derive(Serialize)]
struct GuardBody<'a> {
    event: &'a str,
    identity: Option<&'a RawValue>,
}

/// A call whose guards and whose handler have been run once.
pub(super) enum BegunHandler {
    Done(Step),
    Pending(GuardedHandler),
}

/// Runs the guards until one waits, and behind the last the handler, as
/// [`Instance::run`](aaw_event::host::Instance::run) does: it is polled once, unless it is a stream. Each guard may wait
/// for `timeout`.
///
/// # Errors
/// The failure with which a guard refuses the call.
pub(super) fn run<C: IdentifiedCaller, I: UploadSource>(
    event: &RegisteredEvent,
    request: &DispatchRequest<'_>,
    caller: &Arc<C>,
    upload: Option<&Arc<I>>,
    timeout: Duration,
    out: &mut Vec<u8>,
    max_len: usize,
) -> Result<BegunHandler, Failure> {
    if let Some(waiting) = run_guards(event, request, caller, upload, timeout)? {
        return Ok(BegunHandler::Pending(waiting));
    }
    // A waker that does nothing suffices: a pending handler is polled again by the task that continues its call.
    let cx = &mut Context::from_waker(Waker::noop());
    let (instance, index, body) = (&event.instance, event.index, request.body);
    let begun = match upload {
        Some(upload) => instance.run_with_upload(index, body, caller, upload, cx, out, max_len),
        None => instance.run(index, body, caller, cx, out, max_len),
    };
    Ok(match begun {
        Begun::Done(step) => BegunHandler::Done(step),
        Begun::Pending(handler) => BegunHandler::Pending(GuardedHandler::Running(handler)),
    })
}

/// Returns whether the guards of an event would pass a call of this caller on. `identity` is that of the session, as JSON.
pub(super) async fn would_pass<C: IdentifiedCaller>(
    event: &RegisteredEvent,
    identity: Option<String>,
    caller: &Arc<C>,
    timeout: Duration,
) -> bool {
    let body = guard_body(event, || identity, &**caller);
    for &index in event.guards.iter() {
        let mut guard = event.instance.call(index, &body, caller);
        let name = event.name.as_str();
        let decided = tokio::time::timeout(timeout, poll_fn(|cx| guard.poll(cx, &mut Vec::new(), MAX_LEN))).await;
        let passed = match decided {
            Ok(step) => check_passed(step, name),
            Err(_) => Err(timed_out(timeout, name)),
        };
        if passed.is_err() {
            return false;
        }
    }
    true
}

/// Runs the guards until one waits, which is returned with everything behind it.
fn run_guards<C: IdentifiedCaller, I: UploadSource>(
    event: &RegisteredEvent,
    request: &DispatchRequest<'_>,
    caller: &Arc<C>,
    upload: Option<&Arc<I>>,
    timeout: Duration,
) -> Result<Option<GuardedHandler>, Failure> {
    if event.guards.is_empty() {
        return Ok(None);
    }
    let guard_body = guard_body(event, || request.session.map(|session| session.identity_json()), &**caller);
    for (position, &index) in event.guards.iter().enumerate() {
        // As for the handler, a waker that does nothing suffices.
        let cx = &mut Context::from_waker(Waker::noop());
        match event.instance.run(index, &guard_body, caller, cx, &mut Vec::new(), MAX_LEN) {
            Begun::Done(step) => check_passed(step, event.name.as_str())?,
            Begun::Pending(guard) => {
                // From here on the call may outlive what it borrows.
                let (instance, guards, index) = (event.instance.clone(), Arc::clone(&event.guards), event.index);
                let (body, caller, upload) = (request.body.to_owned(), Arc::clone(caller), upload.cloned());
                let begin_next = move |position: usize| match guards.get(position) {
                    Some(&guard) => NextStage::Guard(instance.call(guard, &guard_body, &caller)),
                    None => NextStage::Handler(match &upload {
                        Some(upload) => instance.call_with_upload(index, &body, &caller, upload),
                        None => instance.call(index, &body, &caller),
                    }),
                };
                let limit = RunLimit::new(timeout);
                let waiting = WaitingGuard { guard, position, limit, begin_next: Box::new(begin_next) };
                return Ok(Some(GuardedHandler::Waiting(Box::new(waiting))));
            }
        }
    }
    Ok(None)
}

impl GuardedHandler {
    /// As [`HandlerCall::poll`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>, max_len: usize, event: &str) -> Poll<Step> {
        self.poll_items(cx, out, max_len, event).step
    }

    /// As [`HandlerCall::poll_items`].
    pub(super) fn poll_items(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn ItemSink,
        max_len: usize,
        event: &str,
    ) -> PolledItems {
        loop {
            let without_items = |step| PolledItems { items: 0, step };
            let waiting = match self {
                Self::Running(handler) => return handler.poll_items(cx, sink, max_len),
                Self::Waiting(waiting) => waiting,
                Self::Refused => return without_items(Poll::Ready(Step::End)),
            };
            let passed = match waiting.guard.poll(cx, &mut Vec::new(), MAX_LEN) {
                Poll::Ready(step) => check_passed(step, event),
                Poll::Pending if waiting.limit.poll(cx).is_pending() => return without_items(Poll::Pending),
                Poll::Pending => Err(timed_out(waiting.limit.duration(), event)),
            };
            if let Err(failure) = passed {
                *self = Self::Refused;
                return without_items(Poll::Ready(Step::Refused(failure)));
            }
            waiting.position += 1;
            match (waiting.begin_next)(waiting.position) {
                NextStage::Guard(guard) => {
                    waiting.guard = guard;
                    waiting.limit = RunLimit::new(waiting.limit.duration());
                }
                NextStage::Handler(handler) => *self = Self::Running(handler),
            }
        }
    }
}

/// The refusal by a guard that has not decided in time.
fn timed_out(timeout: Duration, event: &str) -> Failure {
    log_throttled!(warn, event, "a guard did not decide within {timeout:?}; its call was refused");
    Failure::new(Code::TIMEOUT, format!("The guard of {event} did not decide within the server's limit of {timeout:?}"))
}

/// Returns `Ok` if a guard has passed the call on. Only [`Step::End`] does.
fn check_passed(step: Step, event: &str) -> Result<(), Failure> {
    match step {
        Step::End => Ok(()),
        Step::Refused(mut failure) | Step::Failed(mut failure) => {
            // A refusal is `not_allowed` unless the guard has set another code; an internal error is not a refusal.
            if failure.code == Code::HANDLER {
                failure.code = Code::NOT_ALLOWED;
            }
            Err(failure)
        }
        Step::Panicked(panic) => {
            log_throttled!(error, event, "a guard panicked: {panic}");
            Err(Failure::internal(Code::PANIC))
        }
        Step::Broken(what) => {
            log_throttled!(error, event, "the events package violated the module ABI in a guard: {what}");
            Err(Failure::internal(Code::INTERNAL))
        }
        Step::Item | Step::TooLarge(_) => {
            log_throttled!(error, event, "a guard returned a value; expected () or an error: {step:?}");
            Err(Failure::internal(Code::INTERNAL))
        }
    }
}

fn guard_body(
    event: &RegisteredEvent,
    of_session: impl FnOnce() -> Option<String>,
    caller: &impl IdentifiedCaller,
) -> String {
    // A protected event is judged by the session of the request, here as in `Dispatch::begin`.
    let identity = if event.protected { of_session() } else { caller.context().identity_json() };
    let identity = identity.and_then(|json| RawValue::from_string(json).ok());
    // Strings and JSON always serialize.
    serde_json::to_string(&GuardBody { event: event.name.as_str(), identity: identity.as_deref() }).unwrap_or_default()
}
