//! A message whose body is serialized and whose id is not assigned yet.

use bytes::Bytes;
use serde::Serialize;

use crate::codec::{self, Kind};
use crate::json;

/// A call, one-way send or upload item with its body serialized: `["event",body`. The end of the frame is missing,
/// because a call gets its id only when it is written.
///
/// The application serializes the body in its own task. This relieves the task of the connection and avoids a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedMessage {
    event_json: Box<str>,
    frame: Vec<u8>,
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
        let event_json = codec::event_json(event).into_boxed_str();
        let mut frame = Vec::with_capacity(128);
        codec::begin(&mut frame, &event_json);
        json::to_writer(&mut frame, body)?;
        Ok(Self { event_json, frame, max_end: Self::MAX_CALL_END })
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

    /// Makes [`size`](Self::size) include the meta of a call that is read as a stream.
    pub(super) fn for_stream(mut self) -> Self {
        self.max_end = Self::MAX_STREAM_END;
        self
    }

    /// Returns the frame of a one-way send.
    pub(super) fn into_one_way(mut self) -> Bytes {
        codec::end(&mut self.frame);
        self.frame.into()
    }

    /// Returns the frame of a call, and its event as JSON.
    pub(super) fn into_call(mut self, id: i64) -> (Bytes, Box<str>) {
        codec::end_v1(&mut self.frame, id, Kind::Unmarked);
        (self.frame.into(), self.event_json)
    }

    /// Returns the frame of a call that is read as a stream, and its event as JSON.
    pub(super) fn into_stream(mut self, id: i64, credit: u64, upload: bool) -> (Bytes, Box<str>) {
        use std::io::Write as _;
        let upload = if upload { r#","in":true"# } else { "" };
        // Writing to a Vec cannot fail.
        let _ = write!(self.frame, r#",{id},"call",{{"credit":{credit}{upload}}}]"#);
        (self.frame.into(), self.event_json)
    }

    /// Returns the frame of an upload's item.
    pub(super) fn into_item(mut self, id: i64) -> Bytes {
        codec::end_v1(&mut self.frame, id, Kind::Item);
        self.frame.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_a_one_way_event_or_a_call() {
        let message = EncodedMessage::new("a \"b\"", &[1, 2]).unwrap();
        assert_eq!(message.clone().into_one_way(), r#"["a \"b\"",[1,2]]"#);
        assert_eq!(message.clone().into_call(7).0, r#"["a \"b\"",[1,2],7]"#);
        assert!(message.clone().into_call(i64::MAX).0.len() <= message.size());
    }

    #[test]
    fn a_message_becomes_a_stream_or_an_upload_item() {
        let message = EncodedMessage::new("e", &1).unwrap().for_stream();
        assert_eq!(message.clone().into_stream(7, 64, false).0, r#"["e",1,7,"call",{"credit":64}]"#);
        assert_eq!(message.clone().into_stream(7, 64, true).0, r#"["e",1,7,"call",{"credit":64,"in":true}]"#);
        assert_eq!(message.clone().into_stream(i64::MAX, 1 << 53, true).0.len(), message.size());
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
