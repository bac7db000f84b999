//! What a session wants done.

use std::fmt;

use bytes::Bytes;

use super::{CallKey, ClientCallKey};
use crate::codec::BadFrame;
use crate::{Failure, Shortened, Token};

/// What to do next. `W` is whatever waits for a call: the session keeps it, never looks at it, and gives it back.
#[derive(Debug)]
pub enum Output<W> {
    /// Try to connect, once, then say `handle_connected` or `handle_connect_failed`.
    Connect,
    /// Write this as a text message. It is JSON, and needs no check for UTF-8.
    Send(Bytes),
    /// Send a WebSocket ping.
    Ping,
    /// Send a close frame with the code 1000 behind what was sent before, and say `handle_disconnected` once the other
    /// side has answered it, or hung up.
    Close,
    /// Drop the connection as it stands. The session knows that it is gone; nothing needs to be said.
    Abort,
    /// The next item of a stream that was asked for. None comes after its [`CallDone`](Self::CallDone).
    Item {
        /// Which stream.
        key: CallKey,
        /// One JSON value.
        data: Box<str>,
    },
    /// The server has room for items of this call's upload, up to the `items`-th in all: so many may be given to
    /// [`upload_item`](super::ClientConnection::upload_item).
    UploadCredit {
        /// Which call.
        key: CallKey,
        /// How many in all. More than was said before.
        items: u64,
    },
    /// A call is over. It ends exactly once.
    CallDone {
        /// Who made the call.
        waiter: W,
        /// How it ended.
        outcome: CallResult,
    },
    /// The server sent something that nobody had asked for.
    Push {
        /// The event's name. Nobody has checked that it is an [`EventName`](crate::EventName).
        event: Box<str>,
        /// One JSON value.
        data: Box<str>,
    },
    /// The server asks. Whoever handles the event is to answer by [`reply`](super::ClientConnection::respond);
    /// [`Failure::unknown_event`] if nobody does.
    ClientCall {
        /// Which.
        key: ClientCallKey,
        /// The event's name. Nobody has checked that it is an [`EventName`](crate::EventName).
        event: Box<str>,
        /// One JSON value.
        data: Box<str>,
    },
    /// Nobody waits any more for what the server asked: it says so, or the connection is gone. Comes only for what was
    /// not replied to.
    ClientCallCancelled {
        /// Which.
        key: ClientCallKey,
    },
    /// The server knows this client as `user`, by a token that the session keeps from now on. From an answer to
    /// `aaw/login`, `aaw/register`, `aaw/resume` or `aaw/password/set-new`: a call of the application's, or the session's
    /// own on a new connection. In that case it may be the same as before.
    LoggedIn {
        /// The token.
        token: Token,
        /// The user, one JSON value.
        user: Box<str>,
    },
    /// The application has logged out: the token is forgotten.
    LoggedOut,
    /// The server does not know the session any more, in these words: the token was not taken on a new connection, or
    /// the session was ended elsewhere. The token is forgotten.
    Unauthorized(Failure),
    /// The connection can be used.
    Opened {
        /// The server's id of this connection. A classic server tells none.
        connection: Option<Box<str>>,
    },
    /// The connection is gone. Another attempt follows, unless the session was closed.
    Disconnected(DisconnectReason),
    /// Something that ends neither a call nor the connection, but that somebody should know.
    Warning(ProtocolWarning),
    /// The session was closed, and is over. Nothing comes after it, except that calls made later end as
    /// [`NotSent::Closed`].
    Closed,
}

/// How a call ended: everything that is known about it.
#[derive(Debug, Clone, PartialEq)]
pub enum CallResult {
    /// With an answer. It was split from its frame without being read: what parses it finds out if it is no JSON.
    Response(Box<str>),
    /// A stream, with its last item.
    StreamEnded,
    /// With a failure that the server told.
    Failed(Failure),
    /// Its time was up.
    TimedOut {
        /// Whether it had been written. If not, the server never saw it.
        sent: bool,
    },
    /// It was written, and the connection is gone. It may have run or not.
    Unknown(DisconnectReason),
    /// The server never saw it.
    NotSent(NotSent),
}

/// Why a call or a send was never written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
    /// The server is a classic one, and the call sends items.
    #[error("the server speaks the classic dialect, and takes no stream from its caller")]
    NoUploads,
    /// The call of this item is over, its upload has ended, or the server has no room for more.
    #[error("the call takes no more items")]
    Over,
    /// Too much waits to be written already.
    #[error("too much is waiting for the connection already ({limit} bytes at most)")]
    QueueFull {
        /// Bytes that may wait.
        limit: usize,
    },
    /// It is larger than a message may be.
    #[error("its message would have {size} bytes, and {limit} are allowed")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes that one may have.
        limit: usize,
    },
}

/// Why a connection is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The server closed it.
    ClosedByServer {
        /// The code of its close frame (RFC 6455, 7.4); 1005 if it gave none.
        code: u16,
        /// The reason in its close frame.
        reason: String,
    },
    /// This side closed it.
    ClosedByUs,
    /// It broke: what the system, TLS or the WebSocket layer said.
    Broken(String),
    /// Nothing was heard from the server, two pings long.
    Silent,
    /// The server did not greet in time.
    NoWelcome,
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
            Self::Broken(what) => write!(f, "the connection broke: {what}"),
            Self::Silent => f.write_str("the server has gone silent"),
            Self::NoWelcome => f.write_str("the server accepted the connection but never greeted"),
        }
    }
}

/// What went wrong without ending anything.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolWarning {
    /// The server sent something that makes no sense. It was ignored.
    #[error("the server sent something that makes no sense: {0}")]
    BadFrame(BadFrame),
    /// The server says that it could not take something which nobody waits for: a send to an unknown event, mostly.
    #[error("the server says: {0}")]
    Reported(Failure),
    /// A send that was accepted while there was no connection cannot be sent on this one.
    #[error("something sent while there was no connection is lost: {0}")]
    SendLost(NotSent),
}
