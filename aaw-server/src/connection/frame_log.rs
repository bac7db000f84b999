//! Logs the messages of a connection, at the level `trace`.

use aaw_protocol::redact::{FramePreview, unknown_event_frame};
use aaw_protocol::websocket::{FrameBuffer, Message, Opcode};
use tracing::level_filters::LevelFilter;
use tracing::{Level, trace};

/// The target of these lines. Documented, since filters name it.
const TARGET: &str = "aaw_server::frames";

/// Logs a message that was read. Of a call whose event does not exist, its body is left out: it may be a misspelt log-in.
#[inline]
pub(super) fn received(message: &Message<'_>, exists: impl FnOnce(&str) -> bool) {
    if LevelFilter::current() >= Level::TRACE {
        log_received(message, exists);
    }
}

/// Logs the frames that are sent but the first `logged`, which were logged before. Returns how many there are.
#[inline]
pub(super) fn sent(frames: &FrameBuffer, logged: usize) -> usize {
    if LevelFilter::current() >= Level::TRACE { log_sent(frames, logged) } else { 0 }
}

#[cold]
fn log_received(message: &Message<'_>, exists: impl FnOnce(&str) -> bool) {
    match message {
        // Other targets may be at this level.
        Message::Text(_) if !tracing::enabled!(target: TARGET, Level::TRACE) => {}
        Message::Text(text) => match unknown_event_frame(text, exists) {
            Some(shown) => trace!(target: TARGET, bytes = text.len(), "received {shown}"),
            None => trace!(target: TARGET, bytes = text.len(), "received {}", FramePreview(text)),
        },
        Message::Binary(data) => trace!(target: TARGET, bytes = data.len(), "received a binary message"),
        Message::Ping(_) => trace!(target: TARGET, "received a ping"),
        Message::Pong(_) => trace!(target: TARGET, "received a pong"),
        Message::Close(_) => trace!(target: TARGET, "received a close frame"),
    }
}

#[cold]
fn log_sent(frames: &FrameBuffer, logged: usize) -> usize {
    let mut count = 0;
    for (opcode, payload) in frames.frames() {
        count += 1;
        if count <= logged {
            continue;
        }
        match opcode {
            Opcode::Text => {
                let text = std::str::from_utf8(&payload).unwrap_or_default();
                trace!(target: TARGET, bytes = payload.len(), "sent {}", FramePreview(text));
            }
            Opcode::Ping => trace!(target: TARGET, "sent a ping"),
            Opcode::Close => trace!(target: TARGET, "sent a close frame"),
            Opcode::Binary | Opcode::Pong | Opcode::Continuation => {}
        }
    }
    count
}
