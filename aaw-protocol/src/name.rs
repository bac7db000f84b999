//! Names of events, and what a name alone decides.

use std::fmt;
use std::sync::Arc;

/// The longest name an event can have, in bytes. Long enough for any folder, short enough to log.
pub const MAX_NAME_LEN: usize = 200;

/// The event that a broadcast arrives as.
pub const BROADCAST: &str = "broadcast";

/// The name of an event as a server offers it: the path of its file below the events folder, without the ending, with
/// `/` between folders (`users/get`).
///
/// Parts hold ASCII letters, digits, `-`, `_` and `.`, begin with a letter or a digit, and are never empty; the whole
/// is at most [`MAX_NAME_LEN`] bytes. So a name is safe in a path, in a URL and in a log as it stands. Cloning is
/// cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Arc<str>);

/// Why a text is not an [`EventName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// There is nothing, or nothing between two slashes.
    #[error("the name {0:?} has an empty part; expected parts like users/get")]
    EmptyPart(String),
    /// A part begins with something else than an ASCII letter or digit.
    #[error("in the name {name:?} the part {part:?} must begin with an ASCII letter or digit")]
    BadStart {
        /// The whole name.
        name: String,
        /// The part that is wrong.
        part: String,
    },
    /// A part holds a character that is none of letters, digits, `-`, `_` and `.`.
    #[error("the name {name:?} holds {found:?}; a name is made of ASCII letters, digits, '-', '_' and '.'")]
    BadCharacter {
        /// The whole name.
        name: String,
        /// The first character that is wrong.
        found: char,
    },
    /// The name is longer than [`MAX_NAME_LEN`].
    #[error("the name that begins {0:?} has more than {MAX_NAME_LEN} bytes")]
    TooLong(String),
}

impl EventName {
    /// Checks `name` and keeps a copy of it.
    ///
    /// # Errors
    /// [`InvalidName`] says which rule was broken, and where.
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

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name belongs to aaw itself (`aaw/…`, or `aaw`). No file of a user's may have such a name.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }

    /// Whether a call needs a session: a folder on the way to the event is called `auth`.
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

/// [`EventName::is_reserved`] for a name that a peer sent and nobody has checked.
pub fn is_reserved(name: &str) -> bool {
    name == "aaw" || name.starts_with("aaw/")
}

/// [`EventName::is_protected`] for a name that a peer sent and nobody has checked.
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

/// So that a map of events is searched with the text a peer sent.
impl std::borrow::Borrow<str> for EventName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_and_nothing_else() {
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
    fn only_a_folder_called_auth_protects() {
        for yes in ["auth/x", "a/auth/x", "a/auth/b/x", "auth/auth"] {
            assert!(is_protected(yes), "{yes}");
        }
        for no in ["auth", "a/auth", "authors/x", "x/my-auth/y"] {
            assert!(!is_protected(no), "{no}");
        }
    }

    #[test]
    fn the_name_aaw_is_reserved() {
        assert!(is_reserved("aaw") && is_reserved("aaw/login") && !is_reserved("aawards"));
    }
}
