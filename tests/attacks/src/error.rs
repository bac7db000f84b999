//! Why the suite itself cannot go on.

/// An error of the suite, not of the server.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
