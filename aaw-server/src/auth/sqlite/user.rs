//! A user, as the administration of a store returns it.

use std::time::SystemTime;

use aaw_protocol::Identity;

/// A user of a [`SqliteStore`](super::SqliteStore), as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The user's identity.
    pub identity: Identity,
    /// When the user was added.
    pub created: SystemTime,
    /// The number of sessions that have not expired.
    pub sessions: u64,
}
