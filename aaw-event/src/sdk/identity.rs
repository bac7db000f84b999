//! Who calls.

use serde::{Deserialize, Serialize};

/// Who a connection has shown itself to be: what `services.identity()` gives a handler.
///
/// As JSON it is exactly `{"id", "email"}`, and `allowed` only where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Identity {
    /// By what the store knows them.
    pub id: String,
    /// Their address.
    pub email: String,
    /// Which protected events they may call: `*`, `auth/teamplay/*`, an exact name. Without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<String>>,
}

impl Identity {
    /// One that may call every protected event.
    ///
    /// ```
    /// use aaw_event::Identity;
    ///
    /// let ada = Identity::new("17", "ada@example.org").with_allowed(["auth/teamplay/*"]);
    /// assert_eq!(ada.allowed.as_deref(), Some(&["auth/teamplay/*".to_owned()][..]));
    /// ```
    pub fn new(id: impl Into<String>, email: impl Into<String>) -> Self {
        Self { id: id.into(), email: email.into(), allowed: None }
    }

    /// One that may call these protected events alone.
    #[must_use]
    pub fn with_allowed(mut self, allowed: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed = Some(allowed.into_iter().map(Into::into).collect());
        self
    }
}

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
    fn its_json_has_allowed_only_where_there_is_one() {
        let json = |identity: &Identity| serde_json::to_string(identity).unwrap();
        let ada = Identity::new("1", "a@b.c");
        assert_eq!(json(&ada), r#"{"id":"1","email":"a@b.c"}"#);
        let ada = ada.with_allowed(["*"]);
        assert_eq!(json(&ada), r#"{"id":"1","email":"a@b.c","allowed":["*"]}"#);
        assert_eq!(serde_json::from_str::<Identity>(&json(&ada)).unwrap(), ada);
    }

    #[test]
    fn a_token_is_in_no_log() {
        let logged_in = LoggedIn { token: "secret".into(), user: Identity::new("1", "a@b.c") };
        assert!(!format!("{logged_in:?}").contains("secret"));
    }
}
