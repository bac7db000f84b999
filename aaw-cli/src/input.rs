//! Text from standard input and from files, as other programs and editors write it.

use std::io::{self, Read};

/// The mark that some editors and shells, above all on Windows, write at the beginning of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a text of at most `limit` bytes, in UTF-8 with or without a byte order mark, which is not returned.
///
/// # Errors
/// The reader's error; [`InvalidData`](io::ErrorKind::InvalidData) for a longer text, and for one that is not UTF-8.
pub(crate) fn read_text(reader: impl Read, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let invalid = |problem: String| Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    if bytes.len() as u64 > limit {
        return invalid(format!("it is larger than {limit} bytes"));
    }
    // `>` of Windows PowerShell writes UTF-16.
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return invalid("it is UTF-16; expected UTF-8".into());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(without_bom(&text).to_owned()),
        Err(error) => {
            invalid(format!("it is not UTF-8; the first invalid byte is at {}", error.utf8_error().valid_up_to()))
        }
    }
}

/// The text without a byte order mark at its beginning.
pub(crate) fn without_bom(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_without_its_byte_order_mark() {
        for (bytes, expected) in [
            (&b"\xef\xbb\xbf{}\n"[..], "{}\n"),
            (b"{}", "{}"),
            (b"", ""),
            (b"\xef\xbb\xbf", ""),
            // Only the first is a mark.
            (b"\xef\xbb\xbf\xef\xbb\xbf1", "\u{feff}1"),
        ] {
            assert_eq!(read_text(bytes, 16).unwrap(), expected);
        }
    }

    #[test]
    fn a_text_in_another_encoding_or_of_another_length_is_an_error_that_says_so() {
        for (bytes, expected) in [
            (&b"\xff\xfe{\0"[..], "it is UTF-16; expected UTF-8"),
            (b"\xfe\xff\0{", "it is UTF-16; expected UTF-8"),
            (b"ab\xe9", "it is not UTF-8; the first invalid byte is at 2"),
            (b"12345", "it is larger than 4 bytes"),
        ] {
            assert_eq!(read_text(bytes, 4).unwrap_err().to_string(), expected);
        }
        assert_eq!(read_text(&b"1234"[..], 4).unwrap(), "1234");
    }
}
