//! The frames of RFC 6455, section 5.2: only unfragmented messages.

use std::ops::Range;

/// The largest header of a frame of a server.
const MAX_HEADER: usize = 10;

/// The first frame of `bytes`, if it is complete: its opcode, the range of its payload, and its mask.
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Range<usize>,
    mask: [u8; 4],
}

impl Frame {
    /// Parses the first frame, which a client has masked.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let opcode = bytes.first()? & 0x0f;
        let (at, length) = match bytes.get(1)? & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        let mask = bytes.get(at..at + 4)?.try_into().ok()?;
        let end = (at + 4).checked_add(usize::try_from(length).ok()?)?;
        (bytes.len() >= end).then_some(Self { opcode, payload: at + 4..end, mask })
    }

    /// Unmasks the payload in place, and returns it.
    pub(crate) fn unmask<'a>(&self, bytes: &'a mut [u8]) -> &'a [u8] {
        let payload = &mut bytes[self.payload.clone()];
        let [a, b, c, d] = self.mask;
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let mut chunks = payload.chunks_exact_mut(8);
        for chunk in &mut chunks {
            let mut eight = [0; 8];
            eight.copy_from_slice(chunk);
            chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
        }
        for (byte, mask) in chunks.into_remainder().iter_mut().zip(self.mask.iter().cycle()) {
            *byte ^= *mask;
        }
        payload
    }
}

/// Appends an unmasked text frame.
pub(crate) fn write_text(out: &mut Vec<u8>, payload: &[u8]) {
    out.reserve(MAX_HEADER + payload.len());
    out.push(0x81);
    match payload.len() {
        length @ ..126 => out.push(length as u8),
        length @ ..0x1_0000 => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}
