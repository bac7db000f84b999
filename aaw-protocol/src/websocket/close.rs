//! The body of a close frame (RFC 6455, 5.5.1 and 7.4).

use super::violation::Violation;

/// The code and reason of a close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code, one of those that may be sent.
    pub code: u16,
    /// The reason, of at most 123 bytes.
    pub reason: String,
}

impl CloseFrame {
    /// Parses the body of a close frame; `None` if it is empty.
    pub(super) fn parse(body: &[u8]) -> Result<Option<Self>, Violation> {
        let Some((code, reason)) = body.split_first_chunk() else {
            return if body.is_empty() { Ok(None) } else { Err(Violation::CloseOfOneByte) };
        };
        let code = u16::from_be_bytes(*code);
        if !is_valid_close_code(code) {
            return Err(Violation::InvalidCloseCode(code));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::InvalidUtf8)?;
        Ok(Some(Self { code, reason: reason.to_owned() }))
    }
}

/// Returns whether a close frame may have this code: those of RFC 6455 (7.4.1) and of [IANA's registry] that are for close
/// frames, and 3000 to 4999.
///
/// [IANA's registry]: https://www.iana.org/assignments/websocket/websocket.xml#close-code-number
pub fn is_valid_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
