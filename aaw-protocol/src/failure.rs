//! What a failed call is answered with.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::text::Shortened;

/// Why a call failed, in words for a person, in a word for a program, and with whatever the handler added.
///
/// This is the object that crosses the wire: `{"error": …, "code": …, "data"?: …}`. A classic peer gets `error` alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong, for a person.
    pub error: String,
    /// What went wrong, for a program. A peer that sends none means [`Code::HANDLER`].
    #[serde(default)]
    pub code: Code,
    /// What the handler added with its error: any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

impl Failure {
    /// A failure without data.
    pub fn new(code: Code, error: impl Into<String>) -> Self {
        Self { error: error.into(), code, data: None }
    }

    /// The answer to a call of an event that is not there.
    pub fn unknown_event(name: &str) -> Self {
        Self::new(Code::UNKNOWN_EVENT, format!("Unknown event: {}", Shortened(name)))
    }

    /// What a caller reads where the reason is for the log only: a handler panicked, or `?` converted an error.
    pub const INTERNAL: &'static str = "Internal error";

    /// A failure that says [`INTERNAL`](Self::INTERNAL) and nothing else.
    ///
    /// ```
    /// # use aaw_protocol::{Code, Failure};
    /// assert_eq!(Failure::internal(Code::PANIC).error, "Internal error");
    /// ```
    pub fn internal(code: Code) -> Self {
        Self::new(code, Self::INTERNAL)
    }
}

/// Two failures are the same when a caller cannot tell them apart.
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

/// The word in a [`Failure`] that a program can act on. The constants are aaw's own; a handler may use any word.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(Cow<'static, str>);

impl Code {
    /// No event has this name.
    pub const UNKNOWN_EVENT: Self = Self::of("unknown_event");
    /// The body does not fit what the handler takes.
    pub const BAD_BODY: Self = Self::of("bad_body");
    /// The frame makes no sense.
    pub const BAD_FRAME: Self = Self::of("bad_frame");
    /// The event needs a session and there is none.
    pub const NOT_AUTHENTICATED: Self = Self::of("not_authenticated");
    /// The session may not call this event.
    pub const NOT_ALLOWED: Self = Self::of("not_allowed");
    /// The handler's own error.
    pub const HANDLER: Self = Self::of("handler");
    /// The handler panicked. What it said is in the server's log only.
    pub const PANIC: Self = Self::of("panic");
    /// The handler did not end within the time the caller gave it.
    pub const TIMEOUT: Self = Self::of("timeout");
    /// The call was not run: too many are running and waiting, or the server is stopping. Later it may succeed.
    pub const BUSY: Self = Self::of("busy");
    /// The answer is larger than a message may be.
    pub const TOO_LARGE: Self = Self::of("too_large");
    /// The caller cancelled.
    pub const CANCELLED: Self = Self::of("cancelled");
    /// Whatever should answer cannot be reached: an event that needs authentication where there is none, a client that
    /// cannot be asked.
    pub const UNREACHABLE: Self = Self::of("unreachable");
    /// There is no connection to do this with.
    pub const NO_CONNECTION: Self = Self::of("no_connection");

    const fn of(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// Another word, for a handler's own failures.
    pub fn new(word: impl Into<Cow<'static, str>>) -> Self {
        Self(word.into())
    }

    /// The word.
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
    fn a_failure_without_a_code_is_the_handlers() {
        let failure: Failure = serde_json::from_str(r#"{"error":"no"}"#).unwrap();
        assert_eq!(failure, Failure::new(Code::HANDLER, "no"));
    }

    #[test]
    fn long_names_are_cut_in_the_text() {
        let text = Failure::unknown_event(&"é".repeat(5000)).error;
        assert!(text.chars().count() < 250 && text.ends_with('…'), "{text}");
    }
}
