//! What a sink of the ABI writes into: the host's frame, or a package's buffer for what the host says.

use std::ffi::c_void;

use crate::abi::{Bytes, Sink, written};

/// Appends to a vector what is written, unless it is too long.
pub(crate) struct Buffer<'a> {
    out: &'a mut Vec<u8>,
    /// How long `out` was before.
    head_len: usize,
    max_len: usize,
    refused_len: Option<usize>,
}

impl<'a> Buffer<'a> {
    /// For any length.
    pub(crate) fn unlimited(out: &'a mut Vec<u8>) -> Self {
        Self::limited(out, usize::MAX)
    }

    /// For no more than `max_len` bytes; what is longer is not copied.
    pub(crate) fn limited(out: &'a mut Vec<u8>, max_len: usize) -> Self {
        let head_len = out.len();
        Self { out, head_len, max_len, refused_len: None }
    }

    /// To be used while this is borrowed: for one function call.
    pub(crate) fn sink(&mut self) -> Sink {
        Sink { ctx: std::ptr::from_mut(self).cast(), write }
    }

    /// How long it was, if it was too long.
    pub(crate) fn refused_len(&self) -> Option<usize> {
        self.refused_len
    }

    fn write(&mut self, bytes: &[u8]) -> u32 {
        self.out.truncate(self.head_len);
        if bytes.len() > self.max_len {
            self.refused_len = Some(bytes.len());
            return written::TOO_LARGE;
        }
        self.refused_len = None;
        self.out.extend_from_slice(bytes);
        written::TAKEN
    }
}

unsafe extern "C" fn write(ctx: *mut c_void, bytes: Bytes) -> u32 {
    // SAFETY: `ctx` is the buffer that made the sink, which nobody else touches while the sink is used; `bytes` live
    // for this call.
    let (buffer, bytes) = unsafe { (&mut *ctx.cast::<Buffer<'_>>(), bytes.as_slice()) };
    buffer.write(bytes.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_not_copied() {
        let mut out = b"head ".to_vec();
        let mut buffer = Buffer::limited(&mut out, 3);
        let sink = buffer.sink();
        // SAFETY: the buffer is still there.
        let answers = unsafe { [sink.write(b"abc"), sink.write(b"abcd")] };
        assert_eq!(answers, [written::TAKEN, written::TOO_LARGE]);
        assert_eq!(buffer.refused_len(), Some(4));
        assert_eq!(out, b"head ");
    }

    #[test]
    fn a_second_write_replaces_the_first() {
        let mut out = b"head ".to_vec();
        let mut buffer = Buffer::limited(&mut out, 5);
        let sink = buffer.sink();
        // SAFETY: the buffer is still there.
        let answers = unsafe { [sink.write(b"first!"), sink.write(b"first"), sink.write(b"last")] };
        assert_eq!(answers, [written::TOO_LARGE, written::TAKEN, written::TAKEN]);
        assert_eq!(buffer.refused_len(), None);
        assert_eq!(out, b"head last");
    }
}
