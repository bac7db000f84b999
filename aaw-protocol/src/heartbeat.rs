//! Whether the other side is still there. Both sessions ask the same way.

use std::time::{Duration, Instant};

use crate::clock::after;

/// Asks for a ping after each silent interval, and gives the peer up when `patience` of them brought nothing. Whatever
/// arrives is a sign of life, not only a pong.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    patience: u32,
    /// When the peer was last heard, or asked if that was later.
    since: Instant,
    asked: u32,
    /// When to look again. It stays where it is when something is heard: moving a timer with every frame costs more
    /// than looking once for nothing.
    look: Instant,
}

/// What to do about the silence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Nothing.
    Quiet,
    /// Ask.
    Ping,
    /// Nobody is there.
    Gone,
}

impl Heartbeat {
    /// An `interval` of `Duration::MAX` asks nothing.
    pub(crate) fn new(interval: Duration, patience: u32, now: Instant) -> Self {
        Self { interval, patience, since: now, asked: 0, look: after(now, interval) }
    }

    /// Anything at all came in.
    pub(crate) fn handle_sign_of_life(&mut self, now: Instant) {
        self.since = now;
        self.asked = 0;
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.look
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Beat {
        if now < self.look {
            return Beat::Quiet;
        }
        let due = after(self.since, self.interval);
        if now < due {
            self.look = due;
            return Beat::Quiet;
        }
        if self.asked >= self.patience {
            return Beat::Gone;
        }
        self.asked += 1;
        // Counted from this ping, not from when it was due: after a stall of the machine the peer has its full time to
        // answer, and answers that wait unread in the socket are found before it is given up.
        self.since = now;
        self.look = after(now, self.interval);
        Beat::Ping
    }

    /// Nothing is asked from here on.
    pub(crate) fn stop(&mut self) {
        self.interval = Duration::MAX;
        self.look = after(self.since, self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);

    #[test]
    fn two_pings_then_gone() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(INTERVAL, 2, start);
        assert_eq!(heartbeat.handle_timeout(at(19)), Beat::Quiet);
        assert_eq!(heartbeat.handle_timeout(at(20)), Beat::Ping);
        assert_eq!(heartbeat.handle_timeout(at(21)), Beat::Quiet);
        assert_eq!(heartbeat.handle_timeout(at(40)), Beat::Ping);
        assert_eq!(heartbeat.poll_timeout(), at(60));
        assert_eq!(heartbeat.handle_timeout(at(60)), Beat::Gone);
    }

    #[test]
    fn any_sign_of_life_begins_anew() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(INTERVAL, 2, start);
        assert_eq!(heartbeat.handle_timeout(at(45)), Beat::Ping);
        heartbeat.handle_sign_of_life(at(50));
        assert_eq!(heartbeat.handle_timeout(at(69)), Beat::Quiet);
        assert_eq!(heartbeat.handle_timeout(at(70)), Beat::Ping);
    }

    #[test]
    fn what_is_heard_moves_no_timer_until_it_has_gone_off() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(INTERVAL, 2, start);
        heartbeat.handle_sign_of_life(at(15));
        assert_eq!(heartbeat.poll_timeout(), at(20));
        assert_eq!(heartbeat.handle_timeout(at(20)), Beat::Quiet);
        assert_eq!(heartbeat.poll_timeout(), at(35));
        assert_eq!(heartbeat.handle_timeout(at(35)), Beat::Ping);
    }

    #[test]
    fn after_a_stall_the_peer_has_its_time_to_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(INTERVAL, 2, start);
        assert_eq!(heartbeat.handle_timeout(at(1000)), Beat::Ping);
        assert_eq!(heartbeat.handle_timeout(at(1000)), Beat::Quiet);
        assert_eq!(heartbeat.poll_timeout(), at(1020));
    }

    #[test]
    fn an_endless_interval_asks_nothing_and_one_that_was_stopped_neither() {
        let start = Instant::now();
        let late = start + Duration::from_secs(1 << 20);
        assert_eq!(Heartbeat::new(Duration::MAX, 2, start).handle_timeout(late), Beat::Quiet);
        let mut stopped = Heartbeat::new(INTERVAL, 2, start);
        stopped.stop();
        assert_eq!(stopped.handle_timeout(late), Beat::Quiet);
        assert!(stopped.poll_timeout() > late);
    }
}
