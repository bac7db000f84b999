//! When the members of a room are told that others have left it.
//!
//! At once, unless others have left just before. Members that leave together, because the network fails or an application
//! closes them, are announced together: one after the other they would cost a message from each to each that has not left
//! yet, n²/2 of n members, and almost all of these have no reader any more. So they receive nothing about one another, and
//! each of those that stay receives all notices in one buffer.

use std::time::{Duration, Instant};

use aaw_protocol::websocket::SharedFrame;

/// How long no member leaves before the departures that wait are announced.
pub(super) const QUIET: Duration = Duration::from_millis(5);

/// How much longer that is for each departure that waits. The more there are, the more a pause that is too short costs, and
/// a busy machine has longer pauses. A departure takes about this time.
const QUIET_PER_DEPARTURE: Duration = Duration::from_micros(20);

/// How long a departure waits at most, if others leave all the time.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// The departures of one room that were not announced yet.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// The messages, oldest first.
    notices: Vec<Vec<u8>>,
    /// When they are announced, and when that is at the latest. Of no meaning without notices.
    due: Option<Instant>,
    latest: Option<Instant>,
    /// The last departure, announced or not.
    last: Option<Instant>,
    /// A handler has made one of these members leave.
    precede_messages: bool,
}

impl Departures {
    /// Adds the notice of a departure. If a handler has made the member leave, members must not receive a message that it
    /// sends after that before the notice: with `precedes_messages` the next message is to be preceded by all notices. The
    /// end of a connection has no such order.
    pub(super) fn add(&mut self, now: Instant, notice: Vec<u8>, precedes_messages: bool) {
        let is_quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET);
        self.last = Some(now);
        self.notices.push(notice);
        self.precede_messages |= precedes_messages;
        if self.notices.len() == 1 {
            self.latest = Some(now + MAX_WAIT);
            self.due = Some(if is_quiet { now } else { now + QUIET });
        } else {
            let waiting = u32::try_from(self.notices.len()).unwrap_or(u32::MAX);
            let settled = now + QUIET.saturating_add(QUIET_PER_DEPARTURE.saturating_mul(waiting));
            self.due = self.latest.map(|latest| latest.min(settled));
        }
    }

    /// Returns when the departures are to be announced, `None` if there are none.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.notices.is_empty())
    }

    /// Returns whether a message must not be sent before the notices.
    pub(super) fn precede_messages(&self) -> bool {
        self.precede_messages
    }

    /// Takes the notices, as one buffer.
    pub(super) fn take(&mut self) -> Option<SharedFrame> {
        self.precede_messages = false;
        let notices = std::mem::take(&mut self.notices);
        (!notices.is_empty()).then(|| SharedFrame::texts(&notices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Adds a departure, and returns after how many milliseconds from `start` those that wait are due.
    fn add(departures: &mut Departures, start: Instant, at: u32) -> u128 {
        departures.add(start + MS * at, b"[]".to_vec(), false);
        departures.due().unwrap().duration_since(start).as_millis()
    }

    #[test]
    fn one_departure_is_due_at_once_and_those_that_follow_it_together() {
        let (mut departures, start) = (Departures::default(), Instant::now());
        assert_eq!(departures.due(), None);
        assert_eq!(add(&mut departures, start, 100), 100);
        assert_eq!(departures.take(), Some(SharedFrame::text(b"[]")));
        assert_eq!((departures.due(), departures.take()), (None, None));
        assert_eq!(add(&mut departures, start, 101), 106);
        assert_eq!(add(&mut departures, start, 102), 107);
        assert_eq!(departures.take(), Some(SharedFrame::texts(&[b"[]", b"[]"])));
        // Those before were announced, but not 5 ms ago.
        assert_eq!(add(&mut departures, start, 106), 111);
        departures.take();
        assert_eq!(add(&mut departures, start, 111), 111);
    }

    #[test]
    fn many_departures_wait_for_a_longer_pause_and_not_for_ever() {
        let (mut departures, start) = (Departures::default(), Instant::now());
        add(&mut departures, start, 0);
        departures.take();
        for _ in 0..999 {
            add(&mut departures, start, 1);
        }
        assert_eq!(add(&mut departures, start, 1), 26);
        for at in 2..490 {
            add(&mut departures, start, at);
        }
        assert_eq!(add(&mut departures, start, 490), 501);
        assert_eq!(add(&mut departures, start, 500), 501);
    }

    #[test]
    fn what_a_handler_has_made_leave_precedes_messages() {
        let (mut departures, start) = (Departures::default(), Instant::now());
        departures.add(start, b"1".to_vec(), false);
        assert!(!departures.precede_messages());
        departures.add(start, b"2".to_vec(), true);
        departures.add(start, b"3".to_vec(), false);
        assert!(departures.precede_messages());
        departures.take();
        departures.add(start, b"4".to_vec(), false);
        assert!(!departures.precede_messages());
    }
}
