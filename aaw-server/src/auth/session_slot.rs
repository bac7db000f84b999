//! The session of a caller.
//!
//! A connection's slot changes: a log-in replaces its session, a log-out or an expiry empties it, and the end of the
//! connection closes it. The slot of an HTTP request holds the session of its bearer token and never changes: a log-in
//! over HTTP returns a token, and the client sends it with its next request.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::session::Session;
use super::session_observer::SessionObserver;
use super::session_registry::SessionGuard;

/// Holds the session of a connection or of an HTTP request.
///
/// Guards are dropped after the lock is released: dropping one locks the session registry.
pub(crate) struct SessionSlot(SlotKind);

enum SlotKind {
    Connection {
        state: Mutex<SlotState>,
        /// Notified when a session that was stored here ends.
        observer: Weak<dyn SessionObserver>,
    },
    Request(Option<Arc<SessionGuard>>),
}

enum SlotState {
    /// The session, which may have ended; `None` without one.
    Open(Option<Arc<SessionGuard>>),
    /// The connection has ended: no session is accepted any more.
    Closed,
}

impl SessionSlot {
    /// Returns the empty slot of a connection. `observer` is notified of the end of each session that is stored in it.
    pub(crate) fn for_connection(observer: Weak<dyn SessionObserver>) -> Self {
        Self(SlotKind::Connection { state: Mutex::new(SlotState::Open(None)), observer })
    }

    /// Returns the slot of an HTTP request, with the session of its bearer token.
    #[cfg_attr(not(any(feature = "http", test)), expect(dead_code, reason = "for HTTP requests"))]
    pub(crate) fn for_request(session: Option<SessionGuard>) -> Self {
        Self(SlotKind::Request(session.map(Arc::new)))
    }

    /// Returns the session, unless it has ended.
    ///
    /// The guard keeps the connection registered as an observer of that session, even after the slot has changed.
    /// Whatever is authorized by the session must keep this very guard: a second call may return another session.
    pub(crate) fn current(&self) -> Option<Arc<SessionGuard>> {
        let guard = match &self.0 {
            SlotKind::Request(guard) => guard.clone(),
            SlotKind::Connection { state, .. } => match &*lock(state) {
                SlotState::Open(guard) => guard.clone(),
                SlotState::Closed => None,
            },
        };
        guard.filter(|guard| !guard.is_over())
    }

    /// Returns what to notify when a session for this slot ends: nothing for a request, which awaits the end itself.
    #[cfg_attr(not(feature = "auth"), expect(dead_code, reason = "for log-ins"))]
    pub(crate) fn observer(&self) -> Option<Weak<dyn SessionObserver>> {
        match &self.0 {
            SlotKind::Connection { observer, .. } => Some(Weak::clone(observer)),
            SlotKind::Request(_) => None,
        }
    }

    /// Stores a session and returns the previous one. A closed slot and the slot of a request return `guard` itself.
    #[cfg_attr(not(feature = "auth"), expect(dead_code, reason = "for log-ins"))]
    pub(crate) fn replace(&self, guard: SessionGuard) -> Option<Arc<SessionGuard>> {
        let guard = Arc::new(guard);
        match &self.0 {
            SlotKind::Request(_) => Some(guard),
            SlotKind::Connection { state, .. } => match &mut *lock(state) {
                SlotState::Open(before) => before.replace(guard),
                SlotState::Closed => Some(guard),
            },
        }
    }

    /// Empties the slot if it holds this session, and returns the guard. The slot of a request is left as it is.
    pub(crate) fn release(&self, session: &Arc<Session>) -> Option<Arc<SessionGuard>> {
        match &self.0 {
            SlotKind::Request(_) => None,
            SlotKind::Connection { state, .. } => match &mut *lock(state) {
                SlotState::Open(guard) => guard.take_if(|guard| Arc::ptr_eq(guard.session(), session)),
                SlotState::Closed => None,
            },
        }
    }

    /// Closes the slot of a connection that has ended: a log-in that completes later is not stored.
    pub(crate) fn close(&self) {
        if let SlotKind::Connection { state, .. } = &self.0 {
            let before = std::mem::replace(&mut *lock(state), SlotState::Closed);
            drop(before);
        }
    }
}

fn lock(state: &Mutex<SlotState>) -> MutexGuard<'_, SlotState> {
    // Nothing panics while it holds the lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for SessionSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionSlot").field(&self.current()).finish()
    }
}

#[cfg(all(test, feature = "auth"))]
mod tests {
    use std::time::{Duration, SystemTime};

    use aaw_event::Identity;

    use super::*;
    use crate::auth::session::EndReason;
    use crate::auth::session_registry::SessionRegistry;
    use crate::auth::token::{TokenHash, random_token};

    struct NoObserver;

    impl SessionObserver for NoObserver {
        fn session_ended(&self, _session: &Arc<Session>) {}
    }

    fn connection_slot() -> SessionSlot {
        SessionSlot::for_connection(Weak::<NoObserver>::new())
    }

    fn start_session(registry: &Arc<SessionRegistry>) -> (TokenHash, SessionGuard) {
        let token = TokenHash::of(&random_token());
        let expires = SystemTime::now() + Duration::from_secs(60);
        let guard = registry.claim(token, None).activate(Identity::new("1", "a@b.c"), expires);
        (token, guard.expect("the session has not ended"))
    }

    #[test]
    fn a_log_in_replaces_the_session_of_a_connection() {
        let (registry, slot) = (Arc::default(), connection_slot());
        let ((_, first), (_, second)) = (start_session(&registry), start_session(&registry));
        let (first_session, second_session) = (Arc::clone(first.session()), Arc::clone(second.session()));
        assert!(slot.replace(first).is_none());
        let previous = slot.replace(second).unwrap();
        assert!(Arc::ptr_eq(previous.session(), &first_session));
        assert!(slot.release(&first_session).is_none(), "the slot has another session");
        assert!(Arc::ptr_eq(slot.current().unwrap().session(), &second_session));
        assert!(slot.release(&second_session).is_some());
        assert!(slot.current().is_none());
    }

    #[test]
    fn a_session_that_has_ended_is_not_current() {
        let (registry, slot) = (Arc::default(), connection_slot());
        let (token, guard) = start_session(&registry);
        slot.replace(guard);
        registry.end(token, EndReason::Logout);
        assert!(slot.current().is_none());
    }

    #[test]
    fn the_slot_of_a_connection_that_has_ended_stores_no_session() {
        let (registry, slot) = (Arc::default(), connection_slot());
        slot.replace(start_session(&registry).1);
        slot.close();
        assert!(slot.current().is_none());
        assert!(slot.replace(start_session(&registry).1).is_some());
        assert!(slot.current().is_none());
    }

    #[test]
    fn the_slot_of_a_request_does_not_change() {
        let registry = Arc::default();
        let (_, guard) = start_session(&registry);
        let session = Arc::clone(guard.session());
        let slot = SessionSlot::for_request(Some(guard));
        assert!(slot.observer().is_none());
        assert!(slot.replace(start_session(&registry).1).is_some());
        assert!(slot.release(&session).is_none());
        slot.close();
        assert!(Arc::ptr_eq(slot.current().unwrap().session(), &session));
    }
}
