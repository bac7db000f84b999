//! The arguments of the handlers in `_open.rs` and `_close.rs`.

use serde::{Deserialize, Serialize};

/// A connection that has just opened: the first argument of the handler in `src/_open.rs`.
///
/// That handler runs before the connection's first call. If it fails, the connection is closed with a reason that the
/// client receives: the message of an [`Error::new`](crate::Error::new), or `Internal error`.
///
/// A call over HTTP has no connection, so this hook neither runs for it nor can reject it. Checks that must hold for
/// every call belong in a guard or in the handlers.
///
/// ```
/// use aaw_event::prelude::*;
///
/// // src/_open.rs
/// pub async fn handler(opened: OpenInfo, services: Services) -> Result<()> {
///     if opened.client_key.is_none() {
///         return Err(Error::new("A client key is required"));
///     }
///     services.ws.send_event("message", "Welcome")
/// }
///
/// // src/_close.rs
/// pub fn handler_of_close(closed: CloseInfo, services: Services) {
///     tracing::info!(id = services.ws.id(), by = ?closed.by, "connection closed: {}", closed.reason);
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OpenInfo {
    /// The origin of the page that has opened the connection, as its browser reports it. Programs usually send none.
    pub origin: Option<String>,
    /// The address and port of the TCP peer: the client, or a proxy in front of the server.
    pub address: Option<String>,
    /// The client key, which the client chooses itself. It proves nothing.
    pub client_key: Option<String>,
}

/// Why a connection has closed: the first argument of the handler in `src/_close.rs`.
///
/// `services.ws.id()` still returns the id of the connection, but nothing can be sent to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The side that closed the connection.
    pub by: ClosedBy,
    /// The status code of the close frame (RFC 6455); `None` without a close frame or without a code.
    #[serde(default)]
    pub code: Option<u16>,
    /// The reason in the close frame; empty if none was given.
    #[serde(default)]
    pub reason: String,
}

impl CloseInfo {
    /// Creates the argument of the hook: for hosts, and for tests of a `_close.rs`.
    pub fn new(by: ClosedBy, code: Option<u16>, reason: impl Into<String>) -> Self {
        Self { by, code, reason: reason.into() }
    }
}

/// The side that closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClosedBy {
    /// The client, with a close frame.
    Client,
    /// The server: it is shutting down, or has disconnected the client.
    Server,
    /// Neither: the connection broke without a close frame. Also stands for values of newer servers that this version
    /// does not know.
    #[serde(other)]
    Broken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_and_values_of_a_newer_host_are_accepted() {
        let json = r#"{"origin":"http://x","weather":"fine"}"#;
        let opened = OpenInfo { origin: Some("http://x".to_owned()), ..OpenInfo::default() };
        assert_eq!(serde_json::from_str::<OpenInfo>(json).unwrap(), opened);
        let closed = CloseInfo::new(ClosedBy::Broken, None, "");
        assert_eq!(serde_json::from_str::<CloseInfo>(r#"{"by":"moon"}"#).unwrap(), closed);
    }

    #[test]
    fn close_info_serializes_the_side_in_lower_case() {
        let json = serde_json::to_string(&CloseInfo::new(ClosedBy::Client, Some(1000), "bye")).unwrap();
        assert_eq!(json, r#"{"by":"client","code":1000,"reason":"bye"}"#);
        assert_eq!(
            serde_json::from_str::<CloseInfo>(&json).unwrap(),
            CloseInfo::new(ClosedBy::Client, Some(1000), "bye")
        );
    }
}
