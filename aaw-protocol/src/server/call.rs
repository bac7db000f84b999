//! A call, on its way from its frame to its handler.

use std::borrow::Cow;
use std::time::Instant;

use super::response::{Reply, ResponseMode};
use crate::codec::{self, BadFrame, Kind};

/// Names a call that runs, within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub(super) u64);

impl CallKey {
    /// Marks the keys of what has no v1 id, so that they never meet those that have one.
    pub(super) const UNNUMBERED: u64 = 1 << 63;

    /// The id of a call that has one.
    pub(super) fn v1_id(self) -> i64 {
        (self.0 & !Self::UNNUMBERED).cast_signed()
    }
}

/// A call to run, borrowed from its frame.
#[derive(Debug)]
pub struct Call<'a> {
    /// The event's name, as the client wrote it.
    pub event: Cow<'a, str>,
    /// The body, as JSON. Not yet checked: see [`codec`].
    pub body: &'a str,
    /// Whether somebody waits for an answer: an id, or a classic frame.
    pub answers: bool,
    /// Whether its caller sends a stream. Its items come as [`Input::UploadItem`](super::Input::UploadItem) once the call was
    /// suspended and [given room](super::ServerConnection::grant_upload_credit).
    pub upload: bool,
    pub(super) key: CallKey,
    pub(super) text: &'a str,
    pub(super) event_json: &'a str,
    pub(super) checked: bool,
    pub(super) reply: Reply<'a>,
    pub(super) deadline: Option<Instant>,
    /// Whether the upload ended while the call waited in line.
    pub(super) upload_ended: bool,
}

impl Call<'_> {
    /// What the caller reads of what the call yields.
    pub fn response_mode(&self) -> ResponseMode {
        self.reply.response_mode()
    }

    /// The beginning of the answer's frame; the handler's answer, as JSON, is to be appended.
    pub fn begin_response(&self) -> Vec<u8> {
        // Room for a small answer and the id, so that most answers cost one allocation. It lives until the frame is
        // written.
        let mut frame = Vec::with_capacity(self.event_json.len() + 256);
        codec::begin(&mut frame, self.event_json);
        frame
    }

    /// What makes a frame of each item, where the caller reads [items](ResponseMode::Items) or [pushes](ResponseMode::Pushes); of no
    /// use elsewhere.
    pub fn item_frame(&self) -> ItemFrame {
        let mut begin = Vec::with_capacity(self.begun());
        codec::begin(&mut begin, self.event_json);
        let mut end = Vec::new();
        match self.reply {
            Reply::Items { id, .. } => codec::end_v1(&mut end, id, Kind::Item),
            _ => codec::end(&mut end),
        }
        ItemFrame { begin: begin.into(), end: end.into() }
    }

    pub(super) fn begun(&self) -> usize {
        self.event_json.len() + 2
    }

    /// Why the call's frame is none after all, if its body is not JSON. To be asked by whoever did not parse the body,
    /// or failed to.
    pub fn check(&self) -> Result<(), BadFrame> {
        if self.checked || codec::is_json(self.body) {
            return Ok(());
        }
        match codec::decode_strictly(self.text) {
            Err(bad) => Err(bad),
            // Cannot be: strictly read, the body is JSON. But no peer shall find out that it can.
            Ok(_) => Err(BadFrame::NotJson("the body is not one JSON value".into())),
        }
    }
}

/// What stands before and after an item's JSON in its frame, so that whoever runs a stream can write whole frames on
/// any thread. They go to [`handle_item`](super::ServerConnection::handle_item).
#[derive(Debug, Clone)]
pub struct ItemFrame {
    begin: Box<[u8]>,
    end: Box<[u8]>,
}

impl ItemFrame {
    /// The beginning of an item's frame; the item, as JSON, is to be appended. There is room for a small one.
    pub fn begin(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.begin.len() + self.end.len() + 128);
        frame.extend_from_slice(&self.begin);
        frame
    }

    /// The rest of an item's frame: it is whole then.
    pub fn end(&self, frame: &mut Vec<u8>) {
        frame.extend_from_slice(&self.end);
    }
}
