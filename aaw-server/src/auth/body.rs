//! Parses the bodies of the built-in events.
//!
//! A body is at most a few KiB, and of its fields only those of the built-in events are kept: a parsed `Value` can take a
//! hundred times the memory of its text, and log-ins wait in a queue.
//!
//! Errors name the field and the JSON type that was found there, never the value: it may be a password in the wrong
//! field, and errors are logged.

use std::fmt;

use aaw_protocol::text::lone_surrogate;
use aaw_protocol::{Code, Failure};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The maximum size of a body, in bytes.
const MAX_BODY_BYTES: usize = 8 << 10;

/// The fields of the built-in events.
const NAMES: [&str; 3] = ["email", "password", "token"];

/// The fields of a body.
#[derive(Debug, Default)]
pub(super) struct BodyFields([Field; NAMES.len()]);

/// The value of a field.
#[derive(Debug, Default)]
enum Field {
    #[default]
    Missing,
    Text(String),
    /// Another type: its name.
    Other(&'static str),
}

impl BodyFields {
    /// Parses a body, which is known to be JSON. `null`, which stands for a missing body, has no fields.
    ///
    /// # Errors
    /// [`Code::TOO_LARGE`] if the body is too large; [`Code::BAD_BODY`] if it is no object.
    pub(super) fn parse(body: &str) -> Result<Self, Failure> {
        if body.len() > MAX_BODY_BYTES {
            let error =
                format!("The body has {} bytes; the limit of the events below aaw/ is {MAX_BODY_BYTES}", body.len());
            return Err(Failure::new(Code::TOO_LARGE, error));
        }
        match serde_json::from_str(body) {
            Ok(Body::Fields(fields)) => Ok(fields),
            Ok(Body::Null) => Ok(Self::default()),
            Ok(Body::Other(kind)) => Err(bad_body(format!("The body does not fit: expected an object, found {kind}"))),
            // The body was validated as JSON before; only its surrogates and its nesting depth were not.
            Err(_) if lone_surrogate(body).is_some() => Err(bad_body(
                "The body does not fit: a text in it contains a lone surrogate, which is half of a character".into(),
            )),
            Err(_) => Err(bad_body("The body does not fit: it is nested too deep".into())),
        }
    }

    /// Returns a string field; `None` if it is missing, `null` or empty.
    ///
    /// # Panics
    /// If no built-in event has this field.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        let position = NAMES.iter().position(|known| *known == name).expect("a field of a built-in event");
        match &self.0[position] {
            Field::Missing => Ok(None),
            Field::Text(text) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Field::Other(kind) => {
                Err(bad_body(format!("The body does not fit at {name}: expected a string, found {kind}")))
            }
        }
    }
}

pub(super) fn bad_body(error: String) -> Failure {
    Failure::new(Code::BAD_BODY, error)
}

/// A body: an object of which the known fields are kept.
enum Body {
    Fields(BodyFields),
    Null,
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor(BodyVisitor))
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor(FieldVisitor))
    }
}

/// What becomes of a value, by its type.
trait FromKind<'de> {
    type Value;

    fn null(self) -> Self::Value;

    /// A value of any other type, whose contents are skipped.
    fn other(self, kind: &'static str) -> Self::Value;

    fn text(self, text: &str) -> Self::Value;

    fn object<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error>;
}

struct BodyVisitor;

impl<'de> FromKind<'de> for BodyVisitor {
    type Value = Body;

    fn null(self) -> Body {
        Body::Null
    }

    fn other(self, kind: &'static str) -> Body {
        Body::Other(kind)
    }

    fn text(self, _: &str) -> Body {
        Body::Other("a string")
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        let mut fields = BodyFields::default();
        // A duplicate key has its last value, as in JavaScript.
        while let Some(key) = map.next_key::<String>()? {
            match NAMES.iter().position(|name| *name == key) {
                Some(position) => fields.0[position] = map.next_value()?,
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(Body::Fields(fields))
    }
}

struct FieldVisitor;

impl<'de> FromKind<'de> for FieldVisitor {
    type Value = Field;

    fn null(self) -> Field {
        Field::Missing
    }

    fn other(self, kind: &'static str) -> Field {
        Field::Other(kind)
    }

    fn text(self, text: &str) -> Field {
        Field::Text(text.to_owned())
    }

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other("an object"))
    }
}

struct KindVisitor<K>(K);

impl<'de, K: FromKind<'de>> Visitor<'de> for KindVisitor<K> {
    type Value = K::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<K::Value, E> {
        Ok(self.0.null())
    }

    fn visit_bool<E>(self, _: bool) -> Result<K::Value, E> {
        Ok(self.0.other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<K::Value, E> {
        Ok(self.0.other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<K::Value, E> {
        Ok(self.0.other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<K::Value, E> {
        Ok(self.0.other("a number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<K::Value, E> {
        Ok(self.0.text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<K::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.0.other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<K::Value, A::Error> {
        self.0.object(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_lone_surrogate_names_it_without_its_value() {
        for body in [r#"{"password":"hunter\ud83d"}"#, r#"{"other\ud83d":1}"#] {
            let failure = BodyFields::parse(body).map(|_| ()).unwrap_err();
            assert!(failure.error.contains("a lone surrogate, which is half of a character"), "{}", failure.error);
            assert!(!failure.error.contains("hunter") && !failure.error.contains("d83d"), "{}", failure.error);
        }
    }

    #[test]
    fn a_missing_field_is_none_and_an_error_names_the_field_without_its_value() {
        let fields = BodyFields::parse(
            r#"{"email":"a@b.c","password":{"secret":"hunter2"},"token":null,"other":[1,{"a":"b"}],"x":1.5}"#,
        );
        let fields = fields.unwrap();
        assert_eq!(fields.text("email"), Ok(Some("a@b.c")));
        assert_eq!(fields.text("token"), Ok(None));
        let failure = fields.text("password").unwrap_err();
        assert_eq!(failure, bad_body("The body does not fit at password: expected a string, found an object".into()));
        assert_eq!(BodyFields::parse(r#"{"email":""}"#).unwrap().text("email"), Ok(None));
        assert_eq!(BodyFields::parse(r#"{"email":"a","email":"b\n"}"#).unwrap().text("email"), Ok(Some("b\n")));
        assert_eq!(BodyFields::parse("null").unwrap().text("email"), Ok(None));
        for (body, found) in [
            (r#""hunter2""#, "a string"),
            ("[1,[2]]", "an array"),
            ("1", "a number"),
            ("-1", "a number"),
            ("1e3", "a number"),
            ("true", "a boolean"),
        ] {
            let failure = BodyFields::parse(body).map(|_| ()).unwrap_err();
            assert_eq!(failure, bad_body(format!("The body does not fit: expected an object, found {found}")));
            let fields = BodyFields::parse(&format!(r#"{{"token":{body}}}"#)).unwrap();
            let expected = if found == "a string" {
                Ok(Some("hunter2"))
            } else {
                Err(bad_body(format!("The body does not fit at token: expected a string, found {found}")))
            };
            assert_eq!(fields.text("token"), expected);
        }
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_before_it_is_parsed() {
        let body = |len: usize| format!(r#"{{"email":"{}"}}"#, "x".repeat(len - 12));
        assert!(BodyFields::parse(&body(MAX_BODY_BYTES)).is_ok());
        let failure = BodyFields::parse(&body(MAX_BODY_BYTES + 1)).map(|_| ()).unwrap_err();
        assert_eq!(failure.code, Code::TOO_LARGE);
        assert_eq!(failure.error, "The body has 8193 bytes; the limit of the events below aaw/ is 8192");
    }
}
