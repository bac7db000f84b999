//! What the log says of a call.

use std::time::Duration;

use aaw_protocol::{Code, Failure, is_reserved};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

/// What a [hook](crate::Server::on_call) is told of each call, when it is over.
///
/// Serialised it is one object with `event`, `connection`, `client_key`, `kind`, `body`, `result` or `error`, and `ms`.
/// PasswordHasher and tokens in the bodies and results of `aaw/` events are already replaced.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallRecord<'a> {
    /// The event's name, as the client wrote it.
    pub event: &'a str,
    /// Our id of the connection.
    pub connection: Uuid,
    /// By what the client tells itself apart, if it does. It proves nothing.
    pub client_key: Option<&'a str>,
    /// What kind of event it was.
    pub kind: CallKind,
    /// The body, as JSON.
    pub body: &'a str,
    /// The result, as JSON (`None` for a plain event, which has none; `{"items":3}`, how many there were, for a handler
    /// that yields), or the failure. A call that nobody waited for any
    /// more fails as [`Code::CANCELLED`].
    pub result: Result<Option<&'a str>, &'a Failure>,
    /// From the call's arrival at its handler to its outcome.
    pub elapsed: Duration,
}

/// What kind of event was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallKind {
    /// It answers.
    Unary,
    /// It runs and answers nothing.
    OneWay,
    /// It yields.
    Streaming,
    /// There is no such event.
    Unknown,
}

impl CallKind {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::OneWay => "one_way",
            Self::Streaming => "streaming",
            Self::Unknown => "unknown",
        }
    }
}

impl From<aaw_event::host::HandlerKind> for CallKind {
    fn from(kind: aaw_event::host::HandlerKind) -> Self {
        use aaw_event::host::HandlerKind;
        match kind {
            HandlerKind::Unary => Self::Unary,
            HandlerKind::OneWay => Self::OneWay,
            HandlerKind::Streaming => Self::Streaming,
            // Of an aaw-event that is newer than this: a module with such an event is not loaded.
            _ => Self::Unknown,
        }
    }
}

impl Serialize for CallRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", self.event)?;
        map.serialize_entry("connection", &self.connection.to_string())?;
        map.serialize_entry("client_key", &self.client_key)?;
        map.serialize_entry("kind", self.kind.as_str())?;
        map.serialize_entry("body", &json(self.body))?;
        match self.result {
            Ok(result) => map.serialize_entry("result", &result.map(json))?,
            Err(failure) => map.serialize_entry("error", failure)?,
        }
        map.serialize_entry("ms", &((self.elapsed.as_secs_f64() * 1e6).round() / 1e3))?;
        map.end()
    }
}

/// A text that is JSON, on one line; one that is not, as a string.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into()))
}

/// Replaces the secrets in a body or result of aaw's own events; `None` where there is nothing to replace.
///
/// What such an event takes and gives is known, so whatever else is in it is replaced: a password in the wrong place is
/// one all the same.
pub(crate) fn redact(event: &str, text: &str) -> Option<String> {
    if !is_reserved(event) {
        return None;
    }
    let mut value: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(String::new()));
    redact_in(&mut value);
    Some(value.to_string())
}

/// The same for what a failure carries.
pub(crate) fn redact_failure(event: &str, failure: &Failure) -> Option<Failure> {
    let data = redact(event, failure.data.as_ref()?.get())?;
    Some(Failure { data: RawValue::from_string(data).ok(), ..failure.clone() })
}

/// The fields that are no secrets.
const OPEN: [&str; 7] = ["email", "id", "ok", "user", "allowed", "retry_after", "items"];

fn redact_in(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::Object(_) => redact_in(value),
                    Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null if is_open(key) => {}
                    Value::Array(globs) if key == "allowed" && globs.iter().all(Value::is_string) => {}
                    _ => *value = redacted(),
                }
            }
        }
        _ => *value = redacted(),
    }
}

fn is_open(key: &str) -> bool {
    OPEN.contains(&key)
}

fn redacted() -> Value {
    Value::String("[redacted]".into())
}

/// What is said of a call whose caller went before its outcome.
pub(crate) fn cancelled() -> Failure {
    Failure::new(Code::CANCELLED, "The caller has gone, or waited no longer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_with_the_fields_that_were_promised() {
        let record = CallRecord {
            event: "ping",
            connection: Uuid::nil(),
            client_key: Some("_1"),
            kind: CallKind::Unary,
            body: "{ \"a\":\n1 }",
            result: Ok(Some("true")),
            elapsed: Duration::from_micros(1500),
        };
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"event":"ping","connection":"00000000-0000-0000-0000-000000000000","client_key":"_1","kind":"unary","body":{"a":1},"result":true,"ms":1.5}"#
        );
        let failure = Failure::new(Code::HANDLER, "no");
        let failed = CallRecord { result: Err(&failure), body: "not json", ..record };
        let line = serde_json::to_string(&failed).unwrap();
        assert!(line.contains(r#""body":"not json","error":{"error":"no","code":"handler"}"#), "{line}");
    }

    #[test]
    fn secrets_of_aaws_own_events_are_replaced_wherever_they_stand_and_no_others() {
        for (text, expected) in [
            (r#"{"email":"a@b","password":"x"}"#, r#"{"email":"a@b","password":"[redacted]"}"#),
            (
                r#"{"email":"a@b","pass":"x","deep":[{"token":"z"}]}"#,
                r#"{"deep":"[redacted]","email":"a@b","pass":"[redacted]"}"#,
            ),
            (r#"{"email":["x"],"user":"ada"}"#, r#"{"email":"[redacted]","user":"ada"}"#),
            (r#"["a@b","x"]"#, r#""[redacted]""#),
            (r#""x""#, r#""[redacted]""#),
            ("no json", r#""[redacted]""#),
            ("null", "null"),
            (
                r#"{"token":"x","user":{"id":"1","email":"a@b","allowed":["auth/*"]}}"#,
                r#"{"token":"[redacted]","user":{"allowed":["auth/*"],"email":"a@b","id":"1"}}"#,
            ),
        ] {
            assert_eq!(redact("aaw/login", text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(redact("login", r#"{"password":"x"}"#), None);
    }
}
