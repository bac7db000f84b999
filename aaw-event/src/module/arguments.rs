//! What a handler may take: from the parts of a call to the arguments of an author's function.

use std::sync::Arc;

use aaw_protocol::{Code, Failure};
use serde::de::DeserializeOwned;

use super::function::function_of;
use super::instance::PackageInstance;
use crate::abi::{CallArgs, RawCaller, RawUpload};
use crate::handles::{CallerHandle, UploadHandle};
use crate::json::parse_body;
use crate::sdk::{Empty, Services, Upload};

/// What a handler may take as its first argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler's body",
    label = "a handler's first argument must be `Deserialize`",
    note = "write `#[derive(Deserialize)]` above `{Self}`, or take `Value` (any JSON) or `Empty` (nothing)"
)]
pub trait FromBody: DeserializeOwned {}

impl<B: DeserializeOwned> FromBody for B {}

/// What a handler may take as its second argument, in a package whose services are an `A`. `M` distinguishes the
/// implementations.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as its second argument",
    label = "expected `Services`, or `Services<…>` of what `_services.rs` builds",
    note = "the services of this package are `{A}`",
    note = "an `Upload` is the third argument: `(body, services, upload)`"
)]
pub trait ServicesArgument<A, M>: Sized {
    /// Makes the argument for one call.
    fn from_call(caller: CallerHandle, app: &Arc<A>, unit: &Arc<()>) -> Self;
}

/// Marks a handler that takes the package's services.
#[derive(Debug)]
pub struct TakesApp;

/// Marks a handler that takes `Services` without the package's services.
#[derive(Debug)]
pub struct TakesUnit;

impl<A> ServicesArgument<A, TakesApp> for Services<A> {
    fn from_call(caller: CallerHandle, app: &Arc<A>, _: &Arc<()>) -> Self {
        Self::new(caller, app.clone())
    }
}

impl<A> ServicesArgument<A, TakesUnit> for Services<()> {
    fn from_call(caller: CallerHandle, _: &Arc<A>, unit: &Arc<()>) -> Self {
        Self::new(caller, unit.clone())
    }
}

/// What a handler may take as its third argument.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as its third argument",
    label = "expected `Upload<…>`, the items that the caller sends after its body"
)]
pub trait UploadArgument: Sized {
    /// The type of its items.
    type Item;

    /// Makes the argument for one call.
    fn from_call(upload: Option<UploadHandle>) -> Self;
}

impl<T> UploadArgument for Upload<T> {
    type Item = T;

    fn from_call(upload: Option<UploadHandle>) -> Self {
        Self::new(upload)
    }
}

/// What an item of a handler's upload may be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of an upload",
    label = "the `T` of a handler's `Upload<T>` must be `Deserialize`",
    note = "write `#[derive(Deserialize)]` above `{Self}`, or take `Upload<Value>` (any JSON)"
)]
pub trait FromUploadItem: DeserializeOwned {}

impl<T: DeserializeOwned> FromUploadItem for T {}

/// The parts of a call, borrowed by [`Invoke`].
pub(super) struct CallParts<'a, A> {
    body: &'a str,
    caller: RawCaller,
    app: &'a Arc<A>,
    unit: &'a Arc<()>,
    upload: *const RawUpload,
}

/// A handler with any number of arguments; `Args` is the tuple of their types.
pub(super) trait Invoke<A, Args>: Copy + 'static {
    type Output;
    fn invoke(self, parts: CallParts<'_, A>) -> Result<Self::Output, Failure>;
}

impl<A, H, O> Invoke<A, ()> for H
where
    H: Fn() -> O + Copy + 'static,
{
    type Output = O;

    fn invoke(self, parts: CallParts<'_, A>) -> Result<O, Failure> {
        // The host has not parsed the body. A handler without arguments must not run either if it is not JSON.
        let Empty = parse_body(parts.body)?;
        Ok(self())
    }
}

impl<A, H, B, O> Invoke<A, (B,)> for H
where
    H: Fn(B) -> O + Copy + 'static,
    B: DeserializeOwned,
{
    type Output = O;

    fn invoke(self, parts: CallParts<'_, A>) -> Result<O, Failure> {
        Ok(self(parse_body(parts.body)?))
    }
}

impl<A, H, B, S, M, O> Invoke<A, (B, S, M)> for H
where
    H: Fn(B, S) -> O + Copy + 'static,
    B: DeserializeOwned,
    S: ServicesArgument<A, M>,
{
    type Output = O;

    fn invoke(self, parts: CallParts<'_, A>) -> Result<O, Failure> {
        let body = parse_body(parts.body)?;
        // SAFETY: the host keeps the caller alive while a call begins, which is now.
        let caller = unsafe { CallerHandle::retain(parts.caller) };
        Ok(self(body, S::from_call(caller, parts.app, parts.unit)))
    }
}

impl<A, H, B, S, M, U, O> Invoke<A, (B, S, M, U)> for H
where
    H: Fn(B, S, U) -> O + Copy + 'static,
    B: DeserializeOwned,
    S: ServicesArgument<A, M>,
    U: UploadArgument,
{
    type Output = O;

    fn invoke(self, parts: CallParts<'_, A>) -> Result<O, Failure> {
        let body = parse_body(parts.body)?;
        // SAFETY: as above; the host keeps the upload alive as well.
        let (caller, upload) = unsafe { (CallerHandle::retain(parts.caller), UploadHandle::retain(parts.upload)) };
        Ok(self(body, S::from_call(caller, parts.app, parts.unit), U::from_call(upload)))
    }
}

/// Invokes a handler. After an error here the handler has not run.
pub(super) fn invoke<A, H, Args>(instance: &PackageInstance<A>, args: &CallArgs) -> Result<H::Output, Failure>
where
    H: Invoke<A, Args>,
{
    // SAFETY: the entry was made with a handler of this type.
    let handler = unsafe { function_of::<H>() };
    // SAFETY: the host has checked that a body is text; it outlives this call.
    let body = unsafe { args.body.as_str() };
    let app = instance.app.get().ok_or_else(|| Failure::new(Code::BUSY, "The events are still starting"))?;
    handler.invoke(CallParts { body, caller: args.caller, app, unit: &instance.unit, upload: args.upload })
}

/// The name of the called event.
pub(super) fn event_name(args: &CallArgs) -> &'static str {
    // SAFETY: the host passes the entry's own name, which is a `&'static str` of this package.
    unsafe { args.event.as_str() }
}
