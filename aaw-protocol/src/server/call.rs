//! A call, on its way from its frame to its handler.

use std::borrow::Cow;
use std::time::Instant;

use super::reply::Reply;
use crate::codec::{self, BadFrame};

/// Names a call that runs, within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub(super) u64);

impl CallKey {
    /// Marks the keys of what has no v1 id, so that they never meet those that have one.
    pub(super) const UNNUMBERED: u64 = 1 << 63;
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
    pub(super) key: CallKey,
    pub(super) text: &'a str,
    pub(super) event_json: &'a str,
    pub(super) checked: bool,
    pub(super) reply: Reply<'a>,
    pub(super) deadline: Option<Instant>,
}

impl Call<'_> {
    /// The beginning of the answer's frame; the handler's answer, as JSON, is to be appended.
    pub fn begin_answer(&self) -> Vec<u8> {
        // Room for a small answer and the id, so that most answers cost one allocation. It lives until the frame is
        // written.
        let mut frame = Vec::with_capacity(self.event_json.len() + 256);
        codec::begin(&mut frame, self.event_json);
        frame
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
