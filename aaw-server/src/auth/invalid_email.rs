//! Why a text is not a valid e-mail address.

/// The maximum size of an address in bytes: that of a path in RFC 5321, 4.5.3.1.3, without its angle brackets.
pub(super) const MAX_BYTES: usize = 254;

/// Why a string is not a valid e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEmail {
    /// The string is empty or consists of white space.
    #[error("an e-mail address is required")]
    Empty,
    /// The address is longer than 254 bytes.
    #[error("an e-mail address must have at most {MAX_BYTES} bytes")]
    TooLong,
    /// The string does not have the form `name@example.com`.
    #[error("expected an e-mail address, like name@example.com")]
    Form,
    /// A dot is the first or last character of the name or of the domain, or follows another dot.
    #[error(
        "a part of an e-mail address must not begin or end with a dot or have two in a row, as in name@example.com."
    )]
    Dot,
    /// The address contains a character that cannot be seen, changes the direction of the text, or is not assigned in
    /// Unicode: another address would look the same.
    #[error("an e-mail address must not contain the invisible or control character U+{:04X}", u32::from(*.0))]
    Invisible(char),
    /// The address contains a character that stands for ASCII characters, such as a full-width `@`: another address
    /// would look the same.
    #[error("an e-mail address must not contain U+{:04X}; expected the usual character for it", u32::from(*.0))]
    Lookalike(char),
}
