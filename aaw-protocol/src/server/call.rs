//! A call between its frame and its handler.

use std::borrow::Cow;
use std::time::Instant;

use super::response::{ResponseFormat, ResponseMode};
use crate::codec::{self, BadFrame, Kind};

/// A call to run, borrowed from its frame.
#[derive(Debug)]
pub struct Call<'a> {
    /// The name of the event, as the client sent it.
    pub event: Cow<'a, str>,
    /// The body, as JSON. It may be [unchecked](codec#unchecked-bodies).
    pub body: &'a str,
    /// Whether the caller expects a response: the call has an id, or the client speaks classic.
    pub expects_response: bool,
    /// Whether the caller sends an upload. Its items arrive as [`Input::UploadItem`](super::Input::UploadItem) after
    /// the call was added as pending and [granted credit](super::ServerConnection::grant_upload_credit).
    pub upload: bool,
    pub(super) text: &'a str,
    pub(super) event_json: &'a str,
    pub(super) checked: bool,
    pub(super) format: ResponseFormat<'a>,
    /// Boxed, because most calls state none, and a call is moved several times.
    pub(super) deadline: Option<Box<RequestedDeadline>>,
    /// Whether the upload ended while the call was in the wait queue.
    pub(super) upload_ended: bool,
}

impl Call<'_> {
    /// Returns the id of a v1 call; `None` for a one-way send, and for a classic call.
    pub fn id(&self) -> Option<i64> {
        self.format.v1_id()
    }

    /// Returns how the caller reads the response.
    pub fn response_mode(&self) -> ResponseMode {
        self.format.response_mode()
    }

    /// Returns the beginning of the response's frame, to which the caller appends the handler's response as JSON.
    pub fn begin_response(&self) -> Vec<u8> {
        // Capacity for a small response and the id, so that most responses cost one allocation. The buffer lives until
        // the frame is written.
        let mut frame = Vec::with_capacity(self.event_json.len() + 256);
        codec::begin(&mut frame, self.event_json);
        frame
    }

    /// Appends the beginning of the response's frame, as [`begin_response`](Self::begin_response) does, to a buffer.
    pub fn begin_response_in(&self, out: &mut Vec<u8>) {
        codec::begin(out, self.event_json);
    }

    /// Returns what surrounds an item in its frame, for a caller that reads [items](ResponseMode::Items) or
    /// [pushes](ResponseMode::Pushes). Meaningless in the other modes.
    pub fn item_frame(&self) -> ItemFrame {
        let mut begin = Vec::with_capacity(self.prefix_len());
        codec::begin(&mut begin, self.event_json);
        let mut end = Vec::new();
        match self.format {
            ResponseFormat::Items { id, .. } => codec::end_v1(&mut end, id, Kind::Item),
            _ => codec::end(&mut end),
        }
        ItemFrame { begin: begin.into(), end: end.into() }
    }

    /// The length of what [`begin_response`](Self::begin_response) returns.
    pub(super) fn prefix_len(&self) -> usize {
        self.event_json.len() + 2
    }

    /// Validates the body. Required if the body was not parsed, or if parsing failed.
    ///
    /// # Errors
    /// Returns why the frame is invalid if its body is not one JSON value. Pass the error to
    /// [`reject`](super::ServerConnection::reject).
    pub fn check(&self) -> Result<(), BadFrame> {
        if self.checked { Ok(()) } else { codec::check_body(self.text, self.body) }
    }
}

/// The deadline that the caller states.
#[derive(Debug)]
pub(super) struct RequestedDeadline {
    /// A time before it, at which the call was received or taken from the wait queue.
    pub(super) now: Instant,
    pub(super) at: Instant,
}

/// The parts of an item's frame before and after the item. With it, the driver of a stream can encode whole frames on
/// any thread, for [`handle_items`](super::ServerConnection::handle_items).
#[derive(Debug, Clone)]
pub struct ItemFrame {
    begin: Box<[u8]>,
    end: Box<[u8]>,
}

impl ItemFrame {
    /// Returns the beginning of an item's frame, to which the caller appends the item as JSON. The buffer has capacity
    /// for a small item.
    pub fn begin(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.begin.len() + self.end.len() + 128);
        frame.extend_from_slice(&self.begin);
        frame
    }

    /// Appends the beginning of an item's frame, as [`begin`](Self::begin) does, to a buffer.
    pub fn begin_in(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.begin);
    }

    /// Returns the bytes of a frame besides its item.
    pub fn overhead(&self) -> usize {
        self.begin.len() + self.end.len()
    }

    /// Appends the end of an item's frame.
    pub fn end(&self, frame: &mut Vec<u8>) {
        frame.extend_from_slice(&self.end);
    }
}
