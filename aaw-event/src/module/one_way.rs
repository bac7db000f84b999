//! One-way handlers: `fn handler(…)`, which returns nothing to its caller.

use std::ffi::c_void;

use super::arguments::{FromBody, Invoke, ServicesArgument, event_name, invoke};
use super::call::{self, CompletedCall};
use super::instance::PackageInstance;
use super::output::CallOutput;
use super::package::HandlerEntry;
use super::response::{IntoUnitResult, log_and_convert};
use crate::abi::{CallArgs, PollArgs, RawCall, kind};
use crate::catch_panic::catch_panic;

/// One function per number of arguments of a one-way handler.
impl<A: Send + Sync + 'static> HandlerEntry<A> {
    /// A `fn handler()`.
    pub const fn one_way0<H, O>(name: &'static str, _: H) -> Self
    where
        H: Fn() -> O + Copy + Send + Sync + 'static,
        O: IntoUnitResult,
    {
        Self::new::<H>(name, kind::ONE_WAY, one_way::<A, H, ()>, run_one_way::<A, H, ()>)
    }

    /// A `fn handler(body)`.
    pub const fn one_way1<H, B, O>(name: &'static str, _: H) -> Self
    where
        H: Fn(B) -> O + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        O: IntoUnitResult,
    {
        Self::new::<H>(name, kind::ONE_WAY, one_way::<A, H, (B,)>, run_one_way::<A, H, (B,)>)
    }

    /// A `fn handler(body, services)`.
    pub const fn one_way2<H, B, S, M, O>(name: &'static str, _: H) -> Self
    where
        H: Fn(B, S) -> O + Copy + Send + Sync + 'static,
        B: FromBody + 'static,
        S: ServicesArgument<A, M> + 'static,
        M: 'static,
        O: IntoUnitResult,
    {
        Self::new::<H>(name, kind::ONE_WAY, one_way::<A, H, (B, S, M)>, run_one_way::<A, H, (B, S, M)>)
    }
}

/// [`CallFn`](crate::abi::CallFn) of a one-way event, or of a hook that is a `fn`. The handler runs here, while the
/// call begins.
pub(super) unsafe extern "C" fn one_way<A, H, Args>(instance: *const c_void, args: *const CallArgs) -> RawCall
where
    H: Invoke<A, Args>,
    H::Output: IntoUnitResult,
{
    // SAFETY: the host passes a running instance of this package, and arguments that outlive this call.
    let (instance, args) = unsafe { (&*instance.cast::<PackageInstance<A>>(), &*args) };
    call::completed(run_handler::<A, H, Args>(instance, args))
}

/// [`RunFn`](crate::abi::RunFn) of a one-way event, or of a hook that is a `fn`.
pub(super) unsafe extern "C" fn run_one_way<A, H, Args>(
    instance: *const c_void,
    args: *const CallArgs,
    poll: *const PollArgs,
    _: *mut RawCall,
) -> u32
where
    H: Invoke<A, Args>,
    H::Output: IntoUnitResult,
{
    // SAFETY: as in `one_way`; the poll's arguments outlive this call, too.
    let (instance, args, out) =
        unsafe { (&*instance.cast::<PackageInstance<A>>(), &*args, CallOutput::in_place(&*poll)) };
    run_handler::<A, H, Args>(instance, args).write_to(&out)
}

fn run_handler<A, H, Args>(instance: &PackageInstance<A>, args: &CallArgs) -> CompletedCall
where
    H: Invoke<A, Args>,
    H::Output: IntoUnitResult,
{
    let event = event_name(args);
    let run = || {
        catch_panic(|| match invoke::<A, H, Args>(instance, args).map(IntoUnitResult::into_unit_result) {
            Ok(Ok(())) => CompletedCall::Done,
            // Inside `catch_panic`, because this runs code of the author too: the error's `Display` and its destructor.
            Ok(Err(error)) => CompletedCall::Failed(log_and_convert(event, error)),
            Err(failure) => CompletedCall::Refused(failure),
        })
    };
    match instance.runtime.enter(run) {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => CompletedCall::Panicked(panic),
        Err(error) => CompletedCall::Failed(call::runtime_failure(&error)),
    }
}
