//! The error of a handler.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use aaw_protocol::{Code, Failure, json};
use serde::Serialize;

use crate::throttle::log_throttled;

/// The result of a handler.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a handler failed: either a message for the caller, or an internal error for the log.
///
/// The two are kept apart so that no internal detail of the server reaches a caller by accident:
///
/// * the message of [`Error::new`] is sent to the caller as it is;
/// * an error that `?` converts is **logged**, with its chain of causes, and the caller receives `Internal error` with the
///   code `internal`. So is the error of a client call that the handler returns.
///
/// ```
/// use aaw_event::prelude::*;
///
/// async fn handler(path: String) -> Result<String> {
///     if path.contains("..") {
///         return Err(Error::new("No such page").with_code("no_page")); // sent to the caller
///     }
///     Ok(std::fs::read_to_string(path)?) // the caller receives "Internal error"; the cause is logged
/// }
/// ```
///
/// It does not implement [`std::error::Error`], which is what allows `?` to convert every error that does.
pub struct Error {
    // Boxed to keep `Result` small: it is moved much more often than it is an error.
    inner: Box<ErrorParts>,
}

struct ErrorParts {
    message: Cow<'static, str>,
    code: Code,
    data: Option<Box<serde_json::value::RawValue>>,
    /// The HTTP status; `None` for that of the code.
    status: Option<u16>,
    /// For the log; not sent to the caller.
    cause: Option<Box<dyn StdError + Send + Sync>>,
    /// Whether the message and the code are for the author's code alone: the caller receives `Internal error`.
    is_hidden: bool,
}

impl Error {
    /// Creates an error with a message for the caller. Its code is `handler`, its status over HTTP is 422.
    ///
    /// ```
    /// # use aaw_event::prelude::*;
    /// let error = Error::new("The basket is empty");
    /// assert_eq!((error.message(), error.code()), ("The basket is empty", "handler"));
    /// ```
    pub fn new(message: impl Into<String>) -> Self {
        Self::with_parts(Cow::Owned(message.into()), Code::HANDLER)
    }

    fn with_parts(message: Cow<'static, str>, code: Code) -> Self {
        let parts = ErrorParts { message, code, data: None, status: None, cause: None, is_hidden: false };
        Self { inner: Box::new(parts) }
    }

    /// Sets the code by which the caller's program distinguishes this error from others.
    ///
    /// Any text is valid. Programs treat one of aaw's own codes (`timeout`, `busy`, `bad_body`, …) as they treat it
    /// elsewhere.
    ///
    /// ```
    /// # use aaw_event::prelude::*;
    /// let error = Error::new("The basket is empty").with_code("empty_basket");
    /// assert_eq!(error.code(), "empty_basket");
    /// ```
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.inner.code = Code::new(code);
        self
    }

    /// Sets the status of the response where the event is called over HTTP: 400 to 599. Any other status is logged and
    /// ignored.
    ///
    /// Without it, aaw's own codes have their status (`bad_body` is 400, `not_allowed` is 403, and so on), and all others 422.
    /// It has no effect over WebSockets.
    ///
    /// ```
    /// # use aaw_event::prelude::*;
    /// let error = Error::new("No such todo").with_code("no_todo").with_status(404);
    /// ```
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        match status {
            400..=599 => self.inner.status = Some(status),
            _ => log_throttled!(error, status, "an error cannot have this HTTP status; expected 400 to 599"),
        }
        self
    }

    /// Adds data for the caller, as JSON. Data that cannot be serialized, such as a NaN, is logged
    /// and omitted.
    ///
    /// ```
    /// # use aaw_event::prelude::*;
    /// let error = Error::new("Sold out").with_data(json!({ "again": "2026-12-01" }));
    /// ```
    #[must_use]
    pub fn with_data(mut self, data: impl Serialize) -> Self {
        match json::to_raw_value(&data) {
            Ok(data) => self.inner.data = Some(data),
            Err(error) => {
                log_throttled!(error, %error, "the data of an error cannot be serialized as JSON");
            }
        }
        self
    }

    /// The message that the caller receives.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The code that the caller receives.
    pub fn code(&self) -> &str {
        self.inner.code.as_str()
    }

    /// The internal error that `?` converted, or the failure of a client call; `None` for an error made by [`Error::new`]. It
    /// is not sent to the caller.
    pub fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }

    pub(crate) fn into_failure(self) -> Failure {
        let ErrorParts { message, code, data, status, cause, is_hidden } = *self.inner;
        // Dropped first: its destructor is the author's code and may panic.
        drop(cause);
        if is_hidden {
            return Failure::internal(Code::INTERNAL);
        }
        Failure { error: message.into_owned(), code, data, status }
    }

    /// A failure of the host, whose message is meant for the caller.
    pub(crate) fn from_failure(failure: Failure) -> Self {
        let Failure { error, code, data, status: _ } = failure;
        let mut converted = Self::with_parts(Cow::Owned(error), code);
        converted.inner.data = data;
        converted
    }

    /// The failure of a client call. The author's code can tell by its message and code what went wrong; a handler that
    /// returns it has failed for a reason that is not its caller's.
    pub(crate) fn from_client_call(failure: Failure) -> Self {
        let mut error = Self::from_failure(failure.clone());
        error.inner.cause = Some(Box::new(failure));
        error.inner.is_hidden = true;
        error
    }

    /// See [`from_client_call`](Self::from_client_call). An internal error stays as it is.
    pub(crate) fn into_client_call_error(self) -> Self {
        if self.inner.cause.is_some() { self } else { Self::from_client_call(self.into_failure()) }
    }
}

/// The error is logged when the handler returns it; the caller receives `Internal error` with the code `internal`.
impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(cause: E) -> Self {
        let mut error = Self::with_parts(Cow::Borrowed(Failure::INTERNAL), Code::INTERNAL);
        error.inner.cause = Some(Box::new(cause));
        error
    }
}

/// For logs: the internal error if there is one (with `{:#}` its whole chain of causes), otherwise the message.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(cause) = self.cause() else { return f.write_str(self.message()) };
        write!(f, "{cause}")?;
        let mut next = cause.source().filter(|_| f.alternate());
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

/// As `{:#}`, so that a failed `unwrap` in a test shows the whole chain of causes.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_message_reaches_the_caller() {
        let error = Error::new("No such user").with_code("no_user").with_data(serde_json::json!({ "id": 7 }));
        let json = serde_json::to_string(&error.into_failure()).unwrap();
        assert_eq!(json, r#"{"error":"No such user","code":"no_user","data":{"id":7}}"#);
    }

    #[test]
    fn a_status_is_between_400_and_599() {
        let status = |status| Error::new("no").with_status(status).into_failure().status;
        assert_eq!((status(404), status(599), status(200), status(600)), (Some(404), Some(599), None, None));
    }

    #[test]
    fn the_failure_of_a_client_call_can_be_read_but_is_internal_to_the_caller() {
        let failure = Failure::unknown_event("confirm");
        let error = Error::from_client_call(failure);
        assert_eq!((error.message(), error.code()), ("Unknown event: confirm", "unknown_event"));
        assert_eq!(format!("{error}"), "Unknown event: confirm");
        assert!(error.cause().is_some());
        assert_eq!(error.into_failure(), Failure::internal(Code::INTERNAL));
    }

    #[test]
    fn a_converted_error_is_only_logged() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the order")]
        struct Outer(#[source] io::Error);

        let fails = || -> Result<()> { Err(Outer(io::Error::other("disk on fire")))? };
        let error = fails().unwrap_err();
        assert_eq!(format!("{error}"), "cannot read the order");
        assert_eq!(format!("{error:#}"), "cannot read the order: disk on fire");
        assert_eq!(error.into_failure(), Failure::internal(Code::INTERNAL));
    }
}
