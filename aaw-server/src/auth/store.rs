//! The interface to the storage of users, sessions and password resets.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use aaw_protocol::Identity;

use super::email::Email;
use super::password::Password;
use super::token::TokenHash;

/// The future of a store's operation.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Stores users, their passwords, sessions and password resets.
///
/// Only the store handles passwords: it receives them in plain text, and never returns what it stores of them. Each
/// operation is atomic: it is applied completely or, if it fails, not at all. Operations may be called concurrently.
/// Every operation has a default implementation that fails with `Auth is not set up via aaw`
/// ([`StoreError::NotOffered`]), so a store implements only the operations it supports.
///
/// The future of an operation is dropped when its caller disconnects; the operation may be applied nevertheless.
///
/// ```
/// use aaw_server::auth::{StartedSession, Credentials, Identity, NewSession, Store, StoreError, StoreFuture};
///
/// /// A single user with a fixed password. Sessions are not stored, so they cannot be resumed.
/// struct SingleUser;
///
/// impl Store for SingleUser {
///     fn log_in(&self, credentials: Credentials, _session: NewSession) -> StoreFuture<'_, StartedSession> {
///         Box::pin(async move {
///             if credentials.email.as_str() == "ada@example.com" && credentials.password.expose() == "correct horse" {
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
    /// Adds a user and starts a session.
    ///
    /// # Errors
    /// [`StoreError::EmailTaken`] if the address is registered, or is being registered concurrently.
    fn register(&self, credentials: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        unsupported_op((credentials, session))
    }

    /// Starts a session for the user with this address and password. The operation must do the same work for known and
    /// unknown addresses; otherwise its duration reveals which addresses are registered.
    ///
    /// # Errors
    /// [`StoreError::InvalidCredentials`] if no user has this address and password.
    fn log_in(&self, credentials: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        unsupported_op((credentials, session))
    }

    /// Starts a session for an identity that the application itself has authenticated (`authenticate` in a handler). It
    /// need not be a user of this store. Not called for a session that `_open` starts, which belongs to its connection and
    /// is stored nowhere. If the operation is not offered, neither is any other one of a handler.
    fn authenticate(&self, identity: Identity, session: NewSession) -> StoreFuture<'_, StartedSession> {
        unsupported_op((identity, session))
    }

    /// Returns the session with this token; `None` if it does not exist or has ended. `client` is the address of the client
    /// that has sent the token, if it is known, and `None` for the server itself, which reads sessions in use again.
    ///
    /// The server does not limit how often a client sends a token that resumes nothing: a token cannot be guessed. A store
    /// should therefore be fair between clients, so that one with thousands of such calls in flight delays no others.
    fn resume(&self, session: TokenHash, client: Option<IpAddr>) -> StoreFuture<'_, Option<StoredSession>> {
        unsupported_op((session, client))
    }

    /// Ends a session. Succeeds if it does not exist.
    fn end(&self, session: TokenHash) -> StoreFuture<'_, ()> {
        unsupported_op(session)
    }

    /// Stores the token of a password reset for the user with this address. Earlier ones stay valid until they expire:
    /// otherwise anyone who asks for a reset voids the one that the user has received. The server's limits bound their number,
    /// to [`Auth::valid_resets`](super::Auth::valid_resets). Returns `None` if there is no
    /// such user. The operation runs after its caller has received the response, so its duration reveals nothing. After a
    /// failure it is called again with the same token, which may have been stored nevertheless.
    fn request_reset(&self, email: Email, token: TokenHash, expires: SystemTime) -> StoreFuture<'_, Option<Identity>> {
        unsupported_op((email, token, expires))
    }

    /// Sets the password of the user to whom this reset belongs, ends all of the user's sessions, starts a new one, and
    /// deletes all resets of the user. Returns `None` if the reset does not exist or has expired.
    fn set_password(
        &self,
        reset: TokenHash,
        new: Password,
        session: NewSession,
    ) -> StoreFuture<'_, Option<StartedSession>> {
        unsupported_op((reset, new, session))
    }

    /// Whether the stored data may have changed since the last call other than through this store's operations, for
    /// example through another program. If so, the server reads the sessions in use again. It is called about once a
    /// second. The default returns false.
    fn has_changed(&self) -> StoreFuture<'_, bool> {
        Box::pin(async { Ok(false) })
    }

    /// Whether the store can be used. It is called about once a second, so that a failure is noticed and logged although
    /// no client calls. The default reports that it can.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Failed`] with the reason.
    fn health(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

fn unsupported_op<'a, T: Send + 'a>(_: impl Sized) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(Err(StoreError::NotOffered)))
}

/// An e-mail address and a password that a client sent, in their normal forms.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// The e-mail address.
    pub email: Email,
    /// The password.
    pub password: Password,
}

impl Credentials {
    /// Creates credentials, for code that calls a store.
    pub fn new(email: Email, password: Password) -> Self {
        Self { email, password }
    }
}

/// A session to be started.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct NewSession {
    /// The hash of its token.
    pub token: TokenHash,
    /// When it expires.
    pub expires: SystemTime,
    /// The address of the client that the session is for, if it is known. A store uses it to be fair between clients,
    /// see [`PasswordHasher::for_client`](super::PasswordHasher::for_client).
    pub client: Option<IpAddr>,
}

impl NewSession {
    /// Creates a new session, for code that calls a store. The client is not known.
    pub fn new(token: TokenHash, expires: SystemTime) -> Self {
        Self { token, expires, client: None }
    }
}

/// A session that was started.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StartedSession {
    /// The identity of its user.
    pub identity: Identity,
    /// The sessions that the store has ended at the same time; the server ends them on all connections.
    pub ended: Vec<TokenHash>,
}

impl StartedSession {
    /// A session that was started without ending others.
    pub fn new(identity: Identity) -> Self {
        Self { identity, ended: Vec::new() }
    }
}

/// A session that a store has read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredSession {
    /// The current identity of its user.
    pub identity: Identity,
    /// When it expires.
    pub expires: SystemTime,
}

impl StoredSession {
    /// Creates a stored session, for a store to return.
    pub fn new(identity: Identity, expires: SystemTime) -> Self {
        Self { identity, expires }
    }
}

/// Why a store operation failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store does not support the operation.
    #[error("Auth is not set up via aaw")]
    NotOffered,
    /// No user has this address and password.
    #[error("Invalid credentials")]
    InvalidCredentials,
    /// A user with this address exists.
    #[error("Email already registered")]
    EmailTaken,
    /// The queue of the store is full; the operation may succeed later.
    #[error("too many log-ins at once")]
    Busy,
    /// Like [`Busy`](Self::Busy), and the operation may succeed after this time.
    #[error("too many log-ins at once")]
    BusyFor(Duration),
    /// The operation failed without changing anything. The message is logged and does not reach the client.
    #[error("{0}")]
    Failed(String),
    /// The store cannot be used until something outside of it has changed, for example because its disk is full. The
    /// operation has changed nothing that lasts. The message is logged once, until [`Store::health`] reports that the
    /// store works again, at most once in ten seconds, and does not reach the client.
    #[error("{0}")]
    Unavailable(String),
}
