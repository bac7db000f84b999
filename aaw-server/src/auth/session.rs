//! A session that is in use, and which events it may call.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

use aaw_event::Identity;
use arc_swap::ArcSwap;
use glob::Pattern;
use tokio::sync::Notify;

use super::session_scope::SessionScope;
use super::token::TokenHash;

/// One log-in, shared by every connection and request that uses it. Once it has ended it stays so, and authorizes
/// nothing.
pub(crate) struct Session {
    token: TokenHash,
    scope: SessionScope,
    expires: SystemTime,
    user: ArcSwap<SessionUser>,
    /// 0, or the [`EndReason`].
    ended: AtomicU8,
    ended_notify: Notify,
}

/// The user of a session, with the permissions in the form that is matched against.
struct SessionUser {
    identity: Arc<Identity>,
    /// `None` allows every protected event.
    allowed: Option<Vec<Pattern>>,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// A log-out, a log-in that replaced the session, or its removal from the store.
    Logout = 1,
    /// The session's lifetime elapsed.
    Expired = 2,
    /// The user's password was reset.
    Password = 3,
}

impl EndReason {
    /// Returns the reason as it is written on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Expired => "expired",
            Self::Password => "password",
        }
    }
}

impl Session {
    pub(super) fn new(token: TokenHash, scope: SessionScope, identity: Identity, expires: SystemTime) -> Self {
        let user = ArcSwap::from_pointee(SessionUser::new(identity));
        Self { token, scope, expires, user, ended: AtomicU8::new(0), ended_notify: Notify::new() }
    }

    pub(super) fn token(&self) -> TokenHash {
        self.token
    }

    /// Returns whether the store has the session.
    pub(super) fn is_stored(&self) -> bool {
        self.scope == SessionScope::Store
    }

    pub(super) fn expires(&self) -> SystemTime {
        self.expires
    }

    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.user.load().identity)
    }

    /// Applies what the store now has for the user: another identity, or other permissions.
    pub(super) fn update(&self, identity: Identity) {
        if *self.user.load().identity != identity {
            self.user.store(Arc::new(SessionUser::new(identity)));
        }
    }

    /// Returns whether the user may call this protected event.
    pub(super) fn may_call(&self, event: &str) -> bool {
        self.user.load().allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|glob| glob.matches(event)))
    }

    /// Returns whether the session has ended or expired, even if the expiry has not been processed yet.
    pub(crate) fn is_over(&self) -> bool {
        self.ended().is_some() || self.expires <= SystemTime::now()
    }

    /// Returns why the session ended; `None` while it has not.
    pub(crate) fn ended(&self) -> Option<EndReason> {
        match self.ended.load(Ordering::Acquire) {
            0 => None,
            1 => Some(EndReason::Logout),
            2 => Some(EndReason::Expired),
            _ => Some(EndReason::Password),
        }
    }

    /// Ends the session. The first reason is kept.
    pub(super) fn end(&self, reason: EndReason) {
        let _ = self.ended.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        self.ended_notify.notify_waiters();
    }

    /// Completes when the session has ended.
    #[cfg_attr(
        not(any(feature = "http", test)),
        expect(dead_code, reason = "connections are notified through their mailbox")
    )]
    pub(crate) async fn wait_until_ended(self: Arc<Self>) {
        loop {
            let notified = self.ended_notify.notified();
            tokio::pin!(notified);
            // Registered before the check, so an end in between is not missed.
            notified.as_mut().enable();
            if self.ended().is_some() {
                return;
            }
            notified.await;
        }
    }
}

impl SessionUser {
    fn new(identity: Identity) -> Self {
        let allowed = identity.allowed.as_deref().map(compile_globs);
        Self { identity: Arc::new(identity), allowed }
    }
}

/// Compiles patterns of event names. An invalid pattern matches nothing, so a mistake never grants permissions.
fn compile_globs(globs: &[String]) -> Vec<Pattern> {
    globs.iter().filter_map(|glob| parse_glob(glob).ok()).collect()
}

/// Parses a pattern of event names.
///
/// # Errors
/// The description of the syntax error. Braces are one: no name contains them, so as plain characters they would never match.
pub(super) fn parse_glob(glob: &str) -> Result<Pattern, String> {
    if glob.contains(['{', '}']) {
        return Err(format!(
            "the glob `{glob}` has braces, which are not supported: use one glob for each alternative"
        ));
    }
    Pattern::new(glob).map_err(|error| format!("the glob `{glob}` is invalid: {}", error.msg))
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, ended, .. } = self;
        f.debug_struct("Session").field("token", token).field("ended", ended).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::token::random_token;

    fn session(allowed: Option<&[&str]>) -> Session {
        let mut identity = Identity::new("1", "a@b.c");
        identity.allowed = allowed.map(|globs| globs.iter().map(|&glob| glob.into()).collect());
        session_until(SystemTime::now() + Duration::from_secs(60), identity)
    }

    fn session_until(expires: SystemTime, identity: Identity) -> Session {
        Session::new(TokenHash::of(&random_token()), SessionScope::Store, identity, expires)
    }

    #[test]
    fn globs_of_event_names_decide_which_events_may_be_called() {
        for (allowed, event, expected) in [
            (None, "auth/x", true),
            (Some(&[][..]), "auth/x", false),
            (Some(&["*"]), "auth/x", true),
            (Some(&["*"]), "shop/auth/deep/down", true),
            (Some(&["auth/teamplay/*"]), "auth/teamplay/join", true),
            (Some(&["auth/teamplay/*"]), "auth/teamplay/a/b", true),
            (Some(&["auth/teamplay/*"]), "auth/teamplay", false),
            (Some(&["auth/teamplay/*"]), "auth/teamplayer/x", false),
            (Some(&["auth/teamplay/*"]), "shop/auth/teamplay/x", false),
            (Some(&["auth/whoami"]), "auth/whoami", true),
            (Some(&["auth/whoami"]), "auth/whoami2", false),
            (Some(&["auth/whoami"]), "auth/Whoami", false),
            (Some(&["a/*", "auth/x"]), "auth/x", true),
            (Some(&["auth/?"]), "auth/x", true),
            (Some(&["auth/[a-y]"]), "auth/x", true),
            (Some(&["auth/[!a-y]"]), "auth/x", false),
            (Some(&["auth/**/x"]), "auth/x", true),
            (Some(&["auth/**/x"]), "auth/a/b/x", true),
            (Some(&["auth/[", "auth/x"]), "auth/[", false),
            (Some(&["auth/[", "auth/x"]), "auth/x", true),
        ] {
            assert_eq!(session(allowed).may_call(event), expected, "{allowed:?} {event}");
        }
    }

    #[test]
    fn a_glob_that_can_match_nothing_is_an_error() {
        for (glob, expected) in [
            ("auth/[", "the glob `auth/[` is invalid: invalid range pattern"),
            ("a**", "the glob `a**` is invalid: recursive wildcards must form a single path component"),
            (
                "auth/{x,y}",
                "the glob `auth/{x,y}` has braces, which are not supported: use one glob for each alternative",
            ),
        ] {
            assert_eq!(parse_glob(glob).expect_err(glob), expected);
        }
    }

    #[test]
    fn permissions_can_change_while_the_session_is_in_use() {
        let session = session(None);
        session.update(Identity::new("1", "a@b.c").with_allowed(["auth/x"]));
        assert!(session.may_call("auth/x") && !session.may_call("auth/y"));
        assert_eq!(session.identity().allowed.as_deref(), Some(&["auth/x".to_owned()][..]));
    }

    #[test]
    fn a_session_keeps_the_reason_of_its_first_end() {
        let session = session(None);
        assert!(!session.is_over());
        session.end(EndReason::Password);
        session.end(EndReason::Logout);
        assert_eq!((session.is_over(), session.ended()), (true, Some(EndReason::Password)));
    }

    #[test]
    fn an_expired_session_is_over_before_its_end_is_processed() {
        let past = SystemTime::now() - Duration::from_secs(1);
        assert!(session_until(past, Identity::new("1", "a@b.c")).is_over());
    }
}
