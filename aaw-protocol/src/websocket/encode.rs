//! The frames of a server.

use super::frame_header::Opcode;

/// The longest reason of a close frame, in bytes.
const MAX_REASON_LEN: usize = 123;

/// Returns the length of an unmasked frame with a payload of `len` bytes.
pub fn frame_len(len: usize) -> usize {
    len + match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Appends the header of an unmasked, unfragmented frame. Its payload of `len` bytes must follow.
pub fn begin_frame(out: &mut Vec<u8>, opcode: Opcode, len: usize) {
    let first = 0x80 | opcode.bits();
    if let Ok(len @ 0..=125) = u8::try_from(len) {
        out.extend_from_slice(&[first, len]);
    } else if let Ok(len) = u16::try_from(len) {
        let [a, b] = len.to_be_bytes();
        out.extend_from_slice(&[first, 126, a, b]);
    } else {
        out.extend_from_slice(&[first, 127]);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

/// Appends a close frame. A reason of more than 123 bytes is shortened to whole characters.
pub fn close_frame(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut len = reason.len().min(MAX_REASON_LEN);
    while !reason.is_char_boundary(len) {
        len -= 1;
    }
    let reason = &reason[..len];
    begin_frame(out, Opcode::Close, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}
