//! What a session says to the owner of its socket.

use std::borrow::Cow;

use bytes::Bytes;

use super::call::{Call, CallKey};
use crate::codec::BadFrame;
use crate::failure::Failure;
use crate::hello;

/// What a text turned out to be.
#[derive(Debug)]
pub enum Input<'a> {
    /// A call to run now.
    Call(Call<'a>),
    /// Dealt with; the answer, if any, is in the output.
    Done,
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
    Bad(BadFrame),
}

/// What the owner of the socket is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this as a text message, then say [`handle_sent`](super::ServerSession::handle_sent).
    Send(Bytes),
    /// Send a WebSocket ping.
    Ping,
    /// Drop this call's handler; nothing of its outcome is wanted.
    Drop(CallKey),
    /// End the connection.
    Close(Close),
}

/// Why a connection is ended from here, and what the close frame says (RFC 6455, 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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
}

impl Close {
    /// The status code of the close frame.
    pub fn code(self) -> u16 {
        match self {
            Self::NoHello => 1002,
            Self::Silent | Self::Stalled | Self::Stopping => 1001,
            Self::TooSlow => 1013,
        }
    }
}
