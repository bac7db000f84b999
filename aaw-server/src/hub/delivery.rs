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
    /// The readers that are behind, with the bytes that wait for them.
    slow_readers: Vec<(usize, Arc<Peer>)>,
    has_sender: bool,
}

impl Delivery {
    /// Creates the delivery of a push by a caller, who waits for slow readers.
    pub(super) fn with_sender() -> Self {
        Self { has_sender: true, ..Self::default() }
    }

    /// Makes space for this number of connections.
    pub(super) fn reserve(&mut self, connections: usize) {
        self.unflushed.reserve(connections);
    }

    /// Pushes a frame to a connection.
    #[inline]
    pub(super) fn push(&mut self, peer: &Arc<Peer>, frame: &SharedFrame) -> Result<(), PushError> {
        if peer.mailbox.push(frame)? == Pushed::Unflushed {
            self.unflushed.push(Arc::clone(peer));
        }
        if peer.mailbox.holds_senders() && self.has_sender {
            self.note_slow_reader(peer);
        }
        Ok(())
    }

    #[cold]
    fn note_slow_reader(&mut self, peer: &Arc<Peer>) {
        let waiting = peer.mailbox.pushed();
        if self.slow_readers.len() < MAX_SLOW_READERS {
            self.slow_readers.push((waiting, Arc::clone(peer)));
        } else if let Some(least) = self.slow_readers.iter_mut().min_by_key(|(waiting, _)| *waiting)
            && least.0 < waiting
        {
            *least = (waiting, Arc::clone(peer));
        }
    }

    /// Takes the connections that the flusher has to write.
    pub(super) fn take_unflushed(&mut self) -> Vec<Arc<Peer>> {
        std::mem::take(&mut self.unflushed)
    }

    /// Returns the readers that the sender has to wait for.
    pub(super) fn into_slow_readers(self) -> impl ExactSizeIterator<Item = Arc<Peer>> {
        self.slow_readers.into_iter().map(|(_, peer)| peer)
    }
}
