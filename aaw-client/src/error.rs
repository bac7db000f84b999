//! The errors: one enum for each kind of operation.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::client::{CallResult, DisconnectReason, NotSent};
use aaw_protocol::text::{explain_lone_surrogate, lone_surrogate, middle_cut};
use aaw_protocol::{Failure, Shortened};
use serde::de::DeserializeOwned;

/// Why an attempt to connect failed. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one of a WebSocket server. A further attempt would fail in the same way.
    #[error("{url:?} is not the URL of a server: {problem}")]
    Url {
        /// The URL as it was given.
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
    #[error("{url} refused the connection with {status}{}", body_suffix(.body))]
    Refused {
        /// The server's URL.
        url: String,
        /// The HTTP status: 403 if the server does not allow the `Origin`.
        status: u16,
        /// The part of the response body that arrived with the head, at most 4 KiB.
        body: String,
    },
    /// The server does not speak WebSocket.
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

fn body_suffix(body: &str) -> String {
    match body.trim() {
        "" => String::new(),
        body => format!(": {}", Shortened(body)),
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
    #[error("no response within {after:?}{}", if *.sent { "" } else { "; the call was not sent, because there was no connection" })]
    TimedOut {
        /// The timeout.
        after: Duration,
        /// Whether the call was sent. If it was not, it waited for a connection all the time and is safe to repeat.
        sent: bool,
    },
    /// The call was sent, and the connection ended before its response arrived. The handler may have run or not.
    #[error("the call was sent, but its outcome is unknown: {0}")]
    OutcomeUnknown(DisconnectReason),
    /// The call succeeded, and its response does not fit the requested type.
    #[error("the response does not have the expected type: {0}")]
    BadResponse(DecodeError),
}

/// How a stream ended. It has no timeout, and its items are its only response.
pub(crate) fn stream_result(result: CallResult) -> Result<(), CallError> {
    match result {
        CallResult::Response(_) | CallResult::StreamEnded => Ok(()),
        CallResult::Failed(failure) => Err(CallError::Failed(failure)),
        CallResult::TimedOut { sent } => Err(CallError::TimedOut { after: Duration::MAX, sent }),
        CallResult::Unknown(reason) => Err(CallError::OutcomeUnknown(reason)),
        CallResult::NotSent(reason) => Err(CallError::NotSent(reason.into())),
    }
}

/// Why an item of an upload was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The item cannot be serialized as JSON: its `Serialize` fails, or a map has keys that are not strings. Other
    /// items can be sent.
    #[error("the item cannot be serialized: {0}")]
    Payload(String),
    /// The item's message is larger than the server or [`max_message_bytes`](crate::Config::max_message_bytes) allows.
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
    /// The payload cannot be serialized as JSON: its `Serialize` fails, or a map has keys that are not strings.
    #[error("the payload cannot be serialized: {0}")]
    Payload(String),
    /// The name is reserved for messages of the protocol itself, such as `aaw/hello`.
    #[error("the event name {0} is reserved for aaw itself")]
    ReservedName(String),
    /// The message is larger than the server or [`max_message_bytes`](crate::Config::max_message_bytes) allows.
    #[error("the message of {size} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes of the largest message.
        limit: usize,
    },
    /// There is no connection, and the queue of messages that wait for one is full:
    /// [`max_queued_send_bytes`](crate::Config::max_queued_send_bytes) or
    /// [`max_queued_call_bytes`](crate::Config::max_queued_call_bytes).
    #[error("there is no connection, and the queue of messages that wait for one is full ({limit} bytes)")]
    QueueFull {
        /// Bytes that may be queued.
        limit: usize,
    },
    /// The call has an upload, and the server speaks the classic dialect, which has none.
    #[error("the server speaks the classic dialect, which has no uploads")]
    NoUploads,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

impl From<NotSent> for SendError {
    fn from(reason: NotSent) -> Self {
        match reason {
            NotSent::QueueFull { limit } => Self::QueueFull { limit },
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
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, DecodeError> {
    // Tracking the path is slow, so only JSON that does not fit is read that way, a second time.
    serde_json::from_str(json).or_else(|_| {
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(|error| {
            let problem = error.inner().to_string();
            let problem = match lone_surrogate(json).filter(|_| problem.contains("hex escape")) {
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
