//! The sessions that are in use, so that the end of one reaches all who have it.
//!
//! Whoever begins or resumes a session claims it before the store is asked. So an end that comes between the store's
//! answer and the connection's learning of it is not missed: the claim knows.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use tokio::sync::Notify;

use super::Identity;
use super::session::{Ended, Session};
use super::token::TokenHash;

/// Somebody who can be told that a session has ended: a connection.
pub(crate) trait Holder: Send + Sync {
    /// It is over. Called with no lock held.
    fn session_ended(&self, session: &Arc<Session>);
}

/// The table. Bounded by the connections and requests that there are.
#[derive(Default)]
pub(super) struct Live {
    table: Mutex<Table>,
    /// Told when there is one that expires sooner than all others.
    pub(super) sooner: Notify,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<TokenHash, Entry>,
    /// The one that expires first in front.
    due: BTreeSet<(SystemTime, TokenHash)>,
    claims: u64,
}

#[derive(Default)]
struct Entry {
    claims: HashMap<u64, Option<Weak<dyn Holder>>>,
    /// Nothing while the store is asked for the first time.
    session: Option<Arc<Session>>,
    /// It has ended, perhaps while the store was asked.
    ended: Option<Ended>,
}

/// A session that somebody has, or is about to.
struct Claim {
    live: Arc<Live>,
    token: TokenHash,
    number: u64,
}

/// A session that the store is being asked about.
pub(super) struct Claimed(Claim);

/// A session that somebody has: it is in the table as long as this is.
pub(crate) struct Held {
    pub(crate) session: Arc<Session>,
    _claim: Claim,
}

impl Live {
    /// Claims a session for `holder`, which is told of its end; without one it has to look by itself.
    pub(super) fn claim(self: &Arc<Self>, token: TokenHash, holder: Option<Weak<dyn Holder>>) -> Claimed {
        let mut table = self.lock();
        table.claims += 1;
        let number = table.claims;
        table.sessions.entry(token).or_default().claims.insert(number, holder);
        Claimed(Claim { live: Arc::clone(self), token, number })
    }

    /// Ends a session for all who have it, or are about to.
    pub(super) fn end(&self, token: TokenHash, how: Ended) {
        let mut table = self.lock();
        let Some(entry) = table.sessions.get_mut(&token) else { return };
        if entry.ended.is_some() {
            return;
        }
        entry.ended = Some(how);
        let Some(session) = entry.session.clone() else { return };
        session.end(how);
        let holders: Vec<_> = entry.claims.values().flatten().cloned().collect();
        table.due.remove(&(session.expires(), token));
        drop(table);
        for holder in holders.iter().filter_map(Weak::upgrade) {
            holder.session_ended(&session);
        }
    }

    /// Ends those whose time is over, and says when the next one's is.
    pub(super) fn expire(&self, now: SystemTime) -> Option<SystemTime> {
        loop {
            let (due, token) = *self.lock().due.first()?;
            if due > now {
                return Some(due);
            }
            self.end(token, Ended::Expired);
        }
    }

    /// All that are in use.
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

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it holds the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimed {
    /// The store has answered: it is this user's, and lasts until then. Nothing if it has ended meanwhile.
    pub(super) fn begin(self, identity: Identity, expires: SystemTime) -> Option<Held> {
        let Self(claim) = self;
        let live = Arc::clone(&claim.live);
        let mut table = live.lock();
        let Table { sessions, due, .. } = &mut *table;
        let entry = sessions.get_mut(&claim.token)?;
        if entry.ended.is_some() {
            // The lock goes before the claim, which takes it.
            drop(table);
            return None;
        }
        let session = match &entry.session {
            Some(session) => {
                session.update(identity);
                Arc::clone(session)
            }
            None => {
                let session = Arc::new(Session::new(claim.token, identity, expires));
                entry.session = Some(Arc::clone(&session));
                due.insert((expires, claim.token));
                if due.first().is_some_and(|(_, token)| *token == claim.token) {
                    live.sooner.notify_one();
                }
                session
            }
        };
        drop(table);
        Some(Held { session, _claim: claim })
    }
}

impl Held {
    /// As [`Session::is_over`].
    pub(crate) fn is_over(&self) -> bool {
        self.session.is_over()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut table = self.live.lock();
        let Table { sessions, due, .. } = &mut *table;
        let Some(entry) = sessions.get_mut(&self.token) else { return };
        let holder = entry.claims.remove(&self.number);
        if entry.claims.is_empty() {
            if let Some(session) = &entry.session {
                due.remove(&(session.expires(), self.token));
            }
            sessions.remove(&self.token);
        }
        drop(table);
        drop(holder);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::auth::token::{TokenHash, random_token};

    #[derive(Default)]
    struct Told(AtomicUsize);

    impl Holder for Told {
        fn session_ended(&self, session: &Arc<Session>) {
            assert!(session.is_over());
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn told(holder: &Arc<Told>) -> usize {
        holder.0.load(Ordering::Relaxed)
    }

    fn later(seconds: u64) -> SystemTime {
        SystemTime::now() + Duration::from_secs(seconds)
    }

    fn hold(live: &Arc<Live>, token: TokenHash, expires: SystemTime) -> (Arc<Told>, Held) {
        let holder = Arc::<Told>::default();
        let weak: Weak<Told> = Arc::downgrade(&holder);
        let held = live.claim(token, Some(weak)).begin(Identity::new("1", "a@b.c"), expires).unwrap();
        (holder, held)
    }

    #[test]
    fn the_end_reaches_all_who_have_it_and_nobody_else_once() {
        let live = Arc::<Live>::default();
        let (one, other) = (TokenHash::of(&random_token()), TokenHash::of(&random_token()));
        let until = later(60);
        let (a, held_a) = hold(&live, one, until);
        let (b, held_b) = hold(&live, one, until);
        let (c, held_c) = hold(&live, other, until);
        live.end(one, Ended::Logout);
        live.end(one, Ended::Password);
        assert_eq!((told(&a), told(&b), told(&c)), (1, 1, 0));
        assert_eq!(held_a.session.ended(), Some(Ended::Logout));
        assert!(held_b.session.is_over() && !held_c.session.is_over());
        drop((held_a, held_b, held_c));
        assert_eq!(live.len(), 0, "nothing is left behind");
        assert!(live.lock().due.is_empty());
    }

    #[test]
    fn an_end_while_the_store_is_asked_is_not_missed() {
        let live = Arc::<Live>::default();
        let token = TokenHash::of(&random_token());
        let claimed = live.claim(token, None);
        live.end(token, Ended::Logout);
        assert!(claimed.begin(Identity::new("1", "a@b.c"), later(60)).is_none());
        assert_eq!(live.len(), 0);
    }

    #[test]
    fn those_whose_time_is_over_end_and_the_next_is_named() {
        let live = Arc::<Live>::default();
        let (soon, late) = (later(1), later(60));
        let (a, _held_a) = hold(&live, TokenHash::of(&random_token()), soon);
        let (b, _held_b) = hold(&live, TokenHash::of(&random_token()), late);
        assert_eq!(live.expire(SystemTime::now()), Some(soon));
        assert_eq!(live.expire(soon), Some(late));
        assert_eq!((told(&a), told(&b)), (1, 0));
        assert_eq!(live.expire(late), None);
    }

    #[test]
    fn a_holder_that_has_gone_is_told_nothing() {
        let live = Arc::<Live>::default();
        let token = TokenHash::of(&random_token());
        let (gone, held) = hold(&live, token, later(60));
        drop(gone);
        live.end(token, Ended::Logout);
        assert!(held.session.is_over());
    }

    #[tokio::test]
    async fn who_looks_by_itself_learns_of_the_end() {
        let live = Arc::<Live>::default();
        let token = TokenHash::of(&random_token());
        let held = live.claim(token, None).begin(Identity::new("1", "a@b.c"), later(60)).unwrap();
        let waits = tokio::spawn(Arc::clone(&held.session).wait_until_ended());
        live.end(token, Ended::Logout);
        waits.await.unwrap();
    }
}
