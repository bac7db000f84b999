//! Why a connection ends.

use std::io;
use std::sync::Arc;

use aaw_event::{AwayInfo, CloseInfo, ClosedBy};
use aaw_protocol::server::Close;
use aaw_protocol::websocket::{CloseFrame, Violation};

use crate::hub::Peer;

#[derive(Debug)]
pub(super) enum ConnectionEnd {
    /// The client has sent a close frame, perhaps with a code and a reason.
    ByClient(Option<CloseFrame>),
    /// The client has closed the socket, without a close frame.
    Disconnected,
    /// The server closes the connection.
    ByServer(Close),
    /// The client has violated RFC 6455.
    Violation(Violation),
    /// The socket has failed.
    Broken(io::Error),
    /// The connection continues on another socket.
    Superseded,
    /// The socket continues another connection, which has granted it with this number.
    HandedOver(Arc<Peer>, u64),
}

impl ConnectionEnd {
    /// Logs the reason, at the level `debug`: each connection ends, and the client decides when.
    pub(super) fn log(&self) {
        match self {
            Self::Disconnected => tracing::debug!("closed by the client, without a close frame"),
            Self::ByClient(None) => tracing::debug!("closed by the client, without a code"),
            Self::ByClient(Some(CloseFrame { code, reason })) => tracing::debug!(code, reason, "closed by the client"),
            Self::ByServer(close) => tracing::debug!(code = close.code(), "closed by the server: {close}"),
            Self::Violation(violation) => {
                tracing::debug!(code = violation.close_code(), "the client violated RFC 6455: {violation}");
            }
            Self::Broken(error) => tracing::debug!("the connection failed: {error}"),
            Self::Superseded => tracing::debug!("the client continues on another socket"),
            Self::HandedOver(peer, _) => tracing::debug!("the socket continues the connection {}", peer.id()),
        }
    }

    /// Returns what the `_away` hook receives.
    pub(super) fn away_info(&self) -> AwayInfo {
        let CloseInfo { by, code, reason, .. } = self.close_info();
        AwayInfo::new(by, code, reason)
    }

    /// Returns what the `_close` hook receives.
    pub(super) fn close_info(&self) -> CloseInfo {
        match self {
            Self::Disconnected | Self::ByClient(None) => CloseInfo::new(ClosedBy::Client, None, ""),
            Self::ByClient(Some(frame)) => CloseInfo::new(ClosedBy::Client, Some(frame.code), &frame.reason),
            Self::ByServer(close) => CloseInfo::new(ClosedBy::Server, Some(close.code()), close.to_string()),
            Self::Violation(violation) => CloseInfo::new(ClosedBy::Broken, None, violation.to_string()),
            Self::Broken(error) => CloseInfo::new(ClosedBy::Broken, None, error.to_string()),
            Self::Superseded | Self::HandedOver(..) => CloseInfo::new(ClosedBy::Client, None, ""),
        }
    }
}
