//! From the caller's JSON to the type that a handler takes.

use aaw_protocol::text::middle_cut;
use aaw_protocol::{Code, Failure, Shortened};
use serde::de::DeserializeOwned;

/// A caller can send megabytes where a number belongs; what it is told about that stays short.
const LONGEST_REASON: usize = 200;
const LONGEST_PATH: usize = 60;

/// Parses a body. One that is missing, or `null`, is an empty object; where that does not fit, it is `null`, so that
/// `Option<T>` and `()` can be bodies.
pub(super) fn parse<B: DeserializeOwned>(body: &str) -> Result<B, Failure> {
    let explain = |json| explain::<B>("The body", json);
    if body.is_empty() || body == "null" {
        return serde_json::from_str("{}").or_else(|_| serde_json::from_str("null")).map_err(|_| explain("{}"));
    }
    serde_json::from_str(body).map_err(|_| explain(body))
}

/// Parses an item of what a caller sends after its body. Nothing stands in for one that is `null`.
pub(crate) fn parse_item<T: DeserializeOwned>(json: &str, number: u64) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|_| explain::<T>(&format!("Item {number}"), json))
}

/// Parses what somebody answered who was asked: a client, as a rule.
pub(crate) fn parse_answer<T: DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|_| explain::<T>("The answer", json))
}

/// Parses again, now remembering the path: that costs too much to be done each time.
#[cold]
fn explain<B: DeserializeOwned>(what: &str, json: &str) -> Failure {
    let mut json = serde_json::Deserializer::from_str(json);
    let (path, error) = match serde_path_to_error::deserialize::<_, B>(&mut json) {
        Err(error) => (error.path().to_string(), error.into_inner()),
        Ok(_) => match json.end() {
            Err(error) => (".".to_owned(), error),
            Ok(()) => return Failure::new(Code::BAD_BODY, format!("{what} does not fit")),
        },
    };
    // A position in a text that the caller's library wrote says nothing to a person.
    let reason = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let reason = middle_cut(reason.strip_suffix(&position).unwrap_or(&reason), LONGEST_REASON);
    let text = match path.as_str() {
        "." | "?" => format!("{what} does not fit: {reason}"),
        path => format!("{what} does not fit at {}: {reason}", middle_cut(path, LONGEST_PATH)),
    };
    Failure::new(Code::BAD_BODY, Shortened(&text).to_string().replace(|c: char| c.is_control(), " "))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;
    use crate::sdk::Empty;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Order {
        id: u8,
        #[serde(default)]
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Line {
        count: u8,
    }

    fn refused<B: DeserializeOwned + std::fmt::Debug>(body: &str) -> String {
        let failure = parse::<B>(body).unwrap_err();
        assert_eq!(failure.code, Code::BAD_BODY);
        failure.error
    }

    #[test]
    fn a_body_that_fits_is_parsed() {
        assert_eq!(parse::<Order>(r#"{"id":1}"#).unwrap(), Order { id: 1, lines: vec![] });
    }

    #[test]
    fn a_missing_body_is_an_empty_object_or_else_null() {
        for missing in ["", "null"] {
            assert_eq!(parse::<Value>(missing).unwrap(), serde_json::json!({}));
            assert_eq!(parse::<Option<i64>>(missing).unwrap(), None);
            parse::<()>(missing).unwrap();
            parse::<Empty>(missing).unwrap();
            assert_eq!(refused::<Order>(missing), "The body does not fit: missing field `id`");
        }
    }

    #[test]
    fn empty_takes_anything() {
        for anything in ["{}", "[1,2]", "17", r#"{"a":{"b":null}}"#] {
            parse::<Empty>(anything).unwrap();
        }
    }

    #[test]
    fn the_field_that_does_not_fit_is_named() {
        assert_eq!(
            refused::<Order>(r#"{"id":1,"lines":[{"count":1},{"count":"x"}]}"#),
            "The body does not fit at lines[1].count: invalid type: string \"x\", expected u8"
        );
        assert_eq!(
            refused::<Order>(r#"{"id":300}"#),
            "The body does not fit at id: invalid value: integer `300`, expected u8"
        );
        assert_eq!(refused::<Order>("{} {}"), "The body does not fit: missing field `id`");
    }

    #[test]
    fn what_the_caller_sent_is_cut() {
        let long = "é".repeat(100_000);
        let text = refused::<Order>(&format!(r#"{{"id":"{long}"}}"#));
        assert!(text.chars().count() <= 300, "{text}");
        assert!(text.contains("at id") && text.contains('…'), "{text}");
        let text = refused::<std::collections::HashMap<String, u8>>(&format!(r#"{{"{long}":"{long}"}}"#));
        assert!(text.chars().count() <= 300, "{text}");
    }
}
