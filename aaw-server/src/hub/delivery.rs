//! One push on its way to its recipients: which of them are to be written, and which the sender has to wait for.

use std::sync::Arc;

use aaw_protocol::websocket::SharedFrame;

use crate::hub::mailbox::{PushError, Pushed};
use crate::hub::peer::Peer;

/// The readers that a sender waits for at a time: those with the most to read. They bound what a hold takes.
const MAX_SLOW_READERS: usize = 32;

/// Collects what a push leaves to be done outside of locks.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    unflushed: Vec<Arc<Peer>>,
    slow_readers: Vec<SlowReader>,
    has_sender: bool,
    /// By how many bytes the burst limit of readers that read may be exceeded.
    in_flight: usize,
}

/// A reader that is behind.
#[derive(Debug)]
pub(super) struct SlowReader {
    pub(super) peer: Arc<Peer>,
    /// The bytes that wait for it.
    waiting: usize,
    /// The bytes that the sender has pushed to it.
    pub(super) own: usize,
    /// So much waits that it holds up the whole client.
    pub(super) is_overrun: bool,
}

impl Delivery {
    /// Creates the delivery of a push by a caller, who waits for slow readers. `in_flight` bytes may be pushed by handlers that run
    /// at the same time, before one of them is held up.
    pub(super) fn with_sender(in_flight: usize) -> Self {
        Self { has_sender: true, in_flight, ..Self::default() }
    }

    /// Makes space for this number of connections.
    pub(super) fn reserve(&mut self, connections: usize) {
        self.unflushed.reserve(connections);
    }

    /// Pushes a frame to a connection.
    #[inline]
    pub(super) fn push(&mut self, peer: &Arc<Peer>, frame: &SharedFrame) -> Result<(), PushError> {
        if peer.mailbox.push_in_flight(frame, self.in_flight)? == Pushed::Unflushed {
            self.unflushed.push(Arc::clone(peer));
        }
        if peer.mailbox.holds_senders() && self.has_sender {
            self.note_slow_reader(peer, frame.frame_len());
        }
        Ok(())
    }

    #[cold]
    fn note_slow_reader(&mut self, peer: &Arc<Peer>, own: usize) {
        let waiting = peer.mailbox.pushed();
        let is_overrun = peer.mailbox.is_overrun_by(waiting);
        let reader = SlowReader { peer: Arc::clone(peer), waiting, own, is_overrun };
        if self.slow_readers.len() < MAX_SLOW_READERS {
            self.slow_readers.push(reader);
        } else if let Some(least) = self.slow_readers.iter_mut().min_by_key(|reader| reader.waiting)
            && least.waiting < reader.waiting
        {
            *least = reader;
        }
    }

    /// Takes the connections that the flusher has to write.
    pub(super) fn take_unflushed(&mut self) -> Vec<Arc<Peer>> {
        std::mem::take(&mut self.unflushed)
    }

    /// Returns the readers that the sender has to wait for.
    pub(super) fn into_slow_readers(self) -> Vec<SlowReader> {
        self.slow_readers
    }
}
