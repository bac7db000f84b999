//! Takes the place of `auth/mod.rs` without the feature `auth`.
//!
//! [`Service`], [`Session`] and [`SessionGuard`] have no values here, so an `Option` of one is always `None` and the
//! compiler removes what depends on it. The code that uses them is the same with and without the feature.

#[path = "caller.rs"]
mod caller;
#[path = "identity_change.rs"]
pub(crate) mod identity_change;
#[path = "session_observer.rs"]
mod session_observer;
#[path = "session_slot.rs"]
mod session_slot;

pub use aaw_event::Identity;
pub(crate) use caller::{CallContext, Caller};
pub(crate) use service::{BuiltInFuture, ResetHook, PasswordReset, Service};
pub(crate) use session::Session;
pub(crate) use session_observer::SessionObserver;
pub(crate) use session_registry::SessionGuard;
pub(crate) use session_slot::SessionSlot;

mod service {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;

    use aaw_event::Identity;
    use aaw_protocol::{Failure, Token};

    use super::caller::{CallContext, Caller};
    use super::session_registry::SessionGuard;

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

        pub(crate) async fn bearer(&self, _token: &str) -> Result<SessionGuard, Failure> {
            match *self {}
        }

        pub(crate) async fn authenticate(&self, _context: &CallContext, _user: Identity) -> Result<String, Failure> {
            match *self {}
        }

        pub(crate) async fn log_out<C: Caller>(&self, _caller: &Arc<C>) -> Result<(), Failure> {
            match *self {}
        }

        pub(crate) fn is_built_in(_name: &str) -> bool {
            false
        }

        pub(crate) fn begin_built_in<C: Caller>(
            &self,
            _name: &str,
            _body: &str,
            _caller: &Arc<C>,
            _module_hook: impl FnOnce() -> Option<ResetHook>,
        ) -> Option<BuiltInFuture> {
            match *self {}
        }
    }
}

mod session {
    use std::sync::Arc;

    use aaw_event::Identity;

    #[derive(Debug)]
    pub(crate) enum Session {}

    #[derive(Debug, Clone, Copy)]
    pub(crate) enum EndReason {}

    #[allow(dead_code, reason = "the other features decide which of these are used")]
    impl Session {
        pub(crate) fn identity(&self) -> Arc<Identity> {
            match *self {}
        }

        pub(crate) fn ended(&self) -> Option<EndReason> {
            match *self {}
        }

        pub(crate) async fn wait_until_ended(self: Arc<Self>) {
            match *self {}
        }
    }

    impl EndReason {
        pub(crate) fn as_str(self) -> &'static str {
            match self {}
        }
    }
}

mod session_registry {
    use std::sync::Arc;

    use super::session::Session;

    #[derive(Debug)]
    pub(crate) enum SessionGuard {}

    impl SessionGuard {
        pub(crate) fn session(&self) -> &Arc<Session> {
            match *self {}
        }

        pub(crate) fn is_over(&self) -> bool {
            match *self {}
        }

        pub(crate) fn identity_json(&self) -> String {
            match *self {}
        }
    }
}
