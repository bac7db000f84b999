//! The store of an application that logs its callers in itself.

use std::net::IpAddr;

use super::config::Auth;
use super::store::{Store, StoreFuture, StoredSession};
use super::token::TokenHash;

/// No users and no sessions: the application verifies its callers in a way of its own, by a header or a cookie in
/// `_open.rs`, say, and calls `services.authenticate`. See [`Auth::own_log_ins`].
#[derive(Debug, Clone, Copy, Default)]
struct OwnLogIns;

impl Store for OwnLogIns {
    /// The tokens of sessions that belong to connections resume nothing. Clients forget one that has ended.
    fn resume(&self, _session: TokenHash, _client: Option<IpAddr>) -> StoreFuture<'_, Option<StoredSession>> {
        Box::pin(async { Ok(None) })
    }

    fn end(&self, _session: TokenHash) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl Auth {
    /// A configuration without users and without a store, for events that log their callers in themselves with
    /// `services.authenticate`: usually in `_open.rs`, by a header or a cookie of the handshake. Events below a folder
    /// called `auth` run for the callers that they have logged in. The session ends with its connection.
    ///
    /// There are no users: `aaw/login` and `aaw/password/set-new` fail with `Auth is not set up via aaw`, `aaw/register` with
    /// the code `registration_closed` ([`allow_registration`](Self::allow_registration)), and `aaw/resume` with
    /// `Session expired`. `aaw/logout` ends the session of its caller. The header `Authorization` of HTTP requests is left to
    /// the events ([`bearer_tokens`](Self::bearer_tokens)).
    ///
    /// ```
    /// use aaw_server::Config;
    /// use aaw_server::auth::Auth;
    ///
    /// let config = Config { auth: Some(Auth::own_log_ins()), ..Config::default() };
    /// ```
    #[must_use]
    pub fn own_log_ins() -> Self {
        Self { allow_registration: false, bearer_tokens: false, ..Self::new(OwnLogIns) }
    }
}
