//! Removes passwords and tokens from what is logged.
//!
//! Of bodies, results and frames of `aaw/` events, only the known harmless fields are kept. In those of an application's own
//! events, the fields with a [secret name](is_secret_name) are redacted, so that the password of a misnamed `login` is, too.
//! A [`url`] is shown without what may be a token.

mod secret_name;

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::codec::{self, Frame, Kind};
use crate::failure::Failure;
use crate::hello;
use crate::name::is_reserved;
pub use secret_name::is_secret_name;
use secret_name::may_have_secret_name;

/// Redacts the secrets in a body or result of a built-in event, JSON. Returns `None` for other events.
///
/// Only the known harmless fields are kept: everything else is redacted, since it may be a password in the wrong field.
pub fn redact(event: &str, text: &str) -> Option<String> {
    is_reserved(event).then(|| redact_json(text))
}

/// The longest text that is parsed, in bytes; a longer one is redacted as a whole. A server accepts no longer body of such
/// an event, and a parsed one would take a hundred times its memory.
const MAX_PARSED_BYTES: usize = 8 << 10;

fn redact_json(text: &str) -> String {
    if text.len() > MAX_PARSED_BYTES {
        return redacted().to_string();
    }
    let mut value: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(String::new()));
    redact_in(&mut value);
    value.to_string()
}

/// Redacts the secrets in the data of a failure of a built-in event. Returns `None` if there is nothing to redact.
pub fn redact_failure(event: &str, failure: &Failure) -> Option<Failure> {
    let data = redact(event, failure.data.as_ref()?.get())?;
    Some(Failure { data: RawValue::from_string(data).ok(), ..failure.clone() })
}

/// The fields that contain no secrets.
///
/// A field has one only with a value of its own type: a client can put a password anywhere.
fn is_harmless(key: &str, value: &Value) -> bool {
    match key {
        "email" | "id" => value.is_string(),
        "ok" | "resume" => value.is_boolean(),
        "retry_after" | "items" | "min" | "received" | "attempt" => value.is_number(),
        "user" => value.is_null(),
        "allowed" => value.is_null() || value.as_array().is_some_and(|globs| globs.iter().all(Value::is_string)),
        _ => false,
    }
}

fn redact_in(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::Object(_) => redact_in(value),
                    Value::Null => {}
                    _ if is_harmless(key, value) => {}
                    _ => *value = redacted(),
                }
            }
        }
        _ => *value = redacted(),
    }
}

/// Redacts the values of fields with a [secret name](is_secret_name), at any depth, also within arrays. The texts among
/// them are added to `secrets`. Returns whether there was one. `null` and booleans stay: they are no secrets.
fn secret_fields(value: &mut Value, secrets: &mut Vec<String>) -> bool {
    let mut found = false;
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if matches!(value, Value::Null | Value::Bool(_)) || !is_secret_name(key) {
                    found |= secret_fields(value, secrets);
                } else {
                    collect_texts(value, secrets);
                    *value = redacted();
                    found = true;
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| found |= secret_fields(item, secrets)),
        _ => {}
    }
    found
}

fn collect_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Number(number) => texts.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        Value::Object(map) => map.values().for_each(|value| collect_texts(value, texts)),
        _ => {}
    }
}

/// The shortest secret that is removed from texts, in characters: shorter ones occur in other words.
const MIN_SECRET_CHARS: usize = 4;

/// The most secrets that are searched for in a text. A body can have as many as it has bytes, and the time would be that of
/// both together.
const MAX_SECRETS: usize = 64;

/// Removes these texts from a message that may quote them, such as `invalid type: string "hunter2"`: as they are, and as
/// [`Debug`](fmt::Debug) and JSON escape them. Of texts that overlap, all are removed. Those of fewer than four characters
/// stay: they occur in other words. With more than 64 texts, a message is removed as a whole, and so is one of more than
/// 8 KiB if there are any: the time would be that of all of them together.
pub fn secret_texts(message: &str, secrets: &[String]) -> String {
    if secrets.len() > MAX_SECRETS || (!secrets.is_empty() && message.len() > MAX_PARSED_BYTES) {
        return REDACTED.to_owned();
    }
    let secrets = secrets.iter().filter(|secret| secret.chars().count() >= MIN_SECRET_CHARS);
    without(message, &secrets.flat_map(|secret| written_forms(secret)).collect())
}

/// Returns the ways in which a text may be written within another one.
fn written_forms(text: &str) -> [String; 4] {
    let debug = |text: &str| unquoted(&format!("{text:?}"));
    let json = |text: &str| unquoted(&Value::from(text).to_string());
    // The last one is that of a quoted text in an error, in the JSON of a frame.
    [text.to_owned(), debug(text), json(text), json(&debug(text))]
}

fn unquoted(text: &str) -> String {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).to_owned()
}

/// Returns a text with what these others cover in it replaced. All are at least four bytes long.
fn without(text: &str, others: &BTreeSet<String>) -> String {
    let mut shown = String::with_capacity(text.len());
    // The end of what was copied or replaced, and the range that is being covered.
    let (mut done, mut covered) = (0, 0..0);
    let others_at = |at: usize| {
        let rest = &text.as_bytes()[at..];
        others.iter().map(String::as_bytes).filter(move |other| rest.starts_with(other)).map(<[u8]>::len).max()
    };
    for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        let Some(len) = others_at(at) else { continue };
        if at < covered.end {
            covered.end = covered.end.max(at + len);
            continue;
        }
        if !covered.is_empty() {
            shown.extend([&text[done..covered.start], REDACTED]);
            done = covered.end;
        }
        covered = at..at + len;
    }
    if !covered.is_empty() {
        shown.extend([&text[done..covered.start], REDACTED]);
        done = covered.end;
    }
    shown.push_str(&text[done..]);
    shown
}

/// Removes the values that the text of an error quotes, as serde writes them: ``invalid type: string "hunter2"``,
/// ``invalid value: integer `1234` ``, ``unknown variant `hunter2` ``. They stay if the text names their place, as in
/// `The body does not fit at lines[1].count: …`, and no part of that is a [secret name](is_secret_name). A text of more than
/// 8 KiB is removed as a whole.
pub fn quoted_values(error: &str) -> String {
    // What is before the value, and what is behind it.
    const QUOTES: [(&str, &str); 5] = [
        ("string \"", "\""),
        ("integer `", "`,"),
        ("floating point `", "`,"),
        ("character `", "`,"),
        ("variant `", "`,"),
    ];
    if error.len() > MAX_PARSED_BYTES {
        return REDACTED.to_owned();
    }
    if is_of_harmless_field(error) {
        return error.to_owned();
    }
    let mut shown = String::new();
    // Where each kind of value begins next. It is searched for again only once it was passed, so that the time is linear.
    let find = |before: &str, from: usize| error[from..].find(before).map(|at| from + at);
    let mut next = QUOTES.map(|(before, _)| find(before, 0));
    let mut done = 0;
    while let Some((at, (before, behind))) =
        next.iter().zip(QUOTES).filter_map(|(at, quote)| Some(((*at)?, quote))).min()
    {
        let start = at + before.len();
        shown.extend([&error[done..start], REDACTED]);
        let value = &error[start..];
        // A value whose end is missing was cut.
        let end = if behind == "\"" { end_of_escaped(value) } else { value.find(behind).or_else(|| value.rfind('`')) };
        done = end.map_or(error.len(), |end| start + end);
        for (at, (before, _)) in next.iter_mut().zip(QUOTES) {
            if at.is_some_and(|at| at < done) {
                *at = find(before, done);
            }
        }
    }
    shown.push_str(&error[done..]);
    shown
}

/// Returns the position of the quotation mark at the end of a text with escapes.
fn end_of_escaped(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

/// The parts of a path that are joined, at most, to find a secret name with dots.
const MAX_PARTS_OF_NAME: usize = 4;

/// Whether the text of an error names the place of the value that it quotes, and that is not the place of a secret.
fn is_of_harmless_field(error: &str) -> bool {
    let place = error.split_once(" does not fit at ").and_then(|(_, rest)| rest.split_once(": "));
    let is_harmless = |path: &str| {
        // The name of a path that was cut may be missing. A name with a dot in it, or with several, is in some parts of the path.
        let parts: Vec<_> = path.split(['.', '[', ']']).collect();
        let longest = parts.len().min(MAX_PARTS_OF_NAME);
        !path.contains('…')
            && !is_secret_name(path)
            && !(1..=longest).any(|len| parts.windows(len).any(|parts| is_secret_name(&parts.concat())))
    };
    place.is_some_and(|(path, _)| is_harmless(path))
}

/// Parses the body or result of a call for a log, and redacts the values of fields with a [secret name](is_secret_name), at
/// any depth. The texts among them are added to `secrets`. Text that is not JSON becomes a string; it is redacted as a whole
/// if it mentions a secret name, since it may be a log-in that is not quite JSON.
pub fn for_log(text: &str, secrets: &mut Vec<String>) -> Value {
    match serde_json::from_str(text) {
        Ok(mut value) => {
            secret_fields(&mut value, secrets);
            value
        }
        Err(_) if may_have_secret_name(text) => redacted(),
        Err(_) => Value::String(text.to_owned()),
    }
}

/// Describes a body by its type and size, as JSON: all that the log shows of a call whose event does not exist. It may be a
/// log-in with a misspelt name, and its password may be in an array or in a field of any name. `null` stays.
///
/// ```
/// # use aaw_protocol::redact;
/// assert_eq!(redact::body_shape(r#"["ada","hunter2"]"#), r#""[redacted array of 17 bytes]""#);
/// assert_eq!(redact::body_shape("null"), "null");
/// ```
pub fn body_shape(body: &str) -> String {
    let body = body.trim_ascii();
    let kind = match body.bytes().next() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'-' | b'0'..=b'9') => "number",
        Some(b'n') if body == "null" => return body.to_owned(),
        _ => "text",
    };
    format!("\"[redacted {kind} of {} bytes]\"", body.len())
}

/// Returns a frame that a server has received as the log shows it, as [`FramePreview`] does, if it is of an event that does not
/// exist: without its data, of which [`body_shape`] is left, and without its meta. `None` for other frames, among which are the
/// responses to client calls, whose event is the client's.
///
/// ```
/// # use aaw_protocol::redact;
/// let shown = redact::unknown_event_frame(r#"["login",["ada","hunter2"],1]"#, |event| event == "aaw/login");
/// assert_eq!(shown.as_deref(), Some(r#"["login","[redacted array of 17 bytes]",1]"#));
/// ```
pub fn unknown_event_frame(text: &str, exists: impl FnOnce(&str) -> bool) -> Option<String> {
    let frame = codec::decode(text).ok()?;
    let is_response = frame.id.is_some_and(|id| id.starts_with('-'));
    if is_response || is_reserved(&frame.event.to_ascii_lowercase()) || exists(&frame.event) {
        return None;
    }
    let id = frame.id.map(|id| if id.parse::<u64>().is_ok() { id } else { "\"[redacted]\"" });
    let shown = frame_text(&Frame { id, ..frame.clone() }, &body_shape(frame.data));
    Some(Preview(&shown).to_string())
}

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

fn redacted() -> Value {
    Value::String(REDACTED.into())
}

/// Returns a URL as errors and logs show it: without its credentials, the values of its query, and its fragment, each of
/// which may be a token. The names in the query stay.
///
/// ```
/// # use aaw_protocol::redact;
/// assert_eq!(redact::url("wss://example.org/app?token=x&v=1"), "wss://example.org/app?token=[redacted]&v=[redacted]");
/// ```
pub fn url(url: &str) -> String {
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = address.find("://").map_or(("", address), |at| address.split_at(at + "://".len()));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let mut text = scheme.to_owned();
    match authority.rsplit_once('@') {
        Some((_, host)) => text.extend([REDACTED, "@", host, path]),
        None => text.extend([authority, path]),
    }
    for (at, parameter) in query.split('&').enumerate() {
        text.push_str(match at {
            0 if query.is_empty() => "",
            0 => "?",
            _ => "&",
        });
        match parameter.split_once('=') {
            Some((name, "")) => text.extend([name, "="]),
            Some((name, _)) => text.extend([name, "=", REDACTED]),
            None if parameter.is_empty() => {}
            None => text.push_str(REDACTED),
        }
    }
    if !fragment.is_empty() {
        text.extend(["#", REDACTED]);
    }
    text
}

/// Removes the values of a URL's query from a text that repeats them, such as the page of a server that has nothing at
/// this path. Values of fewer than four characters stay: they are no secrets, and occur in other words.
pub fn query_values(url: &str, text: &str) -> String {
    const MIN_LEN: usize = 4;
    let query = url.split_once('#').map_or(url, |(url, _)| url).split_once('?').map_or("", |(_, query)| query);
    let mut values: Vec<_> = query
        .split('&')
        .map(|parameter| parameter.split_once('=').map_or(parameter, |(_, value)| value))
        .filter(|value| value.len() >= MIN_LEN)
        .collect();
    // A value may be a part of another one.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.into_iter().fold(text.to_owned(), |text, value| text.replace(value, REDACTED))
}

/// Displays a frame for the log: its first 400 characters on one line, followed by `…` if there are more. Passwords and
/// tokens of `aaw/` events are redacted.
///
/// ```
/// # use aaw_protocol::redact::FramePreview;
/// assert_eq!(FramePreview(r#"["ping",null,1]"#).to_string(), r#"["ping",null,1]"#);
/// let login = r#"["aaw/login",{"email":"a@b","password":"x"},1]"#;
/// assert_eq!(FramePreview(login).to_string(), r#"["aaw/login",{"email":"a@b","password":"[redacted]"},1]"#);
/// ```
#[derive(Debug)]
pub struct FramePreview<'a>(pub &'a str);

impl fmt::Display for FramePreview<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match codec::decode(self.0) {
            // A client that writes `AAW/login` sends a password as well.
            Ok(frame) if is_reserved(&frame.event.to_ascii_lowercase()) && !is_without_secrets(&frame) => {
                write_preview(f, &redact_frame(&frame))
            }
            // Of an application's own event.
            Ok(frame) if !is_reserved(&frame.event) && (frame.kind == Kind::Error || may_have_secret_name(self.0)) => {
                match redact_own_frame(&frame) {
                    Some(redacted) => write_preview(f, &redacted),
                    None => write_preview(f, self.0),
                }
            }
            // It may be a log-in that is not quite JSON.
            Err(_) if self.0.contains("aaw") || may_have_secret_name(self.0) => f.write_str("[redacted]"),
            _ => write_preview(f, self.0),
        }
    }
}

/// Whether a frame contains no password, token or key. True for some events that only the server sends, and for
/// acknowledgements. `aaw/error` quotes the client, so it is not among them.
fn is_without_secrets(frame: &Frame<'_>) -> bool {
    let of_server = [hello::WELCOME, hello::SESSION_ENDED, hello::MEMBER_JOINED, hello::MEMBER_LEFT, hello::GAP];
    of_server.contains(&&*frame.event)
        || (frame.event == hello::ACK && frame.data.parse::<u64>().is_ok() && frame.id.is_none())
}

/// Returns the frame of an application's event without its secrets, and without its meta; `None` if it has neither.
fn redact_own_frame(frame: &Frame<'_>) -> Option<String> {
    if frame.data.len() > MAX_PARSED_BYTES {
        return Some(format!("[{},\"{REDACTED}\"]", frame.event_json));
    }
    // Data that is not JSON is not checked when a frame is decoded.
    let Ok(mut data) = serde_json::from_str(frame.data) else {
        return Some(frame_text(frame, &redacted().to_string()));
    };
    let mut secrets = Vec::new();
    let mut found = secret_fields(&mut data, &mut secrets);
    // Of a classic frame, nothing else tells that the call has failed.
    if matches!(frame.kind, Kind::Error | Kind::Unmarked)
        && let Some(Value::String(error)) = data.get_mut("error")
    {
        let shown = quoted_values(error);
        found |= shown != *error;
        *error = shown;
    }
    match frame.meta {
        _ if found => Some(frame_text(frame, &secret_texts(&data.to_string(), &secrets))),
        // It is the meta that mentions a secret, perhaps.
        Some(_) => Some(frame_text(frame, frame.data)),
        None => None,
    }
}

/// Returns the frame without its secrets, and without its meta.
fn redact_frame(frame: &Frame<'_>) -> String {
    let failure = || serde_json::from_str::<Failure>(frame.data).ok().filter(|_| frame.kind == Kind::Error);
    let data = match (frame.kind, failure()) {
        // The text and the code of a failure are the server's.
        (_, Some(failure)) => {
            let redacted = redact_failure(&frame.event, &failure).unwrap_or(failure);
            serde_json::to_string(&redacted).unwrap_or_default()
        }
        (Kind::Credit, None) if frame.credit().is_ok() => frame.data.to_owned(),
        _ => redact_json(frame.data),
    };
    let id = match frame.id {
        // The id of a classic frame can be any string.
        Some(id) if id.parse::<i64>().is_err() => Some("\"[redacted]\""),
        id => id,
    };
    frame_text(&Frame { id, ..frame.clone() }, &data)
}

/// Returns a frame with this data, and without its meta.
fn frame_text(frame: &Frame<'_>, data: &str) -> String {
    let mut text = format!("[{},{data}", frame.event_json);
    if frame.id.is_some() || frame.kind.word().is_some() {
        text.push(',');
        text.push_str(frame.id.unwrap_or("null"));
    }
    if let Some(kind) = frame.kind.word() {
        text.push_str(&format!(",\"{kind}\""));
    }
    text.push(']');
    text
}

/// Displays the first characters of a text on one line.
struct Preview<'a>(&'a str);

impl fmt::Display for Preview<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_preview(f, self.0)
    }
}

/// Writes the first characters of a text on one line. In JSON, control characters occur between the tokens only.
fn write_preview(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write as _;
    const MAX_CHARS: usize = 400;
    for (at, c) in text.chars().enumerate() {
        if at == MAX_CHARS {
            return f.write_char('…');
        }
        // Besides control characters, line separators and what changes the direction of text.
        let breaks_line = c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        f.write_char(if breaks_line { ' ' } else { c })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_built_in_events_are_redacted_wherever_they_are() {
        for (text, expected) in [
            (r#"{"email":"a@b","password":"x"}"#, r#"{"email":"a@b","password":"[redacted]"}"#),
            (
                r#"{"email":"a@b","pass":"x","deep":[{"token":"z"}]}"#,
                r#"{"deep":"[redacted]","email":"a@b","pass":"[redacted]"}"#,
            ),
            (r#"{"email":["x"],"user":"ada"}"#, r#"{"email":"[redacted]","user":"[redacted]"}"#),
            (r#"["a@b","x"]"#, r#""[redacted]""#),
            (r#""x""#, r#""[redacted]""#),
            ("no json", r#""[redacted]""#),
            ("null", "null"),
            (
                r#"{"token":"x","user":{"id":"1","email":"a@b","allowed":["auth/*"]}}"#,
                r#"{"token":"[redacted]","user":{"allowed":["auth/*"],"email":"a@b","id":"1"}}"#,
            ),
        ] {
            assert_eq!(redact("aaw/login", text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(redact("login", r#"{"password":"x"}"#), None);
        let email = |bytes: usize| format!(r#"{{"email":"{}"}}"#, "x".repeat(bytes - 12));
        assert_eq!(redact("aaw/login", &email(8192)), Some(email(8192)));
        assert_eq!(redact("aaw/login", &email(8193)).as_deref(), Some(r#""[redacted]""#), "it is not parsed");
    }

    #[test]
    fn fields_with_a_secret_name_are_redacted_at_any_depth() {
        for (text, expected) in [
            (r#"{"email":"a@b","password":"hunter2"}"#, r#"{"email":"a@b","password":"[redacted]"}"#),
            (r#"[{"deep":[{"API-Key":["hunter2"]}]}]"#, r#"[{"deep":[{"API-Key":"[redacted]"}]}]"#),
            (r#"{"Authorization":{"x":"hunter2"},"PIN":1234}"#, r#"{"Authorization":"[redacted]","PIN":"[redacted]"}"#),
            (
                r#"{"session_token":null,"has_password":true,"pinned":1}"#,
                r#"{"has_password":true,"pinned":1,"session_token":null}"#,
            ),
            (r#"{"pass\u0077ord":"hunter2"}"#, r#"{"password":"[redacted]"}"#),
            (
                r#"{"user Secret":"hunter2","set.cookie":"hunter2"}"#,
                r#"{"set.cookie":"[redacted]","user Secret":"[redacted]"}"#,
            ),
            (r#"{"password":"hunter2""#, r#""[redacted]""#),
            ("no json", r#""no json""#),
            (r#"["password","hunter2"]"#, r#"["password","hunter2"]"#),
            (
                r#"{"newPass":"hunter2","mdp":["hunter2"],"compass":"north","pass_rate":0.5}"#,
                r#"{"compass":"north","mdp":"[redacted]","newPass":"[redacted]","pass_rate":0.5}"#,
            ),
            (r#"{"newpw":"hunter2""#, r#""[redacted]""#),
            (r#"{"compass":"north""#, r#""{\"compass\":\"north\"""#),
        ] {
            assert_eq!(for_log(text, &mut Vec::new()).to_string(), expected, "{text}");
        }
        let mut secrets = Vec::new();
        for_log(r#"{"password":{"a":["hunter2",12345,"abc"]}}"#, &mut secrets);
        let message = r#"invalid type: string "hunter2", expected 12345 of abc"#;
        assert_eq!(secret_texts(message, &secrets), r#"invalid type: string "[redacted]", expected [redacted] of abc"#);
    }

    #[test]
    fn frames_of_a_misnamed_log_in_are_shown_without_their_secrets() {
        for (frame, expected) in [
            (
                r#"["login",{"email":"a@b","password":"hunter2"},7]"#,
                r#"["login",{"email":"a@b","password":"[redacted]"},7]"#,
            ),
            (
                r#"["login",{"list":[{"Pass\u0057ord":"hunter2"}]},7]"#,
                r#"["login",{"list":[{"PassWord":"[redacted]"}]},7]"#,
            ),
            (r#"["login",{"userpass":"hunter2"},7]"#, r#"["login",{"userpass":"[redacted]"},7]"#),
            (r#"["login",{"password":"hunter2",7]"#, r#"["login","[redacted]",7]"#),
            (r#"["login",{"password":"hunter2"#, "[redacted]"),
            (r#"["login",{"a": "b\n"},7]"#, r#"["login",{"a": "b\n"},7]"#),
            (r#"["login",{"a": "b"},7,"call",{"token":"hunter2"}]"#, r#"["login",{"a": "b"},7,"call"]"#),
            (r#"["login",{"a": "b"},7,"call",{"trace":"x"}]"#, r#"["login",{"a": "b"},7,"call",{"trace":"x"}]"#),
            (
                r#"["login",{"password":"hun\"ter2","error":"string \"hun\\\"ter2\""},7]"#,
                r#"["login",{"error":"string \"[redacted]\"","password":"[redacted]"},7]"#,
            ),
            (
                r#"["login",{"error":"The body does not fit: invalid type: string \"hunter2\", expected u8","code":"bad_body"},7,"error"]"#,
                r#"["login",{"code":"bad_body","error":"The body does not fit: invalid type: string \"[redacted]\", expected u8"},7,"error"]"#,
            ),
            (
                r#"["login",{"error":"invalid value: integer `1234`, expected u8","code":"bad_body"},7,"error"]"#,
                r#"["login",{"code":"bad_body","error":"invalid value: integer `[redacted]`, expected u8"},7,"error"]"#,
            ),
            (
                r#"["login",{"error":"invalid type: string \"hunter2\"","code":"bad_body"},7]"#,
                r#"["login",{"code":"bad_body","error":"invalid type: string \"[redacted]\""},7]"#,
            ),
            (
                r#"["orders",{"error":"The body does not fit at count: invalid type: string \"x\", expected u8"},7,"error"]"#,
                r#"["orders",{"error":"The body does not fit at count: invalid type: string \"x\", expected u8"},7,"error"]"#,
            ),
        ] {
            assert_eq!(preview(frame), expected, "{frame}");
        }
    }

    #[test]
    fn of_a_frame_whose_event_does_not_exist_only_the_size_of_its_data_is_shown() {
        let exists = |event: &str| event == "echo";
        for (frame, expected) in [
            (r#"["login",["ada","hunter2"],7]"#, Some(r#"["login","[redacted array of 17 bytes]",7]"#)),
            (r#"["login","hunter2"]"#, Some(r#"["login","[redacted string of 9 bytes]"]"#)),
            (
                r#"["login",{"who":"hunter2"},"hunter2"]"#,
                Some(r#"["login","[redacted object of 17 bytes]","[redacted]"]"#),
            ),
            (
                r#"["login",12345678,7,"call",{"x":"hunter2"}]"#,
                Some(r#"["login","[redacted number of 8 bytes]",7,"call"]"#),
            ),
            (r#"["login",null,7,"cancel"]"#, Some(r#"["login",null,7,"cancel"]"#)),
            (r#"["login",nul,7]"#, Some(r#"["login","[redacted text of 3 bytes]",7]"#)),
            (r#"["lo\u0067in",true,7]"#, Some(r#"["lo\u0067in","[redacted boolean of 4 bytes]",7]"#)),
            (r#"["echo",["ada"],7]"#, None),
            (r#"["\u0065cho",["ada"],7]"#, None),
            (r#"["confirm",["ada"],-1]"#, None),
            (r#"["AAW/login",["ada"],7]"#, None),
            ("no frame", None),
        ] {
            assert_eq!(unknown_event_frame(frame, exists).as_deref(), expected, "{frame}");
        }
        let long = format!(r#"["{}",1,2]"#, "x".repeat(1000));
        assert_eq!(unknown_event_frame(&long, exists).unwrap().chars().count(), 401);
    }

    #[test]
    fn secrets_are_removed_from_texts_in_every_form_and_whole() {
        let secrets = |secrets: &[&str]| secrets.iter().map(|secret| (*secret).to_owned()).collect::<Vec<_>>();
        for (message, hidden, expected) in [
            ("a hunter2hunter2 b hunter2", &["hunter2", "hunter2hunter2"][..], "a [redacted] b [redacted]"),
            ("hunter234567", &["hunter23", "r234567"], "[redacted]"),
            ("hunter2hunter2", &["hunter2"], "[redacted][redacted]"),
            (r#"string "hun\"ter\n2\u{7f}""#, &["hun\"ter\n2\u{7f}"], r#"string "[redacted]""#),
            (r#"{"a":"hun\"ter\n\u001f"}"#, &["hun\"ter\n\u{1f}"], r#"{"a":"[redacted]"}"#),
            (r#"{"error":"string \"hun\\\"ter\""}"#, &["hun\"ter"], r#"{"error":"string \"[redacted]\""}"#),
            ("redacted by hunter2", &["redacted", "hunter2"], "[redacted] by [redacted]"),
            ("über hünter2 ü", &["hünter2", "über"], "[redacted] [redacted] ü"),
            ("abc", &["abc", ""], "abc"),
            ("", &["hunter2"], ""),
        ] {
            assert_eq!(secret_texts(message, &secrets(hidden)), expected, "{message}");
        }
        assert_eq!(secret_texts("hunter2", &vec![String::new(); MAX_SECRETS + 1]), "[redacted]");
    }

    #[test]
    fn a_long_text_is_removed_as_a_whole_at_once() {
        let long = "string \"a\" ".repeat(MAX_PARSED_BYTES);
        assert_eq!(quoted_values(&long), "[redacted]");
        assert_eq!(secret_texts(&long, &["hunter2".to_owned()]), "[redacted]");
        assert_eq!(secret_texts(&long, &[]), long);
    }

    #[test]
    fn the_values_that_errors_quote_are_removed_unless_their_place_is_harmless() {
        for (error, expected) in [
            (r#"invalid type: string "hunter2", expected u8"#, r#"invalid type: string "[redacted]", expected u8"#),
            (
                r#"invalid value: string "hun\"ter\\", expected "x""#,
                r#"invalid value: string "[redacted]", expected "x""#,
            ),
            (r#"invalid value: string "hunter2"#, r#"invalid value: string "[redacted]"#),
            ("invalid value: integer `1234`, expected u8", "invalid value: integer `[redacted]`, expected u8"),
            ("unknown variant `hun`ter2`, expected `a` or `b`", "unknown variant `[redacted]`, expected `a` or `b`"),
            (
                r#"The body does not fit at pin: invalid value: integer `1234`, expected u8"#,
                r#"The body does not fit at pin: invalid value: integer `[redacted]`, expected u8"#,
            ),
            (
                r#"The body does not fit at users[3].Password.x: invalid type: string "hunter2", expected u8"#,
                r#"The body does not fit at users[3].Password.x: invalid type: string "[redacted]", expected u8"#,
            ),
            (
                r#"The body does not fit at login.p.in: invalid value: integer `1234`, expected u8"#,
                r#"The body does not fit at login.p.in: invalid value: integer `[redacted]`, expected u8"#,
            ),
            (
                r#"The body does not fit at lines[1].count: invalid type: string "x", expected u8"#,
                r#"The body does not fit at lines[1].count: invalid type: string "x", expected u8"#,
            ),
            (
                r#"The body does not fit at login.api.key: invalid type: string "hunter2", expected u8"#,
                r#"The body does not fit at login.api.key: invalid type: string "[redacted]", expected u8"#,
            ),
            (
                r#"The body does not fit at lines[1].co…: invalid type: string "hunter2", expected u8"#,
                r#"The body does not fit at lines[1].co…: invalid type: string "[redacted]", expected u8"#,
            ),
            (r#"there is no room "x""#, r#"there is no room "x""#),
            ("missing field `id`", "missing field `id`"),
            (
                r#"string "integer `1`," variant `x`, string "y" integer `2`, z"#,
                r#"string "[redacted]" variant `[redacted]`, string "[redacted]" integer `[redacted]`, z"#,
            ),
        ] {
            assert_eq!(quoted_values(error), expected);
        }
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (text, expected) in [
            ("ws://localhost:1337", "ws://localhost:1337"),
            ("ws://[::1]:80/a/@b", "ws://[::1]:80/a/@b"),
            ("ws://h?token=hunter2", "ws://h?token=[redacted]"),
            ("wss://h/x?a=&hunter2&token=hunter2=#hunter2", "wss://h/x?a=&[redacted]&token=[redacted]#[redacted]"),
            ("ws://ada:hunter2@h/x", "ws://[redacted]@h/x"),
            ("ws://ada:hun@ter2@h", "ws://[redacted]@h"),
            ("ada:hunter2@h?hunter2", "[redacted]@h?[redacted]"),
            ("no url", "no url"),
            ("", ""),
            ("?", ""),
        ] {
            assert_eq!(url(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_repeats_a_query_is_shown_without_its_values() {
        let url = "ws://h/x?token=hunter2&long=hunter22&v=1#hunter2";
        let text = "Cannot GET /x?token=hunter2&long=hunter22&v=1";
        assert_eq!(query_values(url, text), "Cannot GET /x?token=[redacted]&long=[redacted]&v=1");
        assert_eq!(query_values("ws://h", text), text);
    }

    fn preview(frame: &str) -> String {
        FramePreview(frame).to_string()
    }

    #[test]
    fn frames_of_log_ins_are_shown_without_their_secrets() {
        for (frame, expected) in [
            (
                r#"["aaw/login",{"email":"a@b","password":"hunter2"},7]"#,
                r#"["aaw/login",{"email":"a@b","password":"[redacted]"},7]"#,
            ),
            (
                r#"["aaw/login",{"token":"hunter2","user":{"id":"1"}},7]"#,
                r#"["aaw/login",{"token":"[redacted]","user":{"id":"1"}},7]"#,
            ),
            (r#"["\u0061aw/resume","hunter2",1]"#, r#"["\u0061aw/resume","[redacted]",1]"#),
            (r#"["aaw/resume",{"token":"hunter2"}]"#, r#"["aaw/resume",{"token":"[redacted]"}]"#),
            (r#"["aaw/resume",null,1,"call",{"token":"hunter2"}]"#, r#"["aaw/resume",null,1,"call"]"#),
            (r#"["aaw/hello",{"session":"hunter2"}]"#, r#"["aaw/hello",{"session":"[redacted]"}]"#),
            (
                r#"["aaw/hello",{"resumption":{"key":"hunter2","resume":true,"received":3,"attempt":1,"next":"hunter2"}}]"#,
                r#"["aaw/hello",{"resumption":{"attempt":1,"key":"[redacted]","next":"[redacted]","received":3,"resume":true}}]"#,
            ),
            (r#"["aaw/ack","hunter2"]"#, r#"["aaw/ack","[redacted]"]"#),
            (
                r#"["aaw/login",{"error":"No","code":"bad","data":{"token":"hunter2"}},1,"error"]"#,
                r#"["aaw/login",{"error":"No","code":"bad","data":{"token":"[redacted]"}},1,"error"]"#,
            ),
            (r#"["aaw/login",{"password":"hunter2"#, "[redacted]"),
            (r#"["aaw/login",{"password":"hunter2",1]"#, r#"["aaw/login","[redacted]",1]"#),
            (r#"{"\u0061aw":"hunter2"#, "[redacted]"),
            (r#"["AAW/login",{"password":"hunter2"},1]"#, r#"["AAW/login",{"password":"[redacted]"},1]"#),
            (r#"["aaw/login","hunter2",6,"cancel"]"#, r#"["aaw/login","[redacted]",6,"cancel"]"#),
            (r#"["aaw/login","hunter2",6,"credit"]"#, r#"["aaw/login","[redacted]",6,"credit"]"#),
            (r#"["aaw/login",32,6,"credit"]"#, r#"["aaw/login",32,6,"credit"]"#),
            (r#"["aaw/login",null,"hunter2"]"#, r#"["aaw/login",null,"[redacted]"]"#),
            (r#"["aaw/ping",{"token":"hunter2"}]"#, r#"["aaw/ping",{"token":"[redacted]"}]"#),
            (
                r#"["aaw/error",{"error":"found \"hunter2\"","code":"bad_frame"}]"#,
                r#"["aaw/error",{"code":"[redacted]","error":"[redacted]"}]"#,
            ),
            (
                r#"["aaw/login",{"ok":"hunter2","items":"hunter2"}]"#,
                r#"["aaw/login",{"items":"[redacted]","ok":"[redacted]"}]"#,
            ),
        ] {
            assert_eq!(preview(frame), expected, "{frame}");
        }
    }

    #[test]
    fn other_frames_are_shown_on_one_line_up_to_a_bound() {
        let welcome = r#"["aaw/welcome",{"connection":"7f","resumed":false,"limits":{"calls":256}}]"#;
        let gap = r#"["aaw/gap",{"lost":3}]"#;
        for frame in [
            welcome,
            gap,
            r#"["aaw/ack",7]"#,
            r#"["login",{"name":"x","passed":true},1]"#,
            "not a frame",
            r#"["aaw/login",null,1,"cancel"]"#,
        ] {
            assert_eq!(preview(frame), frame);
        }
        assert_eq!(preview("[\"e\",\n{},\r\n1]\u{1b}[0m"), "[\"e\", {},  1] [0m");
        let long = format!(r#"["e","{}"]"#, "ü".repeat(500));
        assert_eq!(preview(&long), format!(r#"["e","{}…"#, "ü".repeat(394)));
        let redacted = format!(r#"["aaw/login",{{"email":"{}"}},1]"#, "x".repeat(500));
        assert_eq!(preview(&redacted).chars().count(), 401);
    }
}
