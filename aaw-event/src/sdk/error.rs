//! What a handler fails with.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use aaw_protocol::{Code, Failure};
use serde::Serialize;

/// What a handler returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a handler failed: either words for the caller, or an error for the log.
///
/// The two are kept apart, so that nothing of the server's inside reaches a caller by accident:
///
/// * what [`Error::new`] says reaches the caller, word by word;
/// * whatever `?` converts is **logged**, with everything that caused it, and the caller is told `Internal error`.
///
/// ```
/// use aaw_event::prelude::*;
///
/// async fn handler(path: String) -> Result<String> {
///     if path.contains("..") {
///         return Err(Error::new("No such page").with_code("no_page")); // the caller reads this
///     }
///     Ok(std::fs::read_to_string(path)?) // the caller reads "Internal error", the log says why
/// }
/// ```
///
/// It is no [`std::error::Error`] itself: that is what allows `?` to convert every error that is one.
pub struct Error {
    // Boxed: a `Result` is moved around much more often than it fails.
    inner: Box<Inner>,
}

struct Inner {
    text: Cow<'static, str>,
    code: Code,
    data: Option<Box<serde_json::value::RawValue>>,
    /// Not for the caller.
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure in words for the caller. Its code is `handler`.
    ///
    /// ```
    /// # use aaw_event::prelude::*;
    /// let error = Error::new("The basket is empty");
    /// assert_eq!((error.message(), error.code()), ("The basket is empty", "handler"));
    /// ```
    pub fn new(text: impl Into<String>) -> Self {
        Self { inner: Box::new(Inner { text: Cow::Owned(text.into()), code: Code::HANDLER, data: None, cause: None }) }
    }

    /// The word by which the caller's program tells this failure from others.
    ///
    /// Any word will do. One of aaw's own (`timeout`, `busy`, `bad_body`, …) says to programs what it says elsewhere.
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

    /// Whatever else the caller should get, as JSON. What cannot be JSON is logged and left out.
    ///
    /// ```
    /// # use aaw_event::prelude::*;
    /// let error = Error::new("Sold out").with_data(json!({ "again": "2026-12-01" }));
    /// ```
    #[must_use]
    pub fn with_data(mut self, data: impl Serialize) -> Self {
        match serde_json::value::to_raw_value(&data) {
            Ok(data) => self.inner.data = Some(data),
            Err(error) => tracing::error!(%error, "the data of an error cannot be JSON"),
        }
        self
    }

    /// What the caller is told.
    pub fn message(&self) -> &str {
        &self.inner.text
    }

    /// The word that the caller's program is told.
    pub fn code(&self) -> &str {
        self.inner.code.as_str()
    }

    /// The error that `?` converted, which the caller is not told.
    pub fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }

    pub(crate) fn into_failure(self) -> Failure {
        let Inner { text, code, data, cause } = *self.inner;
        // First: if it panics, nothing has been made yet that would leak.
        drop(cause);
        Failure { error: text.into_owned(), code, data }
    }

    /// A failure that the host has already put into words.
    pub(crate) fn told(failure: Failure) -> Self {
        let Failure { error, code, data } = failure;
        Self { inner: Box::new(Inner { text: Cow::Owned(error), code, data, cause: None }) }
    }
}

/// Logged when the handler returns it; the caller is told `Internal error`.
impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(cause: E) -> Self {
        let text = Cow::Borrowed(Failure::INTERNAL);
        Self { inner: Box::new(Inner { text, code: Code::HANDLER, data: None, cause: Some(Box::new(cause)) }) }
    }
}

/// For logs: the cause where there is one, with `{:#}` all that caused it; else the words for the caller.
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

/// As `{:#}`, so that a failed `unwrap` in a test says everything.
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
    fn words_for_the_caller_reach_it() {
        let error = Error::new("No such user").with_code("no_user").with_data(serde_json::json!({ "id": 7 }));
        let json = serde_json::to_string(&error.into_failure()).unwrap();
        assert_eq!(json, r#"{"error":"No such user","code":"no_user","data":{"id":7}}"#);
    }

    #[test]
    fn a_converted_error_is_for_the_log_alone() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the order")]
        struct Outer(#[source] io::Error);

        let fails = || -> Result<()> { Err(Outer(io::Error::other("disk on fire")))? };
        let error = fails().unwrap_err();
        assert_eq!(format!("{error}"), "cannot read the order");
        assert_eq!(format!("{error:#}"), "cannot read the order: disk on fire");
        assert_eq!(error.into_failure(), Failure::internal(Code::HANDLER));
    }
}
