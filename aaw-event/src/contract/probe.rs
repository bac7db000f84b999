//! Finds the types of a handler, and whether they have schemas.
//!
//! Generated code names neither the types of a handler nor the traits that they implement. It calls the function for the
//! handler's form, which infers the types, and then methods of the results. Where two methods have the same name, the
//! compiler selects the first one that fits: the one for a type with a schema, or for a `Result`, before the one for every type.
//! A type without a schema is therefore not an error. No function here has a bound that a wrong handler violates, so that the
//! table of events alone reports what is wrong with it.

use std::marker::PhantomData;

use futures_util::Stream;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::sdk::{Empty, Error, Upload};

/// A type, without a value.
#[derive(Debug)]
pub struct Type<T>(PhantomData<fn() -> T>);

/// The types of a handler.
#[derive(Debug)]
pub struct Handler<B, O, U> {
    /// Its first argument.
    pub body: Type<B>,
    /// What it returns; what its future returns if it is `async`.
    pub output: Type<O>,
    /// Its third argument.
    pub upload: Type<U>,
}

/// A type that is not known, and has no schema.
#[derive(Debug)]
pub struct Unknown;

impl<T> Type<T> {
    const NEW: Self = Self(PhantomData);
}

impl<B, O, U> Handler<B, O, U> {
    const NEW: Self = Self { body: Type::NEW, output: Type::NEW, upload: Type::NEW };
}

/// Of a type that has a schema.
pub trait WithSchema {
    /// Its schema.
    fn schema(&self, generator: &mut SchemaGenerator) -> Option<Schema>;
}

impl<T: JsonSchema> WithSchema for Type<T> {
    fn schema(&self, generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }
}

/// Of every type.
pub trait WithoutSchema {
    /// None.
    fn schema(&self, generator: &mut SchemaGenerator) -> Option<Schema>;
}

impl<T> WithoutSchema for &Type<T> {
    fn schema(&self, _: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

impl<T> Type<Result<T, Error>> {
    /// The type of the value.
    pub fn value(&self) -> Type<T> {
        Type::NEW
    }
}

/// Of a type that is not aaw_event's `Result`.
pub trait PlainValue<T> {
    /// The type itself.
    fn value(&self) -> Type<T>;
}

impl<T> PlainValue<T> for Type<T> {
    fn value(&self) -> Type<T> {
        Type::NEW
    }
}

/// Of a stream.
pub trait WithItems<T> {
    /// The type of its items.
    fn item(&self) -> Type<T>;
}

impl<S: Stream> WithItems<S::Item> for Type<S> {
    fn item(&self) -> Type<S::Item> {
        Type::NEW
    }
}

/// Of every type.
pub trait WithoutItems {
    /// Not known.
    fn item(&self) -> Type<Unknown>;
}

impl<T> WithoutItems for &Type<T> {
    fn item(&self) -> Type<Unknown> {
        Type::NEW
    }
}

impl<T> Type<Upload<T>> {
    /// The type of the upload's items.
    pub fn upload_item(&self) -> Type<T> {
        Type::NEW
    }
}

/// Of a type that is not an upload.
pub trait WithoutUpload {
    /// Not known.
    fn upload_item(&self) -> Type<Unknown>;
}

impl<T> WithoutUpload for Type<T> {
    fn upload_item(&self) -> Type<Unknown> {
        Type::NEW
    }
}

/// A handler without arguments, and so on.
pub fn unary0<H: Fn() -> F, F: Future>(_: H) -> Handler<Empty, F::Output, Unknown> {
    Handler::NEW
}

#[allow(missing_docs, reason = "see `unary0`")]
pub fn unary1<H: Fn(B) -> F, B, F: Future>(_: H) -> Handler<B, F::Output, Unknown> {
    Handler::NEW
}

#[allow(missing_docs, reason = "see `unary0`")]
pub fn unary2<H: Fn(B, S) -> F, B, S, F: Future>(_: H) -> Handler<B, F::Output, Unknown> {
    Handler::NEW
}

#[allow(missing_docs, reason = "see `unary0`")]
pub fn unary3<H: Fn(B, S, U) -> F, B, S, U, F: Future>(_: H) -> Handler<B, F::Output, U> {
    Handler::NEW
}

/// A handler that is not `async`, without arguments, and so on.
pub fn plain0<H: Fn() -> O, O>(_: H) -> Handler<Empty, O, Unknown> {
    Handler::NEW
}

#[allow(missing_docs, reason = "see `plain0`")]
pub fn plain1<H: Fn(B) -> O, B, O>(_: H) -> Handler<B, O, Unknown> {
    Handler::NEW
}

#[allow(missing_docs, reason = "see `plain0`")]
pub fn plain2<H: Fn(B, S) -> O, B, S, O>(_: H) -> Handler<B, O, Unknown> {
    Handler::NEW
}

#[allow(missing_docs, reason = "see `plain0`")]
pub fn plain3<H: Fn(B, S, U) -> O, B, S, U, O>(_: H) -> Handler<B, O, U> {
    Handler::NEW
}
