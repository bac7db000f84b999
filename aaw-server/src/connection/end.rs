//! Why a connection ends.

use aaw_event::{CloseInfo, ClosedBy};
use aaw_protocol::server::Close;
use tokio_tungstenite::tungstenite::Error as WsError;

#[derive(Debug)]
pub(super) enum ConnectionEnd {
    /// The client closed or disconnected: the code and reason of its close frame, if it sent one.
    ByClient(Option<(u16, String)>),
    /// The server closes the connection.
    ByServer(Close),
    /// The socket failed, or the client violated RFC 6455.
    Broken(WsError),
}

impl ConnectionEnd {
    /// Logs the reason, at the level `debug`: each connection ends, and the client decides when.
    pub(super) fn log(&self) {
        match self {
            Self::ByClient(None) => tracing::debug!("closed by the client, without a close frame"),
            Self::ByClient(Some((code, reason))) => tracing::debug!(code, reason, "closed by the client"),
            Self::ByServer(close) => tracing::debug!(code = close.code(), "closed by the server: {close}"),
            Self::Broken(error) => tracing::debug!("the connection failed: {error}"),
        }
    }

    /// Returns what the `_close` hook receives.
    pub(super) fn close_info(&self) -> CloseInfo {
        match self {
            Self::ByClient(None) => CloseInfo::new(ClosedBy::Client, None, ""),
            Self::ByClient(Some((code, reason))) => CloseInfo::new(ClosedBy::Client, Some(*code), reason),
            Self::ByServer(close) => CloseInfo::new(ClosedBy::Server, Some(close.code()), close.to_string()),
            Self::Broken(error) => CloseInfo::new(ClosedBy::Broken, None, error.to_string()),
        }
    }
}
