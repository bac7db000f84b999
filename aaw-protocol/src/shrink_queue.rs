//! Queues that were long for a while.

use std::collections::VecDeque;

/// Frees most of what a queue has no use for after it was much longer. The amortised cost is constant.
pub(crate) fn shrink_queue<T>(queue: &mut VecDeque<T>) {
    /// The places that may stay.
    const MIN_PLACES: usize = 64;
    if queue.capacity() > 4 * queue.len() + MIN_PLACES {
        queue.shrink_to(2 * queue.len());
    }
}
