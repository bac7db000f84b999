//! The bearer tokens of sessions and password resets, and the hashes that are stored of them.

use std::fmt;

use aaw_protocol::Token;
use sha2::{Digest as _, Sha256};

/// The length of a token in bytes: that of a UUID in its text form.
const TOKEN_LENGTH: usize = 36;

/// The SHA-256 of a [`Token`], which a store keeps in its place. A token has 122 random bits, which cannot be guessed,
/// so the hash needs neither a salt nor an expensive hash function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

/// Returns a new random token: a UUID of version 4 (122 random bits) in its text form of 36 characters, which clients
/// expect.
pub(super) fn random_token() -> Token {
    Token::new(uuid::Uuid::new_v4().to_string())
}

impl TokenHash {
    /// Returns the hash of a token.
    pub fn of(token: &Token) -> Self {
        Self(Sha256::digest(token.as_str().as_bytes()).into())
    }

    /// Returns the hash of a string that a client sent as a token; `None` if it does not have the length of one. A
    /// string of another length is not hashed, whatever its size.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == TOKEN_LENGTH).then(|| Self(Sha256::digest(text.as_bytes()).into()))
    }

    /// Returns the bytes of the hash, for a store to write.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Creates a hash from the bytes that a store has read.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Shows the first two bytes only, enough to distinguish hashes in a log.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_lower_case_uuid_and_differs_each_time() {
        let (a, b) = (random_token(), random_token());
        assert_ne!(a, b);
        let parsed = uuid::Uuid::parse_str(a.as_str()).unwrap();
        assert_eq!((a.as_str().len(), parsed.get_version_num()), (36, 4));
        assert_eq!(a.as_str(), a.as_str().to_lowercase());
    }

    #[test]
    fn hashing_a_received_token_yields_the_stored_hash() {
        let token = random_token();
        assert_eq!(TokenHash::parse(token.as_str()), Some(TokenHash::of(&token)));
        assert_eq!(TokenHash::from_bytes(*TokenHash::of(&token).as_bytes()), TokenHash::of(&token));
        assert_ne!(TokenHash::parse(&token.as_str().to_uppercase()), Some(TokenHash::of(&token)));
    }

    #[test]
    fn a_string_of_another_length_is_not_a_token() {
        for text in ["", "x", &"x".repeat(35), &"x".repeat(37), &"x".repeat(1 << 20)] {
            assert_eq!(TokenHash::parse(text), None, "{}", text.len());
        }
    }

    #[test]
    fn debug_output_does_not_contain_the_secret() {
        let token = random_token();
        assert!(!format!("{token:?}").contains(&token.as_str()[..8]));
        assert!(format!("{:?}", TokenHash::of(&token)).len() < 20);
    }
}
