//! Authentication is a feature of this crate that is not enabled: `auth`.

// Takes the place of `auth/mod.rs` without that feature. `Service`, `Session` and `SessionGuard` have no values here, so an
// `Option` of one is always `None` and the compiler removes what depends on it. The code that uses them is the same with
// and without the feature.

#[path = "caller.rs"]
mod caller;
#[path = "disabled.rs"]
mod disabled;
#[path = "identity_change.rs"]
pub(crate) mod identity_change;
#[path = "session_observer.rs"]
mod session_observer;
#[path = "session_scope.rs"]
mod session_scope;
#[path = "session_slot.rs"]
mod session_slot;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

pub use aaw_event::Identity;
use aaw_protocol::{Failure, Token};

pub(crate) use caller::{CallContext, IdentifiedCaller};
// The modules that define these types with the feature.
use disabled as session;
use disabled as session_registry;
pub(crate) use disabled::{Session, SessionGuard};
pub(crate) use session_observer::SessionObserver;
pub(crate) use session_scope::SessionScope;
pub(crate) use session_slot::SessionSlot;

#[derive(Debug)]
pub(crate) enum Service {}

pub(crate) type BuiltInFuture = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

pub(crate) type ResetHook =
    Arc<dyn Fn(PasswordReset) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

pub(crate) struct PasswordReset {
    pub(crate) user: Identity,
    pub(crate) token: Token,
}

#[allow(dead_code, reason = "the other features decide which of these are used")]
impl Service {
    pub(crate) fn authorize(&self, _session: Option<&SessionGuard>, _event: &str) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) fn has_bearer_tokens(&self) -> bool {
        match *self {}
    }

    pub(crate) async fn bearer(&self, _token: &str, _client: Option<IpAddr>) -> Result<SessionGuard, Failure> {
        match *self {}
    }

    pub(crate) async fn authenticate(
        &self,
        _context: &CallContext,
        _user: Identity,
        _scope: SessionScope,
    ) -> Result<String, Failure> {
        match *self {}
    }

    pub(crate) async fn log_out<C: IdentifiedCaller>(&self, _caller: &Arc<C>) -> Result<(), Failure> {
        match *self {}
    }

    pub(crate) fn store_failure(&self) -> Option<Arc<str>> {
        match *self {}
    }

    pub(crate) fn is_built_in(_name: &str) -> bool {
        false
    }

    pub(crate) fn begin_built_in<C: IdentifiedCaller>(
        &self,
        _name: &str,
        _body: &str,
        _caller: &Arc<C>,
        _module_hook: impl FnOnce() -> Option<ResetHook>,
    ) -> Option<BuiltInFuture> {
        match *self {}
    }
}
