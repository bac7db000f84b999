//! The body of an event that needs none.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
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

/// `null`: what a caller that has nothing to send is expected to send, although the handler accepts anything.
impl JsonSchema for Empty {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Empty")
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <()>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_body;

    #[test]
    fn any_json_is_accepted() {
        for body in ["", "null", "{}", "[1,2]", "17", r#"{"a":{"b":null}}"#] {
            assert_eq!(parse_body::<Empty>(body).unwrap(), Empty, "{body}");
        }
    }

    #[test]
    fn text_that_is_not_json_is_rejected() {
        assert!(parse_body::<Empty>("{} {}").is_err());
    }
}
