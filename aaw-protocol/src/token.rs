//! The secret that proves a session.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A bearer secret: it proves a session, or allows one change of a forgotten password.
///
/// Treat it as a password until it expires. Its [`Debug`](fmt::Debug) output does not contain it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(Box<str>);

impl Token {
    /// Wraps the text of a token.
    pub fn new(token: impl Into<Box<str>>) -> Self {
        Self(token.into())
    }

    /// The text of the token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_secret() {
        assert_eq!(format!("{:?}", Token::new("a secret")), "Token(…)");
    }
}
