//! JSON in both directions: values to bytes, and a caller's JSON to the type that a handler takes.

use aaw_protocol::json::{self, FiniteDeserializer};
use aaw_protocol::text::{explain_lone_surrogate, lone_surrogate, middle_cut};
use aaw_protocol::{Code, Failure, Shortened};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::scratch;

/// The longest reason and path in an error message, in characters. A caller can send megabytes where a number is
/// expected; the message about it stays short.
const MAX_REASON_CHARS: usize = 200;
const MAX_PATH_CHARS: usize = 60;

/// Serializes `value` into the thread's buffer and passes the bytes to `then`. A NaN or an infinity is an error.
pub(crate) fn with_json<T: Serialize + ?Sized, R>(
    value: &T,
    then: impl FnOnce(&[u8]) -> R,
) -> Result<R, serde_json::Error> {
    scratch::with_buffer(|buffer| json::to_writer(&mut *buffer, value).map(|()| then(buffer)))
}

/// Parses a body. A missing body, and `null`, are parsed as an empty object; where that does not fit, as `null`, so
/// that `Option<T>` and `()` can be bodies.
pub(crate) fn parse_body<B: DeserializeOwned>(body: &str) -> Result<B, Failure> {
    if body.is_empty() || body.trim_matches([' ', '\t', '\n', '\r']) == "null" {
        return serde_json::from_str("{}").or_else(|_| serde_json::from_str("null")).map_err(explain_missing::<B>);
    }
    json::from_str(body).map_err(|_| explain::<B>("The body", body))
}

/// The failure of a call without a body, which does not fit as `null` either. A type with fields names the one that it
/// lacks, as for an empty object; about any other type, an error about an object would mislead.
#[cold]
fn explain_missing<B: DeserializeOwned>(null: serde_json::Error) -> Failure {
    let failure = explain::<B>("The body", "{}");
    if failure.error.contains(": missing field ") {
        return failure;
    }
    let null = null.to_string();
    let expected = null.strip_suffix(" at line 1 column 4").unwrap_or(&null);
    let expected = expected.strip_prefix("invalid type: null, ").unwrap_or(expected);
    Failure::new(Code::BAD_BODY, format!("The body is missing: {}", middle_cut(expected, MAX_REASON_CHARS)))
}

/// Parses an item of an upload. Unlike a body, `null` is not replaced.
pub(crate) fn parse_item<T: DeserializeOwned>(item: &str, number: u64) -> Result<T, Failure> {
    json::from_str(item).map_err(|_| explain::<T>(&format!("Item {number}"), item))
}

/// Parses the response to a client call, or the result of a host operation.
pub(crate) fn parse_response<T: DeserializeOwned>(response: &str) -> Result<T, Failure> {
    json::from_str(response).map_err(|_| explain::<T>("The response", response))
}

/// Parses a second time, recording the path to the value that does not fit. Recording costs too much to be done on
/// every parse.
#[cold]
fn explain<B: DeserializeOwned>(what: &str, json: &str) -> Failure {
    let mut parser = serde_json::Deserializer::from_str(json);
    let (path, error) = match serde_path_to_error::deserialize::<_, B>(FiniteDeserializer::new(&mut parser)) {
        Err(error) => (error.path().to_string(), error.into_inner()),
        Ok(_) => match parser.end() {
            Err(error) => (".".to_owned(), error),
            Ok(()) => return Failure::new(Code::BAD_BODY, format!("{what} does not fit")),
        },
    };
    // The caller's library wrote the text, so a line and a column in it are of no use to a reader.
    let reason = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let reason = match lone_surrogate(json).filter(|_| reason.contains("hex escape")) {
        Some(escape) => explain_lone_surrogate(escape),
        None => middle_cut(reason.strip_suffix(&position).unwrap_or(&reason), MAX_REASON_CHARS),
    };
    let text = match path.as_str() {
        "." | "?" => format!("{what} does not fit: {reason}"),
        path => format!("{what} does not fit at {}: {reason}", middle_cut(path, MAX_PATH_CHARS)),
    };
    Failure::new(Code::BAD_BODY, Shortened(&text).to_string().replace(|c: char| c.is_control(), " "))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct OrderBody {
        id: u8,
        #[serde(default)]
        lines: Vec<OrderLine>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct OrderLine {
        count: u8,
    }

    fn refused<B: DeserializeOwned + std::fmt::Debug>(body: &str) -> String {
        let failure = parse_body::<B>(body).unwrap_err();
        assert_eq!(failure.code, Code::BAD_BODY);
        failure.error
    }

    #[test]
    fn a_valid_body_is_parsed() {
        assert_eq!(parse_body::<OrderBody>(r#"{"id":1}"#).unwrap(), OrderBody { id: 1, lines: vec![] });
    }

    #[test]
    fn a_missing_body_is_parsed_as_an_empty_object_or_as_null() {
        for missing in ["", "null", " \r\n\tnull\n"] {
            assert_eq!(parse_body::<Value>(missing).unwrap(), serde_json::json!({}));
            assert_eq!(parse_body::<Option<i64>>(missing).unwrap(), None);
            parse_body::<()>(missing).unwrap();
            assert_eq!(refused::<OrderBody>(missing), "The body does not fit: missing field `id`");
        }
    }

    #[test]
    fn the_error_about_a_missing_body_says_that_it_is_missing() {
        #[derive(Debug, Deserialize)]
        enum Choice {
            #[expect(dead_code)]
            One(u8),
        }
        #[derive(Debug, Deserialize)]
        #[serde(untagged)]
        enum Either {
            #[expect(dead_code)]
            Number(u8),
        }
        for missing in ["", "null"] {
            assert_eq!(refused::<f64>(missing), "The body is missing: expected f64");
            assert_eq!(refused::<String>(missing), "The body is missing: expected a string");
            assert_eq!(refused::<Vec<u8>>(missing), "The body is missing: expected a sequence");
            assert_eq!(refused::<(u8, u8)>(missing), "The body is missing: expected a tuple of size 2");
            assert!(refused::<Choice>(missing).starts_with("The body is missing: "));
            assert!(refused::<Either>(missing).starts_with("The body is missing: "));
        }
        assert_eq!(refused::<f64>("{}"), "The body does not fit: invalid type: map, expected f64");
    }

    #[test]
    fn the_error_names_the_field_that_does_not_fit() {
        assert_eq!(
            refused::<OrderBody>(r#"{"id":1,"lines":[{"count":1},{"count":"x"}]}"#),
            "The body does not fit at lines[1].count: invalid type: string \"x\", expected u8"
        );
        assert_eq!(
            refused::<OrderBody>(r#"{"id":300}"#),
            "The body does not fit at id: invalid value: integer `300`, expected u8"
        );
        assert_eq!(refused::<OrderBody>("{} {}"), "The body does not fit: missing field `id`");
    }

    #[test]
    fn the_error_names_a_lone_surrogate() {
        let reason =
            r"the text contains the lone surrogate \ud83d, which is half of a character; replace it with U+FFFD";
        assert_eq!(refused::<String>(r#""a\ud83d""#), format!("The body does not fit: {reason}"));
        assert_eq!(refused::<Value>(r#"[{"a":"\ud83d"}]"#), format!("The body does not fit at [0].a: {reason}"));
        let refused_key = refused::<std::collections::HashMap<String, u8>>(r#"{"\ud83d":1}"#);
        assert_eq!(refused_key, format!("The body does not fit: {reason}"));
        // A field of the wrong type is named even if another one has such a text.
        assert_eq!(
            refused::<OrderBody>(r#"{"id":"x","note":"\ud83d"}"#),
            "The body does not fit at id: invalid type: string \"x\", expected u8"
        );
        assert_eq!(parse_body::<String>(r#""\ud83d\ude00""#).unwrap(), "😀");
        let item = parse_item::<String>(r#""\ud83d""#, 1).unwrap_err();
        assert_eq!(item.error, format!("Item 1 does not fit: {reason}"));
    }

    #[test]
    fn a_number_beyond_its_type_is_an_error() {
        #[derive(Debug, Deserialize)]
        struct Reading {
            #[serde(rename = "value")]
            _value: f32,
        }
        assert_eq!(
            refused::<Reading>(r#"{"value":1e39}"#),
            "The body does not fit at value: number out of range: 1e39, expected f32"
        );
        assert_eq!(refused::<Vec<f64>>("[1,1e400]"), "The body does not fit at [1]: number out of range");
        assert_eq!(refused::<Value>(r#"{"a":-1e400}"#), "The body does not fit at a: number out of range");
        assert!(refused::<u64>("18446744073709551616").ends_with("expected u64"));
        let item = parse_item::<f32>("1e39", 2).unwrap_err();
        assert_eq!(item.error, "Item 2 does not fit: number out of range: 1e39, expected f32");
        assert!(parse_response::<f32>("1e39").is_err());
    }

    #[test]
    fn integers_beyond_u64_and_whole_floats_are_read_as_documented() {
        assert_eq!(parse_body::<Value>("18446744073709551615").unwrap().as_u64(), Some(u64::MAX));
        let beyond = parse_body::<Value>("18446744073709551616").unwrap();
        assert_eq!((beyond.as_u64(), beyond.as_f64()), (None, Some(18_446_744_073_709_551_616.0)));
        assert_eq!(parse_body::<i128>("18446744073709551616").unwrap(), 18_446_744_073_709_551_616);
        assert_eq!(refused::<i64>("1.0"), "The body does not fit: invalid type: floating point `1.0`, expected i64");
        assert_eq!(refused::<i64>("-0"), "The body does not fit: invalid type: floating point `-0.0`, expected i64");
        assert!(parse_body::<f64>("-0").unwrap().is_sign_negative());
        assert_eq!(parse_body::<f64>("1").unwrap(), 1.0);
    }

    #[test]
    fn long_values_and_names_are_cut_in_the_error() {
        let long = "é".repeat(100_000);
        let text = refused::<OrderBody>(&format!(r#"{{"id":"{long}"}}"#));
        assert!(text.chars().count() <= 300, "{text}");
        assert!(text.contains("at id") && text.contains('…'), "{text}");
        let text = refused::<std::collections::HashMap<String, u8>>(&format!(r#"{{"{long}":"{long}"}}"#));
        assert!(text.chars().count() <= 300, "{text}");
    }
}
