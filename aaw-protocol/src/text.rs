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
