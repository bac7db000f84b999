//! The header of a frame (RFC 6455, 5.2).

use super::mask::Mask;
use super::violation::Violation;

/// The longest header: two bytes, a length of eight bytes, and the key.
pub(super) const MAX_HEADER_LEN: usize = 14;

/// The longest payload of a control frame.
const MAX_CONTROL_LEN: u64 = 125;

/// The meaning of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation,
    /// A text message, or its first fragment.
    Text,
    /// A binary message, or its first fragment.
    Binary,
    /// The closing handshake.
    Close,
    /// A ping.
    Ping,
    /// A pong.
    Pong,
}

impl Opcode {
    #[inline]
    pub(super) fn from_bits(bits: u8) -> Result<Self, Violation> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(Violation::ReservedOpcode(bits)),
        })
    }

    pub(super) fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    #[inline]
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) opcode: Opcode,
    /// Whether this is the last frame of its message.
    pub(super) is_final: bool,
    pub(super) mask: Mask,
    /// The length of the payload.
    pub(super) len: u64,
}

impl FrameHeader {
    /// Parses the header at the beginning of `bytes`. Returns it with its length, or `None` if it is incomplete. A violation
    /// is found with the first byte that shows it.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        let (is_final, opcode) = (first & 0x80 != 0, Opcode::from_bits(first & 0x0f)?);
        if opcode.is_control() && !is_final {
            return Err(Violation::FragmentedControl);
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(Violation::NotMasked);
        }
        let short = second & 0x7f;
        if opcode.is_control() && u64::from(short) > MAX_CONTROL_LEN {
            return Err(Violation::ControlTooLong);
        }
        let rest = &bytes[2..];
        let (len, len_bytes) = match short {
            126 => match rest.first_chunk() {
                Some(len) => (u16::from_be_bytes(*len).into(), 2),
                None => return Ok(None),
            },
            127 => {
                if rest.first().is_some_and(|first| first & 0x80 != 0) {
                    return Err(Violation::LengthTooHigh);
                }
                match rest.first_chunk() {
                    Some(len) => (u64::from_be_bytes(*len), 8),
                    None => return Ok(None),
                }
            }
            short => (short.into(), 0),
        };
        if (len_bytes == 2 && len < 126) || (len_bytes == 8 && len <= u16::MAX.into()) {
            return Err(Violation::LengthNotMinimal(len));
        }
        let Some(&key) = rest[len_bytes..].first_chunk() else { return Ok(None) };
        Ok(Some((Self { opcode, is_final, mask: Mask(key), len }, 2 + len_bytes + key.len())))
    }
}
