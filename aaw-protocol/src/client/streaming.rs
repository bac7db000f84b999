//! The flow control of a call whose response is read item by item.

use crate::codec::MAX_CREDIT;

/// The options of a call whose response is read item by item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// The first credit: the number of items that the server may send before more credit is
    /// [granted](super::ClientConnection::grant_credit).
    pub window: u64,
    /// Whether the call has an upload.
    pub upload: bool,
}

/// The flow control of a stream, in items from its start.
#[derive(Debug)]
pub(super) struct StreamFlow {
    /// The credit granted to the server.
    credit: u64,
    received: u64,
    pub(super) upload: Option<UploadFlow>,
}

/// The flow control of an upload, in items from its start.
#[derive(Debug, Default)]
pub(super) struct UploadFlow {
    /// The credit granted by the server. 0 until its first grant.
    credit: u64,
    sent: u64,
    pub(super) ended: bool,
}

impl StreamFlow {
    pub(super) fn new(options: StreamOptions) -> Self {
        let upload = options.upload.then(UploadFlow::default);
        Self { credit: options.window.min(MAX_CREDIT), received: 0, upload }
    }

    pub(super) fn credit(&self) -> u64 {
        self.credit
    }

    /// Raises the credit. Returns it if it has grown, so that the server must be notified.
    pub(super) fn grant(&mut self, credit: u64) -> Option<u64> {
        raise(&mut self.credit, credit.min(MAX_CREDIT))
    }

    /// Counts a received item. Returns `false` if there was no credit for it.
    pub(super) fn receive_item(&mut self) -> bool {
        let fits = self.received < self.credit;
        self.received += u64::from(fits);
        fits
    }
}

impl UploadFlow {
    /// Raises the credit. Returns it if it has grown.
    pub(super) fn grant(&mut self, credit: u64) -> Option<u64> {
        raise(&mut self.credit, credit)
    }

    /// Counts an item to send. Returns `false` if the upload has ended or there is no credit.
    pub(super) fn send_item(&mut self) -> bool {
        let fits = !self.ended && self.sent < self.credit;
        self.sent += u64::from(fits);
        fits
    }
}

fn raise(credit: &mut u64, to: u64) -> Option<u64> {
    (to > *credit).then(|| {
        *credit = to;
        to
    })
}
