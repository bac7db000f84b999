//! A reusable buffer per thread for JSON in transit, so that a response or an item costs no allocation.

use std::cell::Cell;

/// A buffer that has grown beyond this many bytes is freed instead of kept.
const MAX_KEPT_CAPACITY: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's buffer, empty, to `f`.
///
/// A nested call gets a new buffer, because the thread's own is in use.
pub(crate) fn with_buffer<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.clear();
    let result = f(&mut buffer);
    if buffer.capacity() <= MAX_KEPT_CAPACITY {
        // Fails while the thread is shutting down: then there is no need to keep it.
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
    }
    result
}
