//! When the log says that clients compete for the server, or that they do not any more.

use std::time::Duration;

use tokio::time::Instant;

/// The least time between two lines. Clients that come and go can make rates be limited and not be limited each second.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Decides when a line is due, so that the last one is true after [`LOG_INTERVAL`] at most.
#[derive(Debug, Default)]
pub(super) struct ContentionLog {
    /// What the last line has said: whether rates are limited.
    is_limited: bool,
    logged_at: Option<Instant>,
}

impl ContentionLog {
    /// Returns whether the last line is true.
    pub(super) fn is_current(&self, is_limited: bool) -> bool {
        self.is_limited == is_limited
    }

    /// Returns whether a line is to be logged now. To be called repeatedly, since a line may be due later.
    pub(super) fn is_due(&mut self, now: Instant, is_limited: bool) -> bool {
        let is_early = self.logged_at.is_some_and(|at| now.duration_since(at) < LOG_INTERVAL);
        if self.is_current(is_limited) || is_early {
            return false;
        }
        *self = Self { is_limited, logged_at: Some(now) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_logged_at_once_and_the_next_one_when_some_seconds_have_passed() {
        let (mut log, start) = (ContentionLog::default(), Instant::now());
        assert!(!log.is_due(start, false), "as at the start of the server");
        assert!(log.is_due(start, true));
        assert!(!log.is_due(start + LOG_INTERVAL / 2, false));
        assert!(log.is_due(start + LOG_INTERVAL, false));
        assert!(log.is_due(start + 3 * LOG_INTERVAL, true));
    }

    #[test]
    fn a_server_that_changes_200_times_a_second_logs_a_few_lines_and_the_last_one_is_true() {
        let (mut log, start) = (ContentionLog::default(), Instant::now());
        let end = start + 6 * LOG_INTERVAL;
        let mut lines = 0;
        for tick in 0..6 * LOG_INTERVAL.as_millis() as u32 / 5 {
            lines += u32::from(log.is_due(start + tick * Duration::from_millis(5), tick % 2 == 0));
        }
        assert_eq!(lines, 6);
        lines += u32::from(log.is_due(end + LOG_INTERVAL, false));
        assert!(log.is_current(false) && lines <= 7);
    }
}
