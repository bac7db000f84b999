//! Where the handler of a call that has waited writes its response.

use std::cell::Cell;

/// The capacity that a thread keeps. A larger response leaves with the buffer that it was written to.
const KEPT_CAPACITY: usize = 64 << 10;

/// Room for the end of a frame: an id, and what surrounds it.
pub(crate) const FRAME_END: usize = 32;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer of the thread, for one poll. A call that waits has none of its own, and a response is copied into as much memory
/// as it needs.
pub(super) struct ResponseBuffer {
    pub(super) bytes: Vec<u8>,
}

impl ResponseBuffer {
    /// Takes the buffer of this thread, which is empty. A handler that is polled meanwhile gets another one.
    pub(super) fn take() -> Self {
        Self { bytes: BUFFER.try_with(Cell::take).unwrap_or_default() }
    }

    /// Returns what was written.
    pub(super) fn into_frame(mut self) -> Vec<u8> {
        if self.bytes.len() > KEPT_CAPACITY {
            return std::mem::take(&mut self.bytes);
        }
        let mut frame = Vec::with_capacity(self.bytes.len() + FRAME_END);
        frame.extend_from_slice(&self.bytes);
        frame
    }
}

/// Returns the buffer to its thread.
impl Drop for ResponseBuffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() <= KEPT_CAPACITY {
            bytes.clear();
            // Fails while the thread is shutting down.
            let _ = BUFFER.try_with(|buffer| buffer.set(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_response_is_copied_and_its_buffer_kept() {
        let mut buffer = ResponseBuffer::take();
        buffer.bytes.extend_from_slice(&[7; 1000]);
        let written = buffer.bytes.as_ptr();
        let frame = buffer.into_frame();
        assert_eq!((frame.as_slice(), frame.capacity()), (&[7; 1000][..], 1000 + FRAME_END));
        let buffer = ResponseBuffer::take();
        assert_eq!((buffer.bytes.len(), buffer.bytes.as_ptr()), (0, written));
        assert_ne!(ResponseBuffer::take().bytes.as_ptr(), written, "within the poll of another handler");
    }

    #[test]
    fn a_large_response_leaves_with_its_buffer() {
        let mut buffer = ResponseBuffer::take();
        buffer.bytes.resize(KEPT_CAPACITY + 1, 7);
        let written = buffer.bytes.as_ptr();
        let frame = buffer.into_frame();
        assert_eq!((frame.len(), frame.as_ptr()), (KEPT_CAPACITY + 1, written));
        assert!(ResponseBuffer::take().bytes.capacity() <= KEPT_CAPACITY);
    }
}
