//! The keys by which the owner of the socket and the state machine name calls.

/// Identifies an open call within its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub(super) u64);

impl CallKey {
    /// A bit that marks the keys of calls without a v1 id, so that they differ from all keys that are v1 ids.
    pub(super) const UNNUMBERED: u64 = 1 << 63;

    /// Returns the v1 id of a call that has one.
    pub(super) fn v1_id(self) -> i64 {
        (self.0 & !Self::UNNUMBERED).cast_signed()
    }
}

/// Identifies a client call. The caller chooses the number; it must differ from those of all other client calls in
/// flight on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientCallKey(pub u64);
