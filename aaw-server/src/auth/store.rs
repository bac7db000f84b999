//! Who keeps users and sessions.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use super::Identity;
use super::email::Email;
use super::token::TokenHash;

/// What a store's operation gives, when it is done.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps users, their passwords, sessions and resets.
///
/// Passwords are the store's business alone: it is given them as they were typed, and what it keeps of them never leaves
/// it. Each operation is one step: done wholly or not at all, also when it fails, and it may be called many times at once.
/// What a store does not offer it leaves out: the call that would need it fails with `Auth is not set up via aaw`.
///
/// A future of these is dropped when its caller has gone; the operation may be done then all the same.
///
/// ```
/// use aaw_server::auth::{StartedSession, Credentials, Identity, NewSession, Store, StoreError, StoreFuture};
///
/// /// One user, who is known by heart; sessions last as long as their connections.
/// struct One;
///
/// impl Store for One {
///     fn log_in(&self, who: Credentials, _session: NewSession) -> StoreFuture<'_, StartedSession> {
///         Box::pin(async move {
///             if who.email.as_str() == "ada@example.com" && who.password.expose() == "correct horse" {
///                 Ok(StartedSession::new(Identity::new("1", "ada@example.com")))
///             } else {
///                 Err(StoreError::InvalidCredentials)
///             }
///         })
///     }
///
///     fn end(&self, _session: aaw_server::auth::TokenHash) -> StoreFuture<'_, ()> {
///         Box::pin(async { Ok(()) })
///     }
/// }
/// ```
pub trait Store: Send + Sync + 'static {
    /// Adds a user and begins a session.
    ///
    /// # Errors
    /// [`StoreError::EmailTaken`] if there is a user of that address, also one that is being added right now.
    fn register(&self, who: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        unsupported_op((who, session))
    }

    /// Begins a session of the user with this address and password. The work must be the same whether the address is
    /// known or not, or the time it takes tells which are.
    ///
    /// # Errors
    /// [`StoreError::InvalidCredentials`] if there is none.
    fn log_in(&self, who: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        unsupported_op((who, session))
    }

    /// Begins a session of somebody whom the application itself has recognised (`authenticate` in a handler). That need
    /// not be a user of this store.
    fn authenticate(&self, who: Identity, session: NewSession) -> StoreFuture<'_, StartedSession> {
        unsupported_op((who, session))
    }

    /// The session of this token; `None` if there is none, or not any more.
    fn resume(&self, session: TokenHash) -> StoreFuture<'_, Option<StoredSession>> {
        unsupported_op(session)
    }

    /// Ends a session. It is no error if there is none.
    fn end(&self, session: TokenHash) -> StoreFuture<'_, ()> {
        unsupported_op(session)
    }

    /// Keeps the token of a reset for the user with this address, in the place of any before it; `None` if there is no
    /// such user. The work must be the same either way.
    fn request_reset(&self, email: Email, token: TokenHash, expires: SystemTime) -> StoreFuture<'_, Option<Identity>> {
        unsupported_op((email, token, expires))
    }

    /// Sets the password of the user whose reset this is, ends all sessions of theirs and begins a new one; with that the
    /// reset is used up. `None` if there is no such reset, or not any more.
    fn set_password(
        &self,
        reset: TokenHash,
        new: Password,
        session: NewSession,
    ) -> StoreFuture<'_, Option<StartedSession>> {
        unsupported_op((reset, new, session))
    }

    /// Whether somebody else than this store has changed what it holds since this was asked last, such as another
    /// program. Sessions in use are then looked at again. Asked about once a second; the default says no.
    fn has_changed(&self) -> StoreFuture<'_, bool> {
        Box::pin(async { Ok(false) })
    }
}

fn unsupported_op<'a, T: Send + 'a>(_: impl Sized) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(Err(StoreError::NotOffered)))
}

/// An address and a password, as somebody typed them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// The address.
    pub email: Email,
    /// The password.
    pub password: Password,
}

impl Credentials {
    /// For callers of a store.
    pub fn new(email: Email, password: Password) -> Self {
        Self { email, password }
    }
}

/// A password, as somebody typed it. [`Debug`](fmt::Debug) does not tell it.
#[derive(Clone)]
pub struct Password(Box<str>);

impl Password {
    /// From a text, of any length.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A session that is to begin.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct NewSession {
    /// What is to be kept of its token.
    pub token: TokenHash,
    /// When it is to end by itself.
    pub expires: SystemTime,
}

impl NewSession {
    /// For callers of a store.
    pub fn new(token: TokenHash, expires: SystemTime) -> Self {
        Self { token, expires }
    }
}

/// A session that has begun.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StartedSession {
    /// Whose it is.
    pub identity: Identity,
    /// Sessions that ended for it; connections that have them learn of it.
    pub ended: Vec<TokenHash>,
}

impl StartedSession {
    /// One for which no other ended.
    pub fn new(identity: Identity) -> Self {
        Self { identity, ended: Vec::new() }
    }
}

/// A session that was kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredSession {
    /// Whose it is, as they are now.
    pub identity: Identity,
    /// When it ends by itself.
    pub expires: SystemTime,
}

impl StoredSession {
    /// For a store.
    pub fn new(identity: Identity, expires: SystemTime) -> Self {
        Self { identity, expires }
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot do this at all.
    #[error("Auth is not set up via aaw")]
    NotOffered,
    /// No user has this address and this password.
    #[error("Invalid credentials")]
    InvalidCredentials,
    /// There is a user of this address.
    #[error("Email already registered")]
    EmailTaken,
    /// It has too much to do; later it may do it.
    #[error("too many log-ins at once")]
    Busy,
    /// It cannot do it now: what is wrong, for the log. Nothing was changed.
    #[error("{0}")]
    Failed(String),
}
