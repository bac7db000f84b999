//! Whether the other side still lives.

use std::time::{Duration, Instant};

/// Pings that may stay without any sign of life.
const UNANSWERED: u32 = 2;

/// Watches one connection for silence. Whatever arrives is a sign of life, not only a pong.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    heard: Instant,
    pings: u32,
    /// When to look again. It stays where it is when something is heard: moving a timer with every frame costs more
    /// than looking once in vain.
    look: Instant,
}

/// What silence calls for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Ask.
    Ping,
    /// Nobody is there.
    Gone,
}

impl Heartbeat {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, heard: now, pings: 0, look: now + interval }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pings = 0;
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.look
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Beat> {
        let interval = self.interval;
        if now < self.look {
            return None;
        }
        if self.pings == 0 && now < self.heard + interval {
            self.look = self.heard + interval;
            return None;
        }
        if self.pings == UNANSWERED {
            return Some(Beat::Gone);
        }
        self.pings += 1;
        self.look = now + interval;
        Some(Beat::Ping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_twice_and_then_believed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(Duration::from_secs(20), start);
        assert_eq!(heartbeat.handle_timeout(at(19)), None);
        assert_eq!(heartbeat.handle_timeout(at(20)), Some(Beat::Ping));
        assert_eq!(heartbeat.poll_timeout(), at(40));
        assert_eq!(heartbeat.handle_timeout(at(40)), Some(Beat::Ping));
        assert_eq!(heartbeat.handle_timeout(at(60)), Some(Beat::Gone));
    }

    #[test]
    fn any_sign_of_life_begins_anew() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(Duration::from_secs(20), start);
        heartbeat.heard(at(15));
        assert_eq!(heartbeat.handle_timeout(at(20)), None);
        assert_eq!(heartbeat.poll_timeout(), at(35));
        assert_eq!(heartbeat.handle_timeout(at(35)), Some(Beat::Ping));
        heartbeat.heard(at(36));
        assert_eq!(heartbeat.handle_timeout(at(55)), None);
        assert_eq!(heartbeat.handle_timeout(at(56)), Some(Beat::Ping));
    }
}
