//! One buffer a thread for JSON on its way, so that an answer or an item costs no allocation.

use std::cell::Cell;

/// A buffer that something large has blown up is given back to the allocator.
const KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the buffer, empty, to `f`.
///
/// It is taken while it is used, so whoever asks for it again within `f` just gets a new one.
pub(crate) fn with<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.clear();
    let result = f(&mut buffer);
    if buffer.capacity() <= KEPT {
        // Fails when the thread is ending: then there is nothing to keep it for.
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
    }
    result
}
