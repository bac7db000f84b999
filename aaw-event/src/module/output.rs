//! JSON on its way out.

use serde::Serialize;

use crate::scratch;

/// Serialises `value` and shows it to `then`.
pub(crate) fn json<T: Serialize + ?Sized, R>(value: &T, then: impl FnOnce(&[u8]) -> R) -> Result<R, serde_json::Error> {
    scratch::with(|buffer| serde_json::to_writer(&mut *buffer, value).map(|()| then(buffer)))
}
