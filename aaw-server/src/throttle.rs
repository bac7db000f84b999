//! Lets one log line a second through: what a stranger can cause must not flood the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// Counts what it holds back.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    passed: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// Whether a line may be written now; how many were not since the last.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.passed.is_some_and(|passed| now.duration_since(passed) < INTERVAL) {
            state.held_back += 1;
            return None;
        }
        state.passed = Some(now);
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_a_count_of_the_others() {
        let throttle = Throttle::default();
        let start = Instant::now();
        assert_eq!(throttle.pass_at(start), Some(0));
        assert_eq!(throttle.pass_at(start), None);
        assert_eq!(throttle.pass_at(start + INTERVAL / 2), None);
        assert_eq!(throttle.pass_at(start + INTERVAL), Some(2));
    }
}
