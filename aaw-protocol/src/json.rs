//! Serializes application data as JSON, without turning numbers into something else.
//!
//! JSON has no NaN and no infinities (RFC 8259, 6), and serde_json writes `null` in their place. Its reader would then
//! receive another value than was sent. The functions of this module return an error instead; otherwise they are those
//! of serde_json, and write the same bytes.

use std::io;

use serde::Serialize;
use serde::ser::{
    self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant,
};
use serde_json::value::RawValue;

/// Writes a value as JSON.
///
/// ```
/// use aaw_protocol::json;
///
/// let mut frame = Vec::new();
/// json::to_writer(&mut frame, &[0.5, 2.0])?;
/// assert_eq!(frame, b"[0.5,2.0]");
/// assert!(json::to_writer(&mut frame, &f64::NAN).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// The value contains a number that is not finite or a map with keys that are not strings, its `Serialize` fails, or the
/// writer does. A part of the value may have been written.
pub fn to_writer<T: Serialize + ?Sized>(writer: impl io::Write, value: &T) -> Result<(), serde_json::Error> {
    value.serialize(FiniteSerializer(&mut serde_json::Serializer::new(writer)))
}

/// Returns a value as JSON text.
///
/// # Errors
/// As [`to_writer`].
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let mut json = Vec::with_capacity(128);
    to_writer(&mut json, value)?;
    String::from_utf8(json).map_err(ser::Error::custom)
}

/// Returns a value as JSON that is kept as text.
///
/// # Errors
/// As [`to_writer`].
pub fn to_raw_value<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(to_string(value)?)
}

/// Passes everything on to another serializer, except numbers that are not finite, which are errors.
#[derive(Debug)]
pub struct FiniteSerializer<S>(pub S);

/// A value whose numbers have to be finite.
struct Finite<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Finite<'_, T> {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(FiniteSerializer(serializer))
    }
}

#[cold]
fn not_finite<E: ser::Error>(number: f64) -> E {
    E::custom(format_args!("JSON has no number for {number}"))
}

/// Methods that pass a value on.
macro_rules! forward {
    ($($method:ident($type:ty);)*) => {
        $(fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.0.$method(value)
        })*
    };
}

impl<S: ser::Serializer> ser::Serializer for FiniteSerializer<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Elements<S::SerializeSeq>;
    type SerializeTuple = Elements<S::SerializeTuple>;
    type SerializeTupleStruct = Elements<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Elements<S::SerializeTupleVariant>;
    type SerializeMap = Elements<S::SerializeMap>;
    type SerializeStruct = Elements<S::SerializeStruct>;
    type SerializeStructVariant = Elements<S::SerializeStructVariant>;

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if value.is_finite() { self.0.serialize_f32(value) } else { Err(not_finite(value.into())) }
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if value.is_finite() { self.0.serialize_f64(value) } else { Err(not_finite(value)) }
    }

    forward! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_unit_struct(&'static str);
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Finite(value))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Finite(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_variant(name, index, variant, &Finite(value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(len).map(Elements)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(len).map(Elements)
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, len).map(Elements)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.0.serialize_tuple_variant(name, index, variant, len).map(Elements)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(len).map(Elements)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, len).map(Elements)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.0.serialize_struct_variant(name, index, variant, len).map(Elements)
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// The elements of a compound value, each of which has to be finite.
#[derive(Debug)]
pub struct Elements<C>(C);

/// Implements a trait for compound values without names.
macro_rules! unnamed {
    ($($trait:ident::$method:ident;)*) => {
        $(impl<C: $trait> $trait for Elements<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.0.$method(&Finite(value))
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.0.end()
            }
        })*
    };
}

/// Implements a trait for compound values with names.
macro_rules! named {
    ($($trait:ident;)*) => {
        $(impl<C: $trait> $trait for Elements<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), C::Error> {
                self.0.serialize_field(key, &Finite(value))
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.0.skip_field(key)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.0.end()
            }
        })*
    };
}

unnamed! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

named! {
    SerializeStruct;
    SerializeStructVariant;
}

impl<C: SerializeMap> SerializeMap for Elements<C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.0.serialize_key(&Finite(key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.0.serialize_value(&Finite(value))
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), C::Error> {
        self.0.serialize_entry(&Finite(key), &Finite(value))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    enum Shape {
        Unit,
        Newtype(f64),
        Tuple(f32, u8),
        Struct { side: f64 },
    }

    #[derive(Serialize)]
    struct Pair(Option<f64>, Box<RawValue>);

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Everything {
        shapes: Vec<Shape>,
        #[serde(flatten)]
        rest: BTreeMap<String, Pair>,
        #[serde(skip_serializing_if = "Option::is_none")]
        skipped: Option<u8>,
        big: (u128, i128, char, ()),
        by_number: BTreeMap<u8, &'static str>,
        value: serde_json::Value,
    }

    fn everything(number: f64) -> Everything {
        let raw = RawValue::from_string("[1e400, -0.0]".into()).unwrap();
        Everything {
            shapes: vec![Shape::Unit, Shape::Newtype(0.1), Shape::Tuple(0.1, 2), Shape::Struct { side: -0.0 }],
            rest: BTreeMap::from([("pair".into(), Pair(Some(number), raw))]),
            skipped: None,
            big: (u128::MAX, i128::MIN, 'ü', ()),
            by_number: BTreeMap::from([(7, "seven\n")]),
            value: json!({ "a": [null, true, 1.5, "text"] }),
        }
    }

    #[test]
    fn finite_values_are_written_as_by_serde_json() {
        let value = everything(1e300);
        assert_eq!(to_string(&value).unwrap(), serde_json::to_string(&value).unwrap());
        assert_eq!(to_raw_value(&value).unwrap().get(), serde_json::to_string(&value).unwrap());
    }

    #[test]
    fn a_number_that_is_not_finite_is_an_error_wherever_it_is() {
        let error = |json: Result<String, serde_json::Error>| json.unwrap_err().to_string();
        assert_eq!(error(to_string(&f64::NAN)), "JSON has no number for NaN");
        assert_eq!(error(to_string(&f32::NEG_INFINITY)), "JSON has no number for -inf");
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(to_string(&everything(number)).is_err());
            assert!(to_string(&Shape::Newtype(number)).is_err());
            assert!(to_string(&Shape::Struct { side: number }).is_err());
            assert!(to_string(&Shape::Tuple(number as f32, 1)).is_err());
            assert!(to_string(&Some(vec![(1, number)])).is_err());
            assert!(to_string(&BTreeMap::from([("a", number)])).is_err());
        }
    }

    #[test]
    fn the_errors_of_serde_json_remain() {
        let keys = BTreeMap::from([(vec![1], 1)]);
        assert_eq!(to_string(&keys).unwrap_err().to_string(), "key must be a string");
    }
}
