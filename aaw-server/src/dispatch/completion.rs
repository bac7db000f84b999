//! From a handler's last step to the completion of its call.

use aaw_event::host::Step;
use aaw_protocol::server::Completion;
use aaw_protocol::{Code, EventName, Failure};
use uuid::Uuid;

use crate::throttle::EventThrottle;

/// Names a running call in the log.
#[derive(Debug, Clone)]
pub(super) struct LogContext {
    pub(super) event: EventName,
    pub(super) connection: Uuid,
}

static FAULTS: EventThrottle = EventThrottle::new();

/// Returns the completion of a call whose handler has returned this step. A panic is logged.
pub(super) fn completion_of(step: Step, max_len: usize, event: &EventName, connection: Uuid) -> Completion {
    match step {
        Step::Item => Completion::Responded,
        Step::End => Completion::OneWayDone,
        Step::Refused(failure) => Completion::Refused(failure),
        Step::Failed(failure) => Completion::Failed(failure),
        Step::TooLarge(len) => {
            let error = format!("The response of {len} bytes exceeds the message limit of {max_len} bytes");
            Completion::Failed(Failure::new(Code::TOO_LARGE, error))
        }
        Step::Panicked(panic) => {
            if let Some(suppressed) = FAULTS.pass(event.as_str()) {
                tracing::error!(%connection, %event, suppressed, "the handler panicked: {panic}");
            }
            Completion::Failed(Failure::internal(Code::PANIC))
        }
        Step::Broken(what) => {
            if let Some(suppressed) = FAULTS.pass(event.as_str()) {
                tracing::error!(%connection, %event, suppressed, "the events package violated the module ABI: {what}");
            }
            Completion::Failed(Failure::internal(Code::INTERNAL))
        }
    }
}
