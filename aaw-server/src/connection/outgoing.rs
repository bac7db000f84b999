//! Frames that wait for the socket.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// A frame in the connection's output queue. Responses and pushes are counted against different bounds.
pub(super) enum OutgoingFrame {
    Response(Bytes),
    Push(Bytes),
    Ping,
}

/// Returns a text message. The bytes are JSON, written by this program's serializers, so their UTF-8 is not checked
/// again.
pub(super) fn text_message(frame: Bytes) -> Message {
    Message::Frame(Frame::message(frame, OpCode::Data(Data::Text), true))
}
