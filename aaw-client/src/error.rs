//! The errors: one enum for each kind of operation.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::client::{CallResult, DisconnectReason, NotSent, RetryHint};
use aaw_protocol::json::{self, FiniteDeserializer};
use aaw_protocol::text::{explain_lone_surrogate, lone_surrogate, middle_cut};
use aaw_protocol::{Failure, Shortened};
use serde::de::DeserializeOwned;

/// Why an attempt to connect failed. Cheap to clone.
///
/// The `url` of each variant is that of the server without its secrets: the values of its query are `[redacted]`.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one of a WebSocket server. A further attempt would fail in the same way.
    #[error("{url:?} is not the URL of a server: {problem}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// [`Config::headers`](crate::Config::headers) contains a header that the WebSocket handshake itself sets.
    #[error("the header {0} belongs to the WebSocket handshake and cannot be set")]
    Header(String),
    /// The host name cannot be resolved, or nothing listens at its address.
    #[error("cannot reach {url}: {problem}")]
    Unreachable {
        /// The server's URL.
        url: String,
        /// The error of the operating system.
        problem: Arc<io::Error>,
    },
    /// The attempt took longer than [`connect_timeout`](crate::Config::connect_timeout).
    #[error("no connection to {url} within {after:?}")]
    TimedOut {
        /// The server's URL.
        url: String,
        /// The timeout.
        after: Duration,
    },
    /// The TLS handshake failed, for example because the certificate is not trusted or the server does not speak TLS.
    #[error("no secure connection to {url}: {problem}")]
    Tls {
        /// The server's URL.
        url: String,
        /// The error of rustls.
        problem: String,
    },
    /// The server responded to the WebSocket handshake with an HTTP status other than 101.
    #[error("{url} refused the connection with {status}{}{}", location_suffix(.location), body_suffix(.body))]
    Refused {
        /// The server's URL.
        url: String,
        /// The HTTP status: 403 if the server does not allow the `Origin`.
        status: u16,
        /// The response body, at most 4 KiB, as far as it has arrived within a second. The values of the URL's query
        /// are redacted in it.
        body: String,
        /// Where a status of 300 to 399 redirects to. The client does not follow it.
        location: Option<String>,
        /// The time to wait before the next attempt, from the header `Retry-After`. The client waits at most one hour.
        retry_after: Option<Duration>,
    },
    /// The server does not speak WebSocket, or selects an extension or a sub-protocol that was not offered.
    #[error("{url} does not speak WebSocket: {problem}")]
    Handshake {
        /// The server's URL.
        url: String,
        /// What was wrong with its response.
        problem: String,
    },
    /// The WebSocket handshake succeeded, and the connection ended before it was open.
    #[error("{url} accepted the connection, but it ended: {reason}")]
    Disconnected {
        /// The server's URL.
        url: String,
        /// Why the connection ended.
        reason: DisconnectReason,
    },
}

/// The reason in the body of a refusal: the text of an aaw server's error, or plain text, on one line. A page for
/// browsers says no more than the status.
fn body_suffix(body: &str) -> String {
    #[derive(serde::Deserialize)]
    struct JsonError {
        error: String,
    }
    let json = serde_json::from_str(body).map(|JsonError { error }| error);
    let text = json.as_deref().unwrap_or(body).split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.starts_with('<') { String::new() } else { format!(": {}", Shortened(&text)) }
}

fn location_suffix(location: &Option<String>) -> String {
    location.as_deref().map(|location| format!(" (it redirects to {})", Shortened(location))).unwrap_or_default()
}

impl ConnectError {
    /// What the failed attempt says about the next one.
    pub(crate) fn retry_hint(&self) -> RetryHint {
        match self {
            Self::Refused { retry_after: Some(after), .. } => RetryHint::After(*after),
            // The server was busy, or does not know yet whether it responds (RFC 9110, 15.5.9; RFC 8470, 5.2).
            Self::Refused { status: 408 | 425 | 500.., .. } => RetryHint::Unknown,
            Self::Refused { .. } => RetryHint::Refused,
            Self::Disconnected { reason: DisconnectReason::ClosedByServer { code: 1008, .. }, .. } => {
                RetryHint::Refused
            }
            _ => RetryHint::Unknown,
        }
    }
}

/// Two errors are equal if they are of the same kind and have the same text.
impl PartialEq for ConnectError {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.to_string() == other.to_string()
    }
}

impl Eq for ConnectError {}

/// What is known about why there is no connection.
///
/// Its text is, for example, `never connected; last attempt: ws://localhost:1337 refused the connection with 403: …`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NoConnection {
    /// Why the last connection ended. `None` if there never was one.
    pub lost: Option<DisconnectReason>,
    /// Why the last attempt to connect failed. `None` if none has failed since the last connection ended.
    pub last_attempt: Option<ConnectError>,
}

impl fmt::Display for NoConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lost {
            None => f.write_str("never connected")?,
            Some(reason) => write!(f, "the connection was lost: {reason}")?,
        }
        match &self.last_attempt {
            None => f.write_str("; the attempt to connect has not ended yet"),
            Some(error) => write!(f, "; last attempt: {error}"),
        }
    }
}

/// Why a call has no response, and what is known about it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The call was not sent: the server has not seen it, and it is safe to repeat.
    #[error("the call was not sent: {0}")]
    NotSent(#[from] SendError),
    /// The server refused the call or the handler failed: its `error`, `code` and `data`.
    #[error("{0}")]
    Failed(Failure),
    /// The timeout elapsed. If the call was sent, it is cancelled on the server.
    #[error("no response within {after:?}{}", delivery_suffix(*.sent, *.taken, .no_connection.as_deref()))]
    TimedOut {
        /// The timeout.
        after: Duration,
        /// Whether the call was sent. If it was not, it is safe to repeat.
        sent: bool,
        /// Whether the server has acknowledged the call: it runs, has run or waits in the server's queue, unless the server has
        /// ended meanwhile. `false` means that this is not known.
        taken: bool,
        /// Why there was no connection, if the call was not sent for that reason. `None` for a call that was not sent
        /// although there was a connection: the server read too slowly, or as many calls were open as the server or
        /// [`max_concurrent_calls`](crate::Config::max_concurrent_calls) allows.
        no_connection: Option<Arc<NoConnection>>,
    },
    /// The call was sent, and the connection ended before its response arrived. The handler may have run or not.
    #[error("the call was sent, but its outcome is unknown: {0}")]
    OutcomeUnknown(DisconnectReason),
    /// The call succeeded, and its response does not fit the requested type.
    #[error("the response does not have the expected type: {0}")]
    BadResponse(DecodeError),
}

fn delivery_suffix(sent: bool, taken: bool, no_connection: Option<&NoConnection>) -> String {
    match no_connection {
        _ if taken => "; the server has the call".to_owned(),
        _ if sent => String::new(),
        Some(no_connection) => format!("; the call was not sent: {no_connection}"),
        None => "; the call was not sent: too many calls were open, or the server read too slowly".to_owned(),
    }
}

/// How a stream ended. It has no timeout, and its items are its only response.
pub(crate) fn stream_result(
    result: CallResult,
    no_connection: impl FnOnce() -> Option<Arc<NoConnection>>,
) -> Result<(), CallError> {
    match result {
        CallResult::Response(_) | CallResult::StreamEnded => Ok(()),
        CallResult::Failed(failure) => Err(CallError::Failed(failure)),
        CallResult::TimedOut { sent, taken } => {
            Err(CallError::TimedOut { after: Duration::MAX, sent, taken, no_connection: no_connection() })
        }
        CallResult::Unknown(reason) => Err(CallError::OutcomeUnknown(reason)),
        CallResult::NotSent(reason) => Err(SendError::new(reason, no_connection()).into()),
    }
}

/// Why an item of an upload was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The item cannot be serialized as JSON: its `Serialize` fails, a map has keys that are not strings,
    /// or a number is NaN or infinite. Other
    /// items can be sent.
    #[error("the item cannot be serialized: {0}")]
    Payload(String),
    /// The item's message is larger than the server or [`max_message_bytes`](field@crate::Config::max_message_bytes) allows.
    /// Other items can be sent.
    #[error("the item's message of {size} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes of the largest message.
        limit: usize,
    },
    /// The call has ended: its handler has returned or failed, its stream was dropped, or the connection ended. The
    /// stream returns which.
    #[error("the call has ended")]
    CallEnded,
}

/// Why a call or a one-way send was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The payload cannot be serialized as JSON: its `Serialize` fails, a map has keys that are not strings,
    /// or a number is NaN or infinite.
    #[error("the payload cannot be serialized: {0}")]
    Payload(String),
    /// The name is reserved for messages of the protocol itself, such as `aaw/hello`.
    #[error("the event name {0} is reserved for aaw itself")]
    ReservedName(String),
    /// The message is larger than the server or [`max_message_bytes`](field@crate::Config::max_message_bytes) allows.
    #[error("the message of {size} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes of the largest message.
        limit: usize,
    },
    /// The queue of messages that wait to be sent, usually for a connection, is full:
    /// [`max_queued_send_bytes`](crate::Config::max_queued_send_bytes) or
    /// [`max_queued_call_bytes`](crate::Config::max_queued_call_bytes).
    #[error("the queue of messages that wait to be sent is full ({limit} bytes){}", queue_suffix(.no_connection))]
    QueueFull {
        /// Bytes that may be queued.
        limit: usize,
        /// Why there is no connection. `None` if there is one, and the server reads too slowly.
        no_connection: Option<Arc<NoConnection>>,
    },
    /// The call has an upload, and the server speaks the classic dialect, which has none.
    #[error("the server speaks the classic dialect, which has no uploads")]
    NoUploads,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

fn queue_suffix(no_connection: &Option<Arc<NoConnection>>) -> String {
    no_connection.as_ref().map(|reason| format!("; {reason}")).unwrap_or_default()
}

impl SendError {
    pub(crate) fn new(reason: NotSent, no_connection: Option<Arc<NoConnection>>) -> Self {
        match reason {
            NotSent::QueueFull { limit } => Self::QueueFull { limit, no_connection },
            NotSent::TooLarge { size, limit } => Self::TooLarge { size, limit },
            NotSent::NoUploads => Self::NoUploads,
            _ => Self::Closed,
        }
    }
}

/// JSON that does not fit the requested type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", if .field.is_empty() || .field == "." { String::new() } else { format!("{field}: ") })]
pub struct DecodeError {
    /// The path to the value that does not fit, such as `users[2].id`. Empty or `.` for the whole document.
    pub field: String,
    /// What was expected there, and what was found.
    pub problem: String,
}

/// Characters of a problem that an error repeats: it may quote a large value.
const MAX_PROBLEM_LEN: usize = 200;

/// Deserializes JSON that the server sent.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    // Tracking the path is slow, so only JSON that does not fit is read that way, a second time.
    json::from_str(text).or_else(|_| {
        let mut parser = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(FiniteDeserializer::new(&mut parser)).map_err(|error| {
            let problem = error.inner().to_string();
            let problem = match lone_surrogate(text).filter(|_| problem.contains("hex escape")) {
                Some(escape) => explain_lone_surrogate(escape),
                None => middle_cut(&problem, MAX_PROBLEM_LEN),
            };
            DecodeError { field: error.path().to_string(), problem }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> ConnectError {
        let url = "ws://host".into();
        ConnectError::Refused { url, status, body: body.into(), location: None, retry_after: None }
    }

    #[test]
    fn the_reason_of_a_refusal_is_one_line_of_text() {
        for (body, expected) in [
            ("no entry", ": no entry"),
            (" no\r\n entry\n", ": no entry"),
            (r#"{"error":"The server is stopping","code":"busy"}"#, ": The server is stopping"),
            (r#"{"detail":7}"#, r#": {"detail":7}"#),
            ("\n<!doctype html><p>Forbidden", ""),
            (" ", ""),
        ] {
            assert_eq!(refused(403, body).to_string(), format!("ws://host refused the connection with 403{expected}"));
        }
        let long = refused(403, &"x".repeat(5000)).to_string();
        assert!(long.len() < 300 && long.ends_with('…'), "{long}");
        let mut moved = refused(301, "<p>moved");
        if let ConnectError::Refused { location, .. } = &mut moved {
            *location = Some("https://host/".into());
        }
        assert!(moved.to_string().ends_with("with 301 (it redirects to https://host/)"), "{moved}");
    }

    #[test]
    fn only_the_refusal_of_this_client_makes_it_wait_longer() {
        for status in [200, 301, 400, 401, 403, 404, 426, 429] {
            assert_eq!(refused(status, "").retry_hint(), RetryHint::Refused, "{status}");
        }
        for status in [408, 425, 500, 502, 503, 504] {
            assert_eq!(refused(status, "").retry_hint(), RetryHint::Unknown, "{status}");
        }
        for status in [403, 429, 503] {
            let mut error = refused(status, "");
            if let ConnectError::Refused { retry_after, .. } = &mut error {
                *retry_after = Some(Duration::from_secs(7));
            }
            assert_eq!(error.retry_hint(), RetryHint::After(Duration::from_secs(7)), "{status}");
        }
    }

    #[test]
    fn a_call_that_was_not_sent_names_what_is_known() {
        let timed_out = |sent, no_connection: Option<NoConnection>| {
            let after = Duration::from_secs(3);
            CallError::TimedOut { after, sent, taken: false, no_connection: no_connection.map(Arc::new) }.to_string()
        };
        let unreachable = || {
            let problem = Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused));
            Some(ConnectError::Unreachable { url: "ws://host".into(), problem })
        };
        assert_eq!(timed_out(true, None), "no response within 3s");
        assert!(timed_out(false, None).ends_with("too many calls were open, or the server read too slowly"));
        for (lost, last_attempt, expected) in [
            (None, None, "never connected; the attempt to connect has not ended yet"),
            (None, unreachable(), "never connected; last attempt: cannot reach ws://host: connection refused"),
            (None, Some(refused(403, "no")), "last attempt: ws://host refused the connection with 403: no"),
            (
                Some(DisconnectReason::Silent),
                unreachable(),
                "not sent: the connection was lost: the server stopped responding; last attempt: cannot reach \
                 ws://host: connection refused",
            ),
        ] {
            let text = timed_out(false, Some(NoConnection { lost, last_attempt }));
            assert!(text.ends_with(expected), "{text}");
        }
    }

    #[test]
    fn a_decode_error_names_the_field_and_the_expected_type() {
        #[derive(Debug, serde::Deserialize)]
        struct Users {
            #[serde(rename = "users")]
            _users: Vec<User>,
        }
        #[derive(Debug, serde::Deserialize)]
        struct User {
            #[serde(rename = "id")]
            _id: u32,
        }
        let error = parse::<Users>(r#"{"users":[{"id":1},{"id":"two"}]}"#).unwrap_err();
        assert_eq!(error.field, "users[1].id");
        assert!(error.to_string().starts_with(r#"users[1].id: invalid type: string "two", expected u32"#), "{error}");
        let error = parse::<u32>(&format!(r#""{}""#, "x".repeat(1 << 20))).unwrap_err().to_string();
        assert!(error.len() < 300 && error.contains("…") && error.contains("expected u32"), "{error}");
        let error = parse::<String>(r#""a\ud83d""#).unwrap_err().to_string();
        assert!(error.contains(r"the lone surrogate \ud83d, which is half of a character"), "{error}");
        let error = parse::<u32>("{}").unwrap_err();
        assert!(error.to_string().starts_with("invalid type: map, expected u32"), "{error}");
    }
}
