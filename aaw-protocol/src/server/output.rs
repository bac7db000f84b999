//! What a session says to the owner of its socket.

use std::borrow::Cow;

use bytes::Bytes;

use super::call::{Call, CallKey};
use super::client_calls::ClientCallKey;
use crate::codec::BadFrame;
use crate::failure::Failure;
use crate::hello;

/// What a text turned out to be.
#[derive(Debug)]
pub enum Input<'a> {
    /// A call to run now.
    Call(Call<'a>),
    /// The next item of a call's upload, for its handler.
    UploadItem {
        /// The call. It was suspended, and is neither finished nor dropped.
        key: CallKey,
        /// The item, one JSON value.
        data: &'a str,
    },
    /// The call's upload is over: no item follows. Said once a call.
    UploadEnd {
        /// The call, as in [`UploadItem`](Self::UploadItem).
        key: CallKey,
    },
    /// Dealt with; the answer, if any, is in the output.
    Handled,
    /// A call or send was refused. The client has been told; this is for the log.
    Refused {
        /// The event it named.
        event: Cow<'a, str>,
        /// Its body, as JSON.
        body: &'a str,
        /// What the client was told.
        failure: Failure,
    },
    /// No frame, or one that makes no sense here. A v1 client has been told; this is for the log.
    BadFrame(BadFrame),
}

/// What the owner of the socket is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this as a text message, then say [`handle_sent`](super::ServerConnection::handle_sent).
    Send(Bytes),
    /// A call's stream may go on: its caller now has room for so many items in all.
    Credit {
        /// The call. It was suspended, and is neither finished nor dropped.
        key: CallKey,
        /// What [`credit`](super::ServerConnection::credit) says from now on; more than before.
        items: u64,
    },
    /// The client has answered what it was [asked](super::ServerConnection::client_call), or has not in time.
    ClientCallDone {
        /// Which ask. It is over.
        key: ClientCallKey,
        /// The answer, one JSON value; or the client's failure, in its words; or [`TIMEOUT`](crate::Code::TIMEOUT).
        outcome: Result<Box<str>, Failure>,
    },
    /// Decide whether the connection may be, then say [`opened`](super::ServerConnection::handle_open_hook_passed) or
    /// [`handle_open_hook_refused`](super::ServerConnection::handle_open_hook_refused). Comes once, and only after
    /// [`hold`](super::ServerConnection::wait_for_open_hook).
    RunOpenHook,
    /// Send a WebSocket ping.
    Ping,
    /// Drop this call's handler; nothing of its outcome is wanted.
    Drop(CallKey),
    /// End the connection.
    Close(Close),
}

/// Why a connection is ended from here, and what the close frame says (RFC 6455, 7.4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Close {
    /// The client did not say hello in time.
    #[error("no {} in time", hello::HELLO)]
    NoHello,
    /// Nothing was heard from the client for too long.
    #[error("no sign of life")]
    Silent,
    /// More pushes wait for the client than may.
    #[error("too many messages waiting: the client reads too slowly")]
    TooSlow,
    /// Nothing could be written for too long.
    #[error("nothing could be written")]
    Stalled,
    /// The server stops.
    #[error("the server is stopping")]
    Stopping,
    /// The server does not want this client, in these words. See [`Close::refused`].
    #[error("{0}")]
    Refused(Box<str>),
}

impl Close {
    /// [`Refused`](Self::Refused), with as much of the words as a close frame has room for: 123 bytes.
    ///
    /// ```
    /// # use aaw_protocol::server::Close;
    /// assert_eq!(Close::refused("not you").to_string(), "not you");
    /// assert_eq!(Close::refused(&"ü".repeat(100)).to_string(), "ü".repeat(61));
    /// ```
    pub fn refused(why: &str) -> Self {
        const MOST: usize = 123;
        let end = (0..=MOST.min(why.len())).rev().find(|end| why.is_char_boundary(*end)).unwrap_or(0);
        Self::Refused(why[..end].into())
    }

    /// The status code of the close frame.
    pub fn code(&self) -> u16 {
        match self {
            Self::NoHello => 1002,
            Self::Silent | Self::Stalled | Self::Stopping => 1001,
            Self::Refused(_) => 1008,
            Self::TooSlow => 1013,
        }
    }
}
