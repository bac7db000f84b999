//! What the client gives to `tracing`: the spans of connections and client calls, their frames, and the ends of calls.
//!
//! The names of the fields are those of OpenTelemetry's semantic conventions; `aaw.` precedes those that it does not
//! define. Where the levels are disabled, this costs the load of a static for each call and frame, and no allocation.

use std::time::Instant;

use aaw_protocol::redact::FramePreview;
use tokio_tungstenite::tungstenite::Message;
use tracing::field::Empty;
use tracing::{Level, Span, debug, debug_span, enabled, trace};

use crate::CallError;

/// The targets, documented because filters name them.
const CONNECTION: &str = "aaw_client::connection";
const CALL: &str = "aaw_client::call";
const FRAMES: &str = "aaw_client::frames";

/// The span of a connection, from the attempt to connect to its end. The caller enters it nowhere: it is the explicit
/// parent of what belongs to it.
pub(crate) fn connection_span(host: &str, port: u16) -> Span {
    debug_span!(
        target: CONNECTION,
        parent: None,
        "connection",
        server.address = host,
        server.port = port,
        network.protocol.name = "websocket",
        aaw.connection.id = Empty,
    )
}

/// Records the server's id of the connection.
pub(crate) fn record_connection_id(span: &Span, id: Option<&str>) {
    if let Some(id) = id {
        span.record("aaw.connection.id", tracing::field::display(id));
    }
}

/// The span of a client call, in which its handler runs.
pub(crate) fn client_call_span(connection: &Span, event: &str) -> Span {
    debug_span!(
        target: CALL,
        parent: connection,
        "call",
        otel.kind = "server",
        otel.name = event,
        rpc.system = "aaw",
        rpc.method = event,
    )
}

/// Logs a message that was read.
pub(crate) fn received(connection: &Span, message: &Message) {
    match message {
        Message::Text(text) => {
            trace!(target: FRAMES, parent: connection, bytes = text.len(), "received {}", FramePreview(text));
        }
        Message::Binary(data) => {
            trace!(target: FRAMES, parent: connection, bytes = data.len(), "received a binary message");
        }
        Message::Ping(_) => trace!(target: FRAMES, parent: connection, "received a ping"),
        Message::Pong(_) => trace!(target: FRAMES, parent: connection, "received a pong"),
        Message::Close(_) => trace!(target: FRAMES, parent: connection, "received a close frame"),
        // Raw frames are only sent.
        Message::Frame(_) => {}
    }
}

/// Logs a message that is passed to the socket.
pub(crate) fn sent(connection: &Span, message: &Message) {
    match message {
        // A text: the driver makes such frames only of JSON.
        Message::Frame(frame) => {
            let text = || std::str::from_utf8(frame.payload()).unwrap_or_default();
            let bytes = frame.payload().len();
            trace!(target: FRAMES, parent: connection, bytes, "sent {}", FramePreview(text()));
        }
        Message::Ping(_) => trace!(target: FRAMES, parent: connection, "sent a ping"),
        Message::Close(_) => trace!(target: FRAMES, parent: connection, "sent a close frame"),
        Message::Text(_) | Message::Binary(_) | Message::Pong(_) => {}
    }
}

/// Logs that a one-way send was accepted.
pub(crate) fn one_way_sent(event: &str) {
    debug!(target: CALL, { rpc.method = event }, "sent without a response");
}

/// Logs the end of a call, in the span of the code that made it. Dropping it logs that the call was cancelled.
#[derive(Debug)]
pub(crate) struct CallLog(Option<Box<StartedCall>>);

#[derive(Debug)]
struct StartedCall {
    event: String,
    at: Instant,
}

impl CallLog {
    pub(crate) fn start(event: &str) -> Self {
        let start = || Box::new(StartedCall { event: event.to_owned(), at: Instant::now() });
        Self(enabled!(target: CALL, Level::DEBUG).then(start))
    }

    pub(crate) fn finish<T>(&mut self, result: &Result<T, CallError>) {
        let Some(call) = self.0.take() else { return };
        let ms = call.ms();
        match result {
            Ok(_) => debug!(target: CALL, { rpc.method = call.event, ms }, "completed"),
            Err(error) => debug!(target: CALL, { rpc.method = call.event, ms }, "failed: {error}"),
        }
    }
}

impl Drop for CallLog {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            debug!(target: CALL, { rpc.method = call.event, ms = call.ms() }, "cancelled");
        }
    }
}

impl StartedCall {
    fn ms(&self) -> f64 {
        (self.at.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }
}
