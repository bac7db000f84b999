//! What a [`ClientConnection`](super::ClientConnection) returns to the owner of its socket.

use std::fmt;

use bytes::Bytes;

use super::backoff::RetryHint;
use super::keys::{CallKey, ClientCallKey};
use crate::codec::BadFrame;
use crate::{Failure, Shortened, Token};

/// An instruction to the owner of the socket, or an event for the application. `W` is the application's waiter of a
/// call, which the connection stores and returns with the result.
#[derive(Debug)]
pub enum Output<W> {
    /// Make one connection attempt, then call [`handle_connected`](super::ClientConnection::handle_connected) or
    /// [`handle_connect_failed`](super::ClientConnection::handle_connect_failed).
    Connect,
    /// Write this as a text message. It is JSON and therefore valid UTF-8.
    Send(Bytes),
    /// Send a WebSocket ping.
    Ping,
    /// Send a close frame with the code 1000 after everything sent before, and call
    /// [`handle_disconnected`](super::ClientConnection::handle_disconnected) once the server has responded with its own
    /// or has dropped the connection.
    Close,
    /// Drop the connection at once. No `handle_disconnected` is needed.
    Abort,
    /// The next item of a stream. There is none after the stream's [`CallDone`](Self::CallDone).
    Item {
        /// The stream.
        key: CallKey,
        /// The item, one JSON value.
        data: Box<str>,
    },
    /// The server granted more credit for the upload of a call, to be used with
    /// [`upload_item`](super::ClientConnection::upload_item).
    UploadCredit {
        /// The call.
        key: CallKey,
        /// The number of items that may be sent, from the start of the upload. Larger than before.
        items: u64,
    },
    /// A call is over. Returned exactly once for each call that is not cancelled.
    CallDone {
        /// The waiter that was passed in with the call.
        waiter: W,
        /// The result.
        result: CallResult,
    },
    /// The server pushed an event.
    Push {
        /// The name of the event. It is not validated as an [`EventName`](crate::EventName).
        event: Box<str>,
        /// The data, one JSON value.
        data: Box<str>,
    },
    /// The server makes a client call. Respond with [`respond`](super::ClientConnection::respond); without a handler
    /// for the event, with [`Failure::unknown_event`].
    ClientCall {
        /// The client call.
        key: ClientCallKey,
        /// The name of the event. It is not validated as an [`EventName`](crate::EventName).
        event: Box<str>,
        /// The body, one JSON value.
        data: Box<str>,
    },
    /// A client call without a response is over: the server cancelled it, or the connection is gone.
    ClientCallCancelled {
        /// The client call.
        key: ClientCallKey,
    },
    /// The server accepted the session of `user`, and the connection has stored its token. Follows the response of
    /// `aaw/login`, `aaw/register`, `aaw/resume` or `aaw/password/set-new`, whether the application called it or the
    /// connection did so itself after a reconnection. In the latter case the token may be unchanged.
    LoggedIn {
        /// The token.
        token: Token,
        /// The user, one JSON value.
        user: Box<str>,
    },
    /// The application logged out. The token is deleted.
    LoggedOut,
    /// The session is over: the server rejected the token on a new connection, or the session was ended elsewhere. The
    /// token is deleted.
    Unauthorized(Failure),
    /// The connection is ready to use.
    Opened {
        /// The server's id of the connection. `None` for a classic server.
        connection: Option<Box<str>>,
    },
    /// The socket is gone, and the connection is not: it goes on when it is [resumed](Self::Resumed), after any number of
    /// attempts to connect, and is otherwise [lost](Self::Disconnected) later.
    Interrupted(DisconnectReason),
    /// The connection continues on a new socket. Nothing of it was lost, apart from [gaps](Self::Gap).
    Resumed,
    /// The server has dropped this number of pushes while the client was away.
    Gap {
        /// The number of pushes.
        lost: u64,
    },
    /// The connection is lost. Another attempt follows, unless the client was closed.
    Disconnected(DisconnectReason),
    /// A problem that ends neither a call nor the connection.
    Warning(ProtocolWarning),
    /// The client is closed. No output follows, except that later calls end as [`NotSent::Closed`].
    Closed,
}

/// The result of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum CallResult {
    /// The response. Its JSON may be [unchecked](crate::codec#unchecked-bodies), so that parsing it can fail.
    Response(Box<str>),
    /// The stream ended after its last item.
    StreamEnded,
    /// The server returned a failure.
    Failed(Failure),
    /// The deadline passed.
    TimedOut {
        /// Whether the call was written. If not, the server has not received it.
        sent: bool,
        /// Whether the server has acknowledged it.
        taken: bool,
    },
    /// The connection was lost after the call was written. It may have run or not.
    Unknown(DisconnectReason),
    /// The server has not received the call.
    NotSent(NotSent),
}

/// Why a call, a one-way send or an upload item was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
    /// The call has an upload, and the server speaks classic.
    #[error("the server speaks the classic dialect, which has no uploads")]
    NoUploads,
    /// The call of the item is over, its upload has ended, or there is no credit for the item.
    #[error("the call accepts no more upload items")]
    UploadClosed,
    /// The write queue is full.
    #[error("the write queue is full (limit: {limit} bytes)")]
    QueueFull {
        /// The limit of the queue, in bytes.
        limit: usize,
    },
    /// The message exceeds the size limit.
    #[error("the message of {size} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The size of the message, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Why a connection was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The server closed it.
    ClosedByServer {
        /// The code of the close frame (RFC 6455, section 7.4); 1005 if it had none.
        code: u16,
        /// The reason in the close frame.
        reason: String,
    },
    /// The client closed it.
    ClosedByUs,
    /// It failed, with this error of the system, TLS or the WebSocket layer.
    Broken(String),
    /// The server was silent and did not respond to two pings.
    Silent,
    /// The server did not send its welcome in time.
    NoWelcome,
    /// The server has no state of the connection any more: it was restarted, or the client was away for too long.
    StateLost,
    /// The server has refused to resume the connection, with this text.
    ResumptionRefused(String),
    /// The socket was lost for this reason, and the client could not resume the connection within the server's window.
    NotResumed(Box<Self>),
}

impl DisconnectReason {
    /// What the end of the connection says about the next attempt.
    pub(super) fn retry_hint(&self) -> RetryHint {
        match self {
            Self::ClosedByServer { code: 1008, .. } => RetryHint::Refused,
            _ => RetryHint::Unknown,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedByServer { code, reason } => {
                write!(f, "the server closed the connection ({code}")?;
                match code {
                    1000 => f.write_str(", done")?,
                    1001 => f.write_str(", going away")?,
                    1008 => f.write_str(", not allowed")?,
                    1009 => f.write_str(", message too large")?,
                    1012 => f.write_str(", restarting")?,
                    1013 => f.write_str(", try again later")?,
                    _ => {}
                }
                match reason.as_str() {
                    "" => f.write_str(")"),
                    reason => write!(f, "): {}", Shortened(reason)),
                }
            }
            Self::ClosedByUs => f.write_str("the client was closed"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Silent => f.write_str("the server stopped responding"),
            Self::StateLost => f.write_str("the server has not kept the connection's state"),
            Self::ResumptionRefused(text) => {
                write!(f, "the server did not resume the connection: {}", Shortened(text))
            }
            Self::NotResumed(why) => write!(f, "{why}; no new connection was made in time"),
            Self::NoWelcome => f.write_str("the server accepted the connection but sent no welcome"),
        }
    }
}

/// A problem that ends neither a call nor the connection.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolWarning {
    /// The server sent an invalid frame, which was ignored.
    #[error("the server sent an invalid frame: {0}")]
    BadFrame(BadFrame),
    /// The server reported a failure that belongs to no open call, such as a one-way send without a handler.
    #[error("the server reported an error: {0}")]
    Reported(Failure),
    /// A one-way send that was queued without a connection cannot be sent on the new one.
    #[error("a one-way send that waited for the connection was dropped: {0}")]
    SendLost(NotSent),
}
