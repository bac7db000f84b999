//! The caller of an event, as authentication, dispatch and the log see it.

use std::net::IpAddr;

use uuid::Uuid;

use super::session_slot::SessionSlot;
use crate::request_info::KeptHandshake;

/// Identifies the caller of an event: a connection, or a single HTTP request.
#[derive(Debug)]
pub(crate) struct CallContext {
    /// The server's id of the connection or request.
    pub(crate) id: Uuid,
    /// The key that the client chose for itself. Unverified, so it is for the log and for hooks only.
    pub(crate) client_key: Option<Box<str>>,
    /// The remote address, if known; rate limits count by it.
    pub(crate) address: Option<IpAddr>,
    /// The session that the caller is logged in with.
    pub(crate) session: SessionSlot,
    /// The HTTP request behind the caller: empty unless handlers read it. That of a connection is the one of its first
    /// socket.
    pub(crate) handshake: Option<Box<KeptHandshake>>,
}

impl CallContext {
    /// The bytes that a connection keeps of its handshake.
    pub(crate) fn handshake_bytes(&self) -> usize {
        self.handshake.as_ref().map_or(0, |handshake| handshake.held_bytes())
    }

    /// The caller's identity as JSON; `None` without a session.
    pub(crate) fn identity_json(&self) -> Option<String> {
        self.session.current().map(|guard| guard.identity_json())
    }
}

/// The object that handlers use as `services.ws`, with its [`CallContext`].
///
/// Dispatch and authentication are generic over this trait, so that they depend on neither connections nor HTTP.
pub(crate) trait IdentifiedCaller: aaw_event::host::Caller {
    fn context(&self) -> &CallContext;
}
