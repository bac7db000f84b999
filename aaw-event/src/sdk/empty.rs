//! The body of an event that needs none.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// A body that is ignored: a handler that takes `_: Empty` accepts any JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Empty;

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Self)
    }
}
