//! What the bodies of the built-in events must hold.
//!
//! What is wrong is told by the name of the field and the kind of what was found there, never by its value: that may be a
//! password in the wrong place, and failures are logged.

use aaw_protocol::{Code, Failure};
use serde_json::{Map, Value};

/// A body's fields.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The body is JSON. One that is missing has no fields.
    pub(super) fn parse(body: &str) -> Result<Self, Failure> {
        match serde_json::from_str(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(Value::Null) => Ok(Self(Map::new())),
            Ok(other) => Err(bad(format!("The body does not fit: expected an object, found {}", kind(&other)))),
            // Only what is nested too deep is JSON and comes to here.
            Err(_) => Err(bad("The body does not fit: it is nested too deep".into())),
        }
    }

    /// A text; nothing if it is missing, `null` or empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(other) => {
                Err(bad(format!("The body does not fit at {name}: expected a string, found {}", kind(other))))
            }
        }
    }
}

pub(super) fn bad(error: String) -> Failure {
    Failure::new(Code::BAD_BODY, error)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_nothing_and_what_is_wrong_is_named_without_its_value() {
        let fields =
            Fields::parse(r#"{"email":"a@b.c","password":{"secret":"hunter2"},"token":null,"empty":""}"#).unwrap();
        assert_eq!(fields.text("email"), Ok(Some("a@b.c")));
        assert_eq!((fields.text("token"), fields.text("empty"), fields.text("x")), (Ok(None), Ok(None), Ok(None)));
        let failure = fields.text("password").unwrap_err();
        assert_eq!(failure, bad("The body does not fit at password: expected a string, found an object".into()));
        assert_eq!(Fields::parse("null").unwrap().text("email"), Ok(None));
        for (body, found) in
            [(r#""hunter2""#, "a string"), ("[1]", "an array"), ("1", "a number"), ("true", "a boolean")]
        {
            let failure = Fields::parse(body).map(|_| ()).unwrap_err();
            assert_eq!(failure, bad(format!("The body does not fit: expected an object, found {found}")));
        }
    }
}
