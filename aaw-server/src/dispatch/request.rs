//! A call as a transport hands it over to dispatch, and what has become of it after its first poll.

use std::task::{Context, Poll};

use aaw_event::host::{UploadSource, UploadStep};
use aaw_protocol::server::{Completion, ResponseMode};

use super::pending::PendingCall;
use super::stream::HandlerStream;
use crate::auth::SessionGuard;

/// A call.
pub(crate) struct DispatchRequest<'a> {
    /// The event's name, as the caller wrote it.
    pub(crate) event: &'a str,
    /// The body. It may not be JSON, see [`Dispatched::NotJson`].
    pub(crate) body: &'a str,
    /// What the caller expects of a streaming handler; other handlers ignore it.
    pub(crate) mode: ResponseMode,
    /// The session that authorises the call, if its event is protected; other events ignore it.
    ///
    /// The transport reads the caller's session once, passes it here, and keeps it with the running call to abort the call
    /// when that session ends. If dispatch read the session again, a log-in in between could authorise the call by a session
    /// that the transport does not keep, and the call would survive its log-out.
    pub(crate) session: Option<&'a SessionGuard>,
}

/// The state of a call after its first poll.
pub(crate) enum Dispatched {
    /// It has completed. If it has a response, that was appended to the frame.
    Done(Vec<u8>, Completion),
    /// Its handler waits for something.
    Pending(PendingCall),
    /// It streams items, and its caller reads them one by one. It has not been polled yet.
    Stream(HandlerStream),
    /// Its body is not JSON, so the frame was not a call. The body has not been parsed before dispatch.
    NotJson,
}

/// The upload of a transport that has none.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no HTTP requests"))]
pub(crate) enum NoUpload {}

impl UploadSource for NoUpload {
    fn poll_next(&self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<UploadStep> {
        match *self {}
    }
}
