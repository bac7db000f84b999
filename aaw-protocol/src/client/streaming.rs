//! What a call that is read item by item remembers.

use crate::codec::MOST_ITEMS;

/// How a call is made whose answer is read item by item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// Items that the reader has room for at first: so many the server may send before more room is
    /// [told](super::ClientConnection::grant_credit).
    pub window: u64,
    /// Whether the caller sends items too, as the server makes room for them.
    pub upload: bool,
}

/// What a call has besides if it is a stream.
#[derive(Debug)]
pub(super) struct Streaming {
    /// Items that the server may send in all: said with the call, raised by credit.
    room: u64,
    /// Items that came.
    had: u64,
    pub(super) upload: Option<Upload>,
}

/// The other direction: items of the caller.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// Items that the server has room for in all. None before it says so.
    room: u64,
    sent: u64,
    pub(super) ended: bool,
}

impl Streaming {
    pub(super) fn new(options: StreamOptions) -> Self {
        Self { room: options.window.min(MOST_ITEMS), had: 0, upload: options.upload.then(Upload::default) }
    }

    pub(super) fn room(&self) -> u64 {
        self.room
    }

    /// Raises the room. `None` if that is no news to the server.
    pub(super) fn raise(&mut self, room: u64) -> Option<u64> {
        raise(&mut self.room, room.min(MOST_ITEMS))
    }

    /// Takes an item in, if there is room for it.
    pub(super) fn take(&mut self) -> bool {
        let fits = self.had < self.room;
        self.had += u64::from(fits);
        fits
    }
}

impl Upload {
    /// The server has made room. `None` if that is less than it had.
    pub(super) fn raise(&mut self, room: u64) -> Option<u64> {
        raise(&mut self.room, room)
    }

    /// Counts an item, if the server has room for it.
    pub(super) fn take(&mut self) -> bool {
        let fits = !self.ended && self.sent < self.room;
        self.sent += u64::from(fits);
        fits
    }
}

fn raise(room: &mut u64, to: u64) -> Option<u64> {
    (to > *room).then(|| {
        *room = to;
        to
    })
}
