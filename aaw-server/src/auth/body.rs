//! Parses the bodies of the built-in events.
//!
//! Errors name the field and the JSON type that was found there, never the value: it may be a password in the wrong
//! field, and errors are logged.

use aaw_protocol::{Code, Failure};
use serde_json::{Map, Value};

/// The fields of a body.
pub(super) struct BodyFields(Map<String, Value>);

impl BodyFields {
    /// Parses a body, which is known to be JSON. `null`, which stands for a missing body, has no fields.
    pub(super) fn parse(body: &str) -> Result<Self, Failure> {
        match serde_json::from_str(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(Value::Null) => Ok(Self(Map::new())),
            Ok(other) => Err(bad_body(format!("The body does not fit: expected an object, found {}", kind(&other)))),
            // The body was validated as JSON before; only its nesting depth was not.
            Err(_) => Err(bad_body("The body does not fit: it is nested too deep".into())),
        }
    }

    /// Returns a string field; `None` if it is missing, `null` or empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(other) => {
                Err(bad_body(format!("The body does not fit at {name}: expected a string, found {}", kind(other))))
            }
        }
    }
}

pub(super) fn bad_body(error: String) -> Failure {
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
    fn a_missing_field_is_none_and_an_error_names_the_field_without_its_value() {
        let fields =
            BodyFields::parse(r#"{"email":"a@b.c","password":{"secret":"hunter2"},"token":null,"empty":""}"#).unwrap();
        assert_eq!(fields.text("email"), Ok(Some("a@b.c")));
        assert_eq!((fields.text("token"), fields.text("empty"), fields.text("x")), (Ok(None), Ok(None), Ok(None)));
        let failure = fields.text("password").unwrap_err();
        assert_eq!(failure, bad_body("The body does not fit at password: expected a string, found an object".into()));
        assert_eq!(BodyFields::parse("null").unwrap().text("email"), Ok(None));
        for (body, found) in
            [(r#""hunter2""#, "a string"), ("[1]", "an array"), ("1", "a number"), ("true", "a boolean")]
        {
            let failure = BodyFields::parse(body).map(|_| ()).unwrap_err();
            assert_eq!(failure, bad_body(format!("The body does not fit: expected an object, found {found}")));
        }
    }
}
