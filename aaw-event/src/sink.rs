//! The buffer behind a [`Sink`] of the ABI: the host's frame, or a package's buffer for what the host returns.

use std::ffi::c_void;

use crate::abi::{Bytes, Sink, written};

/// Appends what is written to a vector, up to a limit.
pub(crate) struct SinkBuffer<'a> {
    out: &'a mut Vec<u8>,
    /// The length of `out` before the first write.
    head_len: usize,
    max_len: usize,
    refused_len: Option<usize>,
}

impl<'a> SinkBuffer<'a> {
    /// Accepts output of any length.
    pub(crate) fn unlimited(out: &'a mut Vec<u8>) -> Self {
        Self::limited(out, usize::MAX)
    }

    /// Accepts at most `max_len` bytes. Longer output is refused and not copied.
    pub(crate) fn limited(out: &'a mut Vec<u8>, max_len: usize) -> Self {
        let head_len = out.len();
        Self { out, head_len, max_len, refused_len: None }
    }

    /// The sink to pass to one function call. `self` must outlive that call.
    pub(crate) fn sink(&mut self) -> Sink {
        Sink { ctx: std::ptr::from_mut(self).cast(), write }
    }

    /// The length of the last output, if it was refused as too long.
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
    // SAFETY: `ctx` is the buffer that made the sink, and nothing else accesses it while the sink is in use; `bytes`
    // live for this call.
    let (buffer, bytes) = unsafe { (&mut *ctx.cast::<SinkBuffer<'_>>(), bytes.as_slice()) };
    buffer.write(bytes.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_beyond_the_limit_is_refused_and_not_copied() {
        let mut out = b"head ".to_vec();
        let mut buffer = SinkBuffer::limited(&mut out, 3);
        let sink = buffer.sink();
        // SAFETY: the buffer outlives the writes.
        let results = unsafe { [sink.write(b"abc"), sink.write(b"abcd")] };
        assert_eq!(results, [written::TAKEN, written::TOO_LARGE]);
        assert_eq!(buffer.refused_len(), Some(4));
        assert_eq!(out, b"head ");
    }

    #[test]
    fn a_second_write_replaces_the_first() {
        let mut out = b"head ".to_vec();
        let mut buffer = SinkBuffer::limited(&mut out, 5);
        let sink = buffer.sink();
        // SAFETY: the buffer outlives the writes.
        let results = unsafe { [sink.write(b"first!"), sink.write(b"first"), sink.write(b"last")] };
        assert_eq!(results, [written::TOO_LARGE, written::TAKEN, written::TAKEN]);
        assert_eq!(buffer.refused_len(), None);
        assert_eq!(out, b"head last");
    }
}
