//! WebSocket frames (RFC 6455, section 5.2), written and read by hand: attackers need frames that no library writes, at a
//! cost that leaves the processors to the server.

/// The opcodes that occur here.
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// How much of a message is shown to what reads it: the head of each frame of aaw, in which event and code are.
const SAMPLE: usize = 512;

/// Appends a frame of a client. Its mask is zero, so the payload is unchanged.
pub(crate) fn append(out: &mut Vec<u8>, is_last: bool, opcode: u8, payload: &[u8]) {
    append_head(out, is_last, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a frame without its payload.
pub(crate) fn append_head(out: &mut Vec<u8>, is_last: bool, opcode: u8, len: usize) {
    out.push(if is_last { 0x80 } else { 0 } | opcode);
    match len {
        0..126 => out.push(0x80 | len as u8),
        126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
}

/// Appends a text message.
pub(crate) fn append_text(out: &mut Vec<u8>, text: &str) {
    append(out, true, TEXT, text.as_bytes());
}

/// Returns a text message.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 14);
    append_text(&mut out, text);
    out
}

/// Reads the frames of a server, which arrive in pieces. Keeps no more than the start of a frame.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    head: Vec<u8>,
    sample: Vec<u8>,
    /// The opcode and the remaining length of the frame whose head has arrived.
    frame: Option<(u8, u64)>,
}

impl FrameReader {
    /// Takes bytes, and passes on the opcode and the start of the payload of each frame that has arrived whole.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut on_frame: impl FnMut(u8, &[u8])) {
        loop {
            if let Some((opcode, left)) = &mut self.frame {
                let now = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let (taken, rest) = bytes.split_at(now);
                let wanted = taken.len().min(SAMPLE - self.sample.len());
                self.sample.extend_from_slice(&taken[..wanted]);
                bytes = rest;
                *left -= now as u64;
                if *left > 0 {
                    return;
                }
                on_frame(*opcode, &self.sample);
                self.frame = None;
                self.sample.clear();
            }
            let Some((first, rest)) = bytes.split_first() else { return };
            self.head.push(*first);
            bytes = rest;
            if let Some(len) = payload_len(&self.head) {
                self.frame = Some((self.head[0] & 0x0f, len));
                self.head.clear();
            }
        }
    }
}

/// Returns the length of the payload, if the head of the frame is complete. Frames of servers have no mask.
fn payload_len(head: &[u8]) -> Option<u64> {
    match *head.get(1)? & 0x7f {
        126 => Some(u16::from_be_bytes(head.get(2..4)?.try_into().ok()?).into()),
        127 => Some(u64::from_be_bytes(head.get(2..10)?.try_into().ok()?)),
        short => Some(short.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_arrive_in_pieces_are_read() {
        let mut bytes = vec![0x81, 3, b'a', b'b', b'c', 0x88, 2, 3, 0xf1, 0x82, 127];
        bytes.extend_from_slice(&70_000_u64.to_be_bytes());
        bytes.extend(std::iter::repeat_n(b'x', 70_000));
        for step in [1, 2, 7, bytes.len()] {
            let (mut reader, mut frames) = (FrameReader::default(), Vec::new());
            for piece in bytes.chunks(step) {
                reader.feed(piece, |opcode, sample| frames.push((opcode, sample.len(), sample.first().copied())));
            }
            assert_eq!(frames, [(TEXT, 3, Some(b'a')), (CLOSE, 2, Some(3)), (2, SAMPLE, Some(b'x'))], "by {step}");
        }
    }

    #[test]
    fn the_length_of_a_payload_has_three_forms() {
        for (len, expected) in [(5, vec![0x81, 0x85]), (300, vec![0x81, 0xfe, 1, 44])] {
            let mut out = Vec::new();
            append(&mut out, true, TEXT, &vec![b'x'; len]);
            assert_eq!(out[..expected.len()], expected);
            assert_eq!(out.len(), expected.len() + 4 + len);
        }
    }
}
