//! A message whose body is serialized and whose id is not assigned yet.

use std::fmt::{self, Write as _};

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Serialize;

use super::frame_block;
use crate::codec::Kind;
use crate::json;

/// A call, one-way send or upload item with its body serialized: `["event",body`. The end of the frame is missing,
/// because a call gets its id only when it is written.
///
/// The application serializes the body in its own task. This relieves the task of the connection and avoids a copy. Small
/// messages of a thread lie in one block of memory, so that most need no allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedMessage {
    /// It has capacity for the longest end.
    frame: BytesMut,
    /// The length of the event, as JSON.
    event_len: usize,
    /// The maximum length of the missing end.
    max_end: usize,
}

impl EncodedMessage {
    /// The maximum length of the end of a call: a comma, the id, and the bracket.
    const MAX_CALL_END: usize = 21;
    /// The maximum length of the end of a stream's first frame: an id of 19 and credit of 16 digits, and what surrounds
    /// them.
    const MAX_STREAM_END: usize = r#",,"call",{"credit":,"in":true}]"#.len() + 19 + 16;
    /// The maximum length of the end of an item.
    const MAX_ITEM_END: usize = Self::MAX_CALL_END + r#","item""#.len();

    /// Serializes `body`.
    ///
    /// # Errors
    /// The `Serialize` implementation of `body` returned an error, or `body` contains a map whose keys are not strings,
    /// a NaN or an infinity.
    pub fn new(event: &str, body: &(impl Serialize + ?Sized)) -> serde_json::Result<Self> {
        let mut event_len = 0;
        let frame = frame_block::write(Self::MAX_STREAM_END, |frame| {
            let start = frame.len() + 1;
            frame.put_u8(b'[');
            serde_json::to_writer((&mut *frame).writer(), event)?;
            event_len = frame.len() - start;
            frame.put_u8(b',');
            json::to_writer(frame.writer(), body)
        })?;
        Ok(Self { frame, event_len, max_end: Self::MAX_CALL_END })
    }

    /// Returns the name of the event, as JSON.
    pub(super) fn event_json(&self) -> &str {
        // A serializer has written it.
        std::str::from_utf8(&self.frame[1..=self.event_len]).unwrap_or_default()
    }

    /// Returns the maximum size of the written frame, in bytes. The actual frame of a call or one-way send is at most
    /// 20 bytes smaller, that of a stream at most 45.
    pub fn size(&self) -> usize {
        self.frame.len() + self.max_end
    }

    /// Like [`size`](Self::size), for a message that becomes an item of an upload.
    pub fn item_size(&self) -> usize {
        self.frame.len() + Self::MAX_ITEM_END
    }

    /// Moves the message to memory of its own. While it waits, it would otherwise keep the block that it shares with messages
    /// that were sent, of this connection and of others.
    pub(super) fn detach(&mut self) {
        /// A longer message is a large part of its block, if it shares one at all.
        const MAX_COPIED: usize = 1 << 10;
        if self.frame.len() <= MAX_COPIED {
            let mut own = BytesMut::with_capacity(self.frame.len() + Self::MAX_STREAM_END);
            own.extend_from_slice(&self.frame);
            self.frame = own;
        }
    }

    /// Makes [`size`](Self::size) include the meta of a call that is read as a stream.
    pub(super) fn for_stream(mut self) -> Self {
        self.max_end = Self::MAX_STREAM_END;
        self
    }

    /// Returns the frame of a one-way send.
    pub(super) fn into_one_way(self) -> Bytes {
        self.end(format_args!("]"))
    }

    /// Returns the frame of a call.
    pub(super) fn into_call(self, id: i64) -> Bytes {
        self.end(format_args!(",{id}]"))
    }

    /// Returns the frame of a call that is read as a stream.
    pub(super) fn into_stream(self, id: i64, credit: u64, upload: bool) -> Bytes {
        let upload = if upload { r#","in":true"# } else { "" };
        self.end(format_args!(r#",{id},"call",{{"credit":{credit}{upload}}}]"#))
    }

    /// Returns the frame of an upload's item.
    pub(super) fn into_item(self, id: i64) -> Bytes {
        self.end(format_args!(",{id},\"{}\"]", Kind::Item.word().unwrap_or_default()))
    }

    fn end(mut self, end: fmt::Arguments<'_>) -> Bytes {
        // Writing to memory cannot fail.
        let _ = self.frame.write_fmt(end);
        self.frame.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_a_one_way_event_or_a_call() {
        let message = EncodedMessage::new("a \"b\"", &[1, 2]).unwrap();
        assert_eq!(message.clone().into_one_way(), r#"["a \"b\"",[1,2]]"#);
        assert_eq!(message.clone().into_call(7), r#"["a \"b\"",[1,2],7]"#);
        assert!(message.clone().into_call(i64::MAX).len() <= message.size());
    }

    #[test]
    fn a_message_becomes_a_stream_or_an_upload_item() {
        let message = EncodedMessage::new("e", &1).unwrap().for_stream();
        assert_eq!(message.clone().into_stream(7, 64, false), r#"["e",1,7,"call",{"credit":64}]"#);
        assert_eq!(message.clone().into_stream(7, 64, true), r#"["e",1,7,"call",{"credit":64,"in":true}]"#);
        assert_eq!(message.clone().into_stream(i64::MAX, 1 << 53, true).len(), message.size());
        assert_eq!(message.clone().into_item(7), r#"["e",1,7,"item"]"#);
        assert_eq!(message.clone().into_item(i64::MAX).len(), message.item_size());
    }

    #[test]
    fn a_body_that_cannot_be_json_is_an_error() {
        let map = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(EncodedMessage::new("e", &map).is_err());
        assert!(EncodedMessage::new("e", &[f64::NAN]).is_err());
    }
}
