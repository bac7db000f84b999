//! Unary handlers: `async fn handler(…)`, which returns one response.
//!
//! Generated code calls one of the `const fn`s of [`HandlerEntry`] for each file, chosen by the form of its handler;
//! the number is that of its arguments. Each function states its own bounds, so that the compiler reports what is
//! wrong with a handler in its usual terms: "future cannot be sent between threads", "`Body` is not `Deserialize`".

use std::marker::PhantomData;

use aaw_protocol::Failure;

use super::arguments::{FromBody, FromUploadItem, Invoke, ServicesArgument, UploadArgument, event_name, invoke};
use super::begin::BeginCall;
use super::call::{FutureCall, WriteOutput};
use super::instance::PackageInstance;
use super::output::CallOutput;
use super::package::HandlerEntry;
use super::response::{IntoResponse, log_and_convert};
use crate::abi::{CallArgs, kind, step};

/// One function per number of arguments of a unary handler.
impl<A: Send + Sync + 'static> HandlerEntry<A> {
    /// An `async fn handler()`.
    pub const fn unary0<H, F, R>(name: &'static str, _: H) -> Self
    where
        H: Fn() -> F + Copy + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: IntoResponse<R>,
        R: 'static,
    {
        Self::polled::<H, Unary<H, (), R>>(name, kind::UNARY)
    }

    /// An `async fn handler(body)`.
    pub const fn unary1<H, B, F, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B) -> F + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        F: Future + Send + 'static,
        F::Output: IntoResponse<R>,
        R: 'static,
    {
        Self::polled::<H, Unary<H, (B,), R>>(name, kind::UNARY)
    }

    /// An `async fn handler(body, services)`.
    pub const fn unary2<H, B, S, M, F, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S) -> F + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        S: ServicesArgument<A, M> + 'static,
        M: 'static,
        F: Future + Send + 'static,
        F::Output: IntoResponse<R>,
        R: 'static,
    {
        Self::polled::<H, Unary<H, (B, S, M), R>>(name, kind::UNARY)
    }

    /// An `async fn handler(body, services, upload)`.
    pub const fn unary3<H, B, S, M, U, F, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S, U) -> F + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        S: ServicesArgument<A, M> + 'static,
        M: 'static,
        U: UploadArgument + 'static,
        U::Item: FromUploadItem,
        F: Future + Send + 'static,
        F::Output: IntoResponse<R>,
        R: 'static,
    {
        Self::polled::<H, Unary<H, (B, S, M, U), R>>(name, kind::UNARY).taking_upload()
    }
}

/// The call of a unary event.
struct Unary<H, Args, R>(PhantomData<(H, Args, R)>);

impl<A, H, Args, R> BeginCall<A> for Unary<H, Args, R>
where
    H: Invoke<A, Args>,
    H::Output: Future + Send + 'static,
    <H::Output as Future>::Output: IntoResponse<R>,
    R: 'static,
{
    type Call = FutureCall<H::Output, ResponseWriter<R>>;

    #[inline]
    fn begin(instance: &PackageInstance<A>, args: &CallArgs) -> Result<Self::Call, Failure> {
        let writer = ResponseWriter { event: event_name(args), kind: PhantomData };
        Ok(FutureCall::new(invoke::<A, H, Args>(instance, args)?, writer))
    }
}

/// Writes the response as the call's one item.
struct ResponseWriter<R> {
    event: &'static str,
    kind: PhantomData<fn(R)>,
}

impl<O: IntoResponse<R>, R: 'static> WriteOutput<O> for ResponseWriter<R> {
    fn write_output(&self, output: O, out: &mut CallOutput) -> u32 {
        match output.write_to(out) {
            Ok(_) => step::ITEM,
            Err(error) => out.fail(&log_and_convert(self.event, error)),
        }
    }
}
