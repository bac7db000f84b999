//! What can go wrong: one enum an operation.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::client::{CallResult, DisconnectReason, NotSent};
use aaw_protocol::text::middle_cut;
use aaw_protocol::{Failure, Shortened};
use serde::de::DeserializeOwned;

/// Why there is no connection. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL cannot be connected to, whatever listens there.
    #[error("{url:?} is not the URL of a server: {problem}")]
    Url {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A header of the [`Config`](crate::Config) that is WebSocket's own to set.
    #[error("the header {0} belongs to the WebSocket handshake and cannot be set")]
    Header(String),
    /// The name cannot be found, or nothing listens there.
    #[error("cannot reach {url}: {problem}")]
    Unreachable {
        /// Where to.
        url: String,
        /// What the system said.
        problem: Arc<io::Error>,
    },
    /// It took longer than [`connect_timeout`](crate::Config::connect_timeout).
    #[error("no connection to {url} within {after:?}")]
    TimedOut {
        /// Where to.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// TLS failed: a certificate that is not trusted, say, or a server that speaks none.
    #[error("no secure connection to {url}: {problem}")]
    Tls {
        /// Where to.
        url: String,
        /// What rustls said.
        problem: String,
    },
    /// The server answered with HTTP instead.
    #[error("{url} refused the connection with {status}{}", said(.body))]
    Refused {
        /// Where to.
        url: String,
        /// The status of HTTP: 403 if the server does not allow the `Origin`.
        status: u16,
        /// What it said, as far as it came with the status, at most 4 KiB.
        body: String,
    },
    /// What answers does not speak WebSocket.
    #[error("{url} does not speak WebSocket: {problem}")]
    Handshake {
        /// Where to.
        url: String,
        /// What was wrong.
        problem: String,
    },
    /// The server took the connection and ended it before it could be used.
    #[error("{url} took the connection, then: {why}")]
    DisconnectReason {
        /// Where to.
        url: String,
        /// How it ended.
        why: DisconnectReason,
    },
}

fn said(body: &str) -> String {
    match body.trim() {
        "" => String::new(),
        body => format!(": {}", Shortened(body)),
    }
}

/// Why a call has no answer, and what is known about it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server never saw the call. It is safe to make it again.
    #[error("the call was not sent: {0}")]
    NotSent(#[from] SendError),
    /// The server failed the call, and says why: its `error`, `code` and `data`.
    #[error("{0}")]
    Failed(Failure),
    /// The time was up. A server of ours is told, and drops the handler.
    #[error("no answer within {after:?}{}", if *.sent { "" } else { "; the call was not sent, there was no connection" })]
    TimedOut {
        /// How long was waited.
        after: Duration,
        /// Whether the server may have seen the call. If not, it was waiting for a connection all the time, and is safe
        /// to make again.
        sent: bool,
    },
    /// The call was sent, and then the connection was lost. It may have run or not.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(DisconnectReason),
    /// The server answered, and the answer does not fit the type that was asked for.
    #[error("the answer is not what was expected: {0}")]
    BadAnswer(DecodeError),
}

/// How a stream ended. It has no time-out of its own, and no answer but its items.
pub(crate) fn ended(outcome: CallResult) -> Result<(), CallError> {
    match outcome {
        CallResult::Response(_) | CallResult::StreamEnded => Ok(()),
        CallResult::Failed(failure) => Err(CallError::Failed(failure)),
        CallResult::TimedOut { sent } => Err(CallError::TimedOut { after: Duration::MAX, sent }),
        CallResult::Unknown(why) => Err(CallError::OutcomeUnknown(why)),
        CallResult::NotSent(why) => Err(CallError::NotSent(why.into())),
    }
}

/// Why an item of an upload was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The item cannot be JSON: its `Serialize` fails, or it has keys that are no strings. Others can be sent.
    #[error("the item cannot be serialised: {0}")]
    Payload(String),
    /// The item's message would be larger than the server, or [`max_message`](crate::Config::max_message), allows.
    /// Others can be sent.
    #[error("the item's message would have {size} bytes, and {limit} are allowed")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes that one may have.
        limit: usize,
    },
    /// The call is over: its handler has ended or failed, its stream was dropped, or the connection was lost. The
    /// stream says which.
    #[error("the call is over")]
    Over,
}

/// Why something was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The payload cannot be JSON: its `Serialize` fails, or it has keys that are no strings.
    #[error("the payload cannot be serialised: {0}")]
    Payload(String),
    /// The name is one that client and server use between themselves.
    #[error("the name {0} belongs to aaw itself")]
    ReservedName(String),
    /// The message would be larger than the server, or [`max_message`](crate::Config::max_message), allows.
    #[error("its message would have {size} bytes, and {limit} are allowed")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes that one may have.
        limit: usize,
    },
    /// There is no connection, and as much is waiting for one as
    /// [`max_waiting_sends`](crate::Config::max_waiting_sends) or
    /// [`max_waiting_calls`](crate::Config::max_waiting_calls) allows.
    #[error("there is no connection, and {limit} bytes are waiting for one already")]
    QueueFull {
        /// Bytes that may wait.
        limit: usize,
    },
    /// The call sends items, and the server is the original one, or speaks as that does: it takes none.
    #[error("the server speaks the classic dialect, and takes no stream from its caller")]
    NoUploads,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

impl From<NotSent> for SendError {
    fn from(why: NotSent) -> Self {
        match why {
            NotSent::QueueFull { limit } => Self::QueueFull { limit },
            NotSent::TooLarge { size, limit } => Self::TooLarge { size, limit },
            NotSent::NoUploads => Self::NoUploads,
            _ => Self::Closed,
        }
    }
}

/// JSON that does not fit a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", if .field.is_empty() || .field == "." { String::new() } else { format!("{field}: ") })]
pub struct DecodeError {
    /// Where it does not fit: `users[2].id`. Empty or `.` if the whole does not.
    pub field: String,
    /// What was expected there, and what was found.
    pub problem: String,
}

/// Characters of what does not fit that an error repeats.
const LONGEST_PROBLEM: usize = 200;

/// Makes a `T` of JSON that a server sent.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, DecodeError> {
    // Keeping track of the field costs something, so only what does not fit is read that way.
    serde_json::from_str(json).or_else(|_| {
        serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(|error| DecodeError {
            field: error.path().to_string(),
            problem: middle_cut(&error.inner().to_string(), LONGEST_PROBLEM),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_names_the_field_and_what_was_expected() {
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
        let mismatch = parse::<Users>(r#"{"users":[{"id":1},{"id":"two"}]}"#).unwrap_err();
        assert_eq!(mismatch.field, "users[1].id");
        assert!(
            mismatch.to_string().starts_with(r#"users[1].id: invalid type: string "two", expected u32"#),
            "{mismatch}"
        );
        let mismatch = parse::<u32>(&format!(r#""{}""#, "x".repeat(1 << 20))).unwrap_err().to_string();
        assert!(mismatch.len() < 300 && mismatch.contains("…") && mismatch.contains("expected u32"), "{mismatch}");
        let mismatch = parse::<u32>("{}").unwrap_err();
        assert!(mismatch.to_string().starts_with("invalid type: map, expected u32"), "{mismatch}");
    }
}
