//! Decodes and encodes frames.
//!
//! # Unchecked bodies
//!
//! [`decode`] splits a frame without reading its body: it takes the event from the front, and id, kind and meta from the
//! back, as clients and servers write them. If the text is valid JSON, the result equals that of a JSON parser. If it is not,
//! [`Frame::data`] is not valid JSON either. A frame that was split this way has [`Frame::checked`] set to `false`, and
//! its body must be validated before it is used or forwarded: by parsing it, or with [`is_json`]. When that fails,
//! [`decode_strictly`] returns the error to report. The split saves a second pass over every byte of a body, which
//! costs more than the socket does.

use std::borrow::Cow;

use serde::de::{self, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::failure::{Code, Failure};
use crate::name::EventName;
use crate::text::{Shortened, explain_lone_surrogate, lone_surrogate};

/// The largest credit, in items: 2^53, up to which all integers are exact in JavaScript.
pub const MAX_CREDIT: u64 = 1 << 53;

/// A decoded frame, borrowed from its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame<'a> {
    /// The name of the event as JSON, with quotes. The response starts with the same bytes.
    pub event_json: &'a str,
    /// The name of the event. It is not validated as an [`EventName`].
    pub event: Cow<'a, str>,
    /// The second element, as JSON; `null` if it is missing.
    pub data: &'a str,
    /// Whether `data` is known to be one JSON value. See the [module's documentation](self).
    pub checked: bool,
    /// The third element as it was received: a JSON string or number. `None` if it is missing or `null`.
    pub id: Option<&'a str>,
    /// The fourth element.
    pub kind: Kind,
    /// The fifth element, a JSON object. `None` if it is missing or `null`.
    pub meta: Option<&'a str>,
}

/// The kind of a v1 frame: what the frame means for the call with its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No kind: a call or a response if the frame has an id, otherwise a one-way send or a push.
    Unmarked,
    /// A call. Required for a call with meta.
    Call,
    /// The call failed and is over.
    Error,
    /// The next item of a stream.
    Item,
    /// The end of a stream.
    End,
    /// Credit for items of a stream.
    Credit,
    /// The caller cancels the call.
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

    /// Returns the kind as it appears on the wire, or `None` for [`Kind::Unmarked`].
    pub fn word(self) -> Option<&'static str> {
        Self::WORDS.iter().find(|(_, kind)| *kind == self).map(|(word, _)| *word)
    }
}

/// The options of a call: the fifth element of its frame. Unknown keys are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// The timeout of the call, in milliseconds from its arrival. After it the handler is dropped and the call fails.
    pub timeout: Option<u64>,
    /// The caller reads the response as a stream, and this is its first credit, at most [`MAX_CREDIT`].
    #[serde(deserialize_with = "deserialize_credit")]
    pub credit: Option<u64>,
    /// Whether the caller sends an upload.
    #[serde(rename = "in")]
    pub upload: bool,
    /// The lowest id of the caller's open calls. Reserved.
    pub low: Option<u64>,
    /// The `traceparent` of W3C Trace Context. Reserved.
    pub traceparent: Option<String>,
}

/// Why a message is rejected. The text is meant for the peer that sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadFrame {
    /// The text is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// The text is JSON, but not an array.
    #[error("expected a JSON array [event, data, id, kind, meta], found {0}")]
    NotAnArray(&'static str),
    /// The array is empty.
    #[error("an empty array; expected [event, data, …]")]
    NoEvent,
    /// The event is not a string.
    #[error("the event (element 1) must be a string, found {0}")]
    EventNotString(String),
    /// The event is a string that is no Unicode text.
    #[error("the event (element 1): {0}")]
    EventNotUnicode(String),
    /// The array has more than five elements.
    #[error("more than 5 elements; expected [event, data, id, kind, meta]")]
    TooLong,
    /// The id is not valid in this dialect.
    #[error("the id (element 3) must be {expected}, found {found}")]
    BadId {
        /// What an id must be.
        expected: &'static str,
        /// The received id, shortened.
        found: String,
    },
    /// The kind is not one of this version's.
    #[error("unknown kind {0} (element 4); expected call, error, item, end, credit or cancel")]
    UnknownKind(String),
    /// The meta is not an object, or a known key has a value of the wrong type.
    #[error("bad meta (element 5): {0}")]
    BadMeta(String),
    /// The credit is not a number of items.
    #[error("credit must be an integer from 0 to {MAX_CREDIT}, found {0}")]
    BadCredit(String),
    /// The frame is well-formed, but not allowed in the current state of the connection.
    #[error("{0}")]
    Unexpected(String),
    /// The message is binary.
    #[error("a binary message; expected text")]
    Binary,
}

impl BadFrame {
    /// Returns the error for a log: without the values that the peer sent. In a log-in with its elements in the wrong
    /// places, any of them may be a password.
    pub fn without_values(&self) -> String {
        match self {
            Self::EventNotString(_) => "the event (element 1) must be a string".to_owned(),
            Self::EventNotUnicode(_) => "the event (element 1) contains a lone surrogate".to_owned(),
            Self::BadId { expected, .. } => format!("the id (element 3) must be {expected}"),
            Self::UnknownKind(_) => "unknown kind (element 4)".to_owned(),
            Self::BadMeta(_) => "bad meta (element 5)".to_owned(),
            Self::BadCredit(_) => format!("credit must be an integer from 0 to {MAX_CREDIT}"),
            // These name types, positions, and ids that are numbers.
            Self::NotJson(_)
            | Self::NotAnArray(_)
            | Self::NoEvent
            | Self::TooLong
            | Self::Unexpected(_)
            | Self::Binary => self.to_string(),
        }
    }
}

/// Decodes a frame. The body of most is [not checked](self#unchecked-bodies).
///
/// # Errors
/// [`BadFrame`] states what is wrong and what was expected. No text causes a panic, or costs more than one pass over
/// it.
pub fn decode(text: &str) -> Result<Frame<'_>, BadFrame> {
    match split(text) {
        Some(frame) => Ok(frame),
        None => decode_strictly(text),
    }
}

/// Checks the body that was split from `text`.
pub(crate) fn check_body(text: &str, body: &str) -> Result<(), BadFrame> {
    if is_json(body) {
        return Ok(());
    }
    match decode_strictly(text) {
        Err(bad) => Err(bad),
        // Unreachable: strict decoding found the body to be JSON. It must not become a panic that a peer can cause.
        Ok(_) => Err(BadFrame::NotJson("the body is not one JSON value".into())),
    }
}

/// Returns whether `text` is exactly one JSON value.
pub fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Splits a frame as clients and servers write it, without reading its body; returns `None` for any other text.
///
/// The event is taken from the front, the other elements from the back, where the last byte before the closing bracket
/// tells what the last element is. If the text is JSON, that byte belongs to it, and so the following hold:
///
/// * Behind a digit, the digits back to a comma are a number and an element of their own: a string or a container would
///   end otherwise.
/// * A quote ends a string. It begins at the quote before, if that is preceded by a comma, and so neither escaped nor the
///   end of another string.
/// * A brace ends an object. If the text from its last opening brace on has no other bracket, and `,"call",` precedes that
///   brace, then that quoted word is a string for the reason above, so the brace behind it begins the object.
///
/// What is left between the event and these elements is the body, if it is one JSON value: the body's parser finds out. If
/// it is not, the text is not a frame. The one exception would be a frame with more elements than were split off, which is
/// therefore not split: see [`could_end_with_meta`] and the kinds in [`split_string`].
fn split(text: &str) -> Option<Frame<'_>> {
    let bytes = text.as_bytes();
    if !bytes.starts_with(b"[\"") {
        return None;
    }
    let name_len = bytes[2..].iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20)?;
    let name_end = 2 + name_len;
    if bytes[name_end] != b'"' || bytes.get(name_end + 1) != Some(&b',') {
        return None;
    }
    let rest = text[name_end + 2..].strip_suffix(']')?;
    let Elements { data, id, kind, meta } = match *rest.as_bytes().last()? {
        b'0'..=b'9' => split_id(rest).map(|(data, id)| Elements { id: Some(id), ..Elements::body(data) })?,
        b'"' => split_string(rest)?,
        b'}' => split_meta(rest).or_else(|| (!could_end_with_meta(rest)).then_some(Elements::body(rest)))?,
        // No element but the body can be an array.
        b']' => Elements::body(rest),
        _ if rest == "null" => Elements::body(rest),
        _ => return None,
    };
    // Like a parser, trim exactly the characters that JSON defines as white space.
    let data = data.trim_matches([' ', '\t', '\n', '\r']);
    // Not a missing body: `decode_strictly` reports it.
    if data.is_empty() {
        return None;
    }
    let (event_json, event) = (&text[1..=name_end], Cow::Borrowed(&text[2..name_end]));
    Some(Frame { event_json, event, data, checked: false, id, kind, meta })
}

/// The elements behind the event. The body is not read.
struct Elements<'a> {
    data: &'a str,
    id: Option<&'a str>,
    kind: Kind,
    meta: Option<&'a str>,
}

impl<'a> Elements<'a> {
    fn body(data: &'a str) -> Self {
        Self { data, id: None, kind: Kind::Unmarked, meta: None }
    }
}

/// Splits `body,id` with an id of digits, which a minus may precede. An id with a leading 0 is not a JSON number, and 0 itself
/// is not a valid id: `decode_strictly` reports both.
fn split_id(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let digits = bytes.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let digits_start = bytes.len() - digits;
    let before = *bytes[..digits_start].last()?;
    let start = if before == b'-' { digits_start - 1 } else { digits_start };
    if digits == 0 || bytes[digits_start] == b'0' || start < 2 || bytes[start - 1] != b',' {
        return None;
    }
    Some((&text[..start - 1], &text[start..]))
}

/// Splits `body,id,"kind"`, `body,"id"` or `"body"`. A body that could be `body,id` because the string is a kind is not
/// split, and neither is a string with escapes.
fn split_string(text: &str) -> Option<Elements<'_>> {
    let bytes = text.as_bytes();
    let close = bytes.len() - 1;
    let open = bytes[..close].iter().rposition(|&b| b == b'"' || b == b'\\' || b < 0x20)?;
    if bytes[open] != b'"' {
        return None;
    }
    let Some(before) = text[..open].strip_suffix(',') else {
        // The comma behind the event, or none at all, which the body's parser finds.
        return (open == 0).then_some(Elements::body(text));
    };
    if before.is_empty() {
        return None;
    }
    match Kind::WORDS.iter().find(|(word, _)| *word == &text[open + 1..close]) {
        Some(&(_, kind)) => split_id(before).map(|(data, id)| Elements { id: Some(id), kind, ..Elements::body(data) }),
        None => Some(Elements { id: Some(&text[open..]), ..Elements::body(before) }),
    }
}

/// Splits `body,id,"call",{meta}`, with a meta without other brackets and escapes, as aaw's clients write it.
fn split_meta(text: &str) -> Option<Elements<'_>> {
    let bytes = text.as_bytes();
    let inner = &bytes[..bytes.len() - 1];
    let open = inner.iter().rposition(|b| matches!(b, b'{' | b'}' | b'[' | b']' | b'\\'))?;
    let before = text[..open].strip_suffix(",\"call\",")?;
    let meta = Some(&text[open..]).filter(|meta| bytes[open] == b'{' && is_json(meta));
    let (data, id) = split_id(before)?;
    Some(Elements { data, id: Some(id), kind: Kind::Call, meta: Some(meta?) })
}

/// Returns whether the object that ends here could be the meta of a call, and not the body. Only the object of a meta is
/// preceded by a string, the kind, and a comma. It may still be part of the body.
fn could_end_with_meta(text: &str) -> bool {
    let is_preceded_by_string = |brace: usize| {
        let before = text[..brace].trim_end_matches([' ', '\t', '\n', '\r']).strip_suffix(',');
        before.is_some_and(|before| before.trim_end_matches([' ', '\t', '\n', '\r']).ends_with('"'))
    };
    text.bytes().enumerate().any(|(at, byte)| byte == b'{' && is_preceded_by_string(at))
}

/// Decodes a frame with a JSON parser, including its body: [`Frame::checked`] is `true`.
///
/// It also finds the error of a text whose [unchecked body](self#unchecked-bodies) turned out to be invalid.
///
/// # Errors
/// As [`decode`].
pub fn decode_strictly(text: &str) -> Result<Frame<'_>, BadFrame> {
    let elements: ParsedElements<'_> = serde_json::from_str(text).map_err(|error| {
        // Anything but an array fails at its first byte with a data error, before the rest is validated as JSON. That
        // error would quote a whole string, so it is not reported.
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
    let event = unescape(event_json).ok_or_else(|| match lone_surrogate(event_json) {
        Some(escape) => BadFrame::EventNotUnicode(explain_lone_surrogate(escape)),
        None => BadFrame::EventNotString(shortened(event_json)),
    })?;
    let id = element(2).filter(|id| *id != "null");
    let kind = match element(3) {
        None => Kind::Unmarked,
        Some(json) => unescape(json)
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
    /// Checks the body of the frame that was decoded from `text`, if that was not done yet.
    ///
    /// # Errors
    /// Why the text is not a frame.
    pub fn check(&mut self, text: &str) -> Result<(), BadFrame> {
        if !self.checked {
            check_body(text, self.data)?;
        }
        self.checked = true;
        Ok(())
    }

    /// Returns the id of a v1 frame: an integer other than 0. A client's ids are positive, a server's negative.
    ///
    /// # Errors
    /// [`BadFrame::BadId`] if the id is a string, has a fraction or an exponent, is 0, or does not fit 64 bits.
    pub fn v1_id(&self) -> Result<Option<i64>, BadFrame> {
        self.id
            .map(|id| match id.parse() {
                Ok(0) | Err(_) => Err(BadFrame::BadId { expected: "an integer other than 0", found: shortened(id) }),
                Ok(id) => Ok(id),
            })
            .transpose()
    }

    /// Returns the credit in the data of a frame of the kind [`Kind::Credit`].
    ///
    /// # Errors
    /// [`BadFrame::BadCredit`] unless it is an integer from 0 to [`MAX_CREDIT`], written without fraction and exponent.
    pub fn credit(&self) -> Result<u64, BadFrame> {
        match serde_json::from_str(self.data) {
            Ok(items @ 0..=MAX_CREDIT) => Ok(items),
            _ => Err(BadFrame::BadCredit(shortened(self.data))),
        }
    }

    /// Parses the fifth element. Without one, all options have their defaults.
    ///
    /// # Errors
    /// [`BadFrame::BadMeta`] if the value of a known key has the wrong type.
    pub fn parse_meta(&self) -> Result<Meta, BadFrame> {
        match self.meta {
            None => Ok(Meta::default()),
            // serde's error quotes the value that it found, at any length.
            Some(meta) => serde_json::from_str(meta).map_err(|error| BadFrame::BadMeta(shortened(&error.to_string()))),
        }
    }
}

/// Deserializes [`Meta::credit`].
fn deserialize_credit<'de, D: de::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let items = Option::<u64>::deserialize(deserializer)?;
    match items {
        Some(items) if items > MAX_CREDIT => Err(de::Error::custom(BadFrame::BadCredit(items.to_string()))),
        items => Ok(items),
    }
}

/// The first five elements of a JSON array, and the number of all its elements.
struct ParsedElements<'a> {
    first: [Option<&'a RawValue>; 5],
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for ParsedElements<'a> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementsVisitor;
        impl<'de> Visitor<'de> for ElementsVisitor {
            type Value = ParsedElements<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array [event, data, id, kind, meta]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = ParsedElements { first: [None; 5], count: 0 };
                for element in &mut elements.first {
                    *element = seq.next_element()?;
                    if element.is_none() {
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
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

/// Returns the text of a JSON string, borrowed if it contains no escapes; `None` if `json` is not a string.
fn unescape(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// Returns the type of a JSON text, for an error message.
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

/// Shortens a JSON text for an error message, on one line because errors go to logs. JSON has line breaks only between
/// its tokens, so the text keeps its meaning.
fn shortened(json: &str) -> String {
    Shortened(json).to_string().replace(['\n', '\r'], " ")
}

// --- Encoding --------------------------------------------------------------------------------------------------------

/// Appends the beginning of a frame, `["event",`. The caller then appends one JSON value, and ends the frame with
/// [`end`], [`end_with_id`] or [`end_v1`].
///
/// `event_json` is the name of the event as JSON, with quotes.
pub fn begin(out: &mut Vec<u8>, event_json: &str) {
    out.push(b'[');
    out.extend_from_slice(event_json.as_bytes());
    out.push(b',');
}

/// Appends the beginning of a frame, as [`begin`] does, for an event that exists. Its name needs no escapes.
pub fn begin_named(out: &mut Vec<u8>, event: &EventName) {
    out.extend_from_slice(b"[\"");
    out.extend_from_slice(event.as_str().as_bytes());
    out.extend_from_slice(b"\",");
}

/// Returns the name of an event as JSON, with quotes, for [`begin`].
pub fn event_json(event: &str) -> String {
    // Serializing a string cannot fail.
    serde_json::to_string(event).unwrap_or_default()
}

/// Ends a frame without an id: a one-way send, a push, or the classic response to a call without an id.
pub fn end(out: &mut Vec<u8>) {
    out.push(b']');
}

/// Ends a frame with an id, given as JSON: `,id]`.
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

/// Encodes a whole frame without an id, such as a hello, a welcome or a pong.
pub fn message(event: &str, data: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    begin(&mut out, &event_json(event));
    // The data of aaw's own frames consists of strings and numbers, whose serialization does not fail.
    if serde_json::to_writer(&mut out, data).is_err() {
        out.extend_from_slice(b"null");
    }
    end(&mut out);
    out
}

/// Appends a failure in the form of v1: `{"error", "code", "data"?}`.
pub fn failure(out: &mut Vec<u8>, failure: &Failure) {
    #[derive(Serialize)]
    struct WireFailure<'a> {
        error: &'a str,
        code: &'a Code,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
    }
    let Failure { error, code, data, status: _ } = failure;
    // Serializing strings and raw JSON cannot fail.
    let _ = serde_json::to_writer(out, &WireFailure { error, code, data: data.as_deref() });
}

/// Appends a failure in the classic form: `{"error"}`.
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
    fn a_plain_call_is_split_without_parsing_its_body() {
        let frame = decode(r#"["users/get",{"id":[1,2]},17]"#).unwrap();
        assert_eq!(frame.event, "users/get");
        assert_eq!(frame.event_json, r#""users/get""#);
        assert_eq!(frame.data, r#"{"id":[1,2]}"#);
        assert_eq!(frame.v1_id().unwrap(), Some(17));
        assert_eq!(frame.kind, Kind::Unmarked);
        assert!(!frame.checked);
    }

    #[test]
    fn frames_as_clients_and_servers_write_them_are_split() {
        let meta = Some(r#"{"credit":64,"in":true}"#);
        for (text, data, id, kind, meta) in [
            (r#"["e",{"a":1},7,"call",{"credit":64,"in":true}]"#, r#"{"a":1}"#, Some("7"), Kind::Call, meta),
            (r#"["e",{"a":1},7,"item"]"#, r#"{"a":1}"#, Some("7"), Kind::Item, None),
            (r#"["e",null,7,"end"]"#, "null", Some("7"), Kind::End, None),
            (r#"["e",{},-7,"error"]"#, "{}", Some("-7"), Kind::Error, None),
            (r#"["e",1,-2]"#, "1", Some("-2"), Kind::Unmarked, None),
            (r#"["e",{"a":[{}]},"x-1"]"#, r#"{"a":[{}]}"#, Some(r#""x-1""#), Kind::Unmarked, None),
            (r#"["e",{"a":[{"b":"c"},{"d":1}]}]"#, r#"{"a":[{"b":"c"},{"d":1}]}"#, None, Kind::Unmarked, None),
            (r#"["e",[1,2]]"#, "[1,2]", None, Kind::Unmarked, None),
            (r#"["e","x,5"]"#, r#""x,5""#, None, Kind::Unmarked, None),
            (r#"["e",null]"#, "null", None, Kind::Unmarked, None),
        ] {
            let frame = decode(text).unwrap();
            assert!(!frame.checked, "{text}");
            assert_eq!((frame.data, frame.id, frame.kind, frame.meta), (data, id, kind, meta), "{text}");
            assert_eq!(Frame { checked: true, ..frame }, decode_strictly(text).unwrap());
        }
    }

    #[test]
    fn other_frames_are_parsed() {
        for (text, data, id, kind) in [
            (r#"["e",12]"#, "12", None, Kind::Unmarked),
            (r#"["e"]"#, "null", None, Kind::Unmarked),
            (r#"[ "e" , 1 , 2 ]"#, "1", Some("2"), Kind::Unmarked),
            (r#"["e",1,null]"#, "1", None, Kind::Unmarked),
            (r#"["e",{},"call"]"#, "{}", Some(r#""call""#), Kind::Unmarked),
            (r#"["e",1,"x\ny"]"#, "1", Some(r#""x\ny""#), Kind::Unmarked),
            (r#"["e",1,2,"\u0063all"]"#, "1", Some("2"), Kind::Call),
            (r#"["e",1,2,"call" , {"credit":1}]"#, "1", Some("2"), Kind::Call),
            (r#"["e",1,2,"call",{"new":{}}]"#, "1", Some("2"), Kind::Call),
            (r#"["e",1,2,"item",{}]"#, "1", Some("2"), Kind::Item),
        ] {
            let frame = decode(text).unwrap();
            assert_eq!((frame.data, frame.id, frame.kind, frame.checked), (data, id, kind, true), "{text}");
        }
    }

    #[test]
    fn an_escaped_event_is_unescaped_and_its_json_is_kept() {
        let frame = decode(r#"["pi\u006eg",{},1]"#).unwrap();
        assert_eq!(frame.event, "ping");
        assert_eq!(frame.event_json, r#""pi\u006eg""#);
    }

    #[test]
    fn the_error_of_a_bad_frame_states_what_is_wrong() {
        for (text, expected) in [
            ("", "not JSON"),
            ("hello", "not JSON"),
            (r#"["e",{"#, "not JSON"),
            (r#"["e",1,]"#, "not JSON"),
            (r#"["e",,5]"#, "not JSON"),
            (r#"["e", ,5]"#, "not JSON"),
            ("[\"e\",\t\r\n,5]", "not JSON"),
            (r#"["e",1,05]"#, "not JSON"),
            ("[\"e\u{1}\",1,5]", "not JSON"),
            ("{}", "found an object"),
            (" 7", "found a number"),
            ("null", "found null"),
            ("[]", "empty array"),
            ("[7]", "the event (element 1) must be a string, found 7"),
            (
                r#"["a\ud83d",{},1]"#,
                r"the event (element 1): the text contains the lone surrogate \ud83d, which is half",
            ),
            ("[null,{},1]", "must be a string, found null"),
            (r#"["e",1,{}]"#, "the id (element 3) must be a string or a number, found {}"),
            (r#"["e",1,[]]"#, "the id (element 3)"),
            (r#"["e",1,true]"#, "the id (element 3)"),
            (r#"["e",1,2,"maybe"]"#, r#"unknown kind "maybe""#),
        ] {
            let error = decode(text).and_then(|mut frame| frame.check(text)).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_wrong_split_yields_invalid_json_and_strict_decoding_finds_the_error() {
        for (text, expected) in [
            (r#"["e",1,2,7]"#, "unknown kind 7"),
            (r#"["e",1,2,"call",7]"#, "bad meta (element 5): expected an object, found a number"),
            (r#"["e",1,2,"call",{},6]"#, "more than 5"),
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
    fn v1_ids_must_be_integers_other_than_0() {
        for bad in [r#""1""#, "1.5", "0", "1e3", "99999999999999999999"] {
            let text = format!(r#"["e",{{}},{bad}]"#);
            assert!(matches!(decode(&text).unwrap().v1_id(), Err(BadFrame::BadId { .. })), "{text}");
        }
    }

    #[test]
    fn the_error_of_a_bad_meta_names_the_wrong_type() {
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
    fn errors_quote_at_most_a_short_part_of_the_text() {
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
    fn deep_nesting_does_not_overflow_the_stack() {
        let deep = format!(r#"["echo",{}{}]"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(decode(&deep).is_ok());
        assert!(matches!(decode(&"[".repeat(100_000)), Err(BadFrame::NotJson(_))));
    }

    #[test]
    fn a_classic_failure_contains_only_the_text() {
        let mut out = Vec::new();
        classic_failure(&mut out, &Failure::new(Code::PANIC, "a \"b\""));
        assert_eq!(out, br#"{"error":"a \"b\""}"#);
    }

    /// What the split looks for, and what could be mistaken for it.
    const PARTS: &[&str] = &[
        "[",
        "]",
        "{",
        "}",
        "\"",
        ",",
        ":",
        "\\",
        " ",
        "1",
        "-",
        "0",
        "7",
        "null",
        "\"call\"",
        "\"item\"",
        "\"a\"",
        ",\"call\",",
        ",\"call\",{",
        ",7,\"call\",{\"credit\":1}",
        ",7,\"item\"",
        ",\"x\"",
        "{\"a\":1}",
        "\"a,7\"",
        "\"{\"",
        "\"\\\"",
        "call",
    ];

    /// Elements of frames.
    const ELEMENTS: &[&str] = &[
        "1",
        "-7",
        "0",
        "07",
        "null",
        "\"call\"",
        "\"item\"",
        "\"end\"",
        "\"x\"",
        "\"a\\\"b\"",
        "\",\\\"call\\\",{\"",
        "{}",
        "[]",
        "{\"credit\":1}",
        "{\"a\":\"b\"}",
        "{\"a\":{}}",
        "[\"x\",{}]",
        "[1,\"call\",{\"credit\":1}]",
        "{\"a\":[7,\"call\",{}]}",
        "1.5",
        "[7,\"item\"]",
    ];

    /// What follows the body in the frames of clients and servers.
    fn tail() -> impl Strategy<Value = String> {
        let meta = prop_oneof![
            any::<u32>().prop_map(|credit| format!("{{\"credit\":{credit}}}")),
            any::<u32>().prop_map(|timeout| format!("{{\"timeout\":{timeout},\"in\":true}}")),
            Just("{}".to_owned()),
        ];
        let kind = proptest::sample::select(&Kind::WORDS[..]);
        prop_oneof![
            Just(String::new()),
            any::<i64>().prop_filter("no id", |id| *id != 0).prop_map(|id| format!(",{id}")),
            "[a-zA-Z0-9-]{0,40}"
                .prop_filter("a kind", |id| !Kind::WORDS.iter().any(|(word, _)| word == id))
                .prop_map(|id| format!(",\"{id}\"")),
            (1..i64::MAX, kind).prop_map(|(id, (word, _))| format!(",{id},\"{word}\"")),
            (1..i64::MAX, meta).prop_map(|(id, meta)| format!(",{id},\"call\",{meta}")),
        ]
    }

    /// The promise of [`split`]: it equals the parser's result, or its body is not JSON and neither is the frame valid.
    fn check_split(text: &str) -> Result<(), TestCaseError> {
        let Some(split) = split(text) else { return Ok(()) };
        let strict = decode_strictly(text);
        if is_json(split.data) {
            prop_assert_eq!(Ok(Frame { checked: true, ..split }), strict);
        } else {
            prop_assert!(strict.is_err(), "split into {:?}, parsed as {:?}", split, strict);
        }
        Ok(())
    }

    proptest! {
        /// The split of a frame equals the parser's result for every text that is JSON.
        #[test]
        fn splitting_equals_parsing(event in "[a-z/]{0,12}", body in json(), tail in tail(), gap in "[ \t\r\n]{0,3}") {
            let text = format!("[{},{gap}{body}{gap}{tail}]", event_json(&event));
            check_split(&text)?;
            let strict = decode_strictly(&text).unwrap();
            if let Some(split) = split(&text) {
                prop_assert_eq!(split, Frame { checked: false, ..strict });
            } else {
                prop_assert!(tail.is_empty(), "it is not split: {}", text);
            }
        }

        /// Texts of what the split looks for, in any order: most are not JSON, or have elements of the wrong kind.
        #[test]
        fn a_split_of_anything_equals_parsing_or_has_no_json_as_its_body(
            parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..12),
        ) {
            check_split(&format!("[\"e\",{}]", parts.concat()))?;
        }

        /// The same with elements that are JSON.
        #[test]
        fn a_split_of_any_array_equals_parsing(
            elements in proptest::collection::vec(
                prop_oneof![json(), proptest::sample::select(ELEMENTS).prop_map(str::to_owned)], 0..7,
            ),
            separator in proptest::sample::select(&[",", ",", " , "][..]),
        ) {
            check_split(&format!("[\"e\",{}]", elements.join(separator)))?;
        }

        #[test]
        fn decode_inverts_encode(event in any::<String>(), body in json(), id in 1..i64::MAX, which in 0usize..7) {
            let kind = [Kind::Unmarked, Kind::Call, Kind::Error, Kind::Item, Kind::End, Kind::Credit, Kind::Cancel][which];
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

        /// Any text decodes to a frame or an error. If it was split without a parser, either the body is not JSON or a
        /// parser returns the same frame.
        #[test]
        fn decoding_never_panics(text in "[\\[\\]\",{}0-9a-z\\\\ :.-]{0,40}") {
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
