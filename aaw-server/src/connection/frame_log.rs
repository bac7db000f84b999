//! Logs the messages of a connection, at the level `trace`.

use aaw_protocol::redact::FramePreview;
use tokio_tungstenite::tungstenite::Message;
use tracing::level_filters::LevelFilter;
use tracing::{Level, trace};

/// The target of these lines. Documented, since filters name it.
const TARGET: &str = "aaw_server::frames";

/// Logs a message that was read.
#[inline]
pub(super) fn received(message: &Message) {
    if LevelFilter::current() >= Level::TRACE {
        log_received(message);
    }
}

/// Logs a message that is passed to the socket.
#[inline]
pub(super) fn sent(message: &Message) {
    if LevelFilter::current() >= Level::TRACE {
        log_sent(message);
    }
}

#[cold]
fn log_received(message: &Message) {
    match message {
        Message::Text(text) => trace!(target: TARGET, bytes = text.len(), "received {}", FramePreview(text)),
        Message::Binary(data) => trace!(target: TARGET, bytes = data.len(), "received a binary message"),
        Message::Ping(_) => trace!(target: TARGET, "received a ping"),
        Message::Pong(_) => trace!(target: TARGET, "received a pong"),
        Message::Close(_) => trace!(target: TARGET, "received a close frame"),
        // Raw frames are only sent.
        Message::Frame(_) => {}
    }
}

#[cold]
fn log_sent(message: &Message) {
    match message {
        // A text, see `text_message`.
        Message::Frame(frame) => {
            let text = || std::str::from_utf8(frame.payload()).unwrap_or_default();
            trace!(target: TARGET, bytes = frame.payload().len(), "sent {}", FramePreview(text()));
        }
        Message::Ping(_) => trace!(target: TARGET, "sent a ping"),
        Message::Close(_) => trace!(target: TARGET, "sent a close frame"),
        Message::Text(_) | Message::Binary(_) | Message::Pong(_) => {}
    }
}
