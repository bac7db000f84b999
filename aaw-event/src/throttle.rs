//! Limits log lines that remote peers can cause, by kind, so that they cannot flood the log. A host and its packages use the
//! same limits.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// The lines of one kind that are logged in an interval, where each may be about something else. Enough for what happens
/// while an application is being tried out, and a flood of them is a megabyte of log in ten minutes.
const LINES: u32 = 10;

/// Allows some log lines in an interval, and counts the suppressed ones.
#[derive(Debug)]
pub struct Throttle {
    lines: u32,
    interval: Duration,
    state: Mutex<ThrottleState>,
}

#[derive(Debug)]
struct ThrottleState {
    interval_began: Option<Instant>,
    /// The lines that have passed in the interval.
    passed: u32,
    suppressed: u64,
}

impl ThrottleState {
    const NEW: Self = Self { interval_began: None, passed: 0, suppressed: 0 };

    fn pass(&mut self, lines: u32, interval: Duration, now: Instant) -> Option<u64> {
        if self.interval_began.is_none_or(|began| now.duration_since(began) >= interval) {
            (self.interval_began, self.passed) = (Some(now), 0);
        }
        if self.passed >= lines {
            self.suppressed += 1;
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl Throttle {
    /// One line a second.
    pub const fn new() -> Self {
        Self::with_interval(INTERVAL)
    }

    /// One line in an interval of this length.
    pub const fn with_interval(interval: Duration) -> Self {
        Self { lines: 1, interval, state: Mutex::new(ThrottleState::NEW) }
    }

    /// Ten lines a second.
    pub const fn of_several() -> Self {
        Self { lines: LINES, ..Self::new() }
    }

    /// Returns the number of lines suppressed since the last one if a line may be logged now; otherwise counts this
    /// line as suppressed and returns `None`.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).pass(self.lines, self.interval, now)
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

/// A throttle of ten lines a second for each event, so that the faults of one do not hide those of another.
#[derive(Debug)]
pub struct EventThrottle(Mutex<BTreeMap<String, ThrottleState>>);

impl EventThrottle {
    /// A throttle for any number of events.
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// As [`Throttle::pass`]. An event keeps its entry, so `event` must be the name of one that exists.
    pub fn pass(&self, event: &str) -> Option<u64> {
        self.pass_at(event, Instant::now())
    }

    fn pass_at(&self, event: &str, now: Instant) -> Option<u64> {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match events.get_mut(event) {
            Some(state) => state.pass(LINES, INTERVAL, now),
            None => events.entry(event.to_owned()).or_insert(ThrottleState::NEW).pass(LINES, INTERVAL, now),
        }
    }
}

impl Default for EventThrottle {
    fn default() -> Self {
        Self::new()
    }
}

/// Logs with the macro of `tracing` of this level, unless too many lines of this place are logged. The first arguments are
/// fields, `suppressed` is added to them if lines were suppressed.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_throttled {
    ($level:ident, $($arguments:tt)+) => {{
        static THROTTLE: $crate::throttle::Throttle = $crate::throttle::Throttle::of_several();
        if let Some(suppressed) = THROTTLE.pass() {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::$level!(suppressed, $($arguments)+);
        }
    }};
}

pub(crate) use __log_throttled as log_throttled;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_second_passes_with_the_number_of_suppressed_ones() {
        let throttle = Throttle::default();
        let start = Instant::now();
        assert_eq!(throttle.pass_at(start), Some(0));
        assert_eq!(throttle.pass_at(start), None);
        assert_eq!(throttle.pass_at(start + INTERVAL / 2), None);
        assert_eq!(throttle.pass_at(start + INTERVAL), Some(2));
    }

    #[test]
    fn several_lines_per_second_pass_and_the_first_of_the_next_second_tells_the_suppressed_ones() {
        let throttle = Throttle::of_several();
        let start = Instant::now();
        let passed = (0..100).filter(|_| throttle.pass_at(start).is_some()).count();
        assert_eq!(passed, LINES as usize);
        assert_eq!(throttle.pass_at(start + INTERVAL), Some(90));
        assert_eq!(throttle.pass_at(start + INTERVAL), Some(0));
    }

    #[test]
    fn each_event_has_its_own_limit() {
        let throttle = EventThrottle::new();
        let start = Instant::now();
        let passed = |event: &str| (0..30).filter(|_| throttle.pass_at(event, start).is_some()).count();
        assert_eq!((passed("a"), passed("b")), (10, 10));
        assert_eq!(throttle.pass_at("a", start + INTERVAL), Some(20));
        assert_eq!(throttle.pass_at("a", start + INTERVAL), Some(0));
    }
}
