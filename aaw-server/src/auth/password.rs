//! A password in its normal form, and the rules for a new one.

use std::borrow::Cow;
use std::fmt;

use super::opaque_string::{self, DisallowedChar};

/// A password in plain text. [`Debug`](fmt::Debug) does not show it.
///
/// It is kept in the normal form of RFC 8265 (the profile OpaqueString): the same characters are the same password,
/// however the keyboard of a device writes them.
#[derive(Clone)]
pub struct Password {
    /// In its normal form; as it was sent if it has none.
    text: Box<str>,
    /// As it was sent, if that differs.
    sent: Option<Box<str>>,
    disallowed: Option<DisallowedChar>,
}

/// Why a password cannot be chosen. Existing passwords keep working.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPassword {
    /// The password has fewer characters than required.
    #[error("The password has {chars} character{}; at least {min} are required", if *chars == 1 { "" } else { "s" })]
    TooShort {
        /// The characters that it has: Unicode code points, in its normal form.
        chars: usize,
        /// The characters that are required.
        min: usize,
    },
    /// The password contains a control character, or a code point that Unicode has not assigned or leaves to private use.
    #[error("The password contains the code point U+{:04X}, which is not allowed in passwords", u32::from(*.0))]
    Disallowed(char),
}

impl Password {
    /// Creates a password from a string of any length.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        let sent = text.into();
        match opaque_string::enforce(&sent) {
            Ok(Cow::Borrowed(_)) => Self { text: sent, sent: None, disallowed: None },
            Ok(Cow::Owned(normal)) => Self { text: normal.into(), sent: Some(sent), disallowed: None },
            Err(disallowed) => Self { text: sent, sent: None, disallowed: Some(disallowed) },
        }
    }

    /// Returns the plain text in its normal form: what a store hashes. A password with a code point that is not allowed has
    /// no normal form, and is returned as it was sent.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Returns the plain text as it was sent. A store whose hashes were made before passwords were normalized verifies this
    /// form if [`expose`](Self::expose) does not match, and then replaces the hash.
    pub fn expose_as_sent(&self) -> &str {
        self.sent.as_deref().unwrap_or(&self.text)
    }

    /// Checks that a user can choose this password: it has at least `min_chars` characters and no code point that is not
    /// allowed. Characters are counted as NIST SP 800-63B asks: each Unicode code point counts as one, in the normal form.
    ///
    /// ```
    /// use aaw_server::auth::{InvalidPassword, Password};
    ///
    /// assert_eq!(Password::new("pa\u{308}ss").check_new(6), Err(InvalidPassword::TooShort { chars: 4, min: 6 }));
    /// assert_eq!(Password::new("correct horse").check_new(6), Ok(()));
    /// ```
    ///
    /// # Errors
    /// [`InvalidPassword`] with the first rule that it violates.
    pub fn check_new(&self, min_chars: usize) -> Result<(), InvalidPassword> {
        if let Some(DisallowedChar(c)) = self.disallowed {
            return Err(InvalidPassword::Disallowed(c));
        }
        let (chars, min) = (self.text.chars().count(), min_chars.max(1));
        if chars < min { Err(InvalidPassword::TooShort { chars, min }) } else { Ok(()) }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_its_normal_form_and_the_one_that_was_sent() {
        let password = Password::new("pa\u{308}ss");
        assert_eq!((password.expose(), password.expose_as_sent()), ("päss", "pa\u{308}ss"));
        // Without a normal form it is used as it was sent, for hashes that were made from it.
        let password = Password::new("a\u{308}\0");
        assert_eq!((password.expose(), password.expose_as_sent()), ("a\u{308}\0", "a\u{308}\0"));
        assert_eq!(format!("{password:?}"), "Password(…)");
    }

    #[test]
    fn the_length_of_a_new_password_is_counted_in_characters_of_its_normal_form() {
        let check = |text: &str| Password::new(text).check_new(6);
        assert_eq!(check("äääääa"), Ok(()));
        assert_eq!(check(&"🐒".repeat(6)), Ok(()));
        // Seven code points as sent.
        assert_eq!(check("a\u{308}o\u{308}u\u{308}x"), Err(InvalidPassword::TooShort { chars: 4, min: 6 }));
        assert_eq!(Password::new("").check_new(0), Err(InvalidPassword::TooShort { chars: 0, min: 1 }));
        // As long as NIST SP 800-63B asks, 15, and as all that it asks to accept, 64.
        assert_eq!(Password::new("x".repeat(64)).check_new(64), Ok(()));
        let error = Password::new("x".repeat(14)).check_new(15).unwrap_err();
        assert_eq!(error.to_string(), "The password has 14 characters; at least 15 are required");
        assert_eq!(check("x").unwrap_err().to_string(), "The password has 1 character; at least 6 are required");
        let error = check("correct\thorse").unwrap_err();
        assert_eq!(error.to_string(), "The password contains the code point U+0009, which is not allowed in passwords");
    }
}
