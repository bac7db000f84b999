//! The functions of the table that begin a call: one for each way in which a host begins it.

use std::ffi::c_void;
use std::io;
use std::mem::ManuallyDrop;
use std::pin::Pin;

use aaw_protocol::Failure;

use super::call::{CallState, CallVtableOf, CompletedCall, PollCall, boxed, completed, runtime_failure};
use super::instance::PackageInstance;
use super::output::CallOutput;
use crate::abi::{CallArgs, CallVtable, PLACE_ALIGN, PollArgs, RawCall, Space, step};
use crate::catch_panic::catch_panic;

/// Begins the calls of an event or a hook.
pub(super) trait BeginCall<A> {
    type Call: PollCall;

    /// Parses the body, and invokes the handler; an `async` one begins to run when it is polled. Within the runtime, since
    /// a `fn` runs here.
    ///
    /// # Errors
    /// The body does not fit, so the handler was not invoked.
    fn begin(instance: &PackageInstance<A>, args: &CallArgs) -> Result<Self::Call, Failure>;
}

/// [`CallFn`](crate::abi::CallFn) of what a `B` begins.
pub(super) unsafe extern "C" fn call<A, B: BeginCall<A>>(instance: *const c_void, args: *const CallArgs) -> RawCall {
    // SAFETY: the host passes a running instance of this package, and arguments that outlive this call.
    let (instance, args) = unsafe { (&*instance.cast::<PackageInstance<A>>(), &*args) };
    match instance.runtime.enter(|| catch_panic(|| B::begin(instance, args))) {
        Ok(Ok(Ok(call))) => boxed(call, &instance.runtime),
        Ok(Ok(Err(failure))) => completed(CompletedCall::Refused(failure)),
        Ok(Err(panic)) => completed(CompletedCall::Panicked(panic)),
        Err(error) => completed(CompletedCall::Failed(runtime_failure(&error))),
    }
}

/// [`RunFn`](crate::abi::RunFn) of what a `B` begins, and which is polled at once.
pub(super) unsafe extern "C" fn run<A, B: BeginCall<A>>(
    instance: *const c_void,
    args: *const CallArgs,
    poll: *const PollArgs,
    pending: *mut RawCall,
) -> u32 {
    // SAFETY: the host passes a running instance of this package, and arguments that outlive this call.
    let (instance, args, poll) = unsafe { (&*instance.cast::<PackageInstance<A>>(), &*args, &*poll) };
    // SAFETY: as above.
    let mut out = unsafe { CallOutput::in_place(poll) };
    let mut begun = None;
    let ran = instance.runtime.poll(|| match begin::<A, B>(instance, args, &out) {
        // SAFETY: the waker lives for the length of this poll.
        Ok(call) => unsafe { begun.insert(call).state().poll(poll.waker, &mut out) },
        Err(step) => step,
    });
    // SAFETY: the host passes a place for a call.
    unsafe { store_pending(ran, begun, pending, &out) }
}

/// [`RunFn`](crate::abi::RunFn) of a streaming event: the call is not polled.
pub(super) unsafe extern "C" fn run_stream<A, B: BeginCall<A>>(
    instance: *const c_void,
    args: *const CallArgs,
    poll: *const PollArgs,
    pending: *mut RawCall,
) -> u32 {
    // SAFETY: as in `run`.
    let (instance, args, poll) = unsafe { (&*instance.cast::<PackageInstance<A>>(), &*args, &*poll) };
    // SAFETY: as in `run`.
    let out = unsafe { CallOutput::in_place(poll) };
    let mut begun = None;
    let ran = instance.runtime.enter(|| match begin::<A, B>(instance, args, &out) {
        Ok(call) => {
            begun = Some(call);
            step::PENDING
        }
        Err(step) => step,
    });
    // SAFETY: as in `run`.
    unsafe { store_pending(ran, begun, pending, &out) }
}

/// Begins a call, in the host's place if it lends one that is large enough, so that a call that is ready at once allocates
/// nothing. If the call does not begin, the reason is written to `out`, and the value of [`step`] for it is returned.
#[inline]
fn begin<A, B: BeginCall<A>>(
    instance: &PackageInstance<A>,
    args: &CallArgs,
    out: &CallOutput,
) -> Result<BegunCall<B::Call>, u32> {
    match catch_panic(|| B::begin(instance, args)) {
        Ok(Ok(call)) => {
            let state = CallState::new(call, &instance.runtime);
            // SAFETY: the place is lent to this call: the functions above drop what is in it, or leave it to the host.
            Ok(unsafe { BegunCall::new(state, place_for(args)) })
        }
        Ok(Err(failure)) => {
            out.fail(&failure);
            Err(step::REFUSED)
        }
        Err(panic) => {
            out.text(panic.as_bytes());
            Err(step::PANIC)
        }
    }
}

/// Stores a call that is pending. Returns the value of [`step`] for the result of a [`RunFn`](crate::abi::RunFn).
///
/// # Safety
/// `pending` is a place for a call.
#[inline]
unsafe fn store_pending<C: PollCall>(
    ran: io::Result<u32>,
    begun: Option<BegunCall<C>>,
    pending: *mut RawCall,
    out: &CallOutput,
) -> u32 {
    match (ran, begun) {
        (Ok(step::PENDING), Some(begun)) => {
            // SAFETY: as the caller guarantees.
            unsafe { pending.write(begun.into_raw()) };
            step::PENDING
        }
        (Ok(step), _) => step,
        // The call may have waited when the runtime could not be left. The host must not poll it again.
        (Err(error), _) => out.fail(&runtime_failure(&error)),
    }
}

/// The state of a call in the host's place or in a box. It is dropped with this, unless the host takes it over.
struct BegunCall<C: PollCall> {
    state: *mut CallState<C>,
    vtable: &'static CallVtable,
}

impl<C: PollCall> BegunCall<C> {
    /// # Safety
    /// `place` is large enough, aligned, and used by nothing else until this has been dropped, or the call that the host
    /// takes over.
    unsafe fn new(state: CallState<C>, place: Option<*mut CallState<C>>) -> Self {
        match place {
            Some(place) => {
                // SAFETY: as the caller guarantees.
                unsafe { place.write(state) };
                Self { state: place, vtable: &CallVtableOf::<C>::PLACED }
            }
            None => Self { state: Box::into_raw(Box::new(state)), vtable: &CallVtableOf::<C>::BOXED },
        }
    }

    fn state(&mut self) -> Pin<&mut CallState<C>> {
        // SAFETY: it stays where it is until it is dropped, and nothing else refers to it.
        unsafe { Pin::new_unchecked(&mut *self.state) }
    }

    fn into_raw(self) -> RawCall {
        let this = ManuallyDrop::new(self);
        RawCall { data: this.state.cast(), vtable: this.vtable }
    }
}

impl<C: PollCall> Drop for BegunCall<C> {
    fn drop(&mut self) {
        // SAFETY: the function for this kind of memory; it is called once.
        unsafe { (self.vtable.drop)(self.state.cast()) }
    }
}

/// The host's memory for the state of a call, if the host lends any and a `T` fits in.
fn place_for<T>(args: &CallArgs) -> Option<*mut T> {
    const { assert!(std::mem::offset_of!(CallArgs, place) + size_of::<Space>() == size_of::<CallArgs>()) };
    if args.size < size_of::<CallArgs>() {
        return None;
    }
    let fits = size_of::<T>() <= args.place.len && align_of::<T>() <= PLACE_ALIGN;
    (fits && !args.place.ptr.is_null()).then(|| args.place.ptr.cast())
}
