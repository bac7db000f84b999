//! Hooks: the handlers of `_open.rs` and `_close.rs`, which run when a connection opens and when it has closed; of
//! `_resume.rs`, `_away.rs` and `_back.rs`, which run when a connection outlives its socket; of `_guard.rs`, which runs
//! before the events of its folder; and of `_password_reset.rs`.

use std::marker::PhantomData;

use aaw_protocol::Failure;
use serde::de::DeserializeOwned;

use super::arguments::{Invoke, ServicesArgument, event_name, invoke};
use super::begin::BeginCall;
use super::call::{FutureCall, WriteOutput};
use super::instance::PackageInstance;
use super::one_way::{one_way, run_one_way};
use super::output::CallOutput;
use super::package::HandlerEntry;
use super::response::{IntoUnitResult, log_and_convert};
use crate::abi::{CallArgs, hook_name, kind, step};
use crate::sdk::{AwayInfo, BackInfo, CloseInfo, GuardedCall, OpenInfo, PasswordReset};

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

/// `_resume.rs`.
pub const RESUME: HookId<OpenInfo> = HookId { name: hook_name::RESUME, kind: kind::RESUME, argument: PhantomData };

/// `_away.rs`.
pub const AWAY: HookId<AwayInfo> = HookId { name: hook_name::AWAY, kind: kind::AWAY, argument: PhantomData };

/// `_back.rs`.
pub const BACK: HookId<BackInfo> = HookId { name: hook_name::BACK, kind: kind::BACK, argument: PhantomData };

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
        Self::polled::<H, AsyncHook<H, ()>>(hook.name, hook.kind)
    }

    /// An `async fn handler(argument)`.
    pub const fn async_hook1<E, H, F>(hook: HookId<E>, _: H) -> Self
    where
        E: DeserializeOwned + 'static,
        H: Fn(E) -> F + Copy + Send + Sync + 'static,
        F: Future + Send + 'static,
        F::Output: IntoUnitResult,
    {
        Self::polled::<H, AsyncHook<H, (E,)>>(hook.name, hook.kind)
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
        Self::polled::<H, AsyncHook<H, (E, S, M)>>(hook.name, hook.kind)
    }

    /// A `fn handler()`.
    pub const fn hook0<E, H, O>(hook: HookId<E>, _: H) -> Self
    where
        H: Fn() -> O + Copy + Send + Sync + 'static,
        O: IntoUnitResult,
    {
        Self::new::<H>(hook.name, hook.kind, one_way::<A, H, ()>, run_one_way::<A, H, ()>)
    }

    /// A `fn handler(argument)`.
    pub const fn hook1<E, H, O>(hook: HookId<E>, _: H) -> Self
    where
        E: DeserializeOwned + 'static,
        H: Fn(E) -> O + Copy + Send + Sync + 'static,
        O: IntoUnitResult,
    {
        Self::new::<H>(hook.name, hook.kind, one_way::<A, H, (E,)>, run_one_way::<A, H, (E,)>)
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
        Self::new::<H>(hook.name, hook.kind, one_way::<A, H, (E, S, M)>, run_one_way::<A, H, (E, S, M)>)
    }
}

/// The call of a hook that is an `async fn`. One that is a `fn` is called as a one-way event is.
struct AsyncHook<H, Args>(PhantomData<(H, Args)>);

impl<A, H, Args> BeginCall<A> for AsyncHook<H, Args>
where
    H: Invoke<A, Args>,
    H::Output: Future + Send + 'static,
    <H::Output as Future>::Output: IntoUnitResult,
{
    type Call = FutureCall<H::Output, UnitWriter>;

    fn begin(instance: &PackageInstance<A>, args: &CallArgs) -> Result<Self::Call, Failure> {
        Ok(FutureCall::new(invoke::<A, H, Args>(instance, args)?, UnitWriter { event: event_name(args) }))
    }
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
