//! Whether the other side is still there.

use std::time::{Duration, Instant};

/// Asks for a ping after each silent interval, and gives the peer up when `patience` of them brought nothing.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    patience: u32,
    /// When the peer was last heard, or asked if that was later.
    since: Instant,
    asked: u32,
}

/// What to do about the silence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Quiet,
    Ping,
    Gone,
}

impl Heartbeat {
    pub(super) fn new(interval: Duration, patience: u32, now: Instant) -> Self {
        Self { interval, patience, since: now, asked: 0 }
    }

    /// Anything at all came in.
    pub(super) fn handle_sign_of_life(&mut self, now: Instant) {
        self.since = now;
        self.asked = 0;
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        after(self.since, self.interval)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Beat {
        if now < self.poll_timeout() {
            return Beat::Quiet;
        }
        if self.asked >= self.patience {
            return Beat::Gone;
        }
        self.asked += 1;
        // Counted from this ping, not from when it was due: after a stall of the machine the peer has its full time to
        // answer, and answers that wait unread in the socket are found before it is given up.
        self.since = now;
        Beat::Ping
    }

    /// Nothing is asked from here on.
    pub(super) fn stop(&mut self) {
        self.interval = Duration::MAX;
    }
}

/// `now + wait`, or thirty years from now where a clock cannot hold that: a limit set to `Duration::MAX` means "never".
pub(super) fn after(now: Instant, wait: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    now.checked_add(wait).unwrap_or_else(|| now + NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pings_then_gone() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(Duration::from_secs(20), 2, start);
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
        let mut heartbeat = Heartbeat::new(Duration::from_secs(20), 2, start);
        assert_eq!(heartbeat.handle_timeout(at(45)), Beat::Ping);
        heartbeat.handle_sign_of_life(at(50));
        assert_eq!(heartbeat.handle_timeout(at(69)), Beat::Quiet);
        assert_eq!(heartbeat.handle_timeout(at(70)), Beat::Ping);
    }

    #[test]
    fn after_a_stall_the_peer_has_its_time_to_answer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(Duration::from_secs(20), 2, start);
        assert_eq!(heartbeat.handle_timeout(at(1000)), Beat::Ping);
        assert_eq!(heartbeat.handle_timeout(at(1000)), Beat::Quiet);
        assert_eq!(heartbeat.poll_timeout(), at(1020));
    }

    #[test]
    fn an_endless_interval_asks_nothing() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Duration::MAX, 2, start);
        assert_eq!(heartbeat.handle_timeout(start + Duration::from_secs(1 << 20)), Beat::Quiet);
    }
}
