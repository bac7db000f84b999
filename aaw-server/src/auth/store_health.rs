//! Whether the store can be used, as far as is known.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::throttle::Throttle;

/// The time between two lines about failures of one kind. A store that fails and works in turns would otherwise log each
/// change.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The last known state of the store. A failure is logged once while it lasts, and failures of one kind at most once per
/// interval, whatever their texts are.
#[derive(Debug)]
pub(super) struct StoreHealth {
    state: Mutex<HealthState>,
    unavailable: Throttle,
    failed: Throttle,
}

#[derive(Debug, Default)]
struct HealthState {
    failure: Option<Arc<str>>,
    /// The failure that the log knows of.
    logged: Option<Arc<str>>,
    /// How many failures were recorded.
    failures: u64,
}

/// What kind of error a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// [`StoreError::Unavailable`](super::StoreError::Unavailable).
    Unavailable,
    /// [`StoreError::Failed`](super::StoreError::Failed), of a check.
    Failed,
}

/// A check of the store that has begun.
#[derive(Debug)]
pub(super) struct HealthCheck {
    /// The failures that were recorded before it.
    failures: u64,
}

impl StoreHealth {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            unavailable: Throttle::with_interval(LOG_INTERVAL),
            failed: Throttle::with_interval(LOG_INTERVAL),
        }
    }

    /// Why the store cannot be used; `None` if it can.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.lock().failure.clone()
    }

    pub(super) fn begin_check(&self) -> HealthCheck {
        HealthCheck { failures: self.lock().failures }
    }

    /// Records a failure of a check or of an operation.
    pub(super) fn failed(&self, kind: FailureKind, why: &str) {
        if let Some(suppressed) = self.record_failure(kind, why) {
            tracing::error!(suppressed, "the store of users and sessions is unavailable: {why}");
        }
    }

    /// Records that a check has succeeded.
    pub(super) fn succeeded(&self, check: HealthCheck) {
        if self.record_success(check) {
            tracing::info!("the store of users and sessions is available again");
        }
    }

    /// Returns the number of suppressed lines if the failure is to be logged.
    fn record_failure(&self, kind: FailureKind, why: &str) -> Option<u64> {
        let mut state = self.lock();
        state.failures += 1;
        if state.failure.as_deref() != Some(why) {
            state.failure = Some(why.into());
        }
        if state.logged.as_deref() == Some(why) {
            return None;
        }
        let throttle = match kind {
            FailureKind::Unavailable => &self.unavailable,
            FailureKind::Failed => &self.failed,
        };
        // A line that is suppressed is logged by a later check, if the failure lasts.
        let suppressed = throttle.pass()?;
        state.logged = state.failure.clone();
        Some(suppressed)
    }

    /// Returns whether the log is to say so.
    fn record_success(&self, check: HealthCheck) -> bool {
        let mut state = self.lock();
        // An operation may have failed since the check has looked.
        if state.failures != check.failures {
            return false;
        }
        state.failure = None;
        state.logged.take().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_kind_are_logged_once_per_interval_whatever_their_texts_are() {
        let health = StoreHealth::new();
        let mut lines = [0; 3];
        for n in 0..100 {
            lines[0] += u32::from(health.record_failure(FailureKind::Unavailable, &format!("full {n}")).is_some());
            lines[1] += u32::from(health.record_failure(FailureKind::Failed, &format!("locked {n}")).is_some());
            lines[2] += u32::from(health.record_success(health.begin_check()));
            assert_eq!(health.failure(), None);
        }
        assert_eq!(lines, [1, 1, 1], "the end is logged once, as it ends both");
    }

    #[test]
    fn a_failure_that_lasts_is_logged_once() {
        let health = StoreHealth::new();
        assert_eq!(health.record_failure(FailureKind::Unavailable, "deleted"), Some(0));
        assert_eq!(health.record_failure(FailureKind::Unavailable, "deleted"), None);
        assert!(health.record_success(health.begin_check()));
        assert!(!health.record_success(health.begin_check()));
    }

    #[test]
    fn a_check_that_began_before_a_failure_does_not_end_it() {
        let health = StoreHealth::new();
        let check = health.begin_check();
        health.record_failure(FailureKind::Unavailable, "deleted");
        assert!(!health.record_success(check));
        assert_eq!(health.failure().as_deref(), Some("deleted"));
        assert!(health.record_success(health.begin_check()));
        assert_eq!(health.failure(), None);
    }
}
