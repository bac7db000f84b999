//! The keys by which the owner of the socket and the state machine name calls.

/// Identifies a call. The application chooses the number; it must differ from those of all other open calls of the
/// [`ClientConnection`](super::ClientConnection).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub u64);

/// Identifies a client call. Unique within a [`ClientConnection`](super::ClientConnection), also across reconnections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientCallKey(pub(super) u64);
