//! The span of a call, and the line that reports its end.
//!
//! What is logged while the handler runs, by the server or by the handler itself, belongs to the span: during the first
//! poll, in the task that continues the call, while a stream is polled, and while the handler is dropped. The names of
//! the fields are those of OpenTelemetry's semantic conventions; `aaw.` precedes those that it does not define.
//!
//! Where the level `debug` is disabled, a span costs the load of a static and no allocation.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::Instant;

use aaw_protocol::server::Completion;
use aaw_protocol::{Code, Shortened};
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Span, debug, debug_span};

use super::request::CallSource;
use crate::auth::CallContext;

/// The target of the span and of the line that reports the end of a call. Documented, since filters name it.
const TARGET: &str = "aaw_server::call";

/// The span of one call; `CallSpan::default()` is disabled. It reports the end of the call once; a call that is dropped
/// before is reported as cancelled.
///
/// Boxed, so that calls without a span do not move its memory from function to function.
#[derive(Default)]
pub(super) struct CallSpan(Option<Box<EnabledSpan>>);

struct EnabledSpan {
    span: Span,
    /// When the call started. `None` once its end has been reported.
    started: Option<Instant>,
}

impl CallSpan {
    /// Creates the span of a call of the event `name`; `None` if it is disabled. Its parent is the span that is current
    /// on this thread: that of the connection, or of the program's own middleware for HTTP.
    #[inline]
    pub(super) fn new(name: &str, source: CallSource, caller: &CallContext) -> Option<Self> {
        // The check comes first, so that a call pays nothing else while all spans are disabled.
        if LevelFilter::current() < Level::DEBUG { None } else { Self::create(name, source, caller) }
    }

    #[cold]
    fn create(name: &str, source: CallSource, caller: &CallContext) -> Option<Self> {
        let span = match source {
            // The connection's span has the other fields.
            CallSource::WebSocket { id } => debug_span!(
                target: TARGET,
                "call",
                otel.kind = "server",
                otel.name = &*shortened(name),
                rpc.system = "aaw",
                rpc.method = &*shortened(name),
                network.protocol.name = "websocket",
                aaw.call.id = id,
                error.type = Empty,
            ),
            CallSource::Http => debug_span!(
                target: TARGET,
                "call",
                otel.kind = "server",
                otel.name = &*shortened(name),
                rpc.system = "aaw",
                rpc.method = &*shortened(name),
                network.protocol.name = "http",
                client.address = caller.address.map(tracing::field::display),
                aaw.connection.id = %caller.id,
                error.type = Empty,
            ),
        };
        (!span.is_disabled()).then(|| Self(Some(Box::new(EnabledSpan { span, started: Some(Instant::now()) }))))
    }

    /// Runs a part of the call within the span.
    pub(super) fn in_scope<R>(&self, part: impl FnOnce() -> R) -> R {
        match &self.0 {
            None => part(),
            Some(enabled) => enabled.span.in_scope(part),
        }
    }

    /// Reports how the call ended.
    pub(super) fn finish(&mut self, completion: &Completion) {
        let Some(enabled) = &mut self.0 else { return };
        let Some(started) = enabled.started.take() else { return };
        let (span, ms) = (&enabled.span, milliseconds(started));
        match completion {
            Completion::Responded | Completion::OneWayDone | Completion::StreamEnded => {
                span.in_scope(|| debug!(target: TARGET, ms, "completed"));
            }
            Completion::Failed(failure) | Completion::Refused(failure) => {
                span.record("error.type", failure.code.as_str());
                // The text for a bad frame quotes the client: in a log-in, what it quotes may be the password.
                if failure.code == Code::BAD_FRAME {
                    span.in_scope(|| debug!(target: TARGET, ms, "failed: {}", failure.code));
                } else {
                    span.in_scope(|| debug!(target: TARGET, ms, "failed: {}", OneLine(failure)));
                }
            }
        }
    }

    /// Reports nothing: the frame turned out not to be a call.
    pub(super) fn discard(mut self) {
        if let Some(enabled) = &mut self.0 {
            enabled.started = None;
        }
    }
}

impl Drop for EnabledSpan {
    fn drop(&mut self) {
        if let Some(started) = self.started.take() {
            self.span.record("error.type", "cancelled");
            self.span.in_scope(|| debug!(target: TARGET, ms = milliseconds(started), "cancelled"));
        }
    }
}

/// The name of an unknown event is arbitrary text of the client.
fn shortened(name: &str) -> Cow<'_, str> {
    if name.len() <= 200 { name.into() } else { Shortened(name).to_string().into() }
}

fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// Displays a value without control characters: the failure of an unknown event repeats its name.
struct OneLine<T>(T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string().chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))
    }
}
