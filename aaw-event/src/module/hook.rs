//! Handlers that are no events: `_open.rs` and `_close.rs`, which run when a connection opens and when it has ended;
//! `_guard.rs`, which runs before the events of its folder; `_password_reset.rs`.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::arguments::{Invoke, Takes, invoke};
use super::call::{self, Ended, Ending, Out};
use super::handler::plain;
use super::instance::Instance;
use super::package::Entry;
use super::unary::{Outcome, log_and_convert};
use crate::abi::{CallArgs, RawCall, kind, step};
use crate::contain::contained;
use crate::sdk::{CloseInfo, GuardedCall, OpenInfo, PasswordReset};

/// Which hook it is; `E` is its handler's first argument.
#[derive(Debug)]
pub struct Hook<E> {
    pub(crate) name: &'static str,
    kind: u32,
    argument: PhantomData<fn(E)>,
}

impl<E> Clone for Hook<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Hook<E> {}

/// `_open.rs`.
pub const OPEN: Hook<OpenInfo> = Hook { name: "_open", kind: kind::OPEN, argument: PhantomData };

/// `_close.rs`.
pub const CLOSE: Hook<CloseInfo> = Hook { name: "_close", kind: kind::CLOSE, argument: PhantomData };

/// `_password_reset.rs`.
pub const PASSWORD_RESET: Hook<PasswordReset> =
    Hook { name: "_password_reset", kind: kind::PASSWORD_RESET, argument: PhantomData };

/// The `_guard.rs` of a folder; `name` is its path, without the ending.
pub const fn guard(name: &'static str) -> Hook<GuardedCall> {
    Hook { name, kind: kind::GUARD, argument: PhantomData }
}

/// One function for each way to write a hook.
impl<A: Send + Sync + 'static> Entry<A> {
    /// An `async fn handler()`.
    pub const fn async_hook0<E, H, F>(hook: Hook<E>, _: H) -> Self
    where
        H: Fn() -> F + Copy + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        Self::new::<H>(hook.name, hook.kind, async_hook::<A, H, ()>)
    }

    /// An `async fn handler(opened)`, or `(closed)`.
    pub const fn async_hook1<E, H, F>(hook: Hook<E>, _: H) -> Self
    where
        E: DeserializeOwned + 'static,
        H: Fn(E) -> F + Copy + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        Self::new::<H>(hook.name, hook.kind, async_hook::<A, H, (E,)>)
    }

    /// An `async fn handler(opened, services)`, or `(closed, services)`.
    pub const fn async_hook2<E, H, S, M, F>(hook: Hook<E>, _: H) -> Self
    where
        E: DeserializeOwned + 'static,
        H: Fn(E, S) -> F + Copy + Send + Sync + 'static,
        S: Takes<A, M> + 'static,
        M: 'static,
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        Self::new::<H>(hook.name, hook.kind, async_hook::<A, H, (E, S, M)>)
    }

    /// A `fn handler()`.
    pub const fn hook0<E, H, O>(hook: Hook<E>, _: H) -> Self
    where
        H: Fn() -> O + Copy + Send + Sync + 'static,
        O: Outcome,
    {
        Self::new::<H>(hook.name, hook.kind, plain::<A, H, ()>)
    }

    /// A `fn handler(opened)`, or `(closed)`.
    pub const fn hook1<E, H, O>(hook: Hook<E>, _: H) -> Self
    where
        E: DeserializeOwned + 'static,
        H: Fn(E) -> O + Copy + Send + Sync + 'static,
        O: Outcome,
    {
        Self::new::<H>(hook.name, hook.kind, plain::<A, H, (E,)>)
    }

    /// A `fn handler(opened, services)`, or `(closed, services)`.
    pub const fn hook2<E, H, S, M, O>(hook: Hook<E>, _: H) -> Self
    where
        E: DeserializeOwned + 'static,
        H: Fn(E, S) -> O + Copy + Send + Sync + 'static,
        S: Takes<A, M> + 'static,
        M: 'static,
        O: Outcome,
    {
        Self::new::<H>(hook.name, hook.kind, plain::<A, H, (E, S, M)>)
    }
}

/// [`CallFn`](crate::abi::CallFn) of a hook that is an `async fn`; one that is a `fn` is called as a plain event.
unsafe extern "C" fn async_hook<A, H, Args>(instance: *const std::ffi::c_void, args: *const CallArgs) -> RawCall
where
    H: Invoke<A, Args>,
    H::Output: Future + Send + 'static,
    <H::Output as Future>::Output: Outcome,
{
    // SAFETY: the host calls with a running instance of this package, and arguments that outlive this call.
    let (instance, args) = unsafe { (&*instance.cast::<Instance<A>>(), &*args) };
    // SAFETY: the host hands back the entry's name, which is a `&'static str` of this package.
    let event: &'static str = unsafe { args.event.as_str() };
    match contained(|| invoke::<A, H, Args>(instance, args)) {
        Ok(Ok(future)) => call::running(future, Silent { event }, &instance.runtime),
        Ok(Err(failure)) => call::ended(Ended::Refused(failure)),
        Err(panic) => call::ended(Ended::Panicked(panic)),
    }
}

/// Gives no item at the end.
struct Silent {
    event: &'static str,
}

impl<O: Outcome> Ending<O> for Silent {
    fn end(&self, output: O, out: Out) -> u32 {
        match output.outcome() {
            Ok(()) => step::END,
            Err(error) => out.fail(&log_and_convert(self.event, error)),
        }
    }
}
