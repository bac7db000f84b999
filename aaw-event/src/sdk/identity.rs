//! The identity of a caller, and the result of a log-in.

pub use aaw_protocol::Identity;
use serde::{Deserialize, Serialize};

/// A session that [`Services::authenticate`](crate::Services::authenticate) has started.
///
/// A handler that logs its caller in returns it unchanged: its JSON is what clients store, and what they resume the
/// session with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoggedIn {
    /// The bearer token that resumes the session. Its holder acts as the user, so it must not be logged.
    pub token: String,
    /// The user of the session.
    pub user: Identity,
}

/// Omits the token.
impl std::fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoggedIn").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_omits_the_token() {
        let logged_in = LoggedIn { token: "secret".into(), user: Identity::new("1", "a@b.c") };
        assert!(!format!("{logged_in:?}").contains("secret"));
    }
}
