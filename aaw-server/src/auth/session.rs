//! A session that is in use, and what it may call.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use globset::{Glob, GlobSet, GlobSetBuilder};
use tokio::sync::Notify;

use super::Identity;
use super::token::TokenHash;

/// One for all who use it. Once over, it is so for ever, and lets nobody do anything.
pub(crate) struct Session {
    token: TokenHash,
    expires: SystemTime,
    who: ArcSwap<Who>,
    /// Nothing yet, or how it ended.
    ended: AtomicU8,
    told: Notify,
}

/// Whose a session is, and what that allows.
struct Who {
    identity: Arc<Identity>,
    /// Nothing: every protected event.
    allowed: Option<GlobSet>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Somebody who had it logged out, or an administrator took it away.
    Logout = 1,
    /// Its time was over.
    Expired = 2,
    /// The user's password was set anew.
    Password = 3,
}

impl Ended {
    /// The word on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Expired => "expired",
            Self::Password => "password",
        }
    }
}

impl Session {
    pub(super) fn new(token: TokenHash, identity: Identity, expires: SystemTime) -> Self {
        let who = ArcSwap::from_pointee(Who::new(identity));
        Self { token, expires, who, ended: AtomicU8::new(0), told: Notify::new() }
    }

    pub(super) fn token(&self) -> TokenHash {
        self.token
    }

    pub(super) fn expires(&self) -> SystemTime {
        self.expires
    }

    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.who.load().identity)
    }

    /// The user is another one now, or may do something else.
    pub(super) fn update(&self, identity: Identity) {
        if *self.who.load().identity != identity {
            self.who.store(Arc::new(Who::new(identity)));
        }
    }

    /// Whether it may call this protected event.
    pub(super) fn may_call(&self, event: &str) -> bool {
        self.who.load().allowed.as_ref().is_none_or(|allowed| allowed.is_match(event))
    }

    /// Whether it has ended, or its time is over, be it that nobody has noticed yet.
    pub(crate) fn is_over(&self) -> bool {
        self.ended().is_some() || self.expires <= SystemTime::now()
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        match self.ended.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Ended::Logout),
            2 => Some(Ended::Expired),
            _ => Some(Ended::Password),
        }
    }

    pub(super) fn end(&self, how: Ended) {
        // The first end is the one that is told.
        let _ = self.ended.compare_exchange(0, how as u8, Ordering::AcqRel, Ordering::Acquire);
        self.told.notify_waiters();
    }

    /// Ready when it has ended.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "connections are told by mail"))]
    pub(crate) async fn wait_until_ended(self: Arc<Self>) {
        loop {
            let told = self.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if self.ended().is_some() {
                return;
            }
            told.await;
        }
    }
}

impl Who {
    fn new(identity: Identity) -> Self {
        let allowed = identity.allowed.as_deref().map(globs);
        Self { identity: Arc::new(identity), allowed }
    }
}

/// What matches one of these. A glob that is none matches nothing: who cannot say what somebody may do allows nothing by
/// it.
fn globs(globs: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs.iter().filter_map(|glob| parse(glob).ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}

/// A glob over names of events. What is wrong with it, if it is none.
pub(super) fn parse(glob: &str) -> Result<Glob, String> {
    Glob::new(glob).map_err(|error| error.to_string())
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
    use crate::auth::token::{TokenHash, random_token};

    fn session(allowed: Option<&[&str]>) -> Session {
        let mut identity = Identity::new("1", "a@b.c");
        identity.allowed = allowed.map(|globs| globs.iter().map(|&glob| glob.into()).collect());
        Session::new(TokenHash::of(&random_token()), identity, SystemTime::now() + Duration::from_secs(60))
    }

    #[test]
    fn globs_over_names_of_events_say_what_may_be_called() {
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
            (Some(&["auth/{x,y}"]), "auth/y", true),
            (Some(&["auth/[", "auth/{"]), "auth/[", false),
        ] {
            assert_eq!(session(allowed).may_call(event), expected, "{allowed:?} {event}");
        }
    }

    #[test]
    fn what_a_user_may_do_can_change_while_the_session_lasts() {
        let session = session(None);
        session.update(Identity::new("1", "a@b.c").with_allowed(["auth/x"]));
        assert!(session.may_call("auth/x") && !session.may_call("auth/y"));
        assert_eq!(session.identity().allowed.as_deref(), Some(&["auth/x".to_owned()][..]));
    }

    #[test]
    fn one_that_is_over_stays_so_as_it_ended_first() {
        let session = session(None);
        assert!(!session.is_over());
        session.end(Ended::Password);
        session.end(Ended::Logout);
        assert_eq!((session.is_over(), session.ended()), (true, Some(Ended::Password)));
        let past = SystemTime::now() - Duration::from_secs(1);
        assert!(Session::new(TokenHash::of(&random_token()), Identity::new("1", "a@b.c"), past).is_over());
    }
}
