//! Where a session that a handler starts belongs.

/// What a session belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionScope {
    /// The store keeps it, and its token resumes it.
    Store,
    /// It ends with its connection, and nothing is stored: `_open` starts one for each connection anew.
    Connection,
}
