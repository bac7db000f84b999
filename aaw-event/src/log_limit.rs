//! Limits what calls can make a package log, so that a caller cannot flood the log with failing calls.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// The lines of one kind in an interval.
const LINES: u32 = 10;

/// The lines by kind: the names of events, and some texts of this crate.
static KINDS: Mutex<BTreeMap<String, Lines>> = Mutex::new(BTreeMap::new());

#[derive(Debug, Clone, Copy)]
struct Lines {
    since: Instant,
    logged: u32,
    suppressed: u64,
}

/// Returns the number of lines of this kind that were suppressed before, if one may be logged now; otherwise counts it as
/// suppressed. There are no more kinds than events and calls of this function.
pub(crate) fn may_log(kind: &str) -> Option<u64> {
    may_log_at(kind, Instant::now())
}

fn may_log_at(kind: &str, now: Instant) -> Option<u64> {
    let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(lines) = kinds.get_mut(kind) else {
        kinds.insert(kind.to_owned(), Lines { since: now, logged: 1, suppressed: 0 });
        return Some(0);
    };
    if now.duration_since(lines.since) >= INTERVAL {
        (lines.since, lines.logged) = (now, 0);
    }
    if lines.logged >= LINES {
        lines.suppressed += 1;
        return None;
    }
    lines.logged += 1;
    Some(std::mem::take(&mut lines.suppressed))
}

/// Logs an error of a kind, unless too many of it are logged.
macro_rules! log_limited {
    ($kind:literal, $($arguments:tt)+) => {
        if let Some(suppressed) = $crate::log_limit::may_log($kind) {
            // Without the field if none was.
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::error!(suppressed, $($arguments)+);
        }
    };
}

pub(crate) use log_limited;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_limit_and_the_next_line_tells_what_was_suppressed() {
        let start = Instant::now();
        let logged = |kind: &str| (0..30).filter(|_| may_log_at(kind, start).is_some()).count();
        assert_eq!((logged("test/a"), logged("test/b")), (10, 10));
        assert_eq!(may_log_at("test/a", start + INTERVAL), Some(20));
        assert_eq!(may_log_at("test/a", start + INTERVAL), Some(0));
    }
}
