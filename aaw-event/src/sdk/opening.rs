//! What the hooks are told of a connection.

use serde::{Deserialize, Serialize};

/// What is known of a connection that has just opened: the first argument of the handler in `src/_open.rs`.
///
/// That handler runs before the connection's first call. When it fails, the connection is closed, with a reason that its
/// client sees: the words of an [`Error::new`](crate::Error::new), or `Internal error`.
///
/// A call over HTTP has no connection: no such handler runs for it, and none can refuse it. What has to hold for every
/// caller is for the events' handlers to check.
///
/// ```
/// use aaw_event::prelude::*;
///
/// // src/_open.rs
/// pub async fn handler(opened: OpenInfo, services: Services) -> Result<()> {
///     if opened.client_key.is_none() {
///         return Err(Error::new("Say who you are"));
///     }
///     services.ws.send_event("message", "Welcome")
/// }
///
/// // src/_close.rs
/// pub fn handler_of_close(closed: CloseInfo, services: Services) {
///     tracing::info!(id = services.ws.id(), by = ?closed.by, "gone: {}", closed.reason);
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OpenInfo {
    /// Where the page comes from that has opened it, as its browser says; a program says nothing, as a rule.
    pub origin: Option<String>,
    /// The peer's address and port: the client's, or that of a proxy before it.
    pub address: Option<String>,
    /// By what the client calls itself, which is its own choice and proves nothing.
    pub client_key: Option<String>,
}

/// Why a connection has ended: the first argument of the handler in `src/_close.rs`.
///
/// `services.ws` still says which connection it was; there is nobody to send to any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CloseInfo {
    /// Who has ended it.
    pub by: ClosedBy,
    /// The code of the close frame, of RFC 6455; `None` where there was none.
    #[serde(default)]
    pub code: Option<u16>,
    /// The reason that was given; empty where there was none.
    #[serde(default)]
    pub reason: String,
}

impl CloseInfo {
    /// For a host, and for tests of a `_close.rs`.
    pub fn new(by: ClosedBy, code: Option<u16>, reason: impl Into<String>) -> Self {
        Self { by, code, reason: reason.into() }
    }
}

/// Who has ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClosedBy {
    /// The client, by a close frame.
    Client,
    /// The server: it stops, or would have no more of this client.
    Server,
    /// Nobody: it broke, without a close frame. Also what a newer server says and this version has no word for.
    #[serde(other)]
    Broken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_another_version_is_understood() {
        let json = r#"{"origin":"http://x","weather":"fine"}"#;
        let opened = OpenInfo { origin: Some("http://x".to_owned()), ..OpenInfo::default() };
        assert_eq!(serde_json::from_str::<OpenInfo>(json).unwrap(), opened);
        let closed = CloseInfo::new(ClosedBy::Broken, None, "");
        assert_eq!(serde_json::from_str::<CloseInfo>(r#"{"by":"moon"}"#).unwrap(), closed);
    }

    #[test]
    fn who_it_was_is_a_word() {
        let json = serde_json::to_string(&CloseInfo::new(ClosedBy::Client, Some(1000), "bye")).unwrap();
        assert_eq!(json, r#"{"by":"client","code":1000,"reason":"bye"}"#);
        assert_eq!(
            serde_json::from_str::<CloseInfo>(&json).unwrap(),
            CloseInfo::new(ClosedBy::Client, Some(1000), "bye")
        );
    }
}
