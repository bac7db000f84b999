//! The keys by which the owner of the socket and the state machine name calls.

use crate::slab::SlabKey;

/// Identifies an open call within its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallKey(pub(super) SlabKey);

/// Identifies a client call. The caller chooses the number; it must differ from those of all other client calls in
/// flight on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientCallKey(pub u64);
