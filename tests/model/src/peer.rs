//! A connection, as the flusher sees it.

use crate::mailbox::Mailbox;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) mailbox: Mailbox,
}
