//! Attributes a log-in or log-out that a handler begins to the call whose handler began it.
//!
//! A call that changes its caller's identity must be a barrier: later calls of the same connection wait for it, so that
//! they are authorized by its result. A handler makes such a call by beginning the host operation `authenticate` or
//! `logout` during its first poll, which dispatch runs in place. Whether *this* call began one cannot be read from the
//! connection, because other handlers of the same connection run on other threads at the same time; mistaking one of
//! their log-ins for this call's would make, for instance, a long poll the barrier, and nothing behind it would start.
//!
//! So a flag of the current thread is set by the operation when it begins and read by dispatch after the poll. That
//! attributes exactly, because a poll does not leave its thread, also inside a loaded module; and unlike a flag in each
//! call it costs no allocation. The flag belongs to one caller: a handler that changes the identity of another
//! connection, whose services it has kept, does not make its own call a barrier. It is saved and restored around each
//! first poll, so a poll within a poll reports its own changes only.

use std::cell::Cell;
use std::marker::PhantomData;

use uuid::Uuid;

/// The innermost first poll on a thread.
#[derive(Clone, Copy)]
struct CurrentPoll {
    /// The id of the caller; nil outside of a first poll.
    caller: Uuid,
    changed: bool,
}

thread_local! {
    static CURRENT: Cell<CurrentPoll> = const { Cell::new(CurrentPoll { caller: Uuid::nil(), changed: false }) };
}

/// Records that a change of the identity of this caller has begun. Without effect outside of a first poll of a call of
/// this caller on the current thread: a call that is pending already cannot become a barrier.
pub(crate) fn begin(caller: Uuid) {
    let current = CURRENT.get();
    if current.caller == caller {
        CURRENT.set(CurrentPoll { changed: true, ..current });
    }
}

/// The first poll of a call, from its creation until it is dropped on the same thread.
pub(crate) struct FirstPoll {
    /// The poll around this one.
    outer: CurrentPoll,
    /// Bound to its thread.
    _not_send: PhantomData<*const ()>,
}

impl FirstPoll {
    pub(crate) fn enter(caller: Uuid) -> Self {
        Self { outer: CURRENT.replace(CurrentPoll { caller, changed: false }), _not_send: PhantomData }
    }

    /// Returns whether a change of the caller's identity has begun since [`enter`](Self::enter), outside of nested
    /// first polls.
    pub(crate) fn began_identity_change(&self) -> bool {
        CURRENT.get().changed
    }
}

impl Drop for FirstPoll {
    fn drop(&mut self) {
        CURRENT.set(self.outer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: Uuid = Uuid::from_u128(1);

    #[test]
    fn a_first_poll_reports_a_change_that_began_during_it() {
        begin(CALLER);
        let poll = FirstPoll::enter(CALLER);
        assert!(!poll.began_identity_change(), "a change that began before it");
        begin(CALLER);
        assert!(poll.began_identity_change());
    }

    #[test]
    fn a_first_poll_does_not_report_a_change_of_another_caller() {
        let poll = FirstPoll::enter(CALLER);
        begin(Uuid::from_u128(2));
        assert!(!poll.began_identity_change());
    }

    #[test]
    fn a_first_poll_does_not_report_a_change_on_another_thread() {
        let poll = FirstPoll::enter(CALLER);
        std::thread::scope(|scope| scope.spawn(|| begin(CALLER)).join()).unwrap();
        assert!(!poll.began_identity_change());
    }

    #[test]
    fn a_nested_first_poll_and_the_one_around_it_report_their_own_changes_only() {
        let outer = FirstPoll::enter(CALLER);
        let inner = FirstPoll::enter(CALLER);
        begin(CALLER);
        assert!(inner.began_identity_change());
        drop(inner);
        assert!(!outer.began_identity_change());
        begin(CALLER);
        let inner = FirstPoll::enter(CALLER);
        assert!(!inner.began_identity_change());
        drop(inner);
        assert!(outer.began_identity_change());
    }
}
