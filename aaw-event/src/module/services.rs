//! From the `services()` of a package's `_services.rs` to the function that starts the package.

use std::marker::PhantomData;

use super::instance::{self, BuildServices};
use super::package::StartFunction;
use crate::sdk::Error;

/// The services of a package that has no `_services.rs`.
#[derive(Debug)]
pub struct NoServices;

/// Builds [`NoServices`].
pub fn no_services() -> NoServices {
    NoServices
}

/// What `services()` may return in a package whose services are an `A`.
#[diagnostic::on_unimplemented(
    message = "`services()` cannot return `{Self}`",
    label = "expected `{A}` or a `Result` with it",
    note = "the error of the `Result` is `aaw_event::Error` or a standard error"
)]
pub trait IntoServices<A> {
    /// The services, or why there are none.
    ///
    /// # Errors
    /// The error of `services()`.
    fn into_services(self) -> Result<A, Error>;
}

impl<A> IntoServices<A> for A {
    fn into_services(self) -> Result<A, Error> {
        Ok(self)
    }
}

impl<A, E: Into<Error>> IntoServices<A> for Result<A, E> {
    fn into_services(self) -> Result<A, Error> {
        self.map_err(Into::into)
    }
}

/// Marks a `services()` that is an `async fn`.
pub(super) struct AsyncServices<O>(PhantomData<O>);

/// Marks a `services()` that is a `fn`.
pub(super) struct SyncServices<O>(PhantomData<O>);

impl<A: 'static, F, O> BuildServices<A, AsyncServices<O>> for F
where
    F: Fn() -> O + Copy + Send + 'static,
    O: Future + Send + 'static,
    O::Output: IntoServices<A>,
{
    async fn build(self) -> Result<A, Error> {
        self().await.into_services()
    }
}

impl<A: 'static, F, O> BuildServices<A, SyncServices<O>> for F
where
    F: Fn() -> O + Copy + Send + 'static,
    O: IntoServices<A> + 'static,
{
    async fn build(self) -> Result<A, Error> {
        self().into_services()
    }
}

/// For a `pub async fn services()`.
pub const fn async_services<A, F, O>(_: F) -> StartFunction<A>
where
    A: Send + Sync + 'static,
    F: Fn() -> O + Copy + Send + 'static,
    O: Future + Send + 'static,
    O::Output: IntoServices<A>,
{
    const { assert!(size_of::<F>() == 0, "`services` must be a function, not a closure that captures") };
    StartFunction::new(instance::start::<A, F, AsyncServices<O>>)
}

/// For a `pub fn services()`.
pub const fn sync_services<A, F, O>(_: F) -> StartFunction<A>
where
    A: Send + Sync + 'static,
    F: Fn() -> O + Copy + Send + 'static,
    O: IntoServices<A> + 'static,
{
    const { assert!(size_of::<F>() == 0, "`services` must be a function, not a closure that captures") };
    StartFunction::new(instance::start::<A, F, SyncServices<O>>)
}
