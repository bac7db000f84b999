//! Why a socket ended, in the terms of aaw.

use aaw_protocol::client::DisconnectReason;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// The reason if the server sent this close frame.
pub(crate) fn closed_by_server(frame: Option<CloseFrame>) -> DisconnectReason {
    match frame {
        Some(frame) => DisconnectReason::ClosedByServer { code: frame.code.into(), reason: frame.reason.to_string() },
        // 1005 stands for a close frame without a code (RFC 6455, 7.1.5).
        None => DisconnectReason::ClosedByServer { code: 1005, reason: String::new() },
    }
}

/// The reason if the socket failed with this error.
pub(crate) fn broken(error: &WsError) -> DisconnectReason {
    DisconnectReason::Broken(match error {
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "the server ended the connection without a close frame".into()
        }
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            format!("the server sent a message of {size} bytes; the limit is {max_size} (Config::max_message_bytes)")
        }
        WsError::Io(error) => error.to_string(),
        error => error.to_string(),
    })
}

/// The code to close with if the error is a violation of WebSocket by the server (RFC 6455, 7.4.1).
pub(crate) fn close_code(error: &WsError) -> Option<CloseCode> {
    match error {
        WsError::Capacity(_) => Some(CloseCode::Size),
        WsError::Utf8(_) => Some(CloseCode::Invalid),
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        WsError::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}
