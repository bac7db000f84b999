//! What a handler gives back: an answer, an outcome, the items of a stream.

use aaw_protocol::Failure;
use futures_util::Stream;
use serde::Serialize;

use super::output;
use crate::sdk::Error;

/// What an `async fn handler` can answer: a `Result` of aaw_event's, or just the answer. `M` only tells the impls
/// apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler's answer",
    label = "a handler answers a `Serialize`, or a `Result` of aaw_event's with one",
    note = "write `#[derive(Serialize)]` above the type; for errors, return `Result<T>` from `aaw_event::prelude`, \
            into which `?` converts every other error"
)]
pub trait Answers<M> {
    /// Shows the JSON.
    ///
    /// # Errors
    /// The handler's own, or that the answer cannot be JSON.
    fn show(self, then: impl FnOnce(&[u8])) -> Result<(), Error>;
}

/// An answer.
#[derive(Debug)]
pub struct Infallible;

/// An answer or an error.
#[derive(Debug)]
pub struct Fallible;

impl<T: Serialize> Answers<Infallible> for T {
    fn show(self, then: impl FnOnce(&[u8])) -> Result<(), Error> {
        Ok(output::json(&self, then)?)
    }
}

// `Error` is not `Serialize`, so only one of the two ever fits.
impl<T: Serialize> Answers<Fallible> for Result<T, Error> {
    fn show(self, then: impl FnOnce(&[u8])) -> Result<(), Error> {
        Ok(output::json(&self?, then)?)
    }
}

/// What a plain `fn handler`, or that of a hook, can return.
#[diagnostic::on_unimplemented(
    message = "a handler that answers nobody cannot return `{Self}`",
    label = "a plain `fn handler`, and that of a hook, returns `()` or `Result<()>`",
    note = "write `async fn handler` for one that answers"
)]
pub trait Outcome {
    /// Nobody is answered; a failure is for the log.
    ///
    /// # Errors
    /// The handler's own.
    fn outcome(self) -> Result<(), Error>;
}

impl Outcome for () {
    fn outcome(self) -> Result<(), Error> {
        Ok(())
    }
}

impl Outcome for Result<(), Error> {
    fn outcome(self) -> Result<(), Error> {
        self
    }
}

/// A handler's stream.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no stream",
    label = "a `fn handler` that returns something returns an `impl Stream<Item = …>`",
    note = "write `async fn handler` for one that answers once"
)]
pub trait Yields: Stream {}

impl<S: Stream> Yields for S {}

/// What an `async fn handler` of a stream can return: a stream, or a `Result` of aaw_event's with one. `M` only tells
/// the impls apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no stream",
    label = "expected an `impl Stream<Item = …>`, or a `Result` of aaw_event's with one"
)]
pub trait Opens<M> {
    /// The stream.
    type Stream: Stream;

    /// Gives it.
    ///
    /// # Errors
    /// The handler's own.
    fn open(self) -> Result<Self::Stream, Error>;
}

impl<S: Stream> Opens<Infallible> for S {
    type Stream = S;

    fn open(self) -> Result<S, Error> {
        Ok(self)
    }
}

impl<S: Stream> Opens<Fallible> for Result<S, Error> {
    type Stream = S;

    fn open(self) -> Self {
        self
    }
}

/// What a handler's stream can yield: a `Result` of aaw_event's, or just the item. `M` only tells the impls apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of a handler's stream",
    label = "an item is a `Serialize`, or a `Result` of aaw_event's with one",
    note = "write `#[derive(Serialize)]` above the type; for errors, yield `Result<T>` of `aaw_event::prelude`: in \
            `try_stream!`, `?` converts every other error into its error"
)]
pub trait Item<M> {
    /// Shows the JSON.
    ///
    /// # Errors
    /// The handler's own, or that the item cannot be JSON.
    fn show(self, then: impl FnOnce(&[u8])) -> Result<(), Error>;
}

impl<T: Serialize> Item<Infallible> for T {
    fn show(self, then: impl FnOnce(&[u8])) -> Result<(), Error> {
        Ok(output::json(&self, then)?)
    }
}

impl<T: Serialize> Item<Fallible> for Result<T, Error> {
    fn show(self, then: impl FnOnce(&[u8])) -> Result<(), Error> {
        Ok(output::json(&self?, then)?)
    }
}

/// What the caller is told; what it is not told goes into the log.
pub(super) fn log_and_convert(event: &str, error: Error) -> Failure {
    if error.cause().is_some() {
        tracing::error!(event, "a handler failed: {error:#}");
    }
    error.into_failure()
}
