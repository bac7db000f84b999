//! The reasons for which the server closes a connection, and their close codes.

use crate::hello;

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
    /// The client did not acknowledge messages that it was sent.
    #[error("too many messages are not acknowledged")]
    Unacknowledged,
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
            Self::Refused(_) | Self::Unacknowledged => 1008,
            Self::TooSlow => 1013,
        }
    }
}
