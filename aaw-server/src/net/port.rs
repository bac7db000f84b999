//! Parses port numbers.

/// Parses a port as digits alone: `parse` would accept a sign.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_digits_alone() {
        assert_eq!(["0", "80", "0080", "65535"].map(parse_port), [Some(0), Some(80), Some(80), Some(65535)]);
        assert_eq!(["", "+80", "-1", " 80", "65536", "8a", "_x"].map(parse_port), [None; 7]);
    }
}
