//! What `_guard.rs` and `_password_reset.rs` are told.

use serde::{Deserialize, Serialize};

use super::identity::Identity;

/// A call that waits to be let through: the first argument of the handler in a folder's `_guard.rs`.
///
/// That handler runs before each event of its folder and of the folders inside it, whatever way the call came; the guards
/// of the folders around it run before it. When it fails, neither further guards nor the event run, and the caller reads
/// why, with the code `not_allowed` unless the guard has chosen another. What it waits for, the call waits for.
///
/// ```
/// use aaw_event::prelude::*;
///
/// // src/admin/_guard.rs
/// pub async fn handler(call: GuardedCall, _: Services) -> Result<()> {
///     match call.identity {
///         Some(identity) if identity.email.ends_with("@example.org") => Ok(()),
///         _ => Err(Error::new("Staff only")),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GuardedCall {
    /// The event's name, as the server offers it.
    pub event: String,
    /// Who calls; `None` without a session, and where authentication is off.
    #[serde(default)]
    pub identity: Option<Identity>,
}

impl GuardedCall {
    /// For a host, and for tests of a `_guard.rs`.
    pub fn new(event: impl Into<String>, identity: Option<Identity>) -> Self {
        Self { event: event.into(), identity }
    }
}

/// Somebody has forgotten their password: the first argument of the handler in `src/_password_reset.rs`, which delivers
/// the token, by e-mail as a rule.
///
/// ```
/// use aaw_event::prelude::*;
///
/// // src/_password_reset.rs
/// pub async fn handler(reset: PasswordReset, services: Services) -> Result<()> {
///     let link = format!("https://example.org/reset#{}", reset.token);
///     // services.mail.send(&reset.email, &link).await
///     Ok(())
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PasswordReset {
    /// Where to.
    pub email: String,
    /// By which a new password can be set, once and for 20 minutes. It belongs into no log.
    pub token: String,
}

impl PasswordReset {
    /// For a host, and for tests of a `_password_reset.rs`.
    pub fn new(email: impl Into<String>, token: impl Into<String>) -> Self {
        Self { email: email.into(), token: token.into() }
    }
}

/// Without the token.
impl std::fmt::Debug for PasswordReset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordReset").field("email", &self.email).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_another_version_is_understood() {
        let guarded: GuardedCall = serde_json::from_str(r#"{"event":"a/b","weather":"fine"}"#).unwrap();
        assert_eq!(guarded, GuardedCall::new("a/b", None));
    }

    #[test]
    fn a_token_is_in_no_log() {
        assert!(!format!("{:?}", PasswordReset::new("a@b.c", "secret")).contains("secret"));
    }
}
