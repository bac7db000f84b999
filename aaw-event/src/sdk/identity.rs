//! Who calls.

pub use aaw_protocol::Identity;
use serde::{Deserialize, Serialize};

/// A session that was begun by `services.authenticate(user)`. Its JSON is what clients keep and resume: a handler that
/// logs somebody in answers it as it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoggedIn {
    /// By which the session is resumed. Whoever has it is the user: it belongs into no log.
    pub token: String,
    /// Whose session it is.
    pub user: Identity,
}

/// Without the token.
impl std::fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoggedIn").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_in_no_log() {
        let logged_in = LoggedIn { token: "secret".into(), user: Identity::new("1", "a@b.c") };
        assert!(!format!("{logged_in:?}").contains("secret"));
    }
}
