//! The generation of events: each replacement of all events begins one. What still runs of an earlier one is ended at a
//! deadline, since its library and its services are kept as long as it runs.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aaw_protocol::{Code, Failure};
use tokio::sync::Notify;

/// The events that a server has at one time. A call keeps the generation of the registry that its event was found in.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    has_ended: AtomicBool,
    ended: Notify,
    ended_calls: AtomicU64,
}

impl Generation {
    /// Ends the calls over HTTP. Connections need a command. A call that is dropped from now on is recorded as replaced.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.ended.notify_waiters();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Completes when the generation has ended.
    #[cfg_attr(
        not(any(feature = "http", test)),
        expect(dead_code, reason = "connections are told through their mailbox")
    )]
    pub(crate) async fn wait_until_ended(self: Arc<Self>) {
        let mut ended = pin!(self.ended.notified());
        // Registered before the check, so an end in between is not missed.
        ended.as_mut().enable();
        if !self.has_ended() {
            ended.await;
        }
    }

    /// Counts a call that was ended.
    pub(crate) fn count_ended_call(&self) {
        self.ended_calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of calls that were ended.
    pub(crate) fn ended_calls(&self) -> u64 {
        self.ended_calls.load(Ordering::Relaxed)
    }
}

/// The failure of a call that is ended because its events were replaced long ago.
pub(crate) fn replaced() -> Failure {
    Failure::new(Code::REPLACED, "The events were replaced while this call ran: call again")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_end_is_noticed_whether_it_was_waited_for_or_has_passed() {
        let generation = Arc::new(Generation::default());
        let mut waiting = Box::pin(Arc::clone(&generation).wait_until_ended());
        assert!((&mut waiting).now_or_never().is_none());
        assert!(!generation.has_ended());
        generation.end();
        assert!(generation.has_ended());
        assert!(waiting.now_or_never().is_some());
        assert!(generation.wait_until_ended().now_or_never().is_some());
    }
}
