//! Points in time that any wait leads to.

use std::time::{Duration, Instant};

/// Thirty years: longer than any program runs, and far from where an [`Instant`] ends, so that timers can round up.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// `now + wait`, which would panic where an [`Instant`] cannot hold that. A wait of more than thirty years ends in
/// thirty years: so `Duration::MAX`, wherever a limit is set, means "never".
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
