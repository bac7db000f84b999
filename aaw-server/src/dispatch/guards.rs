//! The guards of a call's folders: `_guard.rs`, run before the handler is begun, outermost first.
//!
//! Whatever a guard ends with but an end refuses the call, and nothing more of it runs. What a guard waits for, the call
//! waits for: it is part of the call's future, or of its stream, and is dropped with it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use aaw_event::host::{Call as HandlerCall, Step, UploadSource};
use aaw_protocol::{Code, Failure};
use serde::Serialize;

use super::Asker;
use crate::registry::RegisteredEvent;

/// What a guard says is words for a caller; more are not even copied.
const MOST: usize = 64 << 10;

/// A handler, or the guards before it. Polled as a handler is; what refuses the call is its failure.
pub(super) enum Handler {
    Runs(HandlerCall),
    Waits(Box<Waiting>),
    /// A guard has refused.
    Over,
}

/// A call that a guard keeps waiting.
pub(super) struct Waiting {
    guard: HandlerCall,
    /// Its place among the guards.
    at: usize,
    begin: Begin,
}

/// Begins the guard of this place, or behind the last of them the handler.
type Begin = Box<dyn Fn(usize) -> Stage + Send>;

enum Stage {
    Guard(HandlerCall),
    Handler(HandlerCall),
}

/// What guards are told: an `aaw_event::GuardedCall`.
#[derive(Serialize)]
struct Told<'a> {
    event: &'a str,
    identity: Option<&'a serde_json::value::RawValue>,
}

/// Runs the guards for as long as they do not wait, and then begins the handler.
///
/// # Errors
/// What a guard refuses the call with.
pub(super) fn begin<C: Asker, I: UploadSource>(
    event: &RegisteredEvent,
    body: &str,
    who: &Arc<C>,
    upload: Option<&Arc<I>>,
) -> Result<Handler, Failure> {
    let handler = |body: &str, who: &Arc<C>, upload: Option<&Arc<I>>| match upload {
        Some(upload) => event.instance.call_with_upload(event.index, body, who, upload),
        None => event.instance.call(event.index, body, who),
    };
    if event.guards.is_empty() {
        return Ok(Handler::Runs(handler(body, who, upload)));
    }
    let told = told(event, &**who);
    for (at, &index) in event.guards.iter().enumerate() {
        let mut guard = event.instance.call(index, &told, who);
        // Nothing is lost by a waker that wakes nobody: what is pending is polled again, by whoever runs the call.
        match guard.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), MOST) {
            Poll::Ready(step) => verdict(step, event.name.as_str())?,
            Poll::Pending => {
                // From here on it may outlive what it was begun with.
                let (instance, guards, index) = (event.instance.clone(), Arc::clone(&event.guards), event.index);
                let (body, who, upload) = (body.to_owned(), Arc::clone(who), upload.cloned());
                let begin = move |at: usize| match guards.get(at) {
                    Some(&guard) => Stage::Guard(instance.call(guard, &told, &who)),
                    None => Stage::Handler(match &upload {
                        Some(upload) => instance.call_with_upload(index, &body, &who, upload),
                        None => instance.call(index, &body, &who),
                    }),
                };
                return Ok(Handler::Waits(Box::new(Waiting { guard, at, begin: Box::new(begin) })));
            }
        }
    }
    Ok(Handler::Runs(handler(body, who, upload)))
}

impl Handler {
    /// As [`HandlerCall::poll`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>, most: usize, event: &str) -> Poll<Step> {
        loop {
            let waiting = match self {
                Self::Runs(handler) => return handler.poll(cx, out, most),
                Self::Waits(waiting) => waiting,
                Self::Over => return Poll::Ready(Step::End),
            };
            let Poll::Ready(step) = waiting.guard.poll(cx, &mut Vec::new(), MOST) else { return Poll::Pending };
            if let Err(failure) = verdict(step, event) {
                *self = Self::Over;
                return Poll::Ready(Step::Refused(failure));
            }
            waiting.at += 1;
            match (waiting.begin)(waiting.at) {
                Stage::Guard(guard) => waiting.guard = guard,
                Stage::Handler(handler) => *self = Self::Runs(handler),
            }
        }
    }
}

/// Whether a guard has let the call through. Everything but its plain end refuses.
fn verdict(step: Step, event: &str) -> Result<(), Failure> {
    match step {
        Step::End => Ok(()),
        Step::Refused(mut failure) | Step::Failed(mut failure) => {
            // Unless the guard has chosen another word; and what is an error of its own is no refusal.
            if failure.code == Code::HANDLER && failure.error != Failure::INTERNAL {
                failure.code = Code::NOT_ALLOWED;
            }
            Err(failure)
        }
        Step::Panicked(what) => {
            tracing::error!(event, "a guard panicked: {what}");
            Err(Failure::internal(Code::PANIC))
        }
        Step::Item | Step::TooLarge(_) => {
            tracing::error!(event, "a guard ended in a way that it cannot: {step:?}");
            Err(Failure::internal(Code::HANDLER))
        }
    }
}

fn told(event: &RegisteredEvent, who: &impl Asker) -> String {
    let identity = who.identity_json().and_then(|json| serde_json::value::RawValue::from_string(json).ok());
    // Texts and JSON can always be JSON.
    serde_json::to_string(&Told { event: event.name.as_str(), identity: identity.as_deref() }).unwrap_or_default()
}
