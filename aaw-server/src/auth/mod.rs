//! Authentication: log-ins, sessions, and the events that require a session. Enabled by
//! [`Config::auth`](crate::Config::auth).
//!
//! While it is enabled, the events below a folder called `auth` require a session, and the server itself handles
//! `aaw/register`, `aaw/login`, `aaw/resume`, `aaw/logout`, `aaw/password/request-reset` and `aaw/password/set-new`.
//! Each of them but the log-out and the request of a reset starts or resumes a session and binds it to the connection.
//! When a session ends, it ends for all connections that use it.
//!
//! ```no_run
//! # mod my_events { pub fn module() -> aaw_server::Module { unimplemented!() } }
//! # #[cfg(feature = "auth-sqlite")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use aaw_server::auth::SqliteStore;
//! use aaw_server::{Config, Server};
//!
//! let store = SqliteStore::open("aaw-auth.sqlite").await?;
//! let server = Server::new(Config::default()).events(my_events::module()).auth(store).bind().await?;
//! # server.serve(std::future::pending()).await;
//! # Ok(()) }
//! ```

// The modules:
//
// - `config`: `Auth`: the store, lifetimes and limits
// - `store`: `Store`: keeps users and sessions; only the store handles stored passwords
// - `sqlite`: the store that comes with the server (feature `auth-sqlite`)
// - `own_log_ins`: the store of an application that logs its callers in itself
// - `password`: a password in its normal form, and the rules for a new one
// - `opaque_string`: the normal form of passwords: RFC 8265's profile OpaqueString
// - `network_limits`: limits attempts by network, and by IPv6 site
// - `fair_queue`: a queue in which log-ins come first and clients take turns
// - `password_hasher`: hashes passwords with Argon2id on threads of its own (feature `auth-sqlite`)
// - `token`: tokens, and their hashes, which are what is stored
// - `email`: normalizes e-mail addresses
// - `invalid_email`: why a text is not an address
// - `expiry`: when sessions and tokens expire
// - `email_form`: the form of a new e-mail address, without invisible characters
// - `session`: a session in use, and the events that it may call
// - `session_registry`: all sessions in use, so that the end of one reaches everything that uses it
// - `session_observer`: notification of a connection that a session has ended
// - `session_scope`: whether a session that a handler starts is stored, or belongs to its connection
// - `session_slot`: the session of a connection or of an HTTP request
// - `caller`: the caller of an event: its id, address and session
// - `identity_change`: attributes a handler's log-in or log-out to its call
// - `limits`: rate limits
// - `log_in_limits`: which of them a log-in counts in
// - `reset_limits`: which of them a request for a password reset counts in
// - `known_networks`: from where users have logged in lately
// - `generations`: a bounded map that forgets what was not used lately
// - `body`: reads the bodies of the built-in events
// - `reset_requests`: stores and delivers password resets, after the response
// - `store_health`: whether the store can be used
// - `service`: ties them together: starts, binds and ends sessions
// - `events`: the built-in events
//
// Without the feature `auth`, `off.rs` takes the place of this file: it keeps `caller`, `session_slot`, `session_scope`,
// `session_observer` and `identity_change`, and replaces the rest by types without values.

mod body;
mod caller;
mod config;
mod email;
mod email_form;
mod events;
mod expiry;
mod fair_queue;
mod generations;
pub(crate) mod identity_change;
mod invalid_email;
mod known_networks;
mod limits;
mod log_in_limits;
mod network_limits;
mod opaque_string;
mod own_log_ins;
mod password;
#[cfg(feature = "auth-sqlite")]
mod password_hasher;
mod reset_limits;
mod reset_requests;
mod service;
mod session;
mod session_observer;
mod session_registry;
mod session_scope;
mod session_slot;
#[cfg(feature = "auth-sqlite")]
mod sqlite;
mod store;
mod store_health;
mod token;

pub use aaw_event::Identity;
pub use aaw_protocol::Token;
pub(crate) use caller::{CallContext, IdentifiedCaller};
pub use config::{Auth, PasswordReset, RateLimit, ResetHook};
pub use email::Email;
pub use invalid_email::InvalidEmail;
pub use password::{InvalidPassword, Password};
#[cfg(feature = "auth-sqlite")]
pub use password_hasher::{PasswordHasher, PasswordHasherConfig};
pub(crate) use service::{BuiltInFuture, Service};
pub(crate) use session::Session;
pub(crate) use session_observer::SessionObserver;
pub(crate) use session_registry::SessionGuard;
pub(crate) use session_scope::SessionScope;
pub(crate) use session_slot::SessionSlot;
#[cfg(feature = "auth-sqlite")]
pub use sqlite::{SqliteStore, StoreOpenError, User};
pub use store::{Credentials, NewSession, StartedSession, Store, StoreError, StoreFuture, StoredSession};
pub use token::TokenHash;
