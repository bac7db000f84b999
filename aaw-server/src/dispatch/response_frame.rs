//! Where a response is written.

use aaw_protocol::{EventName, codec};

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

    /// Returns the beginning of the frame, for a call of this event that does not complete now.
    pub(super) fn head(&self, event: &EventName) -> FrameHead {
        match &self.buffer[self.start..] {
            [] => FrameHead::None,
            [b'[', b'"', name @ .., b'"', b','] if name == event.as_str().as_bytes() => FrameHead::Canonical,
            text => FrameHead::Verbatim(text.into()),
        }
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

/// The beginning of the frame of a call that waits.
pub(super) enum FrameHead {
    /// The transport frames responses itself, as HTTP does.
    None,
    /// `["event"`, as the codec writes it: made again from the name of the event.
    Canonical,
    /// A copy, because the client has written the name with escapes.
    Verbatim(Box<[u8]>),
}

impl FrameHead {
    pub(super) fn write(&self, event: &EventName, out: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Canonical => codec::begin_named(out, event),
            Self::Verbatim(text) => out.extend_from_slice(text),
        }
    }
}
