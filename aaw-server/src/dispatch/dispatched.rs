//! The state of a call after its first poll.

use aaw_protocol::server::Completion;

use super::pending::PendingCall;
use super::stream::HandlerStream;

/// The state of a call after its first poll.
pub(crate) enum Dispatched {
    /// It has completed. If it has a response, that was appended to the frame.
    Done(Completion),
    /// Its handler waits for something.
    Pending(PendingCall),
    /// It streams items, and its caller reads them one by one. It has not been polled yet.
    Stream(HandlerStream),
    /// Its body is not JSON, so the frame was not a call. The body has not been parsed before dispatch.
    NotJson,
}
