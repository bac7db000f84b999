//! What is transferred.

/// The length of an item of an upload, in bytes.
pub(super) const ITEM_BYTES: usize = 500;

/// The event that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    /// `streams/count`: small items to the client.
    Stream,
    /// `upload/echo`: items to the server, which returns them.
    Upload,
}

impl Transfer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Upload => "upload",
        }
    }
}
