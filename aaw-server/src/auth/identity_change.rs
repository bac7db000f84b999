//! Attributes a log-in or log-out that a handler begins to the call whose handler began it.
//!
//! A call that changes who its caller is must be a barrier: the calls behind it on the same connection wait for it, so
//! that they are authorised by its result. A handler makes such a call by beginning the host operation `authenticate` or
//! `logout` during its first poll, which dispatch runs in place. Whether *this* call began one cannot be read from the
//! connection, because other handlers of the same connection run on other threads at the same time; mistaking one of their
//! log-ins for this call's would make, for instance, a long poll the barrier, and nothing behind it would start.
//!
//! So a flag of the current thread is set by the operation when it begins and read by dispatch after the poll. That
//! attributes exactly, because a poll does not leave its thread, also inside a loaded module; and unlike a flag in each
//! call it costs no allocation. The flag is saved and restored around each first poll, so a poll within a poll reports its
//! own changes only.

use std::cell::Cell;
use std::marker::PhantomData;

thread_local! {
    static CHANGED: Cell<bool> = const { Cell::new(false) };
}

/// Records that the handler which is being polled on this thread has begun to change its caller's identity. Without effect
/// outside of a first poll: a call that is pending already cannot become a barrier.
pub(crate) fn begin() {
    CHANGED.set(true);
}

/// The first poll of a call, from its creation until it is dropped on the same thread.
pub(crate) struct FirstPoll {
    /// The flag of the poll around this one.
    outer: bool,
    /// Bound to its thread.
    _not_send: PhantomData<*const ()>,
}

impl FirstPoll {
    pub(crate) fn enter() -> Self {
        Self { outer: CHANGED.replace(false), _not_send: PhantomData }
    }

    /// Returns whether a change of identity has begun since [`enter`](Self::enter), outside of nested first polls.
    pub(crate) fn began_identity_change(&self) -> bool {
        CHANGED.get()
    }
}

impl Drop for FirstPoll {
    fn drop(&mut self) {
        CHANGED.set(self.outer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_poll_reports_a_change_that_began_during_it() {
        begin();
        let poll = FirstPoll::enter();
        assert!(!poll.began_identity_change(), "a change that began before it");
        begin();
        assert!(poll.began_identity_change());
    }

    #[test]
    fn a_first_poll_does_not_report_a_change_on_another_thread() {
        let poll = FirstPoll::enter();
        std::thread::scope(|scope| scope.spawn(begin).join()).unwrap();
        assert!(!poll.began_identity_change());
    }

    #[test]
    fn a_nested_first_poll_and_the_one_around_it_report_their_own_changes_only() {
        let outer = FirstPoll::enter();
        let inner = FirstPoll::enter();
        begin();
        assert!(inner.began_identity_change());
        drop(inner);
        assert!(!outer.began_identity_change());
        begin();
        let inner = FirstPoll::enter();
        assert!(!inner.began_identity_change());
        drop(inner);
        assert!(outer.began_identity_change());
    }
}
