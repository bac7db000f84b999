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

use aaw_protocol::Shortened;
use aaw_protocol::server::Completion;
use tracing::field::Empty;
use tracing::{Span, debug, debug_span};

use super::request::CallSource;
use crate::auth::CallContext;

/// The target of the span and of the line that reports the end of a call. Documented, since filters name it.
const TARGET: &str = "aaw_server::call";

/// The span of one call. It reports the end of the call once; a call that is dropped before is reported as cancelled.
pub(super) struct CallSpan {
    span: Span,
    /// When the call started. `None` if the span is disabled, and once the end has been reported.
    started: Option<Instant>,
}

impl CallSpan {
    /// Creates the span of a call of the event `name`. Its parent is the span that is current on this thread: that of
    /// the connection, or of the program's own middleware for HTTP.
    pub(super) fn new(name: &str, source: CallSource, caller: &CallContext) -> Self {
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
                network.peer.address = caller.address.map(tracing::field::display),
                aaw.connection.id = %caller.id,
                error.type = Empty,
            ),
        };
        let started = (!span.is_disabled()).then(Instant::now);
        Self { span, started }
    }

    /// The span of a call before its own is set. Disabled.
    pub(super) fn none() -> Self {
        Self { span: Span::none(), started: None }
    }

    /// Runs a part of the call within the span.
    pub(super) fn in_scope<R>(&self, part: impl FnOnce() -> R) -> R {
        self.span.in_scope(part)
    }

    /// Reports how the call ended.
    pub(super) fn finish(&mut self, completion: &Completion) {
        let Some(started) = self.started.take() else { return };
        let ms = milliseconds(started);
        match completion {
            Completion::Responded | Completion::OneWayDone | Completion::StreamEnded => {
                self.span.in_scope(|| debug!(target: TARGET, ms, "completed"));
            }
            Completion::Failed(failure) | Completion::Refused(failure) => {
                self.span.record("error.type", failure.code.as_str());
                self.span.in_scope(|| debug!(target: TARGET, ms, "failed: {}", OneLine(failure)));
            }
        }
    }

    /// Reports nothing: the frame turned out not to be a call.
    pub(super) fn discard(&mut self) {
        self.started = None;
    }
}

impl Drop for CallSpan {
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
