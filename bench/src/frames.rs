//! Frames of a client (RFC 6455, section 5.2), built by hand so that the generator costs as little as possible.

use std::ops::Range;

/// Any mask is as good: only a hostile script in a browser must not know it.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Appends a masked frame.
pub(crate) fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ ..126 => out.push(0x80 | length as u8),
        length @ ..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let wide = u32::from_ne_bytes(MASK);
    let mut chunks = payload.chunks_exact(4);
    out.extend(chunks.by_ref().flat_map(|four| {
        let four = u32::from_ne_bytes([four[0], four[1], four[2], four[3]]);
        (four ^ wide).to_ne_bytes()
    }));
    out.extend(chunks.remainder().iter().zip(MASK).map(|(byte, mask)| byte ^ mask));
}

/// A frame from a server, which is not masked.
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Range<usize>,
}

impl Frame {
    /// Returns the first frame, if it is complete.
    pub(crate) fn first(bytes: &[u8]) -> Option<Self> {
        let (at, length): (usize, u64) = match *bytes.get(1)? {
            126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        (bytes.len() >= end).then(|| Self { opcode: bytes[0] & 0x0f, payload: at..end })
    }
}
