//! Where a response is written.

/// The beginning of a response's frame, at the end of a buffer to which the handler's response is appended. The buffer may
/// contain other frames before it, so that most responses are written where the socket's writes begin.
pub(crate) struct ResponseFrame<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> ResponseFrame<'a> {
    /// The frame begins at `start` of the buffer.
    pub(crate) fn new(buffer: &'a mut Vec<u8>, start: usize) -> Self {
        Self { buffer, start }
    }

    /// Returns the buffer, with everything that precedes the response.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer
    }

    /// Returns the frame's bytes as a buffer of its own, for a call that does not complete now.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.buffer.split_off(self.start)
    }

    /// Puts a frame back that was taken.
    pub(super) fn put_back(&mut self, frame: &[u8]) {
        self.buffer.extend_from_slice(frame);
    }
}
