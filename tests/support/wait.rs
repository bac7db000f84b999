//! Waiting with a deadline.

use std::time::{Duration, Instant};

/// The time after which a test stops waiting and fails. Far more than any step takes, even on a slow and busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Returns the output of `future`.
///
/// # Panics
/// After [`DEADLINE`], with `what` was waited for and what `seen` returns: everything received until then.
pub async fn within<T>(what: &str, seen: impl FnOnce() -> String, future: impl Future<Output = T>) -> T {
    within_time(DEADLINE, what, seen, future).await
}

/// [`within`], with another deadline.
pub(crate) async fn within_time<T>(
    deadline: Duration,
    what: &str,
    seen: impl FnOnce() -> String,
    future: impl Future<Output = T>,
) -> T {
    match tokio::time::timeout(deadline, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {deadline:?}. Seen so far:\n{}", seen()),
    }
}

/// Yields to the other tasks until `condition` holds. For conditions that have no notification to wait for.
///
/// # Panics
/// After [`DEADLINE`].
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        tokio::task::yield_now().await;
    }
}

/// Returns `text`, cut to a length that is readable in a failure message.
pub fn truncated(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}
