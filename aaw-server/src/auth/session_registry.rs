//! The sessions that are in use on this server, so that the end of one reaches every connection and request that has
//! it.
//!
//! A log-in claims its session before it calls the store. So an end that comes after the store has responded and before
//! the connection holds the session is not missed: the claim's entry records it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use aaw_event::Identity;
use tokio::sync::Notify;

use super::session::{EndReason, Session};
use super::session_observer::SessionObserver;
use super::session_scope::SessionScope;
use super::token::TokenHash;

/// The sessions in use, by the hash of their token. Bounded by the number of connections and requests.
#[derive(Default)]
pub(super) struct SessionRegistry {
    table: Mutex<SessionTable>,
    /// Notified when a session is added that expires before all others.
    pub(super) expires_sooner: Notify,
}

#[derive(Default)]
struct SessionTable {
    sessions: HashMap<TokenHash, SessionEntry>,
    /// The expiry times of the sessions that have not ended, earliest first.
    expiries: BTreeSet<(SystemTime, TokenHash)>,
    last_claim: u64,
}

#[derive(Default)]
struct SessionEntry {
    /// The connections and requests that have the session or are logging in with it, and how to notify each of its end.
    claims: HashMap<u64, Option<Weak<dyn SessionObserver>>>,
    /// `None` until the store has responded to the first of them.
    session: Option<Arc<Session>>,
    /// Set when the session ends, even before there is a `session`.
    ended: Option<EndReason>,
}

/// Keeps the entry of one session in the registry. Dropping it, also in a cancelled log-in, removes the claim, and the
/// entry with its last claim.
pub(super) struct SessionClaim {
    registry: Arc<SessionRegistry>,
    token: TokenHash,
    number: u64,
}

/// A session in use by a connection or request: as long as this exists, its observer is notified when the session ends.
pub(crate) struct SessionGuard {
    session: Arc<Session>,
    _claim: SessionClaim,
}

impl SessionRegistry {
    /// Claims the session of a token. `observer` is notified when it ends; without an observer, the user of the session
    /// awaits [`Session::wait_until_ended`].
    pub(super) fn claim(
        self: &Arc<Self>,
        token: TokenHash,
        observer: Option<Weak<dyn SessionObserver>>,
    ) -> SessionClaim {
        let mut table = self.lock();
        table.last_claim += 1;
        let number = table.last_claim;
        table.sessions.entry(token).or_default().claims.insert(number, observer);
        SessionClaim { registry: Arc::clone(self), token, number }
    }

    /// Ends a session for everything that uses it or is logging in with it.
    pub(super) fn end(&self, token: TokenHash, reason: EndReason) {
        let mut table = self.lock();
        let Some(entry) = table.sessions.get_mut(&token) else { return };
        if entry.ended.is_some() {
            return;
        }
        entry.ended = Some(reason);
        let Some(session) = entry.session.clone() else { return };
        session.end(reason);
        let observers: Vec<_> = entry.claims.values().flatten().cloned().collect();
        table.expiries.remove(&(session.expires(), token));
        drop(table);
        for observer in observers.iter().filter_map(Weak::upgrade) {
            observer.session_ended(&session);
        }
    }

    /// Ends sessions that the store has ended in favour of a new one.
    pub(super) fn revoke(&self, tokens: &[TokenHash], reason: EndReason) {
        for &token in tokens {
            self.end(token, reason);
        }
    }

    /// Ends the sessions that have expired, and returns the time at which the next one expires.
    pub(super) fn expire(&self, now: SystemTime) -> Option<SystemTime> {
        loop {
            let (expires, token) = *self.lock().expiries.first()?;
            if expires > now {
                return Some(expires);
            }
            self.end(token, EndReason::Expired);
        }
    }

    /// Returns all sessions in use that have not ended.
    pub(super) fn sessions(&self) -> Vec<Arc<Session>> {
        let table = self.lock();
        table
            .sessions
            .values()
            .filter(|entry| entry.ended.is_none())
            .filter_map(|entry| entry.session.clone())
            .collect()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().sessions.len()
    }

    fn lock(&self) -> MutexGuard<'_, SessionTable> {
        // Nothing panics while it holds the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionClaim {
    /// Turns the claim into a session in use, with what the store has returned. `None` if the session has ended since
    /// it was claimed.
    pub(super) fn activate(self, identity: Identity, expires: SystemTime) -> Option<SessionGuard> {
        self.activate_in(SessionScope::Store, identity, expires)
    }

    /// As [`activate`](Self::activate), for a session that may belong to its connection alone.
    pub(super) fn activate_in(
        self,
        scope: SessionScope,
        identity: Identity,
        expires: SystemTime,
    ) -> Option<SessionGuard> {
        let registry = Arc::clone(&self.registry);
        let mut table = registry.lock();
        let SessionTable { sessions, expiries, .. } = &mut *table;
        let entry = sessions.get_mut(&self.token)?;
        if entry.ended.is_some() {
            // Before `self` is dropped, which takes the lock.
            drop(table);
            return None;
        }
        let session = match &entry.session {
            Some(session) => {
                session.update(identity);
                Arc::clone(session)
            }
            None => {
                let session = Arc::new(Session::new(self.token, scope, identity, expires));
                entry.session = Some(Arc::clone(&session));
                expiries.insert((expires, self.token));
                if expiries.first().is_some_and(|(_, token)| *token == self.token) {
                    registry.expires_sooner.notify_one();
                }
                session
            }
        };
        drop(table);
        Some(SessionGuard { session, _claim: self })
    }
}

impl SessionGuard {
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Returns whether this is the token of the session.
    pub(crate) fn has_token(&self, token: &str) -> bool {
        TokenHash::parse(token).is_some_and(|hash| hash == self.session().token())
    }

    /// As [`Session::is_over`].
    pub(crate) fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// Returns the identity of the session's user as JSON.
    pub(crate) fn identity_json(&self) -> String {
        // An identity consists of strings, which always serialize.
        serde_json::to_string(&*self.session.identity()).unwrap_or_else(|_| "null".into())
    }
}

impl Drop for SessionClaim {
    fn drop(&mut self) {
        let mut table = self.registry.lock();
        let SessionTable { sessions, expiries, .. } = &mut *table;
        let Some(entry) = sessions.get_mut(&self.token) else { return };
        let observer = entry.claims.remove(&self.number);
        if entry.claims.is_empty() {
            if let Some(session) = &entry.session {
                expiries.remove(&(session.expires(), self.token));
            }
            sessions.remove(&self.token);
        }
        drop(table);
        // The last reference to a connection's allocation may be this one.
        drop(observer);
    }
}

impl fmt::Debug for SessionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}

impl fmt::Debug for SessionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRegistry").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::auth::token::random_token;

    #[derive(Default)]
    struct CountingObserver(AtomicUsize);

    impl SessionObserver for CountingObserver {
        fn session_ended(&self, session: &Arc<Session>) {
            assert!(session.is_over());
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn notifications(observer: &Arc<CountingObserver>) -> usize {
        observer.0.load(Ordering::Relaxed)
    }

    fn in_seconds(seconds: u64) -> SystemTime {
        SystemTime::now() + Duration::from_secs(seconds)
    }

    fn new_token() -> TokenHash {
        TokenHash::of(&random_token())
    }

    fn identity() -> Identity {
        Identity::new("1", "a@b.c")
    }

    fn log_in(
        registry: &Arc<SessionRegistry>,
        token: TokenHash,
        expires: SystemTime,
    ) -> (Arc<CountingObserver>, SessionGuard) {
        let observer = Arc::<CountingObserver>::default();
        let weak: Weak<CountingObserver> = Arc::downgrade(&observer);
        let guard = registry.claim(token, Some(weak)).activate(identity(), expires).unwrap();
        (observer, guard)
    }

    #[test]
    fn the_end_of_a_session_notifies_each_of_its_users_once_and_no_others() {
        let registry = Arc::<SessionRegistry>::default();
        let (token, other) = (new_token(), new_token());
        let expires = in_seconds(60);
        let (a, guard_a) = log_in(&registry, token, expires);
        let (b, guard_b) = log_in(&registry, token, expires);
        let (c, guard_c) = log_in(&registry, other, expires);
        registry.end(token, EndReason::Logout);
        registry.end(token, EndReason::Password);
        assert_eq!((notifications(&a), notifications(&b), notifications(&c)), (1, 1, 0));
        assert_eq!(guard_a.session.ended(), Some(EndReason::Logout));
        assert!(guard_b.is_over() && !guard_c.is_over());
        drop((guard_a, guard_b, guard_c));
        assert_eq!(registry.len(), 0);
        assert!(registry.lock().expiries.is_empty());
    }

    #[test]
    fn a_session_that_ends_between_its_claim_and_its_activation_is_not_activated() {
        let registry = Arc::<SessionRegistry>::default();
        let token = new_token();
        let claim = registry.claim(token, None);
        registry.end(token, EndReason::Logout);
        assert!(claim.activate(identity(), in_seconds(60)).is_none());
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn a_claim_that_is_dropped_leaves_no_entry() {
        let registry = Arc::<SessionRegistry>::default();
        drop(registry.claim(new_token(), None));
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn expire_ends_expired_sessions_and_returns_the_next_expiry() {
        let registry = Arc::<SessionRegistry>::default();
        let (soon, late) = (in_seconds(1), in_seconds(60));
        let (a, _guard_a) = log_in(&registry, new_token(), soon);
        let (b, _guard_b) = log_in(&registry, new_token(), late);
        assert_eq!(registry.expire(SystemTime::now()), Some(soon));
        assert_eq!(registry.expire(soon), Some(late));
        assert_eq!((notifications(&a), notifications(&b)), (1, 0));
        assert_eq!(registry.expire(late), None);
    }

    #[test]
    fn an_observer_that_was_dropped_is_not_notified() {
        let registry = Arc::<SessionRegistry>::default();
        let token = new_token();
        let (observer, guard) = log_in(&registry, token, in_seconds(60));
        drop(observer);
        registry.end(token, EndReason::Logout);
        assert!(guard.is_over());
    }

    #[tokio::test]
    async fn wait_until_ended_returns_when_the_session_ends() {
        let registry = Arc::<SessionRegistry>::default();
        let token = new_token();
        let guard = registry.claim(token, None).activate(identity(), in_seconds(60)).unwrap();
        let waiting = tokio::spawn(Arc::clone(&guard.session).wait_until_ended());
        registry.end(token, EndReason::Logout);
        waiting.await.unwrap();
    }
}
