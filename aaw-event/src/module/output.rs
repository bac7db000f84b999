//! JSON on its way out: one buffer a thread, so that an answer costs no allocation.

use std::cell::Cell;

use serde::Serialize;

/// A buffer that a large answer has blown up is given back to the allocator.
const KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Serialises `value` and shows it to `then`.
///
/// The buffer is taken while it is used, so a `Serialize` that calls this again just gets a new one.
pub(crate) fn json<T: Serialize + ?Sized, R>(value: &T, then: impl FnOnce(&[u8]) -> R) -> Result<R, serde_json::Error> {
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.clear();
    let result = serde_json::to_writer(&mut buffer, value).map(|()| then(&buffer));
    if buffer.capacity() <= KEPT {
        // Fails when the thread is ending: then there is nothing to keep it for.
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
    }
    result
}
