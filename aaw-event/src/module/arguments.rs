//! What a handler takes: from the parts of a call to the arguments of an author's function.

use std::sync::Arc;

use aaw_protocol::{Code, Failure};
use serde::de::DeserializeOwned;

use super::body;
use super::caller::OwnedCaller;
use super::instance::Instance;
use super::package::function_of;
use super::upload::OwnedUpload;
use crate::abi::{CallArgs, RawCaller, RawUpload};
use crate::sdk::{Empty, Services, Upload};

/// What a handler can take as its first argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler's body",
    label = "a handler's first argument must be `Deserialize`",
    note = "write `#[derive(Deserialize)]` above `{Self}`, or take `Value` (any JSON) or `Empty` (nothing)"
)]
pub trait FitsBody: DeserializeOwned {}

impl<B: DeserializeOwned> FitsBody for B {}

/// What a handler can take as its second argument, in a package whose services are an `A`. `M` only tells the impls
/// apart.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as its second argument",
    label = "expected `Services`, or `Services<…>` of what `_services.rs` builds",
    note = "the services of this package are `{A}`",
    note = "what the caller sends after its body is the third argument: `(body, services, incoming)`"
)]
pub trait Takes<A, M>: Sized {
    /// Makes it for one call.
    fn take(caller: Calling, app: &Arc<A>, nothing: &Arc<()>) -> Self;
}

/// Where the connection of a handler's second argument comes from.
pub struct Calling(OwnedCaller);

/// The package's own services.
#[derive(Debug)]
pub struct Own;

/// None of them.
#[derive(Debug)]
pub struct Nothing;

impl<A> Takes<A, Own> for Services<A> {
    fn take(caller: Calling, app: &Arc<A>, _: &Arc<()>) -> Self {
        Self::of(caller.0, app.clone())
    }
}

impl<A> Takes<A, Nothing> for Services<()> {
    fn take(caller: Calling, _: &Arc<A>, nothing: &Arc<()>) -> Self {
        Self::of(caller.0, nothing.clone())
    }
}

/// What a handler can take as its third argument.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as its third argument",
    label = "expected `Upload<…>` of what the caller sends after its body"
)]
pub trait TakesUpload: Sized {
    /// What its items are.
    type Item;

    /// Makes it for one call.
    fn take(incoming: Arriving) -> Self;
}

/// Where a handler's third argument comes from.
pub struct Arriving(Option<OwnedUpload>);

impl<T> TakesUpload for Upload<T> {
    type Item = T;

    fn take(incoming: Arriving) -> Self {
        Self::of(incoming.0)
    }
}

/// What an item of a handler's third argument can be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of what a caller sends",
    label = "the `T` of a handler's `Upload<T>` must be `Deserialize`",
    note = "write `#[derive(Deserialize)]` above `{Self}`, or take `Upload<Value>` (any JSON)"
)]
pub trait FitsItem: DeserializeOwned {}

impl<T: DeserializeOwned> FitsItem for T {}

/// Lends a call's parts to [`Invoke`].
pub(super) struct Input<'a, A> {
    body: &'a str,
    caller: RawCaller,
    app: &'a Arc<A>,
    nothing: &'a Arc<()>,
    incoming: *const RawUpload,
}

/// A handler of any number of arguments; `Args` tells how many.
pub(super) trait Invoke<A, Args>: Copy + 'static {
    type Output;
    fn invoke(self, input: Input<'_, A>) -> Result<Self::Output, Failure>;
}

impl<A, H, O> Invoke<A, ()> for H
where
    H: Fn() -> O + Copy + 'static,
{
    type Output = O;

    fn invoke(self, input: Input<'_, A>) -> Result<O, Failure> {
        // Nobody has parsed the body yet, so it may not be JSON, and whoever does not parse it must check it.
        let Empty = body::parse(input.body)?;
        Ok(self())
    }
}

impl<A, H, B, O> Invoke<A, (B,)> for H
where
    H: Fn(B) -> O + Copy + 'static,
    B: DeserializeOwned,
{
    type Output = O;

    fn invoke(self, input: Input<'_, A>) -> Result<O, Failure> {
        Ok(self(body::parse(input.body)?))
    }
}

impl<A, H, B, S, M, O> Invoke<A, (B, S, M)> for H
where
    H: Fn(B, S) -> O + Copy + 'static,
    B: DeserializeOwned,
    S: Takes<A, M>,
{
    type Output = O;

    fn invoke(self, input: Input<'_, A>) -> Result<O, Failure> {
        let body = body::parse(input.body)?;
        // SAFETY: the host keeps the caller alive while a call begins, which is now.
        let caller = unsafe { OwnedCaller::retain(input.caller) };
        Ok(self(body, S::take(Calling(caller), input.app, input.nothing)))
    }
}

impl<A, H, B, S, M, I, O> Invoke<A, (B, S, M, I)> for H
where
    H: Fn(B, S, I) -> O + Copy + 'static,
    B: DeserializeOwned,
    S: Takes<A, M>,
    I: TakesUpload,
{
    type Output = O;

    fn invoke(self, input: Input<'_, A>) -> Result<O, Failure> {
        let body = body::parse(input.body)?;
        // SAFETY: as above; the host keeps what the caller sends alive as well.
        let (caller, incoming) = unsafe { (OwnedCaller::retain(input.caller), OwnedUpload::retain(input.incoming)) };
        let services = S::take(Calling(caller), input.app, input.nothing);
        Ok(self(body, services, I::take(Arriving(incoming))))
    }
}

/// What is an error here has not run the handler.
pub(super) fn invoke<A, H, Args>(instance: &Instance<A>, args: &CallArgs) -> Result<H::Output, Failure>
where
    H: Invoke<A, Args>,
{
    // SAFETY: the entry was made with a handler of this type.
    let handler = unsafe { function_of::<H>() };
    // SAFETY: the host has checked that a body is text; it outlives this call.
    let body = unsafe { args.body.as_str() };
    let app = instance.app.get().ok_or_else(|| Failure::new(Code::BUSY, "The events are still starting"))?;
    let (nothing, caller, incoming) = (&instance.nothing, args.caller, args.incoming);
    handler.invoke(Input { body, caller, app, nothing, incoming })
}
