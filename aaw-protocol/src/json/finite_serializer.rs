//! Serializes a value without its NaNs and infinities, and records where an error happened.

use std::cell::RefCell;
use std::fmt;

use serde::ser::{self, Serialize, Serializer};

use crate::text::middle_cut;

/// The longest path in an error, in characters. The keys of a map can have any length.
const MAX_PATH_CHARS: usize = 100;

/// The path to the value that caused an error, innermost segment first. Each level adds its segment while the error
/// returns through it, so that a value without an error costs nothing.
#[derive(Default)]
pub(super) struct ErrorPath(RefCell<Vec<Segment>>);

enum Segment {
    Name(&'static str),
    Key(String),
    Index(usize),
}

impl ErrorPath {
    #[inline]
    fn within<T, E>(&self, result: Result<T, E>, segment: impl FnOnce() -> Segment) -> Result<T, E> {
        if result.is_err() {
            self.push(segment());
        }
        result
    }

    #[cold]
    fn push(&self, segment: Segment) {
        self.0.borrow_mut().push(segment);
    }
}

impl fmt::Display for ErrorPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut path = String::new();
        for segment in self.0.borrow().iter().rev() {
            let name = match segment {
                Segment::Index(index) => {
                    path += &format!("[{index}]");
                    continue;
                }
                Segment::Name(name) => name,
                Segment::Key(key) => key.as_str(),
            };
            if !path.is_empty() {
                path.push('.');
            }
            path += name;
        }
        f.write_str(&middle_cut(&path, MAX_PATH_CHARS))
    }
}

/// A value that is serialized with a [`FiniteSerializer`], whatever serializer it is given.
pub(super) struct Finite<'a, T: ?Sized> {
    value: &'a T,
    path: &'a ErrorPath,
}

impl<'a, T: ?Sized> Finite<'a, T> {
    #[inline]
    pub(super) fn new(value: &'a T, path: &'a ErrorPath) -> Self {
        Self { value, path }
    }
}

impl<T: Serialize + ?Sized> Serialize for Finite<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(FiniteSerializer { inner: serializer, path: self.path })
    }
}

/// Passes everything on, except a NaN and an infinity.
struct FiniteSerializer<'a, S> {
    inner: S,
    path: &'a ErrorPath,
}

#[cold]
fn not_finite<E: ser::Error>(number: f64) -> E {
    E::custom(format_args!("JSON cannot represent the number {number}"))
}

macro_rules! forward {
    ($($method:ident($type:ty),)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.inner.$method(value)
        }
    )*};
}

impl<'a, S: Serializer> Serializer for FiniteSerializer<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Compound<'a, S::SerializeSeq>;
    type SerializeTuple = Compound<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Compound<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Compound<'a, S::SerializeTupleVariant>;
    type SerializeMap = Compound<'a, S::SerializeMap>;
    type SerializeStruct = Compound<'a, S::SerializeStruct>;
    type SerializeStructVariant = Compound<'a, S::SerializeStructVariant>;

    forward! {
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str),
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        if value.is_finite() { self.inner.serialize_f32(value) } else { Err(not_finite(value.into())) }
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if value.is_finite() { self.inner.serialize_f64(value) } else { Err(not_finite(value)) }
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Finite::new(value, self.path))
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_struct(name, &Finite::new(value, self.path))
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let result = self.inner.serialize_newtype_variant(name, index, variant, &Finite::new(value, self.path));
        self.path.within(result, || Segment::Name(variant))
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        Ok(Compound::new(self.inner.serialize_seq(len)?, self.path))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        Ok(Compound::new(self.inner.serialize_tuple(len)?, self.path))
    }

    #[inline]
    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        Ok(Compound::new(self.inner.serialize_tuple_struct(name, len)?, self.path))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let inner = self.inner.serialize_tuple_variant(name, index, variant, len)?;
        Ok(Compound { variant: Some(variant), ..Compound::new(inner, self.path) })
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        Ok(Compound::new(self.inner.serialize_map(len)?, self.path))
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        Ok(Compound::new(self.inner.serialize_struct(name, len)?, self.path))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let inner = self.inner.serialize_struct_variant(name, index, variant, len)?;
        Ok(Compound { variant: Some(variant), ..Compound::new(inner, self.path) })
    }

    #[inline]
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// The elements, entries or fields of a value.
struct Compound<'a, C> {
    inner: C,
    path: &'a ErrorPath,
    /// Of a tuple variant or struct variant.
    variant: Option<&'static str>,
    /// The index of the next element.
    index: usize,
}

impl<'a, C> Compound<'a, C> {
    #[inline]
    fn new(inner: C, path: &'a ErrorPath) -> Self {
        Self { inner, path, variant: None, index: 0 }
    }

    #[inline]
    fn element<T: ?Sized, E>(
        &mut self,
        value: &T,
        write: impl FnOnce(&mut C, &Finite<'_, T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let index = self.index;
        self.index += 1;
        self.named(value, || Segment::Index(index), write)
    }

    #[inline]
    fn named<T: ?Sized, E>(
        &mut self,
        value: &T,
        segment: impl FnOnce() -> Segment,
        write: impl FnOnce(&mut C, &Finite<'_, T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let result = write(&mut self.inner, &Finite::new(value, self.path));
        if result.is_err() {
            self.path.push(segment());
            if let Some(variant) = self.variant {
                self.path.push(Segment::Name(variant));
            }
        }
        result
    }
}

macro_rules! elements {
    ($($trait:ident::$method:ident,)*) => {$(
        impl<C: ser::$trait> ser::$trait for Compound<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.element(value, |inner, value| inner.$method(value))
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

elements! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

macro_rules! fields {
    ($($trait:ident,)*) => {$(
        impl<C: ser::$trait> ser::$trait for Compound<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), C::Error> {
                self.named(value, || Segment::Name(key), |inner, value| inner.serialize_field(key, value))
            }

            #[inline]
            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.inner.skip_field(key)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )*};
}

fields! {
    SerializeStruct,
    SerializeStructVariant,
}

impl<C: ser::SerializeMap> ser::SerializeMap for Compound<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    // serde_json itself refuses a NaN as a key.
    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.inner.serialize_key(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        // The key is not known any more. Only a type that writes its entries in two steps comes here.
        self.named(value, || Segment::Key("…".into()), |inner, value| inner.serialize_value(value))
    }

    #[inline]
    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), C::Error> {
        self.named(value, || key_segment(key), |inner, value| inner.serialize_entry(key, value))
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

#[cold]
fn key_segment<K: Serialize + ?Sized>(key: &K) -> Segment {
    let json = serde_json::to_string(key).unwrap_or_default();
    Segment::Key(serde_json::from_str(&json).unwrap_or(json))
}
