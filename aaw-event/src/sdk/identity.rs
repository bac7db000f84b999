//! The identity of a caller, and the result of a log-in.

pub use aaw_protocol::Identity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A session that [`Services::authenticate`](crate::Services::authenticate) has started.
///
/// A handler that logs its caller in returns it unchanged: its JSON is what clients store, and what they resume the
/// session with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct LoggedIn {
    /// The bearer token that resumes the session. Its holder acts as the user, so it must not be logged.
    pub token: String,
    /// The user of the session.
    #[schemars(with = "IdentitySchema")]
    pub user: Identity,
}

/// The user of a session.
#[derive(JsonSchema)]
#[schemars(rename = "Identity")]
#[expect(dead_code, reason = "aaw_protocol has no schemas, and this describes its `Identity`")]
pub(super) struct IdentitySchema {
    /// The user's id in the server's store.
    id: String,
    /// The e-mail address with which the user logs in.
    email: String,
    /// Globs over the names of the protected events that the user may call; all of them if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allowed: Option<Vec<String>>,
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
