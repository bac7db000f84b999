//! The arguments of the hooks of a connection: `_open.rs`, `_close.rs`, `_resume.rs`, `_away.rs` and `_back.rs`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::handshake::Handshake;

/// A new socket: the first argument of the handlers in `src/_open.rs` and `src/_resume.rs`.
///
/// # `_open.rs`
///
/// The handler of a connection that has just opened runs before the connection's first call. If it fails, the connection
/// is closed with a reason that the client receives: the message of an [`Error::new`](crate::Error::new), or `Internal
/// error`.
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
///
/// # `_resume.rs`
///
/// The handler runs before a connection goes on over another socket, and receives what is known about that one. `_open`
/// does not run again. The client has shown that it may resume: it knows the key of the connection, its page has the same
/// origin, and, if the client has received the token of the connection's session, it has shown it. `services` are those of
/// the connection: its id, its identity, its rooms, and the handshake of its first socket; what is sent to it waits until a
/// client has resumed it. The handshake of the new socket is [`handshake`](Self::handshake), and `_resume` is all that sees
/// it: a server that logs callers in by a header or a cookie checks here that it still holds.
///
/// If the handler fails, the connection is left as it is, and may be resumed from another socket. The client
/// receives the message of an [`Error::new`](crate::Error::new), or `Internal error`, and begins a new connection, for
/// which `_open` runs. The same happens if the handler has not decided within the server's `handshake_timeout`. The time
/// that it takes counts towards the time for which the server keeps the connection.
///
/// The handler may run for several sockets of the same connection at the same time. It is dropped when its
/// client gives up, and when the connection is over.
///
/// ```
/// use aaw_event::prelude::*;
///
/// # fn is_blocked(_: &str) -> bool { false }
/// // src/_resume.rs
/// pub async fn handler(opened: OpenInfo, services: Services) -> Result<()> {
///     if opened.address.as_deref().is_some_and(is_blocked) {
///         tracing::warn!(id = services.ws.id(), "a blocked address cannot resume");
///         return Err(Error::new("This address is blocked"));
///     }
///     Ok(())
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
    /// The request that opened this socket, with its headers, cookies and query. `None` if the server has not kept it, see
    /// [`Services::handshake`](crate::Services::handshake).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshake: Option<Handshake>,
}

/// Why a connection is away: the first argument of the handler in `src/_away.rs`.
///
/// The socket of the connection has broken, and the server keeps its state for the client to resume it. The connection is
/// in its rooms, its calls run on, and what is sent to it waits for the client, within limits. `_back.rs` runs when the
/// client has resumed it, `_close.rs` when the state is over: because the client has not come back in time, or the server
/// stops or needs the memory. [`services.ws.is_connected()`](crate::Ws::is_connected) tells any other handler whether
/// there is a socket at present; the hooks may have been told less.
///
/// `_away` and `_back` alternate, and only one runs at a time. `_close` runs last. A change that is reverted before its
/// hook starts is skipped: if the client comes back and is away again while `_away` runs, no hook follows. So a client
/// whose connection breaks often causes no queue. A client that resumes before the server has noticed that the socket is
/// broken was never away, and neither hook runs.
///
/// Neither hook can refuse anything: an error is logged. One that takes longer than the server's `linger_timeout` is
/// dropped.
///
/// ```
/// use aaw_event::prelude::*;
///
/// // src/_away.rs
/// pub fn handler(away: AwayInfo, services: Services) -> Result<()> {
///     tracing::debug!("away: {}", away.reason);
///     services.room.emit("lobby", "presence", json!({ "id": services.ws.id(), "here": false }), None)?;
///     Ok(())
/// }
///
/// // src/_back.rs
/// pub fn handler_of_back(back: BackInfo, services: Services) -> Result<()> {
///     tracing::debug!("back after {} ms", back.away_ms);
///     services.room.emit("lobby", "presence", json!({ "id": services.ws.id(), "here": true }), None)?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AwayInfo {
    /// The side that ended the socket: [`Broken`](ClosedBy::Broken) if it has failed, [`Client`](ClosedBy::Client) if
    /// its data ended or the client has announced that it will resume, [`Server`](ClosedBy::Server) if the client was
    /// silent or accepted no data.
    pub by: ClosedBy,
    /// The code by which the client has announced that it will resume, 4002; or the one that stands for the server's
    /// reason. `None` for a socket that has failed or ended.
    #[serde(default)]
    pub code: Option<u16>,
    /// The reason; empty if none is known.
    #[serde(default)]
    pub reason: String,
}

impl AwayInfo {
    /// Creates the argument of the hook: for hosts, and for tests of an `_away.rs`.
    pub fn new(by: ClosedBy, code: Option<u16>, reason: impl Into<String>) -> Self {
        Self { by, code, reason: reason.into() }
    }
}

/// A connection that was away and goes on over another socket: the first argument of the handler in `src/_back.rs`.
///
/// What was sent to the connection in the meantime is on its way to the client. See [`AwayInfo`] for when this hook runs.
///
/// ```
/// use aaw_event::prelude::*;
///
/// // src/_back.rs
/// pub fn handler(back: BackInfo, services: Services) -> Result<()> {
///     if back.away_ms > 10_000 {
///         services.ws.send_event("refresh", ())?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct BackInfo {
    /// How long the connection had no socket, in milliseconds.
    pub away_ms: u64,
}

impl BackInfo {
    /// Creates the argument of the hook: for hosts, and for tests of a `_back.rs`.
    pub fn new(away: Duration) -> Self {
        Self { away_ms: u64::try_from(away.as_millis()).unwrap_or(u64::MAX) }
    }
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
        let away = AwayInfo::new(ClosedBy::Broken, None, "");
        assert_eq!(serde_json::from_str::<AwayInfo>(r#"{"by":"moon","sky":"clear"}"#).unwrap(), away);
        assert_eq!(serde_json::from_str::<BackInfo>(r#"{"sky":"clear"}"#).unwrap(), BackInfo::default());
        assert_eq!(serde_json::from_str::<CloseInfo>(r#"{"by":"moon"}"#).unwrap(), closed);
    }

    #[test]
    fn away_and_back_info_are_read_as_they_were_written() {
        let json = serde_json::to_string(&AwayInfo::new(ClosedBy::Client, Some(4002), "soon")).unwrap();
        assert_eq!(json, r#"{"by":"client","code":4002,"reason":"soon"}"#);
        let json = serde_json::to_string(&BackInfo::new(Duration::from_millis(1500))).unwrap();
        assert_eq!(json, r#"{"away_ms":1500}"#);
        assert_eq!(BackInfo::new(Duration::MAX).away_ms, u64::MAX);
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
