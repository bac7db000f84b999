//! A reader that is behind: whether it reads, and which senders wait for it.
//!
//! A connection is behind from when more than the [mark](super::mailbox) of pushes waits for its socket, until half of that does.
//! While it reads, the senders of what it has not read wait for it. It reads if its socket has accepted bytes within
//! [`SILENCE`], and a minimum in each period of `reader_stall_timeout`, at most [`MAX_PERIOD`]. The minimum bounds how long it can
//! hold up others.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aaw_protocol::clock;

use crate::hub::sender_hold::HeldSender;

/// After this time without progress a reader holds up no sender. Longer than the pauses of a socket that is read steadily: its
/// system asks for more when half of its buffer is free, so for 128 KiB at a time, which takes 1.3 s at 100 KB/s. Shorter than a person
/// would wait for a room in which one member has put its notebook to sleep.
const SILENCE: Duration = Duration::from_secs(2);

/// The longest period in which it must read the minimum, however long its socket may accept nothing.
const MAX_PERIOD: Duration = Duration::from_secs(5);

/// The senders that wait for one reader at a time, which bounds what they take. Others do not wait for it.
const MAX_SENDERS: usize = 4096;

/// What a mailbox stores of a reader that is behind.
#[derive(Debug, Default)]
pub(crate) struct ReaderPace {
    /// The bytes of pushes that were written since it is behind.
    pushed: u64,
    /// `None` until the connection's task has had a turn.
    progress: Option<Progress>,
    /// It holds up no sender.
    is_slow: bool,
    /// Ordered by what must be written.
    senders: WaitingSenders,
}

/// Some of the senders that wait, or those that need not wait any longer.
pub(crate) type WaitingSenders = VecDeque<WaitingSender>;

/// A sender that waits for a reader.
#[derive(Debug)]
pub(crate) struct WaitingSender {
    /// What must be written, of all pushes since the reader is behind.
    until: u64,
    scope: HoldScope,
    sender: HeldSender,
}

/// What is held up as a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldScope {
    /// The connection or the request over HTTP that has pushed.
    Caller,
    /// All connections and requests of its client.
    Client,
}

#[derive(Debug)]
struct Progress {
    /// When bytes were last seen to be accepted, and how many in all.
    at: Instant,
    written: u64,
    /// When the period began, and what was written of pushes by then.
    period: Instant,
    pushed: u64,
}

/// The result of [`ReaderPace::check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PaceCheck {
    /// When to check again at the latest.
    pub(crate) due: Instant,
    /// The socket has accepted nothing for the whole timeout.
    pub(crate) is_stalled: bool,
}

impl ReaderPace {
    /// Counts pushes that were written. Returns the senders that need not wait any longer, to be dropped without a lock.
    pub(crate) fn count_written(&mut self, pushed: usize) -> WaitingSenders {
        self.pushed += pushed as u64;
        let count = self.senders.partition_point(|waiting| waiting.until <= self.pushed);
        if count == 0 { VecDeque::new() } else { self.senders.drain(..count).collect() }
    }

    /// Lets a sender wait for its part of what waits, `behind`, if the reader holds up senders. `own` is what the sender has just
    /// pushed, both in bytes.
    ///
    /// The part is what all the senders that wait would have pushed, had each pushed as much as this one, and twice that: so that
    /// together they push half of what is read, and the reader catches up. A sender of little waits for little, whatever others push.
    /// What a sender that waits already has pushed since is added.
    ///
    /// Clients wait beside their connections and requests, among each other, and only one and a half times as much: so that those
    /// of the client that have not pushed have their turn before those that have.
    pub(crate) fn hold(&mut self, behind: usize, own: usize, scope: HoldScope, sender: &HeldSender) {
        if self.is_slow {
            return;
        }
        let waits = self.senders.iter().position(|waiting| waiting.sender.is_of_same_hold(sender));
        let before = waits.and_then(|at| self.senders.remove(at));
        if self.senders.len() >= MAX_SENDERS {
            return;
        }
        let others = self.senders.iter().filter(|waiting| waiting.scope == scope).count();
        let part = match scope {
            HoldScope::Caller => own.saturating_mul(2),
            HoldScope::Client => own.saturating_add(own / 2),
        };
        let part = part.saturating_mul(others + 1) as u64;
        let from = before.as_ref().map_or(self.pushed, |waiting| waiting.until);
        let until = from.saturating_add(part).min(self.pushed + behind as u64).max(from);
        let sender = before.map_or_else(|| sender.for_another_reader(), |waiting| waiting.sender);
        let at = self.senders.partition_point(|before| before.until <= until);
        self.senders.insert(at, WaitingSender { until, scope, sender });
    }

    /// Returns whether senders wait for this reader.
    pub(crate) fn holds_senders(&self) -> bool {
        !self.is_slow
    }

    /// Decides whether the client reads. `written` bytes were written so far, in all; it must read `minimum` bytes of pushes in
    /// each period. To be called at the end of each turn, so also when the socket begins to accept nothing, and when it
    /// accepts bytes again. Returns the senders that need not wait any longer, to be dropped without a lock.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        written: u64,
        minimum: usize,
        timeout: Duration,
    ) -> (PaceCheck, WaitingSenders) {
        let pushed = self.pushed;
        let progress = self.progress.get_or_insert(Progress { at: now, written, period: now, pushed });
        if written > progress.written {
            (progress.at, progress.written) = (now, written);
        }
        if pushed >= progress.pushed + minimum as u64 {
            (progress.period, progress.pushed) = (now, pushed);
        }
        let silent = clock::after(progress.at, SILENCE.min(timeout));
        let stalled = clock::after(progress.at, timeout);
        let period_end = clock::after(progress.period, timeout.min(MAX_PERIOD));
        self.is_slow = now >= silent || now >= period_end;
        let due = [silent, stalled, period_end].into_iter().filter(|due| *due > now).min();
        // All are over: the next turn is when the socket accepts bytes.
        let due = due.unwrap_or_else(|| clock::after(now, timeout.max(SILENCE)));
        let released = if self.is_slow { std::mem::take(&mut self.senders) } else { VecDeque::new() };
        (PaceCheck { due, is_stalled: now >= stalled }, released)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::sender_hold::SenderHold;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMEOUT: Duration = Duration::from_secs(5);
    const CALLER: HoldScope = HoldScope::Caller;

    /// Checks with a minimum of 100 bytes. Returns whether the reader holds up senders.
    fn holds(pace: &mut ReaderPace, now: Instant, written: u64) -> bool {
        let (check, _) = pace.check(now, written, 100, TIMEOUT);
        assert!(check.due > now);
        pace.holds_senders()
    }

    #[test]
    fn a_sender_waits_until_what_it_found_was_read() {
        let mut pace = ReaderPace::default();
        let (hold, begun) = SenderHold::begin();
        assert_eq!(pace.count_written(7).len(), 0);
        pace.hold(10, 10, CALLER, &begun);
        drop(begun);
        drop(pace.count_written(9));
        assert!(!hold.has_ended());
        drop(pace.count_written(1));
        assert!(hold.has_ended());
    }

    /// Lets a new sender wait. Returns its hold.
    fn hold(pace: &mut ReaderPace, behind: usize, own: usize) -> std::sync::Arc<SenderHold> {
        let (hold, begun) = SenderHold::begin();
        pace.hold(behind, own, CALLER, &begun);
        hold
    }

    #[test]
    fn a_sender_of_little_waits_for_little_of_what_others_pushed() {
        let mut pace = ReaderPace::default();
        let flood = hold(&mut pace, 1_000_000, 100_000);
        let little = hold(&mut pace, 1_000_000, 20);
        drop(pace.count_written(79));
        assert!(!little.has_ended());
        drop(pace.count_written(1));
        assert!(little.has_ended() && !flood.has_ended());
        drop(pace.count_written(200_000 - 80));
        assert!(flood.has_ended());
    }

    #[test]
    fn a_client_waits_for_less_than_its_connection_that_has_pushed() {
        let mut pace = ReaderPace::default();
        let (client, begun) = SenderHold::begin();
        let connection = hold(&mut pace, 1_000_000, 100);
        pace.hold(1_000_000, 100, HoldScope::Client, &begun);
        drop(begun);
        drop(pace.count_written(149));
        assert!(!client.has_ended());
        drop(pace.count_written(1));
        assert!(client.has_ended() && !connection.has_ended());
    }

    #[test]
    fn senders_together_push_less_than_is_read() {
        let mut pace = ReaderPace::default();
        let holds: Vec<_> = (0..10).map(|_| hold(&mut pace, 1_000_000, 100)).collect();
        let again = hold(&mut pace, 1_000_000, 100);
        drop(pace.count_written(10 * 2 * 100));
        assert!(holds.iter().all(|hold| hold.has_ended()) && !again.has_ended());
    }

    #[test]
    fn what_a_sender_pushes_while_it_waits_is_added() {
        let mut pace = ReaderPace::default();
        let (hold, begun) = SenderHold::begin();
        pace.hold(1000, 10, CALLER, &begun);
        pace.hold(1000, 15, CALLER, &begun);
        drop(begun);
        assert_eq!(pace.senders.len(), 1);
        drop(pace.count_written(49));
        assert!(!hold.has_ended());
        drop(pace.count_written(1));
        assert!(hold.has_ended());
    }

    #[test]
    fn the_senders_that_wait_are_bounded() {
        let mut pace = ReaderPace::default();
        let holds: Vec<_> = (0..=MAX_SENDERS).map(|_| hold(&mut pace, 10, 10)).collect();
        assert_eq!(holds.iter().filter(|hold| hold.has_ended()).count(), 1);
    }

    #[test]
    fn a_silent_reader_holds_up_no_sender_until_it_reads_again() {
        let (mut pace, start) = (ReaderPace::default(), Instant::now());
        let (hold, begun) = SenderHold::begin();
        assert!(holds(&mut pace, start, 0));
        pace.hold(10, 10, CALLER, &begun);
        drop(begun);
        assert!(holds(&mut pace, start + SILENCE / 2, 1));
        assert!(holds(&mut pace, start + SILENCE, 1));
        assert!(!hold.has_ended());
        assert!(!holds(&mut pace, start + SILENCE / 2 + SILENCE, 1));
        assert!(hold.has_ended());
        let (hold, begun) = SenderHold::begin();
        pace.hold(10, 10, CALLER, &begun);
        drop(begun);
        assert!(hold.has_ended(), "no sender waits for it");
        assert!(holds(&mut pace, start + 2 * SILENCE, 2));
    }

    #[test]
    fn a_reader_that_reads_too_little_holds_up_no_sender() {
        let (mut pace, start) = (ReaderPace::default(), Instant::now());
        for half in 0..10 {
            drop(pace.count_written(1));
            assert!(holds(&mut pace, start + half * SECOND / 2, half.into()));
        }
        assert!(!holds(&mut pace, start + TIMEOUT, 10));
        drop(pace.count_written(91));
        assert!(holds(&mut pace, start + TIMEOUT + SECOND, 100), "a new period");
    }

    #[test]
    fn a_reader_that_accepts_nothing_is_stalled() {
        let (mut pace, start) = (ReaderPace::default(), Instant::now());
        let mut is_stalled = |after, written| pace.check(start + after, written, 100, TIMEOUT).0.is_stalled;
        assert!(!is_stalled(Duration::ZERO, 0));
        assert!(!is_stalled(4 * SECOND, 1));
        assert!(!is_stalled(8 * SECOND, 1));
        assert!(is_stalled(9 * SECOND, 1));
    }
}
