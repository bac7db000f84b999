//! Attributes a log-in or log-out that a handler begins to the call whose handler began it.
//!
//! Two decisions depend on it. A call that begins such a change in its first poll is a barrier: later calls of the same
//! connection wait for it, so that they are authorized by its result. And a call that ends the session which authorized
//! it is not aborted by that end, because its caller must receive the response.
//!
//! Whether *this* call began the change cannot be read from the connection, because other handlers of the same
//! connection run on other threads at the same time; mistaking one of their log-ins for this call's would make, for
//! instance, a long poll the barrier, and nothing behind it would start.
//!
//! So the operations `authenticate` and `logout` mark the handler that is being polled on the current thread. That
//! attributes exactly, because a poll does not leave its thread, also inside a loaded module; and unlike a mark in each
//! call it costs no allocation where a call completes in its first poll. The mark belongs to one caller: a handler that
//! changes the identity of another connection, whose services it has kept, is not marked. A poll within a poll reports
//! its own changes only.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

/// Whether a pending call has begun to change its caller's identity. Shared with the connection's task, which reads it when the
/// session that authorized the call ends. Calls that no session authorized have no `IdentityChange`.
#[derive(Debug, Clone, Default)]
pub(crate) struct IdentityChange(Arc<AtomicBool>);

impl IdentityChange {
    pub(crate) fn new(has_begun: bool) -> Self {
        Self(Arc::new(AtomicBool::new(has_begun)))
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The innermost poll of a handler on a thread. Plain values that need no destructor: their place in the thread is read
/// and written without the checks of a lazy initialization, which cost 7 % of a call.
#[derive(Clone, Copy)]
struct CurrentPoll {
    /// The id of the caller; nil outside of a poll.
    caller: Uuid,
    changed: bool,
    /// Whether [`PENDING`] is the mark of this call.
    is_pending: bool,
}

thread_local! {
    static CURRENT: Cell<CurrentPoll> =
        const { Cell::new(CurrentPoll { caller: Uuid::nil(), changed: false, is_pending: false }) };

    /// The mark of the innermost poll of a pending call on the thread: set when the change begins, before the end of a
    /// session can reach the connection's task.
    static PENDING: RefCell<Option<IdentityChange>> = const { RefCell::new(None) };
}

/// Records that a change of the identity of this caller has begun. Without effect outside of a poll of a handler of this
/// caller on the current thread.
pub(crate) fn begin(caller: Uuid) {
    let current = CURRENT.get();
    if current.caller != caller {
        return;
    }
    CURRENT.set(CurrentPoll { changed: true, ..current });
    if current.is_pending {
        PENDING.with_borrow(|pending| {
            if let Some(IdentityChange(pending)) = pending {
                pending.store(true, Ordering::Release);
            }
        });
    }
}

/// A poll of a handler, from its creation until it is dropped on the same thread.
pub(crate) struct HandlerPoll {
    /// The poll around this one.
    outer: CurrentPoll,
    /// The mark of the pending call around this one, if this one is pending too.
    outer_pending: Option<IdentityChange>,
    /// Bound to its thread.
    _not_send: PhantomData<*const ()>,
}

impl HandlerPoll {
    /// Begins the first poll of a call, on the task that received it, or any poll of a call that has no mark.
    #[inline]
    pub(crate) fn first(caller: Uuid) -> Self {
        let outer = CURRENT.replace(CurrentPoll { caller, changed: false, is_pending: false });
        Self { outer, outer_pending: None, _not_send: PhantomData }
    }

    /// Begins a later poll, perhaps on another task.
    pub(crate) fn later(caller: Uuid, change: Option<&IdentityChange>) -> Self {
        let Some(change) = change else { return Self::first(caller) };
        let outer = CURRENT.replace(CurrentPoll { caller, changed: false, is_pending: true });
        let outer_pending = PENDING.replace(Some(change.clone()));
        Self { outer, outer_pending, _not_send: PhantomData }
    }

    /// Returns whether a handler of this caller is being polled on the current thread, innermost.
    pub(crate) fn is_of(caller: Uuid) -> bool {
        CURRENT.get().caller == caller
    }

    /// Returns whether a change of the caller's identity has begun since the poll began, outside of nested polls.
    #[inline]
    pub(crate) fn began_identity_change(&self) -> bool {
        CURRENT.get().changed
    }
}

impl Drop for HandlerPoll {
    #[inline]
    fn drop(&mut self) {
        if CURRENT.replace(self.outer).is_pending {
            PENDING.set(self.outer_pending.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: Uuid = Uuid::from_u128(1);

    #[test]
    fn a_poll_reports_a_change_that_began_during_it() {
        begin(CALLER);
        assert!(!HandlerPoll::is_of(CALLER));
        let poll = HandlerPoll::first(CALLER);
        assert!(HandlerPoll::is_of(CALLER));
        assert!(!poll.began_identity_change(), "a change that began before it");
        begin(CALLER);
        assert!(poll.began_identity_change());
    }

    #[test]
    fn a_later_poll_marks_its_call_when_the_change_begins() {
        let change = IdentityChange::default();
        let _poll = HandlerPoll::later(CALLER, Some(&change));
        assert!(!change.has_begun());
        begin(CALLER);
        assert!(change.has_begun());
    }

    #[test]
    fn a_first_poll_within_a_later_one_does_not_mark_the_pending_call() {
        let (outer, inner) = (IdentityChange::default(), IdentityChange::default());
        let outer_poll = HandlerPoll::later(CALLER, Some(&outer));
        let first = HandlerPoll::first(CALLER);
        begin(CALLER);
        assert!(first.began_identity_change());
        let without_mark = HandlerPoll::later(CALLER, None);
        begin(CALLER);
        drop(without_mark);
        let inner_poll = HandlerPoll::later(CALLER, Some(&inner));
        begin(CALLER);
        drop((inner_poll, first));
        assert!(inner.has_begun() && !outer.has_begun());
        begin(CALLER);
        assert!(outer.has_begun() && outer_poll.began_identity_change());
    }

    #[test]
    fn a_poll_does_not_report_a_change_of_another_caller() {
        let poll = HandlerPoll::first(CALLER);
        begin(Uuid::from_u128(2));
        assert!(!poll.began_identity_change());
    }

    #[test]
    fn a_poll_does_not_report_a_change_on_another_thread() {
        let poll = HandlerPoll::first(CALLER);
        std::thread::scope(|scope| scope.spawn(|| begin(CALLER)).join()).unwrap();
        assert!(!poll.began_identity_change());
    }

    #[test]
    fn a_nested_poll_and_the_one_around_it_report_their_own_changes_only() {
        let outer = HandlerPoll::first(CALLER);
        let inner = HandlerPoll::first(CALLER);
        begin(CALLER);
        assert!(inner.began_identity_change());
        drop(inner);
        assert!(!outer.began_identity_change());
        begin(CALLER);
        let inner = HandlerPoll::first(CALLER);
        assert!(!inner.began_identity_change());
        drop(inner);
        assert!(outer.began_identity_change());
    }
}
