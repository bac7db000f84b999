//! How it ended: a code for scripts and words for people.

use std::process::ExitCode;

use aaw_client::{CallError, ConnectError, SendError};

/// The exit codes, as `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The server refused or failed the call.
    Failed = 1,
    /// The command line makes no sense; clap's own code for that.
    Usage = 2,
    /// No connection, nothing was sent.
    NoConnection = 3,
    /// No answer in time.
    TimedOut = 4,
    /// Nobody knows.
    Unknown = 5,
    /// By SIGINT: 128 and its number, as shells have it.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why it did not work.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// For standard error.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: Code::Usage, text: format!("aaw: {}", text.into()) }
    }

    pub(crate) fn system(error: impl std::fmt::Display) -> Self {
        Self { code: Code::Unknown, text: format!("aaw: {error}") }
    }

    pub(crate) fn of_connect(error: &ConnectError) -> Self {
        let (code, hint) = match error {
            ConnectError::Url { .. } | ConnectError::Header(_) => (Code::Usage, ""),
            ConnectError::Unreachable { .. } => {
                (Code::NoConnection, "\nIs the server running, and is this its address and port?")
            }
            ConnectError::TimedOut { .. } => (Code::NoConnection, "\nA longer --timeout waits longer."),
            ConnectError::Tls { .. } => {
                (Code::NoConnection, "\nA server without TLS has a URL that begins with ws://.")
            }
            ConnectError::Refused { status: 401 | 403, .. } => {
                (Code::NoConnection, "\nIt may want a header: --header 'Name: value'.")
            }
            _ => (Code::NoConnection, ""),
        };
        Self { code, text: format!("aaw: {error}{hint}") }
    }

    pub(crate) fn of_call(error: &CallError, url: &str, event: &str) -> Self {
        let (code, hint) = match error {
            // For programs as much as for people, so nothing but JSON.
            CallError::Failed(failure) => {
                let json = serde_json::to_string(failure).unwrap_or_else(|_| failure.to_string());
                return Self { code: Code::Failed, text: json };
            }
            CallError::NotSent(why) => return Self::of_send(why, url, event),
            CallError::TimedOut { sent: true, .. } => {
                (Code::TimedOut, "\nIt may have run. A longer --timeout waits longer.")
            }
            CallError::TimedOut { .. } => (Code::NoConnection, ""),
            CallError::OutcomeUnknown(_) => (Code::Unknown, "\nIt may have run or not."),
            _ => (Code::Unknown, ""),
        };
        Self { code, text: format!("aaw: {event} on {url}: {error}{hint}") }
    }

    pub(crate) fn of_send(error: &SendError, url: &str, event: &str) -> Self {
        let code = match error {
            SendError::ReservedName(_) | SendError::Payload(_) | SendError::TooLarge { .. } => Code::Usage,
            _ => Code::NoConnection,
        };
        Self { code, text: format!("aaw: {event} on {url}: not sent: {error}") }
    }
}
