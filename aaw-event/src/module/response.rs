//! What a handler may return: a response, nothing, or a stream of items.

use aaw_protocol::Failure;
use futures_util::Stream;
use serde::Serialize;

use super::output::{CallOutput, NextItem};
use crate::sdk::Error;
use crate::throttle::EventThrottle;

/// What an `async fn handler` may return: a value, or aaw_event's `Result` of one. `M` distinguishes the two
/// implementations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the response of a handler",
    label = "the handler must return a type that is `Serialize`, or aaw_event's `Result` of one",
    note = "write `#[derive(Serialize)]` above the type; for errors, return `Result<T>` from `aaw_event::prelude`, \
            into which `?` converts every other error"
)]
pub trait IntoResponse<M> {
    /// Writes the response to `out`.
    ///
    /// # Errors
    /// The handler's own error, or that the response cannot be serialized: a number in it is NaN or infinite, for
    /// example.
    fn write_to(self, out: &mut CallOutput) -> Result<NextItem, Error>;
}

/// Marks a handler that returns a value.
#[derive(Debug)]
pub struct ReturnsValue;

/// Marks a handler that returns a `Result`.
#[derive(Debug)]
pub struct ReturnsResult;

impl<T: Serialize> IntoResponse<ReturnsValue> for T {
    fn write_to(self, out: &mut CallOutput) -> Result<NextItem, Error> {
        out.item(&self)
    }
}

// `Error` is not `Serialize`, so at most one of the two implementations applies to a type.
impl<T: Serialize> IntoResponse<ReturnsResult> for Result<T, Error> {
    fn write_to(self, out: &mut CallOutput) -> Result<NextItem, Error> {
        out.item(&self?)
    }
}

/// What a one-way `fn handler`, or the handler of a hook, may return.
#[diagnostic::on_unimplemented(
    message = "a one-way handler, or the handler of a hook, cannot return `{Self}`",
    label = "expected `()` or `Result<()>`",
    note = "a handler that returns a response is an `async fn`; a guard rejects a call by returning an error"
)]
pub trait IntoUnitResult {
    /// The result. An error is logged, or rejects what the hook is for.
    ///
    /// # Errors
    /// The handler's own error.
    fn into_unit_result(self) -> Result<(), Error>;
}

impl IntoUnitResult for () {
    fn into_unit_result(self) -> Result<(), Error> {
        Ok(())
    }
}

impl IntoUnitResult for Result<(), Error> {
    fn into_unit_result(self) -> Result<(), Error> {
        self
    }
}

/// What a streaming `fn handler` may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream",
    label = "a `fn handler` that returns something must return an `impl Stream<Item = …>`",
    note = "write `async fn handler` for a handler that returns one response"
)]
pub trait StreamResponse: Stream {}

impl<S: Stream> StreamResponse for S {}

/// What a streaming `async fn handler` may return: a stream, or aaw_event's `Result` of one. `M` distinguishes the two
/// implementations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream",
    label = "expected an `impl Stream<Item = …>`, or aaw_event's `Result` of one"
)]
pub trait IntoStreamResponse<M> {
    /// The stream.
    type Stream: Stream;

    /// The stream, or why there is none.
    ///
    /// # Errors
    /// The handler's own error.
    fn into_stream_response(self) -> Result<Self::Stream, Error>;
}

impl<S: Stream> IntoStreamResponse<ReturnsValue> for S {
    type Stream = S;

    fn into_stream_response(self) -> Result<S, Error> {
        Ok(self)
    }
}

impl<S: Stream> IntoStreamResponse<ReturnsResult> for Result<S, Error> {
    type Stream = S;

    fn into_stream_response(self) -> Self {
        self
    }
}

/// What a handler's stream may yield: a value, or aaw_event's `Result` of one. `M` distinguishes the two
/// implementations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of a handler's stream",
    label = "an item must be `Serialize`, or aaw_event's `Result` of such a type",
    note = "write `#[derive(Serialize)]` above the type; for errors, yield `Result<T>` of `aaw_event::prelude`: in \
            `try_stream!`, `?` converts every other error into its error"
)]
pub trait IntoItem<M> {
    /// Writes the item to `out`.
    ///
    /// # Errors
    /// The handler's own error, or that the item cannot be serialized.
    fn write_to(self, out: &mut CallOutput) -> Result<NextItem, Error>;
}

impl<T: Serialize> IntoItem<ReturnsValue> for T {
    fn write_to(self, out: &mut CallOutput) -> Result<NextItem, Error> {
        out.item(&self)
    }
}

impl<T: Serialize> IntoItem<ReturnsResult> for Result<T, Error> {
    fn write_to(self, out: &mut CallOutput) -> Result<NextItem, Error> {
        out.item(&self?)
    }
}

static FAULTS: EventThrottle = EventThrottle::new();

/// Logs an internal error, and returns what the caller receives.
pub(super) fn log_and_convert(event: &str, error: Error) -> Failure {
    if error.cause().is_some()
        && let Some(suppressed) = FAULTS.pass(event)
    {
        // Without the field if none was.
        let suppressed = (suppressed > 0).then_some(suppressed);
        tracing::error!(event, suppressed, "a handler failed: {error:#}");
    }
    error.into_failure()
}
