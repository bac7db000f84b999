//! Adds durations to points in time without overflow.

use std::time::{Duration, Instant};

/// Thirty years: longer than any program runs, and far enough from the largest [`Instant`] that timers can round up.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Returns `now + wait`, where `wait` is capped at thirty years.
///
/// A plain addition panics if the sum exceeds the largest [`Instant`]. With the cap, a timeout of `Duration::MAX` means
/// "never".
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use aaw_protocol::clock;
/// let now = Instant::now();
/// assert_eq!(clock::after(now, Duration::from_secs(3)), now + Duration::from_secs(3));
/// assert!(clock::after(now, Duration::MAX) > now + Duration::from_secs(3600 * 24 * 365));
/// ```
pub fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(NEVER)
}
