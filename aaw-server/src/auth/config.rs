//! The configuration of authentication.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::{Identity, Token};

use super::known_networks::MAX_NETWORKS;
use super::store::Store;

/// The configuration of authentication: a store, and limits whose defaults are those of the original aaw.
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
    /// The store of users and sessions.
    pub store: Arc<dyn Store>,
    /// How long a session lasts after it was started, whether it is used or not. Default 30 days.
    pub session_lifetime: Duration,
    /// How long the token of a password reset is valid; it can be used once. Default 20 minutes.
    pub reset_lifetime: Duration,
    /// Delivers the token of a password reset, usually as a link in an e-mail. Default: none; the `_password_reset.rs`
    /// of an events package is called then, and without one, requesting a reset fails with
    /// `Password reset is not configured (no onPasswordReset handler)`.
    pub on_password_reset: Option<ResetHook>,
    /// Whether clients may register users. Default true, as in the original aaw; the log says so at the start. If false,
    /// `aaw/register` fails with the code `registration_closed`, and users are added by the program
    /// ([`SqliteStore::add_user`](super::SqliteStore::add_user)) or by `aaw-server user add`. The flag of the program is
    /// `--registration`.
    pub allow_registration: bool,
    /// Whether `Authorization: Bearer TOKEN` of an HTTP request is the token of a session of this server: the request
    /// then has that session, and fails if there is none. Default true. If false, the header is left to the events, which
    /// read it with `services.handshake()`.
    pub bearer_tokens: bool,
    /// The minimum length of a new password, in characters: Unicode code points of its
    /// [normal form](super::Password). Default 6, as short as users of the original have them. It is checked at a
    /// registration and when a password is changed, never at a log-in: existing passwords keep working.
    ///
    /// NIST SP 800-63B-4 (3.1.1.2) requires at least 15 where the password is the only factor, as it is here, and 8 where
    /// there is a second one; and that passwords of 64 characters are accepted, so a higher minimum is never needed.
    pub min_password_chars: usize,
    /// The maximum size of a password, in bytes. Default 1024, which bounds the cost of hashing one. The whole body of a
    /// built-in event has 8 KiB at most.
    pub max_password_bytes: usize,
    /// How many log-ins to one e-mail address may fail from all client networks together, except from those where its
    /// user has logged in lately. Default: 100, and one more every 30 s. 100 is the most that NIST SP 800-63B allows in a
    /// row for one account (revision 3, 5.2.2); ten networks at their own limit reach it. 30 s keep a guesser with any
    /// number of networks at 2880 tries a day, as many as one network has.
    ///
    /// When it is used up, the user can log in from a network that is known: one from which a log-in, a registration or
    /// the resumption of a session has succeeded since the server started. The last 8 networks of a user are known, and
    /// 32 768 users at least. From elsewhere, a password reset lets the user in.
    pub failed_logins_per_email: RateLimit,
    /// How many log-ins to one e-mail address may fail from one client network: an IPv4 address, or the IPv6 addresses
    /// with the same first 64 bits. Default: 10, and one more every 30 s: more than a person needs who has several
    /// passwords to try, and few enough that a guesser has no chance against any password that is not among the most
    /// common ones. A log-in that succeeds does not count, and forgets the failed ones. As many attempts run concurrently
    /// as may still fail; further ones wait.
    pub failed_logins_per_email_and_ip: RateLimit,
    /// How many log-ins from one client network may fail, whichever e-mail addresses they are to. Default: 100, and one
    /// more every second, so that an office behind one address is not shut out by typing errors. The IPv6 networks with the
    /// same first 48 bits together have 16 times as many. Behind a reverse proxy that is not trusted, all clients share one
    /// address.
    pub failed_logins_per_ip: RateLimit,
    /// How many registrations, requests for a reset and uses of a reset one client network may make, counted together.
    /// Default: 1000, and one more every second. The IPv6 networks with the same first 48 bits together have 16 times as
    /// many.
    pub requests_per_ip: RateLimit,
    /// How many resets may be requested for one e-mail address from all client networks together, except from those where its
    /// user has logged in lately (see [`failed_logins_per_email`](Self::failed_logins_per_email)). Default: 15, and one more
    /// every minute: five networks at their own limit reach it, and no address gets more than 60 messages an hour from
    /// networks that are not known.
    ///
    /// All resets that the limits allow within [`reset_lifetime`](Self::reset_lifetime) are valid together, so that no request
    /// of a stranger voids the reset that the owner has received. They must be 65 536 at most.
    pub resets_per_email: RateLimit,
    /// How many resets may be requested for one e-mail address from one client network. Default: 3, and one more every 5
    /// minutes. A stranger who requests them uses up the limit of their own network, and the owner requests one from another.
    /// The IPv6 networks with the same first 48 bits count as one.
    pub resets_per_email_and_ip: RateLimit,
}

/// A rate limit in the form of a token bucket: a burst of events, and then one event per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many events may happen at once. 0 is treated as 1.
    pub burst: u32,
    /// How long it takes until one more event may happen.
    pub refill_interval: Duration,
}

impl RateLimit {
    /// Allows `burst` events at once, and one more every `refill_interval`.
    pub const fn new(burst: u32, refill_interval: Duration) -> Self {
        Self { burst, refill_interval }
    }

    /// How many events may happen within this time at most.
    pub fn within(self, time: Duration) -> u64 {
        let refilled = time.as_nanos() / self.refill_interval.as_nanos().max(1);
        u64::try_from(refilled).unwrap_or(u64::MAX).saturating_add(self.burst.max(1).into())
    }
}

/// The callback that delivers the token of a password reset; see [`Auth::on_password_reset`].
pub type ResetHook =
    Arc<dyn Fn(PasswordReset) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// A password reset that was requested. [`Debug`] does not show the token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PasswordReset {
    /// The user whose password is to be reset.
    pub user: Identity,
    /// The token that `aaw/password/set-new` requires together with the new password. It is a bearer secret: its owner
    /// can set the password.
    pub token: Token,
}

impl PasswordReset {
    pub(super) fn new(user: Identity, token: Token) -> Self {
        Self { user, token }
    }
}

impl Auth {
    /// The default of [`min_password_chars`](Self::min_password_chars).
    pub const DEFAULT_MIN_PASSWORD_CHARS: usize = 6;

    /// The default of [`max_password_bytes`](Self::max_password_bytes).
    pub const DEFAULT_MAX_PASSWORD_BYTES: usize = 1024;

    /// How many resets of one e-mail address may be valid at the same time. [`SqliteStore`](super::SqliteStore) keeps as many.
    /// The program `aaw-server` refuses settings that allow more, and [`Server`](crate::Server) warns about them.
    pub const MAX_VALID_RESETS: u64 = 65_536;

    /// How many resets of one e-mail address may be valid at the same time: as many as may be requested within
    /// [`reset_lifetime`](Self::reset_lifetime), from all networks and from those that are known for the user.
    pub fn valid_resets(&self) -> u64 {
        let from_known = self.resets_per_email_and_ip.within(self.reset_lifetime);
        let from_all = self.resets_per_email.within(self.reset_lifetime);
        from_all.saturating_add(from_known.saturating_mul(MAX_NETWORKS as u64))
    }

    /// A configuration with this store and the defaults.
    pub fn new(store: impl Store) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        Self {
            store: Arc::new(store),
            session_lifetime: 30 * 24 * 3600 * SECOND,
            reset_lifetime: 20 * 60 * SECOND,
            on_password_reset: None,
            allow_registration: true,
            bearer_tokens: true,
            min_password_chars: Self::DEFAULT_MIN_PASSWORD_CHARS,
            max_password_bytes: Self::DEFAULT_MAX_PASSWORD_BYTES,
            failed_logins_per_email: RateLimit::new(100, 30 * SECOND),
            failed_logins_per_email_and_ip: RateLimit::new(10, 30 * SECOND),
            failed_logins_per_ip: RateLimit::new(100, SECOND),
            requests_per_ip: RateLimit::new(1000, SECOND),
            resets_per_email: RateLimit::new(15, 60 * SECOND),
            resets_per_email_and_ip: RateLimit::new(3, 300 * SECOND),
        }
    }

    /// Sets the callback that delivers the tokens of password resets. Its errors are logged and do not reach the
    /// client.
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
            .field("allow_registration", &self.allow_registration)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_valid_resets_follows_from_the_limits_and_the_lifetime() {
        struct NoStore;
        impl Store for NoStore {}
        let default = Auth::new(NoStore);
        // 15, and one each minute; and from eight networks 3, and one each 5 minutes.
        assert_eq!(default.valid_resets(), 15 + 20 + 8 * (3 + 4));
        let day = Auth { reset_lifetime: Duration::from_secs(24 * 3600), ..default.clone() };
        assert_eq!(day.valid_resets(), 15 + 1440 + 8 * (3 + 288));
        assert!(day.valid_resets() <= Auth::MAX_VALID_RESETS);
        let unlimited = RateLimit::new(u32::MAX, Duration::ZERO);
        let all = Auth { reset_lifetime: Duration::MAX, resets_per_email_and_ip: unlimited, ..default };
        assert_eq!(all.valid_resets(), u64::MAX);
    }
}
