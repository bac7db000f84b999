//! Hooks: the handlers of `_open.rs` and `_close.rs`, which run when a connection opens and when it has closed; of
//! `_guard.rs`, which runs before the events of its folder; and of `_password_reset.rs`.

use std::ffi::c_void;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::arguments::{Invoke, ServicesArgument, invoke};
use super::call::{self, CompletedCall, FutureCall, WriteOutput};
use super::instance::PackageInstance;
use super::one_way::{one_way, run_one_way};
use super::output::CallOutput;
use super::package::HandlerEntry;
use super::response::{IntoUnitResult, log_and_convert};
use crate::abi::{CallArgs, PollArgs, RawCall, hook_name, kind, step};
use crate::catch_panic::catch_panic;
use crate::sdk::{CloseInfo, GuardedCall, OpenInfo, PasswordReset};

/// The identity of a hook; `E` is its handler's first argument.
#[derive(Debug)]
pub struct HookId<E> {
    name: &'static str,
    kind: u32,
    argument: PhantomData<fn(E)>,
}

impl<E> Clone for HookId<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for HookId<E> {}

/// `_open.rs`.
pub const OPEN: HookId<OpenInfo> = HookId { name: hook_name::OPEN, kind: kind::OPEN, argument: PhantomData };

/// `_close.rs`.
pub const CLOSE: HookId<CloseInfo> = HookId { name: hook_name::CLOSE, kind: kind::CLOSE, argument: PhantomData };

/// `_password_reset.rs`.
pub const PASSWORD_RESET: HookId<PasswordReset> =
    HookId { name: hook_name::PASSWORD_RESET, kind: kind::PASSWORD_RESET, argument: PhantomData };

/// The `_guard.rs` of a folder; `name` is its path below `src/` without the extension.
pub const fn guard(name: &'static str) -> HookId<GuardedCall> {
    HookId { name, kind: kind::GUARD, argument: PhantomData }
}

/// One function per form and number of arguments of a hook's handler.
impl<A: Send + Sync + 'static> HandlerEntry<A> {
    /// An `async fn handler()`.
    pub const fn async_hook0<E, H, F>(hook: HookId<E>, _: H) -> Self
    where
        H: Fn() -> F + Copy + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: IntoUnitResult,
    {
        Self::new::<H>(hook.name, hook.kind, async_hook::<A, H, ()>, Some(run_async_hook::<A, H, ()>))
    }

    /// An `async fn handler(argument)`.
    pub const fn async_hook1<E, H, F>(hook: HookId<E>, _: H) -> Self
    where
        E: DeserializeOwned + 'static,
        H: Fn(E) -> F + Copy + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: IntoUnitResult,
    {
        Self::new::<H>(hook.name, hook.kind, async_hook::<A, H, (E,)>, Some(run_async_hook::<A, H, (E,)>))
    }

    /// An `async fn handler(argument, services)`.
    pub const fn async_hook2<E, H, S, M, F>(hook: HookId<E>, _: H) -> Self
    where
        E: DeserializeOwned + 'static,
        H: Fn(E, S) -> F + Copy + Send + Sync + 'static,
        S: ServicesArgument<A, M> + 'static,
        M: 'static,
        F: Future + Send + 'static,
        F::Output: IntoUnitResult,
    {
        Self::new::<H>(hook.name, hook.kind, async_hook::<A, H, (E, S, M)>, Some(run_async_hook::<A, H, (E, S, M)>))
    }

    /// A `fn handler()`.
    pub const fn hook0<E, H, O>(hook: HookId<E>, _: H) -> Self
    where
        H: Fn() -> O + Copy + Send + Sync + 'static,
        O: IntoUnitResult,
    {
        Self::new::<H>(hook.name, hook.kind, one_way::<A, H, ()>, Some(run_one_way::<A, H, ()>))
    }

    /// A `fn handler(argument)`.
    pub const fn hook1<E, H, O>(hook: HookId<E>, _: H) -> Self
    where
        E: DeserializeOwned + 'static,
        H: Fn(E) -> O + Copy + Send + Sync + 'static,
        O: IntoUnitResult,
    {
        Self::new::<H>(hook.name, hook.kind, one_way::<A, H, (E,)>, Some(run_one_way::<A, H, (E,)>))
    }

    /// A `fn handler(argument, services)`.
    pub const fn hook2<E, H, S, M, O>(hook: HookId<E>, _: H) -> Self
    where
        E: DeserializeOwned + 'static,
        H: Fn(E, S) -> O + Copy + Send + Sync + 'static,
        S: ServicesArgument<A, M> + 'static,
        M: 'static,
        O: IntoUnitResult,
    {
        Self::new::<H>(hook.name, hook.kind, one_way::<A, H, (E, S, M)>, Some(run_one_way::<A, H, (E, S, M)>))
    }
}

/// [`CallFn`](crate::abi::CallFn) of a hook that is an `async fn`. One that is a `fn` is called as a one-way event is.
unsafe extern "C" fn async_hook<A, H, Args>(instance: *const c_void, args: *const CallArgs) -> RawCall
where
    H: Invoke<A, Args>,
    H::Output: Future + Send + 'static,
    <H::Output as Future>::Output: IntoUnitResult,
{
    // SAFETY: the host passes a running instance of this package, and arguments that outlive this call.
    let (instance, args) = unsafe { (&*instance.cast::<PackageInstance<A>>(), &*args) };
    // SAFETY: the host passes the entry's own name, which is a `&'static str` of this package.
    let event: &'static str = unsafe { args.event.as_str() };
    match catch_panic(|| invoke::<A, H, Args>(instance, args)) {
        Ok(Ok(future)) => call::from_future(future, UnitWriter { event }, &instance.runtime),
        Ok(Err(failure)) => call::completed(CompletedCall::Refused(failure)),
        Err(panic) => call::completed(CompletedCall::Panicked(panic)),
    }
}

/// [`RunFn`](crate::abi::RunFn) of a hook that is an `async fn`.
unsafe extern "C" fn run_async_hook<A, H, Args>(
    instance: *const c_void,
    args: *const CallArgs,
    poll: *const PollArgs,
    pending: *mut RawCall,
) -> u32
where
    H: Invoke<A, Args>,
    H::Output: Future + Send + 'static,
    <H::Output as Future>::Output: IntoUnitResult,
{
    // SAFETY: as in `async_hook`; the poll's arguments outlive this call, too.
    let (instance, args, poll) = unsafe { (&*instance.cast::<PackageInstance<A>>(), &*args, &*poll) };
    // SAFETY: as in `async_hook`.
    let event: &'static str = unsafe { args.event.as_str() };
    let begin = || Ok(FutureCall::new(invoke::<A, H, Args>(instance, args)?, UnitWriter { event }));
    // SAFETY: these are the arguments of a `RunFn`.
    unsafe { call::run(&instance.runtime, args, poll, pending, begin) }
}

/// Writes no item: the call ends with `END`, or with an error.
struct UnitWriter {
    event: &'static str,
}

impl<O: IntoUnitResult> WriteOutput<O> for UnitWriter {
    fn write_output(&self, output: O, out: &mut CallOutput) -> u32 {
        match output.into_unit_result() {
            Ok(()) => step::END,
            Err(error) => out.fail(&log_and_convert(self.event, error)),
        }
    }
}
