//! Event names, and the properties that follow from a name alone.

use std::fmt;
use std::sync::Arc;

/// The maximum length of an event name, in bytes. Long enough for any folder structure, short enough to log.
pub const MAX_NAME_LEN: usize = 200;

/// The event with which a broadcast reaches its recipients.
pub const BROADCAST: &str = "broadcast";

/// The validated name of an event: the path of its file below the events folder, without the extension and with `/`
/// between folders (`users/get`).
///
/// Each part between slashes consists of ASCII letters, digits, `-`, `_` and `.`, starts with a letter or a digit, and
/// is not empty. The whole name has at most [`MAX_NAME_LEN`] bytes. A name is therefore safe in a path, in a URL and in
/// a log without escaping. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Arc<str>);

/// Why a text is not an [`EventName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The name is empty, or contains an empty part.
    #[error("the name {0:?} has an empty part; expected parts like users/get")]
    EmptyPart(String),
    /// A part does not start with an ASCII letter or digit.
    #[error("in the name {name:?} the part {part:?} must begin with an ASCII letter or digit")]
    BadStart {
        /// The whole name.
        name: String,
        /// The invalid part.
        part: String,
    },
    /// A part contains a character other than ASCII letters, digits, `-`, `_` and `.`.
    #[error("the name {name:?} contains {found:?}; expected ASCII letters, digits, '-', '_' and '.'")]
    BadCharacter {
        /// The whole name.
        name: String,
        /// The first invalid character.
        found: char,
    },
    /// The name is longer than [`MAX_NAME_LEN`].
    #[error("the name that starts with {0:?} has more than {MAX_NAME_LEN} bytes")]
    TooLong(String),
}

impl EventName {
    /// Validates `name` and copies it.
    ///
    /// # Errors
    /// [`InvalidName`] names the rule that `name` violates, and the part that violates it.
    ///
    /// ```
    /// # use aaw_protocol::EventName;
    /// assert!(EventName::parse("users/get").is_ok());
    /// assert!(EventName::parse("../users").is_err());
    /// ```
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        if name.len() > MAX_NAME_LEN {
            return Err(InvalidName::TooLong(name.chars().take(40).collect()));
        }
        for part in name.split('/') {
            let Some(first) = part.chars().next() else { return Err(InvalidName::EmptyPart(name.into())) };
            if let Some(found) = part.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
                return Err(InvalidName::BadCharacter { name: name.into(), found });
            }
            if !first.is_ascii_alphanumeric() {
                return Err(InvalidName::BadStart { name: name.into(), part: part.into() });
            }
        }
        Ok(Self(name.into()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the name is reserved for aaw (`aaw`, or `aaw/…`). Files of an events package must not use it.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }

    /// Returns whether a call of the event needs a session: one of its folders is named `auth`.
    ///
    /// ```
    /// # use aaw_protocol::EventName;
    /// assert!(EventName::parse("shop/auth/orders")?.is_protected());
    /// assert!(!EventName::parse("shop/auth")?.is_protected());
    /// # Ok::<(), aaw_protocol::InvalidName>(())
    /// ```
    pub fn is_protected(&self) -> bool {
        is_protected(&self.0)
    }
}

/// Like [`EventName::is_reserved`], for an unvalidated name from a peer.
pub fn is_reserved(name: &str) -> bool {
    name == "aaw" || name.starts_with("aaw/")
}

/// Like [`EventName::is_protected`], for an unvalidated name from a peer.
pub fn is_protected(name: &str) -> bool {
    name.rsplit_once('/').is_some_and(|(folders, _)| folders.split('/').any(|folder| folder == "auth"))
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for EventName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Allows a look-up in a map of events by the text that a peer sent.
impl std::borrow::Borrow<str> for EventName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_are_valid_names() {
        for good in ["ping", "users/get", "a/b/c", "get-user", "get_user", "v1.2/x", "0", "auth"] {
            assert_eq!(EventName::parse(good).unwrap().as_str(), good);
        }
        for bad in
            ["", "/", "a/", "/a", "a//b", "..", "../ping", "a/../b", "_hidden", ".x", "-x", "a b", "å", "a\\b", "a\0"]
        {
            assert!(EventName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(EventName::parse(&"a".repeat(MAX_NAME_LEN)).is_ok());
        assert!(matches!(EventName::parse(&"a".repeat(MAX_NAME_LEN + 1)), Err(InvalidName::TooLong(_))));
    }

    #[test]
    fn only_a_folder_named_auth_protects_an_event() {
        for protected in ["auth/x", "a/auth/x", "a/auth/b/x", "auth/auth"] {
            assert!(is_protected(protected), "{protected}");
        }
        for public in ["auth", "a/auth", "authors/x", "x/my-auth/y"] {
            assert!(!is_protected(public), "{public}");
        }
    }

    #[test]
    fn the_name_aaw_is_reserved() {
        assert!(is_reserved("aaw") && is_reserved("aaw/login") && !is_reserved("aawards"));
    }
}
