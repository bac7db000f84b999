//! How much of what a peer says is repeated in an error or in the log.

use std::fmt;

/// Text from a peer, cut to what an error message or a log line can bear: 200 characters.
///
/// ```
/// # use aaw_protocol::Shortened;
/// assert_eq!(Shortened("short").to_string(), "short");
/// assert_eq!(Shortened(&"x".repeat(1 << 20)).to_string(), format!("{}…", "x".repeat(200)));
/// ```
pub struct Shortened<'a>(pub &'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 200;
        match self.0.char_indices().nth(MOST) {
            None => f.write_str(self.0),
            Some((end, _)) => write!(f, "{}…", &self.0[..end]),
        }
    }
}

/// Text of which both ends matter, cut in the middle to at most `most` characters: serde's errors quote first what they
/// found, at any length, and say at the end what was expected.
///
/// ```
/// # use aaw_protocol::text::middle_cut;
/// assert_eq!(middle_cut("expected u8", 20), "expected u8");
/// assert_eq!(middle_cut("found 123456789, expected u8", 20), "found 1234…pected u8");
/// ```
pub fn middle_cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    // One goes to the dots.
    let end = most.saturating_sub(1) / 2;
    let begin = most.saturating_sub(1) - end;
    text.chars().take(begin).chain(['…']).chain(text.chars().skip(count - end)).collect()
}
