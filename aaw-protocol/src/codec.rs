//! Frames from text, and text from frames.
//!
//! # A body is checked by whoever parses it
//!
//! The frame of a call is split without reading its body: the event from the front, an id of digits from the back. For
//! text that is JSON the result is the same as a parser's; if the body is not JSON, whoever parses it finds out. So a
//! body that was split off like this ([`Frame::checked`] is false) must be parsed before it goes anywhere, and what
//! does not parse it asks [`is_json`]; then [`decode_strictly`] has the words for what is wrong. That saves reading
//! every byte twice, which costs more than the socket does.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{self, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::text::Shortened;

/// The largest number of items that credit can be for: 2^53, up to which JavaScript counts exactly.
pub const MOST_ITEMS: u64 = 1 << 53;

/// A frame as it was received, borrowed from its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame<'a> {
    /// The event's name, as JSON, with its quotes: what an answer begins with.
    pub event_json: &'a str,
    /// The event's name. Nobody has checked that it is an [`EventName`](crate::EventName).
    pub event: Cow<'a, str>,
    /// The second element, as JSON; `null` if there is none.
    pub data: &'a str,
    /// Whether `data` is known to be one JSON value. See the [module's documentation](self).
    pub checked: bool,
    /// The third element as it stands: a JSON string or number. `None` if there is none, or `null`.
    pub id: Option<&'a str>,
    /// The fourth element.
    pub kind: Kind,
    /// The fifth element, a JSON object. `None` if there is none, or `null`.
    pub meta: Option<&'a str>,
}

/// What a v1 frame says about its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No kind: a send or push without an id, a call or an answer with one.
    Plain,
    /// A call, said so.
    Call,
    /// A call failed, and is over.
    Error,
    /// The next item of a stream.
    Item,
    /// The end of a stream.
    End,
    /// Room for items.
    Credit,
    /// The caller has gone.
    Cancel,
}

impl Kind {
    const WORDS: [(&'static str, Self); 6] = [
        ("call", Self::Call),
        ("error", Self::Error),
        ("item", Self::Item),
        ("end", Self::End),
        ("credit", Self::Credit),
        ("cancel", Self::Cancel),
    ];

    /// The word on the wire, and nothing for [`Kind::Plain`].
    pub fn word(self) -> Option<&'static str> {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map(|(word, _)| *word)
    }
}

/// What a caller says about its call: the fifth element. Unknown keys are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// Milliseconds, from the call's arrival, after which the handler is dropped and the call fails.
    pub timeout: Option<u64>,
    /// The caller reads a stream and has room up to this item, at most [`MOST_ITEMS`].
    #[serde(deserialize_with = "credit")]
    pub credit: Option<u64>,
    /// The caller uploads a stream.
    #[serde(rename = "in")]
    pub upload: bool,
    /// The lowest of the caller's ids that is still open.
    pub low: Option<u64>,
    /// W3C Trace Context.
    pub traceparent: Option<String>,
}

/// Why a text is no frame. The words are for the peer that sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadFrame {
    /// The text is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// The text is JSON but not an array.
    #[error("expected a JSON array [event, data, id, kind, meta], found {0}")]
    NotAnArray(&'static str),
    /// An empty array.
    #[error("an empty array; expected [event, data, …]")]
    NoEvent,
    /// The event is no string.
    #[error("the event (element 1) must be a string, found {0}")]
    EventIsNoString(String),
    /// There is a sixth element.
    #[error("more than 5 elements; expected [event, data, id, kind, meta]")]
    TooLong,
    /// An id that cannot be one.
    #[error("the id (element 3) must be {expected}, found {found}")]
    BadId {
        /// What ids are in this dialect.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// A kind that this version does not know.
    #[error("unknown kind {0} (element 4); known are call, error, item, end, credit, cancel")]
    UnknownKind(String),
    /// A `meta` that is no object, or whose known keys have the wrong type.
    #[error("bad meta (element 5): {0}")]
    BadMeta(String),
    /// Credit that is no number of items.
    #[error("credit must be an integer from 0 to {MOST_ITEMS}, found {0}")]
    BadCredit(String),
    /// A whole frame that does not belong here and now.
    #[error("{0}")]
    OutOfPlace(String),
    /// A binary message.
    #[error("a binary message; expected text")]
    Binary,
}

/// Reads a frame.
///
/// # Errors
/// [`BadFrame`] says what was wrong and what was expected. No text panics, and none costs more than one pass over it.
pub fn decode(text: &str) -> Result<Frame<'_>, BadFrame> {
    match split_call(text) {
        Some(frame) => Ok(frame),
        None => decode_strictly(text),
    }
}

/// Whether `text` is one JSON value.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Splits `["event",body,id]` where the event needs no unescaping and the id is digits; `None` for everything else.
///
/// If the text is JSON, the split is that of a parser: an array whose text ends in `,digits]` has those digits as its
/// last element, since a string would end in a quote and a container in a bracket; and what lies between the first
/// comma and the last is one value unless there are more elements, which the body's parser finds; a frame of more
/// elements whose last is a number is none, since neither a kind nor a meta can be one.
fn split_call(text: &str) -> Option<Frame<'_>> {
    let bytes = text.as_bytes();
    if !bytes.starts_with(b"[\"") {
        return None;
    }
    let name_len = bytes[2..].iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20)?;
    let name_end = 2 + name_len;
    if bytes[name_end] != b'"' || bytes.get(name_end + 1) != Some(&b',') {
        return None;
    }
    let before_bracket = bytes.strip_suffix(b"]")?;
    let digits = before_bracket.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let id_start = before_bracket.len() - digits;
    let body_start = name_end + 2;
    // The comma before the id is another one than that after the event, and there is something between the two. An id
    // that begins with 0 is no JSON number unless it is 0, which is no id either: the strict way has the words for it.
    if digits == 0 || id_start < body_start + 2 || bytes[id_start - 1] != b',' || bytes[id_start] == b'0' {
        return None;
    }
    // As a parser does: what JSON calls white space, and nothing else, is no part of the value.
    let data = text[body_start..id_start - 1].trim_matches([' ', '\t', '\n', '\r']);
    Some(Frame {
        event_json: &text[1..=name_end],
        event: Cow::Borrowed(&text[2..name_end]),
        data,
        checked: false,
        id: Some(&text[id_start..before_bracket.len()]),
        kind: Kind::Plain,
        meta: None,
    })
}

/// Reads a frame with a parser, all of it: [`Frame::checked`] is true. What says why a body that was split off is none.
///
/// # Errors
/// As [`decode`].
pub fn decode_strictly(text: &str) -> Result<Frame<'_>, BadFrame> {
    let elements: Elements<'_> = serde_json::from_str(text).map_err(|error| {
        // What is no array fails on its first byte, as data, before anybody knows whether it is JSON. The words for
        // that would quote a whole string, so they are never used.
        if !error.is_data() {
            return BadFrame::NotJson(error.to_string());
        }
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => BadFrame::NotAnArray(type_of(text)),
            Err(error) => BadFrame::NotJson(error.to_string()),
        }
    })?;
    if elements.count > 5 {
        return Err(BadFrame::TooLong);
    }
    let element = |at: usize| elements.first[at].filter(|_| at < elements.count).map(RawValue::get);
    let event_json = element(0).ok_or(BadFrame::NoEvent)?;
    let event = string(event_json).ok_or_else(|| BadFrame::EventIsNoString(shortened(event_json)))?;
    let id = element(2).filter(|id| *id != "null");
    let kind = match element(3) {
        None => Kind::Plain,
        Some(json) => string(json)
            .and_then(|word| Kind::WORDS.iter().find(|(known, _)| *known == word))
            .map(|(_, kind)| *kind)
            .ok_or_else(|| BadFrame::UnknownKind(shortened(json)))?,
    };
    if let Some(id) = id.filter(|id| !id.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())) {
        return Err(BadFrame::BadId { expected: "a string or a number", found: shortened(id) });
    }
    let meta = element(4).filter(|meta| *meta != "null");
    if let Some(meta) = meta.filter(|meta| !meta.starts_with('{')) {
        return Err(BadFrame::BadMeta(format!("expected an object, found {}", type_of(meta))));
    }
    Ok(Frame { event_json, event, data: element(1).unwrap_or("null"), checked: true, id, kind, meta })
}

impl Frame<'_> {
    /// The id as v1 has it: an integer other than 0; the client's are positive, the server's negative.
    ///
    /// # Errors
    /// [`BadFrame::BadId`] for a string, a fraction, 0, and what does not fit 64 bits.
    pub fn v1_id(&self) -> Result<Option<i64>, BadFrame> {
        self.id
            .map(|id| match id.parse() {
                Ok(0) | Err(_) => Err(BadFrame::BadId { expected: "an integer other than 0", found: shortened(id) }),
                Ok(id) => Ok(id),
            })
            .transpose()
    }

    /// The data of a frame of the kind [`Kind::Credit`].
    ///
    /// # Errors
    /// [`BadFrame::BadCredit`] if it is no integer from 0 to [`MOST_ITEMS`], written without fraction and exponent.
    pub fn credit(&self) -> Result<u64, BadFrame> {
        match serde_json::from_str(self.data) {
            Ok(items @ 0..=MOST_ITEMS) => Ok(items),
            _ => Err(BadFrame::BadCredit(shortened(self.data))),
        }
    }

    /// The fifth element.
    ///
    /// # Errors
    /// [`BadFrame::BadMeta`] if a known key has a wrong type.
    pub fn parse_meta(&self) -> Result<Meta, BadFrame> {
        match self.meta {
            None => Ok(Meta::default()),
            // The error quotes what it found, be it a megabyte.
            Some(meta) => serde_json::from_str(meta).map_err(|error| BadFrame::BadMeta(shortened(&error.to_string()))),
        }
    }
}

/// [`Meta::credit`].
fn credit<'de, D: de::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let items = Option::<u64>::deserialize(deserializer)?;
    match items {
        Some(items) if items > MOST_ITEMS => Err(de::Error::custom(BadFrame::BadCredit(items.to_string()))),
        items => Ok(items),
    }
}

/// The elements of a JSON array, and how many there are beyond those that a frame has.
struct Elements<'a> {
    first: [Option<&'a RawValue>; 5],
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array [event, data, id, kind, meta]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Elements { first: [None; 5], count: 0 };
                for place in &mut elements.first {
                    *place = seq.next_element()?;
                    if place.is_none() {
                        return Ok(elements);
                    }
                    elements.count += 1;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    elements.count += 1;
                }
                Ok(elements)
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

/// A JSON string's text, without a copy where nothing is escaped.
fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// What a JSON text is, for an error message.
fn type_of(json: &str) -> &'static str {
    match json.trim_start().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// On one line, since it goes to logs: between its signs JSON may have line breaks, within them it has none.
fn shortened(json: &str) -> String {
    Shortened(json).to_string().replace(['\n', '\r'], " ")
}

// --- Text from frames ------------------------------------------------------------------------------------------------

/// Begins a frame: `["event",`. What comes next is one JSON value, then one of the `end_*` functions.
///
/// `event_json` is the event as JSON, with quotes.
pub fn begin(out: &mut Vec<u8>, event_json: &str) {
    out.push(b'[');
    out.extend_from_slice(event_json.as_bytes());
    out.push(b',');
}

/// The event's name as JSON, with quotes, for [`begin`].
pub fn event_json(event: &str) -> String {
    // A string always serialises.
    serde_json::to_string(event).unwrap_or_default()
}

/// Ends a frame without an id: a send, a push, a classic answer to a call without one.
pub fn end(out: &mut Vec<u8>) {
    out.push(b']');
}

/// Ends a frame with an id that is JSON as it stands: `,id]`.
pub fn end_with_id(out: &mut Vec<u8>, id_json: &str) {
    out.push(b',');
    out.extend_from_slice(id_json.as_bytes());
    out.push(b']');
}

/// Ends a v1 frame: `,id]`, or `,id,"kind"]`.
pub fn end_v1(out: &mut Vec<u8>, id: i64, kind: Kind) {
    use std::io::Write as _;
    // Writing to a Vec cannot fail.
    let _ = match kind.word() {
        None => write!(out, ",{id}]"),
        Some(word) => write!(out, ",{id},\"{word}\"]"),
    };
}

/// A whole frame without an id from serialisable data: a greeting, an error, a ping's answer.
pub fn message(event: &str, data: &impl serde::Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    begin(&mut out, &event_json(event));
    // What aaw itself says is made of strings and numbers, and serialises.
    if serde_json::to_writer(&mut out, data).is_err() {
        out.extend_from_slice(b"null");
    }
    end(&mut out);
    out
}

/// Appends a failure as v1 says it: `{"error", "code", "data"?}`.
pub fn failure(out: &mut Vec<u8>, failure: &Failure) {
    // Strings and raw JSON always serialise.
    let _ = serde_json::to_writer(out, failure);
}

/// Appends a failure as a classic peer knows it: `{"error"}`.
pub fn classic_failure(out: &mut Vec<u8>, failure: &Failure) {
    out.extend_from_slice(b"{\"error\":");
    let _ = serde_json::to_writer(&mut *out, &failure.error);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_call_is_split() {
        let frame = decode(r#"["users/get",{"id":[1,2]},17]"#).unwrap();
        assert_eq!(frame.event, "users/get");
        assert_eq!(frame.event_json, r#""users/get""#);
        assert_eq!(frame.data, r#"{"id":[1,2]}"#);
        assert_eq!(frame.v1_id().unwrap(), Some(17));
        assert_eq!(frame.kind, Kind::Plain);
        assert!(!frame.checked);
    }

    #[test]
    fn what_looks_like_a_call_but_is_none_is_read_strictly() {
        for (text, data, id) in [
            (r#"["e",12]"#, "12", None),
            (r#"["e",[1,2]]"#, "[1,2]", None),
            (r#"["e"]"#, "null", None),
            (r#"["e","x,5"]"#, r#""x,5""#, None),
            (r#"[ "e" , 1 , 2 ]"#, "1", Some("2")),
            (r#"["e",1,-2]"#, "1", Some("-2")),
            (r#"["e",1,"x"]"#, "1", Some(r#""x""#)),
            (r#"["e",1,null]"#, "1", None),
            (r#"["e",1,2,"call",{"timeout":5}]"#, "1", Some("2")),
        ] {
            let frame = decode(text).unwrap();
            assert_eq!((frame.data, frame.id, frame.checked), (data, id, true), "{text}");
        }
    }

    #[test]
    fn escapes_in_the_event_are_understood_and_echoed_as_they_came() {
        let frame = decode(r#"["pi\u006eg",{},1]"#).unwrap();
        assert_eq!(frame.event, "ping");
        assert_eq!(frame.event_json, r#""pi\u006eg""#);
    }

    #[test]
    fn each_bad_frame_says_what_was_wrong() {
        for (text, expected) in [
            ("", "not JSON"),
            ("hello", "not JSON"),
            (r#"["e",{"#, "not JSON"),
            (r#"["e",1,]"#, "not JSON"),
            (r#"["e",,5]"#, "not JSON"),
            (r#"["e",1,05]"#, "not JSON"),
            ("[\"e\u{1}\",1,5]", "not JSON"),
            ("{}", "found an object"),
            (" 7", "found a number"),
            ("null", "found null"),
            ("[]", "empty array"),
            ("[7]", "the event (element 1) must be a string, found 7"),
            ("[null,{},1]", "must be a string, found null"),
            (r#"["e",1,{}]"#, "the id (element 3) must be a string or a number, found {}"),
            (r#"["e",1,[]]"#, "the id (element 3)"),
            (r#"["e",1,true]"#, "the id (element 3)"),
            (r#"["e",1,2,"maybe"]"#, r#"unknown kind "maybe""#),
        ] {
            let error = decode(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_body_that_was_split_off_wrongly_is_no_json_and_the_strict_way_says_why() {
        for (text, expected) in [
            (r#"["e",1,2,7]"#, "unknown kind 7"),
            (r#"["e",1,2,"call",7]"#, "bad meta (element 5): expected an object, found a number"),
            (r#"["e",1,2,"call",{},6]"#, "more than 5"),
            (r#"["e", ,5]"#, "not JSON"),
            ("[\"e\",\u{c}1,5]", "not JSON"),
            (r#"["e",{"a":},5]"#, "not JSON"),
            (r#"["e","x,5]"#, "not JSON"),
        ] {
            assert!(!is_json(decode(text).unwrap().data), "{text}");
            let error = decode_strictly(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn v1_ids_are_integers() {
        for bad in [r#""1""#, "1.5", "0", "1e3", "99999999999999999999"] {
            let text = format!(r#"["e",{{}},{bad}]"#);
            assert!(matches!(decode(&text).unwrap().v1_id(), Err(BadFrame::BadId { .. })), "{text}");
        }
    }

    #[test]
    fn a_meta_of_the_wrong_shape_is_named() {
        for (meta, found) in [("5", "a number"), ("[]", "an array"), (r#""x""#, "a string")] {
            let error = decode_strictly(&format!(r#"["e",{{}},1,"call",{meta}]"#)).unwrap_err().to_string();
            assert_eq!(error, format!("bad meta (element 5): expected an object, found {found}"));
        }
        let error = decode(r#"["e",{},1,"call",{"timeout":"soon"}]"#).unwrap().parse_meta().unwrap_err().to_string();
        assert!(error.contains("invalid type: string \"soon\", expected u64"), "{error}");
        let frame = decode(r#"["e",{},1,"call",{"timeout":7,"in":true,"new":1}]"#).unwrap();
        assert_eq!(frame.parse_meta().unwrap(), Meta { timeout: Some(7), upload: true, ..Meta::default() });
    }

    #[test]
    fn no_error_repeats_what_a_peer_sent_at_length() {
        let long = "x".repeat(100_000);
        for text in [
            format!(r#""{long}""#),
            format!(r#""{long}" and more"#),
            format!(r#"["e",1,"call","{long}"]"#),
            format!(r#"["e",1,2,"{long}"]"#),
            format!(r#"[{{"{long}":1}}]"#),
            format!(r#"["e",1,2,"call",{{"timeout":"{long}"}}]"#),
        ] {
            let error = decode_strictly(&text).and_then(|frame| frame.v1_id().and(frame.parse_meta())).unwrap_err();
            assert!(error.to_string().len() < 500, "{}", &text[..40]);
        }
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let deep = format!(r#"["echo",{}{}]"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(decode(&deep).is_ok());
        assert!(matches!(decode(&"[".repeat(100_000)), Err(BadFrame::NotJson(_))));
    }

    #[test]
    fn classic_failures_hold_the_text_alone() {
        let mut out = Vec::new();
        classic_failure(&mut out, &Failure::new(crate::Code::PANIC, "a \"b\""));
        assert_eq!(out, br#"{"error":"a \"b\""}"#);
    }

    proptest! {
        /// The split of a call agrees with a parser's, for every text that is JSON.
        #[test]
        fn splitting_is_parsing(event in "[a-z/]{0,12}", body in json(), id in 1..i64::MAX, gap in "[ \t\r\n]{0,3}") {
            let text = format!("[{},{gap}{body}{gap},{id}]", event_json(&event));
            let split = split_call(&text).unwrap();
            prop_assert!(is_json(split.data));
            let strict = decode_strictly(&text).unwrap();
            prop_assert_eq!(split, Frame { checked: false, ..strict });
        }

        /// Decode inverts encode.
        #[test]
        fn decode_inverts_encode(event in any::<String>(), body in json(), id in 1..i64::MAX, which in 0usize..7) {
            let kind = [Kind::Plain, Kind::Call, Kind::Error, Kind::Item, Kind::End, Kind::Credit, Kind::Cancel][which];
            let mut text = Vec::new();
            begin(&mut text, &event_json(&event));
            text.extend_from_slice(body.as_bytes());
            end_v1(&mut text, id, kind);
            let text = String::from_utf8(text).unwrap();
            let frame = decode(&text).unwrap();
            prop_assert_eq!(frame.event.as_ref(), event.as_str());
            prop_assert_eq!(frame.data.trim(), body.trim());
            prop_assert_eq!(frame.v1_id().unwrap(), Some(id));
            prop_assert_eq!(frame.kind, kind);
        }

        /// Any text at all is a frame or an error. If it was split without a parser, then either the body is no JSON or
        /// a parser splits it the same.
        #[test]
        fn nothing_panics(text in "[\\[\\]\",{}0-9a-z\\\\ :.-]{0,40}") {
            if let Ok(frame) = decode(&text) && !frame.checked && is_json(frame.data) {
                let strict = decode_strictly(&text);
                prop_assert_eq!(strict, Ok(Frame { checked: true, ..frame }));
            }
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|b| b.to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[{}]", v.join(","))),
                prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|members| {
                    let members = members.iter().map(|(k, v)| format!("{}:{v}", serde_json::to_string(k).unwrap()));
                    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
                }),
            ]
        })
    }
}
