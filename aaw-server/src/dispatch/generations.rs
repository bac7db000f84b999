//! The generations of events: each replacement of all events begins one. What still runs of an earlier one is ended at a
//! deadline, since its library and its services are kept as long as it runs.

use std::sync::atomic::{AtomicU64, Ordering};

use aaw_protocol::{Code, Failure};
use tokio::sync::watch;

/// The generations of one server. The number of the first one is 1.
#[derive(Debug)]
pub(crate) struct Generations {
    current: AtomicU64,
    /// The last generation whose calls are over.
    ended: watch::Sender<u64>,
    /// The calls that were ended since this was last read.
    ended_calls: AtomicU64,
}

impl Default for Generations {
    fn default() -> Self {
        Self { current: AtomicU64::new(1), ended: watch::Sender::new(0), ended_calls: AtomicU64::new(0) }
    }
}

impl Generations {
    /// Returns the generation of a call that has just begun. Not synchronized with the replacement: a call that begins in
    /// the same moment may count as one of the other generation.
    pub(crate) fn current(&self) -> u64 {
        self.current.load(Ordering::Relaxed)
    }

    /// Begins a generation, and returns the previous one.
    pub(crate) fn advance(&self) -> u64 {
        self.current.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends the calls over HTTP of this generation, and of those before it. Connections need a command.
    pub(crate) fn end(&self, generation: u64) {
        self.ended.send_modify(|ended| *ended = generation.max(*ended));
    }

    /// Completes when this generation is ended.
    #[cfg_attr(
        not(any(feature = "http", test)),
        expect(dead_code, reason = "connections are told through their mailbox")
    )]
    pub(crate) fn ended(&self, generation: u64) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.subscribe();
        async move {
            if ended.wait_for(|ended| *ended >= generation).await.is_err() {
                // The server was dropped. It ends its calls in its own way.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Counts calls that were ended.
    pub(crate) fn count_ended(&self, calls: usize) {
        self.ended_calls.fetch_add(calls as u64, Ordering::Relaxed);
    }

    /// Returns the number of calls that were ended since the last time.
    pub(crate) fn take_ended(&self) -> u64 {
        self.ended_calls.swap(0, Ordering::Relaxed)
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
    fn the_end_of_a_generation_is_that_of_those_before_it() {
        let generations = Generations::default();
        assert_eq!(generations.current(), 1);
        let first = generations.ended(1);
        assert_eq!((generations.advance(), generations.advance(), generations.current()), (1, 2, 3));
        generations.end(2);
        generations.end(1);
        assert!(first.now_or_never().is_some());
        assert!(generations.ended(2).now_or_never().is_some());
        assert!(generations.ended(3).now_or_never().is_none());
    }
}
