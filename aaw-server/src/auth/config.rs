//! What authentication holds to.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Identity;
use super::store::Store;
use aaw_protocol::Token;

/// What authentication holds to: a store, and defaults that are those of the original.
///
/// ```
/// use std::time::Duration;
/// use aaw_server::auth::{Auth, Store};
///
/// fn auth(store: impl Store) -> Auth {
///     Auth { session_lifetime: Duration::from_secs(3600), ..Auth::new(store) }
/// }
/// ```
#[derive(Clone)]
pub struct Auth {
    /// Who keeps users and sessions.
    pub store: Arc<dyn Store>,
    /// How long a session lasts from its beginning, used or not. Default 30 days.
    pub session_lifetime: Duration,
    /// How long the token of a password reset is good for; it is good once. Default 20 minutes.
    pub reset_lifetime: Duration,
    /// Delivers the token of a reset: a mail with a link, as a rule. Default: none; then the package's `_password_reset.rs`
    /// does it, and without one asking for a reset fails with
    /// `Password reset is not configured (no onPasswordReset handler)`.
    pub on_password_reset: Option<ResetHook>,
    /// Whether whoever comes may register. Default true, as in the original; otherwise `aaw/register` fails with
    /// `Auth is not set up via aaw`, and users are added by the program, or by `aaw-server user add`.
    pub registration: bool,
    /// Bytes of a password. Default 1024: more than anybody types, and too few to make hashing it dear.
    pub max_password: usize,
    /// How often somebody may fail to log in to one address, wherever they come from. Default: 10 times, and once more
    /// every 30 s. What succeeds is not counted, and as many as may still fail run at the same time.
    pub attempts_per_address: Rate,
    /// How often log-ins may fail that come from one peer (an IPv4 address, the first 64 bits of an IPv6 address).
    /// Default: 100 times, and once more each second. Behind a proxy all clients are one peer.
    pub attempts_per_peer: Rate,
    /// How often one peer may register, ask for a reset, or set a password with one. Default: 1000 times, and once more
    /// each second.
    pub requests_per_peer: Rate,
    /// How often a reset may be asked for the same address. Default: 3 times, and once more every 5 minutes.
    pub resets_per_address: Rate,
}

/// How often something may be done: a burst, and then once in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How often at once.
    pub burst: u32,
    /// How long until it may be done once more.
    pub every: Duration,
}

impl Rate {
    /// So often at once, and once more each `every`.
    pub const fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every }
    }
}

/// What delivers the token of a reset.
pub type ResetHook =
    Arc<dyn Fn(PasswordReset) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// A password that somebody wants to set anew. [`Debug`] does not tell the token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PasswordReset {
    /// Who it is.
    pub user: Identity,
    /// What `aaw/password/set-new` wants with the new password: whoever has it can set it.
    pub token: Token,
}

impl PasswordReset {
    pub(super) fn new(user: Identity, token: Token) -> Self {
        Self { user, token }
    }
}

impl Auth {
    /// With this store, and the defaults.
    pub fn new(store: impl Store) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        Self {
            store: Arc::new(store),
            session_lifetime: 30 * 24 * 3600 * SECOND,
            reset_lifetime: 20 * 60 * SECOND,
            on_password_reset: None,
            registration: true,
            max_password: 1024,
            attempts_per_address: Rate::new(10, 30 * SECOND),
            attempts_per_peer: Rate::new(100, SECOND),
            requests_per_peer: Rate::new(1000, SECOND),
            resets_per_address: Rate::new(3, 300 * SECOND),
        }
    }

    /// With this to deliver the tokens of resets. What it fails with is logged.
    ///
    /// ```
    /// # use aaw_server::auth::{Auth, Store};
    /// # fn auth(store: impl Store) -> Auth {
    /// Auth::new(store).on_password_reset(|reset| async move {
    ///     println!("to {}: https://example.com/reset#{}", reset.user.email, reset.token.as_str());
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn on_password_reset<F: Future<Output = Result<(), String>> + Send + 'static>(
        mut self,
        deliver: impl Fn(PasswordReset) -> F + Send + Sync + 'static,
    ) -> Self {
        self.on_password_reset = Some(Arc::new(move |reset| Box::pin(deliver(reset))));
        self
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("session_lifetime", &self.session_lifetime)
            .field("reset_lifetime", &self.reset_lifetime)
            .field("registration", &self.registration)
            .finish_non_exhaustive()
    }
}
