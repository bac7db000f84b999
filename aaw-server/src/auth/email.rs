//! E-mail addresses, and their normal form.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use unicode_normalization::UnicodeNormalization as _;

use super::email_form;
use super::invalid_email::{InvalidEmail, MAX_BYTES};

/// An e-mail address in its normal form: trimmed, in lower case, and in Unicode's NFC, so that `Ada@Example.com ` and
/// `ada@example.com` are the same account, and so are the two ways to write an `ä`. (RFC 5321 allows mail servers to
/// distinguish mailboxes by case, but common ones do not. RFC 6532 recommends NFC.) A domain in Punycode (`xn--…`) is not
/// converted.
///
/// Addresses are compared by their normal form.
#[derive(Debug, Clone)]
pub struct Email {
    normal: Box<str>,
    /// Trimmed and in lower case, if that differs from the normal form.
    not_composed: Option<Box<str>>,
}

impl Email {
    /// Normalizes an address and checks that it has the form of one, and that no other address looks the same because of
    /// characters that cannot be seen. It is for new addresses: those that are stored already are only
    /// [normalized](Self::normalize), so that their users keep logging in.
    ///
    /// ```
    /// # use aaw_server::auth::Email;
    /// assert_eq!(Email::parse(" Ada@Example.com")?.as_str(), "ada@example.com");
    /// # Ok::<(), aaw_server::auth::InvalidEmail>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidEmail`] if the string is empty, too long, does not have the form `name@example.com`, or contains a
    /// character that is not allowed. Whether the address receives mail is not checked.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let email = Self::normalize(text)?;
        email_form::check(&email.normal)?;
        Ok(email)
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
        let lower_case = text.to_lowercase();
        if lower_case.is_ascii() {
            return Ok(Self { normal: lower_case.into(), not_composed: None });
        }
        // Composed first, so that equivalent addresses have the same letters when they are lower-cased, and again after
        // it, since a lower-case letter may have no composed form.
        let normal: String = text.nfc().collect::<String>().to_lowercase().nfc().collect();
        let not_composed = (lower_case != normal).then(|| lower_case.into());
        Ok(Self { normal: normal.into(), not_composed })
    }

    /// Returns the address in its normal form.
    pub fn as_str(&self) -> &str {
        &self.normal
    }

    /// Returns the address as it was sent, trimmed and in lower case, but not in NFC. A store with addresses from before
    /// they were normalized looks this form up as well.
    pub fn as_sent(&self) -> &str {
        self.not_composed.as_deref().unwrap_or(&self.normal)
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.normal == other.normal
    }
}

impl Eq for Email {}

impl Hash for Email {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.normal.hash(state);
    }
}

impl PartialOrd for Email {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Email {
    fn cmp(&self, other: &Self) -> Ordering {
        self.normal.cmp(&other.normal)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.normal)
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
    fn composed_and_decomposed_addresses_are_equal() {
        let (composed, decomposed) = ("\u{e5}sa@ex\u{e4}mple.se", "A\u{30a}sa@exa\u{308}mple.se");
        let email = Email::parse(decomposed).unwrap();
        assert_eq!(email, Email::parse(composed).unwrap());
        assert_eq!((email.as_str(), email.as_sent()), (composed, "a\u{30a}sa@exa\u{308}mple.se"));
        let email = Email::parse(composed).unwrap();
        assert_eq!((email.as_str(), email.as_sent()), (composed, composed));
        // The Kelvin sign is a letter K; a capital I with a dot has no composed lower-case form.
        assert_eq!(Email::parse("\u{212a}@example.com").unwrap().as_str(), "k@example.com");
        assert_eq!(Email::parse("\u{130}@example.com"), Email::parse("I\u{307}@example.com"));
    }

    #[test]
    fn the_normal_form_of_each_character_is_normal() {
        // No character beyond has another form.
        for c in ('\0'..'\u{30000}').filter(|c| !c.is_whitespace()) {
            let text = format!("a{c}b@example.com");
            let email = Email::normalize(&text).unwrap();
            let again = Email::normalize(email.as_str()).unwrap();
            assert_eq!((again.as_str(), again.as_sent()), (email.as_str(), email.as_str()), "{c:?}");
        }
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
            ("ada@exa\0mple.com", InvalidEmail::Invisible('\0')),
            ("ada\r\nbcc: all@example.com", InvalidEmail::Invisible('\r')),
            (&format!("{}@example.com", "a".repeat(243)), InvalidEmail::TooLong),
        ] {
            assert_eq!(Email::parse(text), Err(expected), "{text:?}");
        }
        assert!(Email::parse(&format!("{}@example.com", "a".repeat(242))).is_ok());
    }
}
