//! Waiting, with an end.

use std::time::{Duration, Instant};

/// Far more than anything here takes on a slow machine with other work to do.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// What `future` comes to. Fails with what `seen` says if that takes too long.
///
/// # Panics
/// Past the deadline.
pub async fn within<T>(what: &str, seen: impl FnOnce() -> String, future: impl Future<Output = T>) -> T {
    within_time(DEADLINE, what, seen, future).await
}

/// The same with another deadline.
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

/// Lets everything else run until `is_so`. For what tells nobody when it changes.
///
/// # Panics
/// Past the deadline.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        tokio::task::yield_now().await;
    }
}

/// A text, cut to what a message can bear.
pub fn shortened(text: &str) -> String {
    const MOST: usize = 300;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}
