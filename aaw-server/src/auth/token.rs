//! Secrets that stand for a session or a reset, and what is kept of them.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// How long a token is: a UUID's text.
const LENGTH: usize = 36;

/// A secret that whoever holds it is let in by: a UUID of version 4, so 122 random bits, as 36 characters. It is shown
/// once, to whom it was made for; only its [hash](TokenHash) is kept. [`Debug`](fmt::Debug) does not tell it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

/// What is kept of a [`Token`]: the SHA-256 of its text. A token has more random bits than can be tried, so this needs no
/// salt and no work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl Token {
    /// A new one, of the system's randomness.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string().into())
    }

    /// Its text, for whom it was made.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl TokenHash {
    /// What a text that somebody sent would be kept as; nothing if it cannot be a token, however long it is.
    pub fn of(text: &str) -> Option<Self> {
        (text.len() == LENGTH).then(|| Self(Sha256::digest(text.as_bytes()).into()))
    }

    /// As bytes, for a store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From the bytes of a store.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Enough of it to tell two apart.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_form_that_clients_expect_and_is_another_each_time() {
        let (a, b) = (Token::random(), Token::random());
        assert_ne!(a, b);
        let parsed = uuid::Uuid::parse_str(a.expose()).unwrap();
        assert_eq!((a.expose().len(), parsed.get_version_num()), (36, 4));
        assert_eq!(a.expose(), a.expose().to_lowercase());
    }

    #[test]
    fn what_is_kept_is_found_again_and_is_not_the_token() {
        let token = Token::random();
        assert_eq!(TokenHash::of(token.expose()), Some(token.hash()));
        assert_eq!(TokenHash::from_bytes(*token.hash().as_bytes()), token.hash());
        assert_ne!(TokenHash::of(&token.expose().to_uppercase()), Some(token.hash()));
    }

    #[test]
    fn what_cannot_be_a_token_is_not_even_hashed() {
        for text in ["", "x", &"x".repeat(35), &"x".repeat(37), &"x".repeat(1 << 20)] {
            assert_eq!(TokenHash::of(text), None, "{}", text.len());
        }
    }

    #[test]
    fn debug_tells_no_secret() {
        let token = Token::random();
        assert!(!format!("{token:?}").contains(&token.expose()[..8]));
        assert!(format!("{:?}", token.hash()).len() < 20);
    }
}
