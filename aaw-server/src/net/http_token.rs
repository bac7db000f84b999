//! The characters of tokens in HTTP headers.

/// Whether a byte may be in a token (RFC 9110, 5.6.2).
pub(super) fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_separators() {
        assert!(b"x-Az09_!#$%&'*+.^`|~".iter().all(is_token_byte));
        assert!(!b" \t\"(),/:;<=>?@[\\]{}\x7f\x80\0".iter().any(is_token_byte));
    }
}
