//! A frame without its end.

use bytes::Bytes;
use serde::Serialize;

use crate::codec::{self, Kind};

/// A call or a send whose body is serialised already, `["event",body`: the end is missing, since a call's id is taken
/// only when the call is written.
///
/// Its author serialises it, so that neither the connection's task nor a second copy is needed for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedMessage {
    event_json: Box<str>,
    frame: Vec<u8>,
    /// What may yet follow.
    end: usize,
}

impl EncodedMessage {
    /// What an id takes at most, with its comma and the bracket after it.
    const END: usize = 21;
    /// What the end of a stream's first frame takes at most: two numbers and the words around them.
    const STREAM_END: usize = r#",,"call",{"credit":,"in":true}]"#.len() + 19 + 16;
    /// What the end of an item takes at most.
    const ITEM_END: usize = Self::END + r#","item""#.len();

    /// Serialises `body`.
    ///
    /// # Errors
    /// `body` says no, or is a map with keys that are no strings.
    pub fn new(event: &str, body: &(impl Serialize + ?Sized)) -> serde_json::Result<Self> {
        let event_json = codec::event_json(event).into_boxed_str();
        let mut frame = Vec::with_capacity(128);
        codec::begin(&mut frame, &event_json);
        serde_json::to_writer(&mut frame, body)?;
        Ok(Self { event_json, frame, end: Self::END })
    }

    /// The bytes that the frame may have once it is written: at most 20 more than a call or a send has then, and 45
    /// more than a stream's.
    pub fn size(&self) -> usize {
        self.frame.len() + self.end
    }

    /// [`size`](Self::size), should it become an item of an upload.
    pub fn item_size(&self) -> usize {
        self.frame.len() + Self::ITEM_END
    }

    /// Counts what the first frame of a stream has besides.
    pub(super) fn for_stream(mut self) -> Self {
        self.end = Self::STREAM_END;
        self
    }

    /// The frame of a send.
    pub(super) fn into_send(mut self) -> Bytes {
        codec::end(&mut self.frame);
        self.frame.into()
    }

    /// The frame of a call, and the event as JSON.
    pub(super) fn into_call(mut self, id: i64) -> (Bytes, Box<str>) {
        codec::end_v1(&mut self.frame, id, Kind::Plain);
        (self.frame.into(), self.event_json)
    }

    /// The frame of a call that is read as a stream, and the event as JSON.
    pub(super) fn into_stream(mut self, id: i64, credit: u64, upload: bool) -> (Bytes, Box<str>) {
        use std::io::Write as _;
        let upload = if upload { r#","in":true"# } else { "" };
        // Writing to a Vec cannot fail.
        let _ = write!(self.frame, r#",{id},"call",{{"credit":{credit}{upload}}}]"#);
        (self.frame.into(), self.event_json)
    }

    /// The frame of an upload's item.
    pub(super) fn into_item(mut self, id: i64) -> Bytes {
        codec::end_v1(&mut self.frame, id, Kind::Item);
        self.frame.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_becomes_a_send_or_a_call() {
        let draft = EncodedMessage::new("a \"b\"", &[1, 2]).unwrap();
        assert_eq!(draft.clone().into_send(), r#"["a \"b\"",[1,2]]"#);
        assert_eq!(draft.clone().into_call(7).0, r#"["a \"b\"",[1,2],7]"#);
        assert!(draft.clone().into_call(i64::MAX).0.len() <= draft.size());
    }

    #[test]
    fn a_draft_becomes_a_stream_or_an_item_of_one() {
        let draft = EncodedMessage::new("e", &1).unwrap().for_stream();
        assert_eq!(draft.clone().into_stream(7, 64, false).0, r#"["e",1,7,"call",{"credit":64}]"#);
        assert_eq!(draft.clone().into_stream(7, 64, true).0, r#"["e",1,7,"call",{"credit":64,"in":true}]"#);
        assert_eq!(draft.clone().into_stream(i64::MAX, 1 << 53, true).0.len(), draft.size());
        assert_eq!(draft.clone().into_item(7), r#"["e",1,7,"item"]"#);
        assert_eq!(draft.clone().into_item(i64::MAX).len(), draft.item_size());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let map = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(EncodedMessage::new("e", &map).is_err());
    }
}
