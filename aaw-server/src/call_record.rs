//! The record of a call, for logs.

use std::time::Duration;

use aaw_protocol::redact::{for_log, quoted_values, secret_texts};
use aaw_protocol::{Code, Failure};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::to_raw_value;
use uuid::Uuid;

/// A finished call, as the hook of [`Server::on_call`](crate::Server::on_call) receives it.
///
/// It serializes as an object with the fields `event`, `connection`, `client_key`, `kind`, `body`, `result` or `error`,
/// and `ms`. Passwords and tokens in the bodies and results of `aaw/` events are already redacted in its fields, and so is the
/// whole body of an event that does not exist, of which [type and size](aaw_protocol::redact::body_shape) are left: a client may
/// have misspelt the name of a log-in. The object has no secrets of other events either, where the name of their field tells.
/// [`is_secret_name`](aaw_protocol::redact::is_secret_name) lists the names.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallRecord<'a> {
    /// The name of the event, as the client sent it.
    pub event: &'a str,
    /// The server's id of the connection.
    pub connection: Uuid,
    /// The client key, if the client sent one. It identifies the client but does not authenticate it.
    pub client_key: Option<&'a str>,
    /// The kind of the event.
    pub kind: CallKind,
    /// The body, as JSON; its type and size if the event does not exist.
    pub body: &'a str,
    /// The result as JSON, or the failure. For a unary handler the result is the response, for a streaming handler the
    /// number of items (`{"items":3}`), for a one-way handler `None`. A call whose caller disconnected or stopped
    /// waiting fails with [`Code::CANCELLED`].
    pub result: Result<Option<&'a str>, &'a Failure>,
    /// The time from the start of the call to its end. Time in the wait queue does not count.
    pub elapsed: Duration,
}

/// The kind of a called event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallKind {
    /// Its handler returns one response.
    Unary,
    /// Its handler returns no response.
    OneWay,
    /// Its handler returns a stream.
    Streaming,
    /// The event does not exist.
    Unknown,
}

impl CallKind {
    /// Returns the name of the kind in the log: `unary`, `one_way`, `streaming` or `unknown`.
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
            // A kind of a newer aaw-event. Modules with such events are not loaded.
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
        let mut secrets = Vec::new();
        map.serialize_entry("body", &for_log(self.body, &mut secrets))?;
        match self.result {
            Ok(result) => map.serialize_entry("result", &result.map(|result| for_log(result, &mut secrets)))?,
            Err(failure) => map.serialize_entry("error", &failure_for_log(failure, &mut secrets))?,
        }
        map.serialize_entry("ms", &((self.elapsed.as_secs_f64() * 1e6).round() / 1e3))?;
        map.end()
    }
}

/// Redacts the secrets of a body in the failure of its call, whose text may quote the value of a field.
fn failure_for_log(failure: &Failure, secrets: &mut Vec<String>) -> Failure {
    let data = failure.data.as_ref().map(|data| for_log(data.get(), secrets));
    let data = data.and_then(|data| to_raw_value(&data).ok());
    let error = secret_texts(&failure.error, secrets);
    // A value may be quoted in another form than the one that it had, or be too short to be searched for.
    let error = if secrets.is_empty() { error } else { quoted_values(&error) };
    Failure { error, data, ..failure.clone() }
}

/// The failure in the record of a call whose caller disconnected or cancelled it.
pub(crate) fn cancelled() -> Failure {
    Failure::new(Code::CANCELLED, "The caller disconnected or cancelled the call")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_serializes_with_the_documented_fields() {
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
    fn a_record_serializes_without_the_secrets_of_any_event() {
        let failure = Failure {
            data: to_raw_value(&serde_json::json!({ "token": "hunter3" })).ok(),
            ..Failure::new(Code::BAD_BODY, "invalid type: string \"hunter2\", expected u64")
        };
        let record = CallRecord {
            event: "login",
            connection: Uuid::nil(),
            client_key: None,
            kind: CallKind::Unknown,
            body: r#"{"email":"a@b.c","list":[{"Password":"hunter2"}]}"#,
            result: Err(&failure),
            elapsed: Duration::ZERO,
        };
        let line = serde_json::to_string(&record).unwrap();
        assert!(line.contains("a@b.c") && !line.contains("hunter"), "{line}");
        let short =
            Failure::new(Code::BAD_BODY, "The body does not fit at pin: invalid value: integer `123`, expected u8");
        let record = CallRecord { body: r#"{"pin":123}"#, result: Err(&short), ..record };
        assert!(!serde_json::to_string(&record).unwrap().contains("123"));
        let result = CallRecord { result: Ok(Some(r#"{"token":"hunter2"}"#)), ..record };
        assert!(!serde_json::to_string(&result).unwrap().contains("hunter2"));
    }
}
