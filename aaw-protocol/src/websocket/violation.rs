//! Violations of RFC 6455.

use thiserror::Error;

/// How a client has violated RFC 6455. Its connection must be closed with [`close_code`](Self::close_code); the bytes that
/// follow cannot be interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A bit is set that belongs to an extension (section 5.2).
    #[error("expected the reserved bits of a frame to be 0: no extension was negotiated")]
    ReservedBits,
    /// The opcode has no meaning (section 5.2).
    #[error("expected the opcode 0, 1, 2, 8, 9 or 10, found {0}")]
    ReservedOpcode(u8),
    /// A ping, pong or close frame is a fragment (section 5.5).
    #[error("a control frame must not be fragmented")]
    FragmentedControl,
    /// A ping, pong or close frame is too long (section 5.5).
    #[error("a control frame has at most 125 bytes")]
    ControlTooLong,
    /// A frame is not masked (section 5.1).
    #[error("a client must mask its frames")]
    NotMasked,
    /// A length is encoded in more bytes than it needs (section 5.2).
    #[error("the length {0} is not encoded in the fewest bytes")]
    LengthNotMinimal(u64),
    /// The highest bit of a length of 64 bits is set (section 5.2).
    #[error("the highest bit of a frame's length must be 0")]
    LengthTooHigh,
    /// A frame continues no message (section 5.4).
    #[error("a continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// A message begins within another one (section 5.4).
    #[error("expected a continuation frame, found the beginning of another message")]
    ExpectedContinuation,
    /// A close frame has a body that is too short for a code (section 5.5.1).
    #[error("the body of a close frame begins with a code of 2 bytes")]
    CloseOfOneByte,
    /// A close frame has a code that must not be sent (section 7.4).
    #[error("{0} is not a code that a close frame may have")]
    InvalidCloseCode(u16),
    /// A text or the reason of a close frame is not UTF-8 (section 8.1).
    #[error("the text is not UTF-8")]
    InvalidUtf8,
    /// A message is longer than the receiver's limit (section 10.4).
    #[error("the message is longer than {max} bytes")]
    MessageTooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// A message consists of more frames than the receiver accepts (section 10.4).
    #[error("the message consists of more than {max} frames")]
    TooManyFrames {
        /// The limit.
        max: u32,
    },
}

impl Violation {
    /// Returns the close code: 1002, 1007 or 1009 (section 7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Self::InvalidUtf8 => 1007,
            Self::MessageTooLong { .. } | Self::TooManyFrames { .. } => 1009,
            _ => 1002,
        }
    }
}
