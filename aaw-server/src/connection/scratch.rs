//! The buffers of a worker thread.

use std::cell::Cell;

use aaw_protocol::websocket::FrameBuffer;

/// The bytes of one read. A message of 500 KB takes 8 reads.
const READ_LEN: usize = 64 << 10;

/// What a connection's task reads into and writes from during its turn, so that a connection has no buffers of its own
/// between turns.
pub(super) struct Scratch {
    pub(super) input: Box<[u8]>,
    /// The frames of the turn, in their order.
    pub(super) output: FrameBuffer,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// Takes the buffers of this thread. They are not in their place during a turn, since a handler may block and serve
    /// another connection on the same thread, which then gets buffers of its own.
    pub(super) fn take() -> Box<Self> {
        SCRATCH.take().unwrap_or_else(|| {
            Box::new(Self { input: vec![0; READ_LEN].into_boxed_slice(), output: FrameBuffer::default() })
        })
    }

    /// Returns the buffers to this thread. The output must be empty.
    pub(super) fn put_back(self: Box<Self>) {
        debug_assert!(self.output.is_empty(), "the output of a turn is written or stored");
        SCRATCH.set(Some(self));
    }
}
