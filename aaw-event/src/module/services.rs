//! From the `services()` of a package's `_services.rs` to how the package is started.

use std::marker::PhantomData;

use super::instance::{self, Build};
use super::package::Start;
use crate::sdk::Error;

/// The services of a package that has no `_services.rs`.
#[derive(Debug)]
pub struct NoServices;

/// Builds [`NoServices`].
pub fn no_services() -> NoServices {
    NoServices
}

/// What `services()` can return in a package whose services are an `A`.
#[diagnostic::on_unimplemented(
    message = "`services()` cannot return `{Self}`",
    label = "expected `{A}` or a `Result` with it",
    note = "the error of the `Result` is `aaw_event::Error` or a standard error"
)]
pub trait Built<A> {
    /// Whichever, as a `Result`.
    ///
    /// # Errors
    /// `services()`'s own.
    fn built(self) -> Result<A, Error>;
}

impl<A> Built<A> for A {
    fn built(self) -> Result<A, Error> {
        Ok(self)
    }
}

impl<A, E: Into<Error>> Built<A> for Result<A, E> {
    fn built(self) -> Result<A, Error> {
        self.map_err(Into::into)
    }
}

/// Marks a `services()` that is an `async fn`.
pub(super) struct Asynchronous<O>(PhantomData<O>);

/// Marks a `services()` that is a `fn`.
pub(super) struct Synchronous<O>(PhantomData<O>);

impl<A: 'static, F, O> Build<A, Asynchronous<O>> for F
where
    F: Fn() -> O + Copy + Send + 'static,
    O: Future + Send + 'static,
    O::Output: Built<A>,
{
    async fn build(self) -> Result<A, Error> {
        self().await.built()
    }
}

impl<A: 'static, F, O> Build<A, Synchronous<O>> for F
where
    F: Fn() -> O + Copy + Send + 'static,
    O: Built<A> + 'static,
{
    async fn build(self) -> Result<A, Error> {
        self().built()
    }
}

/// `pub async fn services()`.
pub const fn async_services<A, F, O>(_: F) -> Start<A>
where
    A: Send + Sync + 'static,
    F: Fn() -> O + Copy + Send + 'static,
    O: Future + Send + 'static,
    O::Output: Built<A>,
{
    const { assert!(size_of::<F>() == 0, "services() is a plain function") };
    Start::new(instance::start::<A, F, Asynchronous<O>>)
}

/// `pub fn services()`.
pub const fn sync_services<A, F, O>(_: F) -> Start<A>
where
    A: Send + Sync + 'static,
    F: Fn() -> O + Copy + Send + 'static,
    O: Built<A> + 'static,
{
    const { assert!(size_of::<F>() == 0, "services() is a plain function") };
    Start::new(instance::start::<A, F, Synchronous<O>>)
}
