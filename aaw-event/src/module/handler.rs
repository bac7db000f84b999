//! From an author's function to an entry of the table.
//!
//! Generated code calls one of the `const fn`s of [`Entry`] here for each file, by how the function is written:
//! `answer…` for an `async fn`, `plain…` for a `fn`; the number is that of its arguments. That the bounds stand on
//! these functions, one by one, makes the compiler say what is wrong with a handler in its own words: "future cannot be
//! sent", "`Body` is not `Deserialize`".

use std::marker::PhantomData;
use std::sync::Arc;

use aaw_protocol::{Code, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::{self, Ended, Ending, Out};
use super::caller::OwnedCaller;
use super::instance::Instance;
use super::package::{Entry, function_of};
use super::{body, output};
use crate::abi::{CallArgs, RawCall, RawCaller, kind, step};
use crate::contain::contained;
use crate::sdk::{Empty, Error, Services, Ws};

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
    note = "the services of this package are `{A}`"
)]
pub trait Takes<A, M>: Sized {
    /// Makes it for one call.
    fn take(ws: Ws, app: &Arc<A>, nothing: &Arc<()>) -> Self;
}

/// The package's own services.
#[derive(Debug)]
pub struct Own;

/// None of them.
#[derive(Debug)]
pub struct Nothing;

impl<A> Takes<A, Own> for Services<A> {
    fn take(ws: Ws, app: &Arc<A>, _: &Arc<()>) -> Self {
        Self::new(ws, app.clone())
    }
}

impl<A> Takes<A, Nothing> for Services<()> {
    fn take(ws: Ws, _: &Arc<A>, nothing: &Arc<()>) -> Self {
        Self::new(ws, nothing.clone())
    }
}

/// What an `async fn handler` can answer: a `Result` of aaw_event's, or just the answer. `M` only tells the impls
/// apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler's answer",
    label = "a handler answers a `Serialize`, or a `Result` of aaw_event's with one",
    note = "write `#[derive(Serialize)]` above the type; for errors, return `Result<T>` from `aaw_event::prelude`, \
            into which `?` converts every other error"
)]
pub trait Answers<M> {
    /// Shows the JSON.
    ///
    /// # Errors
    /// The handler's own, or that the answer cannot be JSON.
    fn show(self, then: impl FnOnce(&[u8])) -> Result<(), Error>;
}

/// An answer.
#[derive(Debug)]
pub struct Infallible;

/// An answer or an error.
#[derive(Debug)]
pub struct Fallible;

impl<T: Serialize> Answers<Infallible> for T {
    fn show(self, then: impl FnOnce(&[u8])) -> Result<(), Error> {
        Ok(output::json(&self, then)?)
    }
}

// `Error` is not `Serialize`, so only one of the two ever fits.
impl<T: Serialize> Answers<Fallible> for Result<T, Error> {
    fn show(self, then: impl FnOnce(&[u8])) -> Result<(), Error> {
        Ok(output::json(&self?, then)?)
    }
}

/// What a plain `fn handler` can return.
#[diagnostic::on_unimplemented(
    message = "a plain handler cannot return `{Self}`",
    label = "a `fn handler` answers nobody: it returns `()` or `Result<()>`",
    note = "write `async fn handler` for one that answers"
)]
pub trait Outcome {
    /// Nobody is answered; a failure is for the log.
    ///
    /// # Errors
    /// The handler's own.
    fn outcome(self) -> Result<(), Error>;
}

impl Outcome for () {
    fn outcome(self) -> Result<(), Error> {
        Ok(())
    }
}

impl Outcome for Result<(), Error> {
    fn outcome(self) -> Result<(), Error> {
        self
    }
}

/// Lends a call's parts to [`Invoke`].
struct Input<'a, A> {
    body: &'a str,
    caller: RawCaller,
    app: &'a Arc<A>,
    nothing: &'a Arc<()>,
}

/// A handler of any number of arguments; `Args` tells how many.
trait Invoke<A, Args>: Copy + 'static {
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
        Ok(self(body, S::take(Ws::of(caller), input.app, input.nothing)))
    }
}

/// One function for each way to write a handler.
impl<A: Send + Sync + 'static> Entry<A> {
    /// An `async fn handler()`.
    pub const fn answer0<H, F, R>(name: &'static str, _: H) -> Self
    where
        H: Fn() -> F + Copy + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Answers<R>,
        R: 'static,
    {
        Self::new::<H>(name, kind::ANSWER, answer::<A, H, (), R>)
    }

    /// An `async fn handler(body)`.
    pub const fn answer1<H, B, F, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B) -> F + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        F: Future + Send + 'static,
        F::Output: Answers<R>,
        R: 'static,
    {
        Self::new::<H>(name, kind::ANSWER, answer::<A, H, (B,), R>)
    }

    /// An `async fn handler(body, services)`.
    pub const fn answer2<H, B, S, M, F, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S) -> F + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        S: Takes<A, M> + 'static,
        M: 'static,
        F: Future + Send + 'static,
        F::Output: Answers<R>,
        R: 'static,
    {
        Self::new::<H>(name, kind::ANSWER, answer::<A, H, (B, S, M), R>)
    }

    /// A `fn handler()`.
    pub const fn plain0<H, O>(name: &'static str, _: H) -> Self
    where
        H: Fn() -> O + Copy + Send + Sync + 'static,
        O: Outcome,
    {
        Self::new::<H>(name, kind::PLAIN, plain::<A, H, ()>)
    }

    /// A `fn handler(body)`.
    pub const fn plain1<H, B, O>(name: &'static str, _: H) -> Self
    where
        H: Fn(B) -> O + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        O: Outcome,
    {
        Self::new::<H>(name, kind::PLAIN, plain::<A, H, (B,)>)
    }

    /// A `fn handler(body, services)`.
    pub const fn plain2<H, B, S, M, O>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S) -> O + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        S: Takes<A, M> + 'static,
        M: 'static,
        O: Outcome,
    {
        Self::new::<H>(name, kind::PLAIN, plain::<A, H, (B, S, M)>)
    }
}

/// [`CallFn`](crate::abi::CallFn) of an event that answers.
unsafe extern "C" fn answer<A, H, Args, R>(instance: *const std::ffi::c_void, args: *const CallArgs) -> RawCall
where
    H: Invoke<A, Args>,
    H::Output: Future + Send + 'static,
    <H::Output as Future>::Output: Answers<R>,
    R: 'static,
{
    // SAFETY: the host calls with a running instance of this package, and arguments that outlive this call.
    let (instance, args) = unsafe { (&*instance.cast::<Instance<A>>(), &*args) };
    // SAFETY: the host hands back the entry's name, which is a `&'static str` of this package.
    let event: &'static str = unsafe { args.event.as_str() };
    match contained(|| invoke::<A, H, Args>(instance, args)) {
        Ok(Ok(future)) => call::running(future, AnswerTo::<R> { event, kind: PhantomData }, &instance.runtime),
        Ok(Err(failure)) => call::ended(Ended::Refused(failure)),
        Err(panic) => call::ended(Ended::Panicked(panic)),
    }
}

/// [`CallFn`](crate::abi::CallFn) of an event that does not.
unsafe extern "C" fn plain<A, H, Args>(instance: *const std::ffi::c_void, args: *const CallArgs) -> RawCall
where
    H: Invoke<A, Args>,
    H::Output: Outcome,
{
    // SAFETY: as in `answer`.
    let (instance, args) = unsafe { (&*instance.cast::<Instance<A>>(), &*args) };
    // SAFETY: as in `answer`.
    let event: &'static str = unsafe { args.event.as_str() };
    let run = || {
        contained(|| match invoke::<A, H, Args>(instance, args).map(Outcome::outcome) {
            Ok(Ok(())) => Ended::Done,
            // In here, since this runs the author's code too: an error's `Display`, and its drop.
            Ok(Err(error)) => Ended::Failed(log_and_convert(event, error)),
            Err(failure) => Ended::Refused(failure),
        })
    };
    call::ended(match instance.runtime.enter(run) {
        Ok(Ok(ended)) => ended,
        Ok(Err(panic)) => Ended::Panicked(panic),
        Err(error) => Ended::Failed(call::no_runtime(&error)),
    })
}

/// What is an error here has not run the handler.
fn invoke<A, H, Args>(instance: &Instance<A>, args: &CallArgs) -> Result<H::Output, Failure>
where
    H: Invoke<A, Args>,
{
    // SAFETY: the entry was made with a handler of this type.
    let handler = unsafe { function_of::<H>() };
    // SAFETY: the host has checked that a body is text; it outlives this call.
    let body = unsafe { args.body.as_str() };
    let app = instance.app.get().ok_or_else(|| Failure::new(Code::BUSY, "The events are still starting"))?;
    handler.invoke(Input { body, caller: args.caller, app, nothing: &instance.nothing })
}

struct AnswerTo<R> {
    event: &'static str,
    kind: PhantomData<fn(R)>,
}

impl<O: Answers<R>, R: 'static> Ending<O> for AnswerTo<R> {
    fn end(&self, output: O, out: Out) -> u32 {
        match output.show(|json| out.write(json)) {
            Ok(()) => step::ITEM,
            Err(error) => out.fail(&log_and_convert(self.event, error)),
        }
    }
}

/// What the caller is told; what it is not told goes into the log.
fn log_and_convert(event: &str, error: Error) -> Failure {
    if error.cause().is_some() {
        tracing::error!(event, "a handler failed: {error:#}");
    }
    error.into_failure()
}
