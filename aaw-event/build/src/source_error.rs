//! A mistake in a file of the package.

/// A mistake at a line of a file.
pub(crate) struct SourceError {
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl SourceError {
    pub(crate) fn new(line: usize, text: impl Into<String>) -> Self {
        Self { line, text: text.into() }
    }

    /// At the line where `span` starts.
    pub(crate) fn at(span: proc_macro2::Span, text: impl Into<String>) -> Self {
        Self::new(span.start().line, text)
    }
}
