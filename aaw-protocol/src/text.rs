//! Shortens untrusted text before it is repeated in an error or in the log.

use std::fmt;

/// Displays the first 200 characters of a text, followed by `…` if there are more.
///
/// Errors and logs quote text from a peer through this type, so that the peer does not control their size.
///
/// ```
/// # use aaw_protocol::Shortened;
/// assert_eq!(Shortened("short").to_string(), "short");
/// assert_eq!(Shortened(&"x".repeat(1 << 20)).to_string(), format!("{}…", "x".repeat(200)));
/// ```
pub struct Shortened<'a>(pub &'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_CHARS: usize = 200;
        match self.0.char_indices().nth(MAX_CHARS) {
            None => f.write_str(self.0),
            Some((end, _)) => write!(f, "{}…", &self.0[..end]),
        }
    }
}

/// Returns `text` with its middle cut out, at most `max_chars` characters long.
///
/// It keeps both ends of serde's errors, which first quote the value that they found, at any length, and name at the
/// end what was expected.
///
/// ```
/// # use aaw_protocol::text::middle_cut;
/// assert_eq!(middle_cut("expected u8", 20), "expected u8");
/// assert_eq!(middle_cut("found 123456789, expected u8", 20), "found 1234…pected u8");
/// ```
pub fn middle_cut(text: &str, max_chars: usize) -> String {
    let count = text.chars().count();
    if count <= max_chars {
        return text.to_owned();
    }
    // The ellipsis takes one character.
    let end = max_chars.saturating_sub(1) / 2;
    let begin = max_chars.saturating_sub(1) - end;
    text.chars().take(begin).chain(['…']).chain(text.chars().skip(count - end)).collect()
}

/// Returns the first lone surrogate of a JSON text, as it is written there: `\ud83d`, for example.
///
/// JSON allows to escape one half of a surrogate pair without the other, and `JSON.stringify` writes that for text that
/// was cut in the middle of an emoji. It is no Unicode text, so a [`String`] cannot hold it, and serde_json's error for
/// it, "unexpected end of hex escape", does not say so. This finds what to name instead. The cost is one pass.
///
/// ```
/// # use aaw_protocol::text::lone_surrogate;
/// assert_eq!(lone_surrogate(r#"["a\ud83d"]"#), Some(r"\ud83d"));
/// assert_eq!(lone_surrogate(r#"["\ud83d\ude00", "\\ud83d"]"#), None);
/// ```
pub fn lone_surrogate(json: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(at) = json[from..].find('\\') {
        let escape = from + at;
        match surrogate(json, escape) {
            Some(0xD800..=0xDBFF) if matches!(surrogate(json, escape + 6), Some(0xDC00..=0xDFFF)) => from = escape + 12,
            Some(_) => return json.get(escape..escape + 6),
            // Also skips what a backslash escapes, which may be a backslash.
            None => from = escape + 1 + json[escape + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    None
}

/// Returns the surrogate whose escape begins at a byte of the text.
fn surrogate(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok().filter(|unit| (0xD800..=0xDFFF).contains(unit))
}

/// Describes a [`lone_surrogate`] to the peer that sent it.
pub fn explain_lone_surrogate(escape: &str) -> String {
    format!("the text contains the lone surrogate {escape}, which is half of a character; replace it with U+FFFD")
}

#[cfg(test)]
mod tests {
    use super::lone_surrogate;

    #[test]
    fn lone_surrogates_are_found_exactly_where_serde_json_rejects_a_string() {
        let parts = [r"\ud83d", r"\ude00", r"\uD83D\uDE00", r"\\", r"\\ud83d", r"\n", "x", "é😀", r"\u0041", r"\\\ud83d"];
        for a in parts {
            for b in parts {
                for c in parts {
                    let json = format!(r#""{a}{b}{c}""#);
                    let rejected = serde_json::from_str::<String>(&json).is_err();
                    assert_eq!(lone_surrogate(&json).is_some(), rejected, "{json}");
                }
            }
        }
        assert_eq!(lone_surrogate(r#"{"a":"\uDE00"}"#), Some(r"\uDE00"));
        // No JSON, which ends within an escape.
        for text in ["\\", r"\u", r"\ud83", "\\é", r"\ud83é", ""] {
            assert_eq!(lone_surrogate(text), None, "{text}");
        }
    }
}
