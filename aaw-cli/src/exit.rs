//! How the program ends: an exit code for scripts, and a message for people.

use std::fmt::Display;
use std::process::ExitCode;

use aaw_client::{CallError, ConnectError, SendError};

/// The exit codes, as `--help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitReason {
    /// The server refused the call, or its handler failed.
    Failed = 1,
    /// The command line is invalid. clap exits with the same code.
    Usage = 2,
    /// There was no connection, and nothing was sent.
    NoConnection = 3,
    /// The call was sent, and there was no response within the timeout.
    TimedOut = 4,
    /// The call was sent, and its outcome is unknown.
    Unknown = 5,
    /// SIGINT: 128 plus its number, as in shells.
    Interrupted = 130,
}

impl From<ExitReason> for ExitCode {
    fn from(reason: ExitReason) -> Self {
        Self::from(reason as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) reason: ExitReason,
    /// The line or lines for standard error.
    pub(crate) message: String,
}

impl CliError {
    /// An error of the command line, or of a file or environment variable that it names.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { reason: ExitReason::Usage, message: format!("aaw: {message}") }
    }

    /// An error of this system, such as an output that cannot be written.
    pub(crate) fn system(error: impl Display) -> Self {
        Self { reason: ExitReason::Unknown, message: format!("aaw: {error}") }
    }

    pub(crate) fn from_connect(error: &ConnectError) -> Self {
        let (reason, hint) = match error {
            ConnectError::Url { .. } | ConnectError::Header(_) => (ExitReason::Usage, ""),
            ConnectError::Unreachable { .. } => {
                (ExitReason::NoConnection, "\nIs the server running, and is this its address and port?")
            }
            ConnectError::TimedOut { .. } => (
                ExitReason::NoConnection,
                "\nNothing was sent. Use --timeout to wait longer, for example --timeout 10s.",
            ),
            ConnectError::Tls { .. } => {
                (ExitReason::NoConnection, "\nThe URL of a server without TLS begins with ws://.")
            }
            ConnectError::Refused { status: 300..=399, .. } => (
                ExitReason::NoConnection,
                "\naaw follows no redirects; use the URL behind it, with wss:// for https://.",
            ),
            ConnectError::Refused { status: 401 | 403, .. } => {
                (ExitReason::NoConnection, "\nThe server may require a header: --header 'Name: value'.")
            }
            _ => (ExitReason::NoConnection, ""),
        };
        Self { reason, message: format!("aaw: {error}{hint}") }
    }

    pub(crate) fn from_call(error: &CallError, url: &str, event: &str) -> Self {
        let (reason, hint) = match error {
            // Scripts parse it, so it is nothing but JSON.
            CallError::Failed(failure) => {
                let json = serde_json::to_string(failure).unwrap_or_else(|_| failure.to_string());
                return Self { reason: ExitReason::Failed, message: json };
            }
            CallError::NotSent(error) => return Self::from_send(error, url, event),
            CallError::TimedOut { sent: true, .. } => (
                ExitReason::TimedOut,
                "\nThe call was sent and may have run. Use --timeout to wait longer, for example --timeout 10s.",
            ),
            CallError::TimedOut { .. } => (ExitReason::NoConnection, ""),
            CallError::OutcomeUnknown(_) => (ExitReason::Unknown, "\nThe call may have run or not."),
            _ => (ExitReason::Unknown, ""),
        };
        Self { reason, message: format!("aaw: {event} on {url}: {error}{hint}") }
    }

    pub(crate) fn from_send(error: &SendError, url: &str, event: &str) -> Self {
        let reason = match error {
            SendError::ReservedName(_) | SendError::Payload(_) | SendError::TooLarge { .. } => ExitReason::Usage,
            _ => ExitReason::NoConnection,
        };
        Self { reason, message: format!("aaw: {event} on {url}: not sent: {error}") }
    }
}
