//! A call as a transport hands it over to dispatch.

use std::cell::Cell;
use std::task::{Context, Poll};

use aaw_event::host::{UploadSource, UploadStep};
use aaw_protocol::server::ResponseMode;

use crate::auth::SessionGuard;

/// A call.
pub(crate) struct DispatchRequest<'a> {
    /// The event's name, as the caller wrote it.
    pub(crate) event: &'a str,
    /// The transport by which the call arrived.
    pub(crate) source: CallSource,
    /// The body. It may not be JSON, see [`Dispatched::NotJson`](super::Dispatched::NotJson).
    pub(crate) body: &'a str,
    /// What the caller expects of a streaming handler; other handlers ignore it.
    pub(crate) mode: ResponseMode,
    /// The session that authorizes the call, if its event is protected; other events ignore it.
    ///
    /// The transport reads the caller's session once, passes it here, and keeps it with the running call to abort the
    /// call when that session ends. If dispatch read the session again, a log-in in between could authorize the call by
    /// a session that the transport does not keep, and the call would survive its log-out.
    pub(crate) session: Option<&'a SessionGuard>,
    /// Receives the cost of the event, for the rate of the caller's address. 1 for a call that has no event.
    pub(crate) cost: &'a Cell<u32>,
}

/// The transport by which a call arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CallSource {
    /// With the id of a v1 call that expects a response.
    WebSocket { id: Option<i64> },
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no HTTP requests"))]
    Http,
}

/// The upload of a transport that has none.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no HTTP requests"))]
pub(crate) enum NoUpload {}

impl UploadSource for NoUpload {
    fn poll_next(&self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<UploadStep> {
        match *self {}
    }
}
