//! When sessions and tokens expire.

use std::time::{Duration, SystemTime};

/// Stands for "never" where a point in time has to be stored.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Returns the point in time that is this long from now, at most a century.
pub(super) fn time_after(duration: Duration) -> SystemTime {
    let now = SystemTime::now();
    now.checked_add(duration.min(FOREVER)).unwrap_or(now)
}
