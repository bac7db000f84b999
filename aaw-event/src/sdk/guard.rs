//! The arguments of the handlers in `_guard.rs` and `_password_reset.rs`.

use serde::{Deserialize, Serialize};

use super::identity::Identity;

/// A call that is about to run: the first argument of the handler in a folder's `_guard.rs`.
///
/// A guard runs before each event of its folder and of the subfolders, for calls over WebSockets and over HTTP alike.
/// The guards of outer folders run first. If a guard fails, neither further guards nor the event run, and the caller
/// receives the guard's error, with the code `not_allowed` unless the guard has set another. The call waits for as long
/// as the guard does.
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
    /// The event's name, as the server serves it.
    pub event: String,
    /// The caller's identity; `None` without a session, and where authentication is disabled.
    #[serde(default)]
    pub identity: Option<Identity>,
}

impl GuardedCall {
    /// Creates the argument of a guard: for hosts, and for tests of a `_guard.rs`.
    pub fn new(event: impl Into<String>, identity: Option<Identity>) -> Self {
        Self { event: event.into(), identity }
    }
}

/// A request to reset a forgotten password: the first argument of the handler in `src/_password_reset.rs`, which
/// delivers the token to the user, usually by e-mail.
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
    /// The address of the user.
    pub email: String,
    /// The bearer token with which a new password can be set, once and within 20 minutes. It must not be logged.
    pub token: String,
}

impl PasswordReset {
    /// Creates the argument of the hook: for hosts, and for tests of a `_password_reset.rs`.
    pub fn new(email: impl Into<String>, token: impl Into<String>) -> Self {
        Self { email: email.into(), token: token.into() }
    }
}

/// Omits the token.
impl std::fmt::Debug for PasswordReset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordReset").field("email", &self.email).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_of_a_newer_host_are_ignored() {
        let guarded: GuardedCall = serde_json::from_str(r#"{"event":"a/b","weather":"fine"}"#).unwrap();
        assert_eq!(guarded, GuardedCall::new("a/b", None));
    }

    #[test]
    fn debug_output_omits_the_token() {
        assert!(!format!("{:?}", PasswordReset::new("a@b.c", "secret")).contains("secret"));
    }
}
