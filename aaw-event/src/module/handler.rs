//! From an author's function to an entry of the table.
//!
//! Generated code calls one of the `const fn`s of [`Entry`] for each file, by how the function is written: `answer…` for
//! an `async fn`, `plain…` for a `fn`, and those of `stream` and `hook`; the number is that of its arguments. That the
//! bounds stand on these functions, one by one, makes the compiler say what is wrong with a handler in its own words:
//! "future cannot be sent", "`Body` is not `Deserialize`".

use std::ffi::c_void;
use std::marker::PhantomData;

use super::arguments::{FitsBody, FitsItem, Invoke, Takes, TakesUpload, invoke};
use super::call::{self, Ended, Ending, Out};
use super::instance::Instance;
use super::package::Entry;
use super::unary::{Answers, Outcome, log_and_convert};
use crate::abi::{CallArgs, RawCall, kind, step};
use crate::contain::contained;

/// One function for each way to write a handler that answers once, or is plain.
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

    /// An `async fn handler(body, services, incoming)`.
    pub const fn answer3<H, B, S, M, I, F, R>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S, I) -> F + Copy + Send + Sync + 'static,
        B: FitsBody + 'static,
        S: Takes<A, M> + 'static,
        M: 'static,
        I: TakesUpload + 'static,
        I::Item: FitsItem,
        F: Future + Send + 'static,
        F::Output: Answers<R>,
        R: 'static,
    {
        Self::new::<H>(name, kind::ANSWER, answer::<A, H, (B, S, M, I), R>).taking_incoming()
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
unsafe extern "C" fn answer<A, H, Args, R>(instance: *const c_void, args: *const CallArgs) -> RawCall
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
pub(super) unsafe extern "C" fn plain<A, H, Args>(instance: *const c_void, args: *const CallArgs) -> RawCall
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
