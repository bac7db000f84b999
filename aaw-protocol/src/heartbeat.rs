//! Detects a silent peer. Both state machines use it.

use std::time::{Duration, Instant};

use crate::clock::after;

/// Requests a ping after each silent interval, and reports the peer as dead once `max_missed` pings in a row brought no
/// sign of life. Any input counts as a sign of life, not only a pong.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// In nanoseconds; `u64::MAX` is never.
    interval: u64,
    max_missed: u32,
    /// The last sign of life, or the last ping if that was later.
    silent_since: Instant,
    /// Pings since the last sign of life.
    missed: u32,
    /// When to check again. A sign of life does not move it: moving a timer with every frame costs more than one check
    /// in vain.
    next_check: Instant,
}

/// What to do about the silence of a peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeartbeatAction {
    /// Nothing.
    Wait,
    /// Send a ping.
    Ping,
    /// Close the connection: the peer is dead.
    Close,
}

impl Heartbeat {
    /// Starts at `now`. An `interval` of `Duration::MAX` never pings.
    pub(crate) fn new(interval: Duration, max_missed: u32, now: Instant) -> Self {
        // In half of the memory of a `Duration`: there is one for each connection.
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Self { interval: nanos, max_missed, silent_since: now, missed: 0, next_check: after(now, interval) }
    }

    /// The peer sent something.
    pub(crate) fn handle_sign_of_life(&mut self, now: Instant) {
        self.silent_since = now;
        self.missed = 0;
    }

    /// Returns whether a ping was sent since the last sign of life.
    pub(crate) fn has_unanswered_ping(&self) -> bool {
        self.missed > 0
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.next_check
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> HeartbeatAction {
        if now < self.next_check {
            return HeartbeatAction::Wait;
        }
        let due = self.next_after(self.silent_since);
        if now < due {
            self.next_check = due;
            return HeartbeatAction::Wait;
        }
        if self.missed >= self.max_missed {
            return HeartbeatAction::Close;
        }
        self.missed += 1;
        // The interval counts from this ping, not from when it was due: after a stall of this machine the peer still
        // has a full interval to respond, and input that waits in the socket is read before the peer is declared dead.
        self.silent_since = now;
        self.next_check = self.next_after(now);
        HeartbeatAction::Ping
    }

    /// Stops the heartbeat for good.
    pub(crate) fn stop(&mut self) {
        self.interval = u64::MAX;
        self.next_check = self.next_after(self.silent_since);
    }

    fn next_after(&self, time: Instant) -> Instant {
        let is_never = self.interval == u64::MAX;
        after(time, if is_never { Duration::MAX } else { Duration::from_nanos(self.interval) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);

    #[test]
    fn a_silent_peer_gets_two_pings_and_is_then_closed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(INTERVAL, 2, start);
        assert_eq!(heartbeat.handle_timeout(at(19)), HeartbeatAction::Wait);
        assert_eq!(heartbeat.handle_timeout(at(20)), HeartbeatAction::Ping);
        assert_eq!(heartbeat.handle_timeout(at(21)), HeartbeatAction::Wait);
        assert_eq!(heartbeat.handle_timeout(at(40)), HeartbeatAction::Ping);
        assert_eq!(heartbeat.poll_timeout(), at(60));
        assert_eq!(heartbeat.handle_timeout(at(60)), HeartbeatAction::Close);
    }

    #[test]
    fn any_sign_of_life_restarts_the_interval() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(INTERVAL, 2, start);
        assert_eq!(heartbeat.handle_timeout(at(45)), HeartbeatAction::Ping);
        assert!(heartbeat.has_unanswered_ping());
        heartbeat.handle_sign_of_life(at(50));
        assert!(!heartbeat.has_unanswered_ping());
        assert_eq!(heartbeat.handle_timeout(at(69)), HeartbeatAction::Wait);
        assert_eq!(heartbeat.handle_timeout(at(70)), HeartbeatAction::Ping);
    }

    #[test]
    fn a_sign_of_life_does_not_move_the_timer_before_it_fires() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(INTERVAL, 2, start);
        heartbeat.handle_sign_of_life(at(15));
        assert_eq!(heartbeat.poll_timeout(), at(20));
        assert_eq!(heartbeat.handle_timeout(at(20)), HeartbeatAction::Wait);
        assert_eq!(heartbeat.poll_timeout(), at(35));
        assert_eq!(heartbeat.handle_timeout(at(35)), HeartbeatAction::Ping);
    }

    #[test]
    fn after_a_stall_the_peer_has_a_full_interval_to_respond() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(INTERVAL, 2, start);
        assert_eq!(heartbeat.handle_timeout(at(1000)), HeartbeatAction::Ping);
        assert_eq!(heartbeat.handle_timeout(at(1000)), HeartbeatAction::Wait);
        assert_eq!(heartbeat.poll_timeout(), at(1020));
    }

    #[test]
    fn an_infinite_interval_and_a_stopped_heartbeat_never_ping() {
        let start = Instant::now();
        let late = start + Duration::from_secs(1 << 20);
        assert_eq!(Heartbeat::new(Duration::MAX, 2, start).handle_timeout(late), HeartbeatAction::Wait);
        let mut stopped = Heartbeat::new(INTERVAL, 2, start);
        stopped.stop();
        assert_eq!(stopped.handle_timeout(late), HeartbeatAction::Wait);
        assert!(stopped.poll_timeout() > late);
    }
}
