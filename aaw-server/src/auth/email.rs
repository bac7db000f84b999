//! E-mail addresses, and their normal form.

use std::fmt;

/// The maximum size of an address in bytes: that of a path in RFC 5321, 4.5.3.1.3, without its angle brackets.
const MAX_BYTES: usize = 254;

/// An e-mail address in its normal form: trimmed and in lower case, so that `Ada@Example.com ` and `ada@example.com`
/// are the same account. (RFC 5321 allows mail servers to distinguish mailboxes by case, but common ones do not.)
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(Box<str>);

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
}

impl Email {
    /// Normalizes an address and checks that it has the form of one.
    ///
    /// ```
    /// # use aaw_server::auth::Email;
    /// assert_eq!(Email::parse(" Ada@Example.com")?.as_str(), "ada@example.com");
    /// # Ok::<(), aaw_server::auth::InvalidEmail>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidEmail`] if the string is empty, too long, or does not have the form `name@example.com`. Whether the
    /// address receives mail is not checked.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let email = Self::normalize(text)?;
        let has_space_or_control = email.0.chars().any(|c| c.is_whitespace() || c.is_control());
        match email.0.rsplit_once('@') {
            Some((name, host)) if !name.is_empty() && !host.is_empty() && !has_space_or_control => Ok(email),
            _ => Err(InvalidEmail::Form),
        }
    }

    /// Normalizes an address that is only looked up, without checking its form: a custom store may identify its users
    /// by other names.
    ///
    /// # Errors
    /// [`InvalidEmail`] if the string is empty or too long.
    pub fn normalize(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidEmail::Empty);
        }
        // Checked before lower-casing, which may change the length slightly.
        if text.len() > MAX_BYTES {
            return Err(InvalidEmail::TooLong);
        }
        Ok(Self(text.to_lowercase().into()))
    }

    /// Returns the address in its normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_trimmed_and_lower_cased() {
        for text in ["ada@example.com", " ada@example.com\n", "Ada@Example.COM", "\tADA@EXAMPLE.COM "] {
            assert_eq!(Email::parse(text).unwrap().as_str(), "ada@example.com");
        }
        assert_eq!(Email::parse("ÅSA@exämple.se").unwrap().as_str(), "åsa@exämple.se");
        assert_ne!(Email::parse("a.da@example.com"), Email::parse("ada@example.com"));
    }

    #[test]
    fn an_invalid_address_is_rejected_with_the_reason() {
        for (text, expected) in [
            ("", InvalidEmail::Empty),
            (" \n", InvalidEmail::Empty),
            ("ada", InvalidEmail::Form),
            ("@example.com", InvalidEmail::Form),
            ("ada@", InvalidEmail::Form),
            ("a da@example.com", InvalidEmail::Form),
            ("ada@exa\0mple.com", InvalidEmail::Form),
            ("ada\r\nbcc: all@example.com", InvalidEmail::Form),
            (&format!("{}@example.com", "a".repeat(243)), InvalidEmail::TooLong),
        ] {
            assert_eq!(Email::parse(text), Err(expected), "{text:?}");
        }
        assert!(Email::parse(&format!("{}@example.com", "a".repeat(242))).is_ok());
    }
}
