//! What the settings of the program can be.

/// The default file of users and sessions, as in the original aaw.
pub(crate) const DEFAULT_STORE: &str = "aaw-auth.sqlite";

/// What `--watch` means without a value.
pub(crate) const WATCH: &str = "auto";

/// How `--watch` notices changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchMode {
    /// The system reports changes.
    Auto,
    /// Files are looked at once a second.
    Poll,
}

impl WatchMode {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => WATCH,
            Self::Poll => "poll",
        }
    }
}

/// What is logged, and in which format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Messages for people, to standard error.
    Pretty,
    /// Messages as JSON to standard error, and one line of JSON per finished call to standard output.
    Json,
    /// Only cargo's output, and why the server did not start.
    Off,
}

impl LogFormat {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
            Self::Off => "off",
        }
    }
}
