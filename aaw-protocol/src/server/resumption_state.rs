//! What a resumable connection stores.

use crate::resumption::ReceivedMessages;

/// What a resumable connection stores in addition.
#[derive(Debug, Default)]
pub(super) struct Resumption {
    pub(super) received: ReceivedMessages,
    /// The welcome was sent, so that messages are counted.
    pub(super) is_counting: bool,
    /// The socket has broken.
    pub(super) is_away: bool,
    pub(super) unacknowledged_bytes: usize,
}
