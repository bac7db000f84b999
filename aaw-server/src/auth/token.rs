//! Secrets that stand for a session or a reset, and what is kept of them.

use std::fmt;

use aaw_protocol::Token;
use sha2::{Digest as _, Sha256};

/// How long a token is: a UUID's text.
const LENGTH: usize = 36;

/// What is kept of a [`Token`]: the SHA-256 of its text. A token has more random bits than can be tried, so this needs no
/// salt and no work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

/// A new random token: a UUID of version 4, so 122 random bits, as 36 characters, the form that clients expect.
pub(super) fn random_token() -> Token {
    Token::new(uuid::Uuid::new_v4().to_string())
}

impl TokenHash {
    /// The hash of a token, for a store.
    pub fn of(token: &Token) -> Self {
        Self(Sha256::digest(token.as_str().as_bytes()).into())
    }

    /// What a text that somebody sent would be kept as; nothing if it cannot be a token, however long it is.
    pub fn parse(text: &str) -> Option<Self> {
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
        let (a, b) = (random_token(), random_token());
        assert_ne!(a, b);
        let parsed = uuid::Uuid::parse_str(a.as_str()).unwrap();
        assert_eq!((a.as_str().len(), parsed.get_version_num()), (36, 4));
        assert_eq!(a.as_str(), a.as_str().to_lowercase());
    }

    #[test]
    fn what_is_kept_is_found_again_and_is_not_the_token() {
        let token = random_token();
        assert_eq!(TokenHash::parse(token.as_str()), Some(TokenHash::of(&token)));
        assert_eq!(TokenHash::from_bytes(*TokenHash::of(&token).as_bytes()), TokenHash::of(&token));
        assert_ne!(TokenHash::parse(&token.as_str().to_uppercase()), Some(TokenHash::of(&token)));
    }

    #[test]
    fn what_cannot_be_a_token_is_not_even_hashed() {
        for text in ["", "x", &"x".repeat(35), &"x".repeat(37), &"x".repeat(1 << 20)] {
            assert_eq!(TokenHash::parse(text), None, "{}", text.len());
        }
    }

    #[test]
    fn debug_tells_no_secret() {
        let token = random_token();
        assert!(!format!("{token:?}").contains(&token.as_str()[..8]));
        assert!(format!("{:?}", TokenHash::of(&token)).len() < 20);
    }
}
