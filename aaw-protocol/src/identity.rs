//! The user behind a session.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

/// The user whose session a connection has.
///
/// As JSON it is `{"id", "email"}`, with `allowed` only if it is set. Other servers of the family use numbers as ids,
/// so a number is accepted as an id and stored as its digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Identity {
    /// The user's id in the server's store.
    #[serde(deserialize_with = "string_or_number")]
    pub id: String,
    /// The e-mail address with which the user logs in.
    pub email: String,
    /// Globs over the names of the protected events that the user may call, such as `*`, `auth/teamplay/*` or an exact
    /// name. `None` allows all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<String>>,
}

impl Identity {
    /// An identity that may call every protected event.
    ///
    /// ```
    /// use aaw_protocol::Identity;
    ///
    /// let ada = Identity::new("17", "ada@example.org").with_allowed(["auth/teamplay/*"]);
    /// assert_eq!(ada.allowed.as_deref(), Some(&["auth/teamplay/*".to_owned()][..]));
    /// ```
    pub fn new(id: impl Into<String>, email: impl Into<String>) -> Self {
        Self { id: id.into(), email: email.into(), allowed: None }
    }

    /// Restricts the identity to these protected events.
    #[must_use]
    pub fn with_allowed(mut self, allowed: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed = Some(allowed.into_iter().map(Into::into).collect());
        self
    }
}

fn string_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(id) => Ok(id),
        serde_json::Value::Number(id) => Ok(id.to_string()),
        _ => Err(D::Error::custom("expected a string or a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_is_serialized_only_if_it_is_set() {
        let json = |identity: &Identity| serde_json::to_string(identity).unwrap();
        let ada = Identity::new("1", "a@b.c");
        assert_eq!(json(&ada), r#"{"id":"1","email":"a@b.c"}"#);
        let ada = ada.with_allowed(["*"]);
        assert_eq!(json(&ada), r#"{"id":"1","email":"a@b.c","allowed":["*"]}"#);
        assert_eq!(serde_json::from_str::<Identity>(&json(&ada)).unwrap(), ada);
    }

    #[test]
    fn an_id_is_a_string_or_a_number() {
        let parse = serde_json::from_str::<Identity>;
        assert_eq!(parse(r#"{"id":17,"email":"a@b.c"}"#).unwrap(), Identity::new("17", "a@b.c"));
        assert!(parse(r#"{"id":true,"email":"a@b.c"}"#).unwrap_err().to_string().contains("a string or a number"));
    }
}
