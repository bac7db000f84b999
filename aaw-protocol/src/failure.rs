//! The error of a failed call, as it crosses the wire.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::text::Shortened;

/// The error of a call: a text for people, a code for programs, and optional data from the handler.
///
/// On the wire it is the object `{"error": …, "code": …, "data"?: …}`. A classic peer receives `error` alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong, for a person.
    pub error: String,
    /// What went wrong, for a program. Defaults to [`Code::HANDLER`] if the peer sent no code.
    #[serde(default)]
    pub code: Code,
    /// Data that the handler attached to its error: any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// The HTTP status of the response, where the call is one over HTTP; `None` for that of the code. It is not sent over
    /// WebSockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl Failure {
    /// Creates a failure without data.
    pub fn new(code: Code, error: impl Into<String>) -> Self {
        Self { error: error.into(), code, data: None, status: None }
    }

    /// Creates the failure of a call whose event does not exist. A long `name` is shortened.
    pub fn unknown_event(name: &str) -> Self {
        Self::new(Code::UNKNOWN_EVENT, format!("Unknown event: {}", Shortened(name)))
    }

    /// The text that a caller receives when the cause is only logged: the handler panicked, or `?` converted an error.
    pub const INTERNAL: &'static str = "Internal error";

    /// Creates a failure with the text [`INTERNAL`](Self::INTERNAL), which does not reveal the cause.
    ///
    /// ```
    /// # use aaw_protocol::{Code, Failure};
    /// assert_eq!(Failure::internal(Code::PANIC).error, "Internal error");
    /// ```
    pub fn internal(code: Code) -> Self {
        Self::new(code, Self::INTERNAL)
    }
}

/// Two failures are equal if a caller cannot tell them apart.
impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        self.error == other.error
            && self.code == other.code
            && self.data.as_ref().map(|data| data.get()) == other.data.as_ref().map(|data| data.get())
    }
}

impl Eq for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for Failure {}

/// The part of a [`Failure`] that a program can act on. The constants are defined by aaw; a handler may use any other
/// text.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(Cow<'static, str>);

impl Code {
    /// No event has this name.
    pub const UNKNOWN_EVENT: Self = Self::of("unknown_event");
    /// The body does not fit what the handler takes.
    pub const BAD_BODY: Self = Self::of("bad_body");
    /// The frame is malformed, or not allowed in the current state of the connection.
    pub const BAD_FRAME: Self = Self::of("bad_frame");
    /// The event needs a session and there is none.
    pub const NOT_AUTHENTICATED: Self = Self::of("not_authenticated");
    /// The session is not allowed to call this event, or the client is not allowed to connect.
    pub const NOT_ALLOWED: Self = Self::of("not_allowed");
    /// The handler returned an error for its caller. The default code.
    pub const HANDLER: Self = Self::of("handler");
    /// The handler failed for a reason that is not the caller's: `?` converted an error. The cause is in the server's log
    /// only.
    pub const INTERNAL: Self = Self::of("internal");
    /// The handler panicked. The panic message is in the server's log only.
    pub const PANIC: Self = Self::of("panic");
    /// The handler did not finish within the caller's timeout.
    pub const TIMEOUT: Self = Self::of("timeout");
    /// The call was not run: too many calls run and wait, or the server is stopping. A later attempt may succeed.
    pub const BUSY: Self = Self::of("busy");
    /// The call was run and has been dropped, because the server is stopping.
    pub const STOPPING: Self = Self::of("stopping");
    /// The events were replaced while the call ran, and it was dropped at the deadline for such calls. It may be called
    /// again.
    pub const REPLACED: Self = Self::of("replaced");
    /// The response, or an item of it, exceeds the message size limit.
    pub const TOO_LARGE: Self = Self::of("too_large");
    /// The caller cancelled the call.
    pub const CANCELLED: Self = Self::of("cancelled");
    /// The call has no possible recipient: the event needs authentication and the server has none, or the server calls
    /// a client whose dialect has no client calls.
    pub const UNREACHABLE: Self = Self::of("unreachable");
    /// There is no connection for the call.
    pub const NO_CONNECTION: Self = Self::of("no_connection");

    const fn of(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }

    /// Creates a code that aaw does not define, for a handler's own errors.
    pub fn new(code: impl Into<Cow<'static, str>>) -> Self {
        Self(code.into())
    }

    /// Returns the code as it appears on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Code {
    fn default() -> Self {
        Self::HANDLER
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<&str> for Code {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_without_a_code_has_the_code_handler() {
        let failure: Failure = serde_json::from_str(r#"{"error":"no"}"#).unwrap();
        assert_eq!(failure, Failure::new(Code::HANDLER, "no"));
    }

    #[test]
    fn a_long_event_name_is_shortened_in_the_text() {
        let text = Failure::unknown_event(&"é".repeat(5000)).error;
        assert!(text.chars().count() < 250 && text.ends_with('…'), "{text}");
    }
}
