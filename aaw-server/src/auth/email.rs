//! When two addresses are one.

use std::fmt;

/// The longest address that mail can be sent to (RFC 5321, 4.5.3.1.3, less the angle brackets).
const LONGEST: usize = 254;

/// An e-mail address, as it is kept: without spaces around it, and in lower case. So `Ada@Example.com ` is
/// `ada@example.com`, and one person has one account, however a phone's keyboard writes it. (That two mailboxes differ in
/// nothing but case is allowed to mail servers, and none does it.)
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(Box<str>);

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEmail {
    /// There is nothing in it.
    #[error("an e-mail address is required")]
    Empty,
    /// It has more than 254 bytes.
    #[error("an e-mail address has at most {LONGEST} bytes")]
    TooLong,
    /// It is not of the form `name@example.com`.
    #[error("expected an e-mail address, like name@example.com")]
    Form,
}

impl Email {
    /// Brings a text into the form in which addresses are compared, and sees that mail could be sent there.
    ///
    /// ```
    /// # use aaw_server::auth::Email;
    /// assert_eq!(Email::parse(" Ada@Example.com")?.as_str(), "ada@example.com");
    /// # Ok::<(), aaw_server::auth::InvalidEmail>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidEmail`]. Whether mail arrives there is known only once it has.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let email = Self::normalise(text)?;
        let is_odd = email.0.chars().any(|c| c.is_whitespace() || c.is_control());
        match email.0.rsplit_once('@') {
            Some((name, host)) if !name.is_empty() && !host.is_empty() && !is_odd => Ok(email),
            _ => Err(InvalidEmail::Form),
        }
    }

    /// The same for one that has only to be looked up: a store of somebody else's may know its users by other names.
    ///
    /// # Errors
    /// [`InvalidEmail`], if it is empty or too long.
    pub fn normalise(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidEmail::Empty);
        }
        // Before it is lower-cased, which may make it longer or shorter by a little.
        if text.len() > LONGEST {
            return Err(InvalidEmail::TooLong);
        }
        Ok(Self(text.to_lowercase().into()))
    }

    /// The address.
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
    fn case_and_spaces_around_it_make_no_other_address() {
        for text in ["ada@example.com", " ada@example.com\n", "Ada@Example.COM", "\tADA@EXAMPLE.COM "] {
            assert_eq!(Email::parse(text).unwrap().as_str(), "ada@example.com");
        }
        assert_eq!(Email::parse("ÅSA@exämple.se").unwrap().as_str(), "åsa@exämple.se");
        assert_ne!(Email::parse("a.da@example.com"), Email::parse("ada@example.com"));
    }

    #[test]
    fn what_is_no_address_is_told_so() {
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
