//! What a [`ServerConnection`](super::ServerConnection) returns to the owner of its socket.

use std::borrow::Cow;

use bytes::Bytes;

use super::call::Call;
use super::keys::CallKey;
use super::keys::ClientCallKey;
use crate::codec::BadFrame;
use crate::failure::Failure;
use crate::hello;

/// The meaning of a text message.
#[derive(Debug)]
pub enum Input<'a> {
    /// A call to run now.
    Call(Call<'a>),
    /// The next item of a call's upload, for its handler.
    UploadItem {
        /// The pending call. It is neither complete nor dropped.
        key: CallKey,
        /// The item, one JSON value.
        data: &'a str,
    },
    /// The end of a call's upload. Returned at most once for each call.
    UploadEnd {
        /// The call, as in [`UploadItem`](Self::UploadItem).
        key: CallKey,
    },
    /// The message is handled. Its response, if it has one, is in the output.
    Handled,
    /// A call or one-way send was refused. The client is already notified; this is for the log.
    Refused {
        /// The name of the event.
        event: Cow<'a, str>,
        /// The body, as JSON.
        body: &'a str,
        /// The failure that the client receives.
        failure: Failure,
    },
    /// A message that is not a frame, or not allowed in the current state. A v1 client is already notified; this is for
    /// the log.
    BadFrame(BadFrame),
}

/// An instruction to the owner of the socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this as a text message, then call [`handle_sent`](super::ServerConnection::handle_sent).
    Send(Bytes),
    /// The caller of a stream granted more credit: the stream may continue.
    Credit {
        /// The pending call. It is neither complete nor dropped.
        key: CallKey,
        /// The new result of [`credit`](super::ServerConnection::credit), in items from the start of the stream. Larger
        /// than before.
        items: u64,
    },
    /// A [client call](super::ServerConnection::client_call) is over.
    ClientCallDone {
        /// The client call.
        key: ClientCallKey,
        /// The client's response, one JSON value; or the client's failure; or a failure with the code
        /// [`TIMEOUT`](crate::Code::TIMEOUT) if there was no response before the deadline.
        result: Result<Box<str>, Failure>,
    },
    /// Run the hook that decides about the connection, then call
    /// [`handle_open_hook_passed`](super::ServerConnection::handle_open_hook_passed) or
    /// [`handle_open_hook_refused`](super::ServerConnection::handle_open_hook_refused). Returned at most once, and only
    /// after [`wait_for_open_hook`](super::ServerConnection::wait_for_open_hook).
    RunOpenHook,
    /// Send a WebSocket ping.
    Ping,
    /// Drop the handler of this call. Its result is no longer needed.
    Drop(CallKey),
    /// Close the connection.
    Close(Close),
}

/// Why the server closes a connection. [`Display`](std::fmt::Display) is the reason of the close frame (RFC 6455,
/// section 7.4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Close {
    /// The client did not send its hello in time.
    #[error("no {} in time", hello::HELLO)]
    NoHello,
    /// The client was silent for too long and did not respond to pings.
    #[error("no sign of life")]
    Silent,
    /// The pushes for the client exceeded their limit.
    #[error("too many messages waiting: the client reads too slowly")]
    TooSlow,
    /// Nothing could be written to the socket for too long.
    #[error("nothing could be written")]
    Stalled,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The server refused the client, for this reason. Created by [`Close::refused`].
    #[error("{0}")]
    Refused(Box<str>),
}

impl Close {
    /// Creates [`Refused`](Self::Refused) with the first 123 bytes of `reason`, the most that a close frame can carry.
    /// Characters are kept whole.
    ///
    /// ```
    /// # use aaw_protocol::server::Close;
    /// assert_eq!(Close::refused("not you").to_string(), "not you");
    /// assert_eq!(Close::refused(&"ü".repeat(100)).to_string(), "ü".repeat(61));
    /// ```
    pub fn refused(reason: &str) -> Self {
        const MAX_BYTES: usize = 123;
        let end = (0..=MAX_BYTES.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
        Self::Refused(reason[..end].into())
    }

    /// Returns the status code of the close frame.
    pub fn code(&self) -> u16 {
        match self {
            Self::NoHello => 1002,
            Self::Silent | Self::Stalled | Self::Stopping => 1001,
            Self::Refused(_) => 1008,
            Self::TooSlow => 1013,
        }
    }
}
