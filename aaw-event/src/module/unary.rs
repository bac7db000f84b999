//! Unary handlers: `async fn handler(…)`, which returns one response.
//!
//! Generated code calls one of the `const fn`s of [`HandlerEntry`] for each file, chosen by the form of its handler;
//! the number is that of its arguments. Each function states its own bounds, so that the compiler reports what is
//! wrong with a handler in its usual terms: "future cannot be sent between threads", "`Body` is not `Deserialize`".

use std::ffi::c_void;
use std::marker::PhantomData;

use super::arguments::{FromBody, FromUploadItem, Invoke, ServicesArgument, UploadArgument, invoke};
use super::call::{self, CompletedCall, FutureCall, WriteOutput};
use super::instance::PackageInstance;
use super::output::CallOutput;
use super::package::HandlerEntry;
use super::response::{IntoResponse, log_and_convert};
use crate::abi::{CallArgs, PollArgs, RawCall, kind, step};
use crate::catch_panic::catch_panic;

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
        Self::new::<H>(name, kind::UNARY, unary::<A, H, (), R>, Some(run_unary::<A, H, (), R>))
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
        Self::new::<H>(name, kind::UNARY, unary::<A, H, (B,), R>, Some(run_unary::<A, H, (B,), R>))
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
        Self::new::<H>(name, kind::UNARY, unary::<A, H, (B, S, M), R>, Some(run_unary::<A, H, (B, S, M), R>))
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
        Self::new::<H>(name, kind::UNARY, unary::<A, H, (B, S, M, U), R>, Some(run_unary::<A, H, (B, S, M, U), R>))
            .taking_upload()
    }
}

/// [`CallFn`](crate::abi::CallFn) of a unary event.
unsafe extern "C" fn unary<A, H, Args, R>(instance: *const c_void, args: *const CallArgs) -> RawCall
where
    H: Invoke<A, Args>,
    H::Output: Future + Send + 'static,
    <H::Output as Future>::Output: IntoResponse<R>,
    R: 'static,
{
    // SAFETY: the host passes a running instance of this package, and arguments that outlive this call.
    let (instance, args) = unsafe { (&*instance.cast::<PackageInstance<A>>(), &*args) };
    // SAFETY: the host passes the entry's own name, which is a `&'static str` of this package.
    let event: &'static str = unsafe { args.event.as_str() };
    match catch_panic(|| invoke::<A, H, Args>(instance, args)) {
        Ok(Ok(future)) => {
            call::from_future(future, ResponseWriter::<R> { event, kind: PhantomData }, &instance.runtime)
        }
        Ok(Err(failure)) => call::completed(CompletedCall::Refused(failure)),
        Err(panic) => call::completed(CompletedCall::Panicked(panic)),
    }
}

/// [`RunFn`](crate::abi::RunFn) of a unary event.
unsafe extern "C" fn run_unary<A, H, Args, R>(
    instance: *const c_void,
    args: *const CallArgs,
    poll: *const PollArgs,
    pending: *mut RawCall,
) -> u32
where
    H: Invoke<A, Args>,
    H::Output: Future + Send + 'static,
    <H::Output as Future>::Output: IntoResponse<R>,
    R: 'static,
{
    // SAFETY: as in `unary`; the poll's arguments outlive this call, too.
    let (instance, args, poll) = unsafe { (&*instance.cast::<PackageInstance<A>>(), &*args, &*poll) };
    // SAFETY: as in `unary`.
    let event: &'static str = unsafe { args.event.as_str() };
    let begin = || {
        let future = invoke::<A, H, Args>(instance, args)?;
        Ok(FutureCall::new(future, ResponseWriter::<R> { event, kind: PhantomData }))
    };
    // SAFETY: these are the arguments of a `RunFn`.
    unsafe { call::run(&instance.runtime, args, poll, pending, begin) }
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
