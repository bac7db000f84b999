//! A frame without its end.

use bytes::Bytes;
use serde::Serialize;

use crate::codec::{self, Kind};

/// A call or a send whose body is serialised already, `["event",body`: the end is missing, since a call's id is taken
/// only when the call is written.
///
/// Its author serialises it, so that neither the connection's task nor a second copy is needed for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    event_json: Box<str>,
    frame: Vec<u8>,
}

impl Draft {
    /// What an id takes at most, with its comma and the bracket after it.
    const END: usize = 21;

    /// Serialises `body`.
    ///
    /// # Errors
    /// `body` says no, or is a map with keys that are no strings.
    pub fn new(event: &str, body: &(impl Serialize + ?Sized)) -> serde_json::Result<Self> {
        let event_json = codec::event_json(event).into_boxed_str();
        let mut frame = Vec::with_capacity(128);
        codec::begin(&mut frame, &event_json);
        serde_json::to_writer(&mut frame, body)?;
        Ok(Self { event_json, frame })
    }

    /// The bytes that the frame may have once it is written: at most 20 more than it has then.
    pub fn size(&self) -> usize {
        self.frame.len() + Self::END
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_becomes_a_send_or_a_call() {
        let draft = Draft::new("a \"b\"", &[1, 2]).unwrap();
        assert_eq!(draft.clone().into_send(), r#"["a \"b\"",[1,2]]"#);
        assert_eq!(draft.clone().into_call(7).0, r#"["a \"b\"",[1,2],7]"#);
        assert!(draft.clone().into_call(i64::MAX).0.len() <= draft.size());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let map = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(Draft::new("e", &map).is_err());
    }
}
