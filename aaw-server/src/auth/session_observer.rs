//! Notification that a session has ended.

use std::sync::Arc;

use super::session::Session;

/// Receives the end of a session: a connection that uses it, or has running calls that were authorized by it.
pub(crate) trait SessionObserver: Send + Sync {
    /// `session` has ended. Called without any lock held.
    #[cfg_attr(not(feature = "auth"), expect(dead_code, reason = "there are no sessions"))]
    fn session_ended(&self, session: &Arc<Session>);
}
