//! The form of a handler, which its signature decides.

/// The form of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandlerForm {
    /// An `async fn`.
    Unary,
    /// A `fn` that returns nothing.
    OneWay,
    /// A `fn` that returns a stream.
    Streaming,
    /// An `async fn` that returns a stream, or a `Result` of one.
    AsyncStreaming,
}
