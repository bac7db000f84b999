//! What a handler finds as `services.ws`, as the host provides it.

use std::ffi::c_void;
use std::future::{Future, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use aaw_protocol::{Code, Failure, Shortened};

use super::host_op;
use crate::abi::{Bytes, CallerVtable, RawCall, RawCaller, Sink, status};
use crate::contain::contained;

/// The connection that a call came from.
///
/// Handlers keep it (as `services.ws`) beyond their call and use it from tasks and other threads, also when the
/// connection has long gone. A panic in here is contained and logged.
///
/// What else a handler may ask of its host comes as an operation with arguments and a result in JSON, so that one can be
/// added without a change of this trait. A host answers one that it does not offer with [`unsupported_op`].
///
/// | operation | arguments | result |
/// |---|---|---|
/// | `room/join` | `{name, presence}` | `null` |
/// | `room/leave` | `{name}` | `null` |
/// | `room/emit` | `{name, event, data, except}` | how many were reached |
/// | `room/size` | `{name}` | how many are in it |
/// | `room/members` | `{name}` | `[{id, identity}]` |
/// | `identity` | `{}` | `{id, email, allowed?}` or `null` |
/// | `ws/send_async`, awaited | `{to, event, data, timeout_ms}`; `to` is a connection's id, or `null` for this one | what its client answered |
/// | `room/send_async`, awaited | `{name, event, data, timeout_ms, except}` | `[{id, result}]`, with `{id, error}` for one that failed |
/// | `authenticate`, awaited | `{user: {id, email, allowed?}}` | `{token, user}` |
/// | `logout`, awaited | `{}` | `null` |
pub trait Caller: Send + Sync + 'static {
    /// The connection's id, as text.
    fn id(&self) -> String;

    /// Pushes an event to this connection. `data` is JSON.
    ///
    /// # Errors
    /// When it cannot be sent: the connection has gone, or takes no more.
    fn send_event(&self, event: &str, data: &str) -> Result<(), Failure>;

    /// Pushes the event `broadcast` to every connection, this one only with `include_self`. `data` is JSON.
    fn broadcast(&self, data: &str, include_self: bool);

    /// Does what does not wait. `args` and the result are JSON.
    ///
    /// # Errors
    /// In words for the handler, and for its caller if it passes them on. The default: [`unsupported_op`].
    fn host_op(&self, op: &str, args: &str) -> Result<String, Failure> {
        let _ = args;
        Err(unsupported_op(op))
    }

    /// Does what is awaited. `args` and the result are JSON.
    ///
    /// The future is polled on the host's threads and on those of a loaded package, where the host's runtime is not to be
    /// found: a future that needs it enters it by itself, at each poll. It is dropped when nobody waits for it any more.
    /// Wake wakers outside of locks: that may run code of the package. The default: [`unsupported_op`].
    fn host_op_async(
        self: Arc<Self>,
        op: String,
        args: String,
    ) -> Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>> {
        let _ = args;
        Box::pin(ready(Err(unsupported_op(&op))))
    }
}

/// What a host says of an operation that it does not offer: code `unreachable`.
pub fn unsupported_op(op: &str) -> Failure {
    Failure::new(Code::UNREACHABLE, format!("This server does not offer {}", Shortened(op)))
}

/// Borrowed for the call that it is handed to; a handler that takes services retains it.
pub(super) fn raw<C: Caller>(caller: &Arc<C>) -> RawCaller {
    RawCaller { ctx: Arc::as_ptr(caller).cast(), vtable: &Table::<C>::VTABLE }
}

struct Table<C>(PhantomData<C>);

impl<C: Caller> Table<C> {
    const VTABLE: CallerVtable = CallerVtable {
        size: size_of::<CallerVtable>(),
        retain: retain::<C>,
        release: release::<C>,
        id: id::<C>,
        send_event: send_event::<C>,
        broadcast: broadcast::<C>,
        host_op: host_op::<C>,
        host_op_async: host_op_async::<C>,
    };
}

unsafe extern "C" fn retain<C>(ctx: *const c_void) {
    // SAFETY: `ctx` is the `Arc<C>` of `raw`, and whoever calls holds or borrows it.
    unsafe { Arc::increment_strong_count(ctx.cast::<C>()) }
}

unsafe extern "C" fn release<C>(ctx: *const c_void) {
    // SAFETY: as above; it gives back what it has retained.
    let dropped = contained(|| unsafe { Arc::decrement_strong_count(ctx.cast::<C>()) });
    if let Err(panic) = dropped {
        tracing::error!(panic, "a connection panicked while it was dropped");
    }
}

unsafe extern "C" fn id<C: Caller>(ctx: *const c_void, sink: Sink) {
    // SAFETY: as in `retain`.
    let caller = unsafe { &*ctx.cast::<C>() };
    match contained(|| caller.id()) {
        Ok(id) => {
            // SAFETY: the sink was handed to this very call.
            let _ = unsafe { sink.write(id.as_bytes()) };
        }
        Err(panic) => tracing::error!(panic, "a connection panicked when asked for its id"),
    }
}

unsafe extern "C" fn send_event<C: Caller>(ctx: *const c_void, event: Bytes, data: Bytes, sink: Sink) -> u32 {
    // SAFETY: as in `retain`; both texts were `&str` and live for this call.
    let (caller, event, data) = unsafe { (&*ctx.cast::<C>(), event.as_str(), data.as_str()) };
    let failure = match contained(|| caller.send_event(event, data)) {
        Ok(Ok(())) => return status::OK,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            tracing::error!(panic, event, "a connection panicked when given an event to send");
            Failure::internal(Code::PANIC)
        }
    };
    let failure = serde_json::to_vec(&failure).unwrap_or_default();
    // SAFETY: the sink was handed to this very call.
    let _ = unsafe { sink.write(&failure) };
    status::FAILED
}

unsafe extern "C" fn broadcast<C: Caller>(ctx: *const c_void, data: Bytes, include_self: bool) {
    // SAFETY: as in `send_event`.
    let (caller, data) = unsafe { (&*ctx.cast::<C>(), data.as_str()) };
    if let Err(panic) = contained(|| caller.broadcast(data, include_self)) {
        tracing::error!(panic, "a connection panicked when given a broadcast");
    }
}

unsafe extern "C" fn host_op<C: Caller>(ctx: *const c_void, op: Bytes, args: Bytes, sink: Sink) -> u32 {
    // SAFETY: as in `send_event`.
    let (caller, op, args) = unsafe { (&*ctx.cast::<C>(), op.as_str(), args.as_str()) };
    let failure = match contained(|| caller.host_op(op, args)) {
        Ok(Ok(result)) => {
            // SAFETY: the sink was handed to this very call.
            let _ = unsafe { sink.write(result.as_bytes()) };
            return status::OK;
        }
        Ok(Err(failure)) => failure,
        Err(panic) => {
            tracing::error!(panic, op, "a connection panicked when asked for something");
            Failure::internal(Code::PANIC)
        }
    };
    let failure = serde_json::to_vec(&failure).unwrap_or_default();
    // SAFETY: as above.
    let _ = unsafe { sink.write(&failure) };
    status::FAILED
}

unsafe extern "C" fn host_op_async<C: Caller>(ctx: *const c_void, op: Bytes, args: Bytes) -> RawCall {
    // SAFETY: as in `send_event`; one more count, which the `Arc` gives back.
    let (caller, op, args) = unsafe {
        Arc::increment_strong_count(ctx.cast::<C>());
        (Arc::from_raw(ctx.cast::<C>()), op.as_str(), args.as_str())
    };
    let future = contained(|| caller.host_op_async(op.to_owned(), args.to_owned())).unwrap_or_else(|panic| {
        tracing::error!(panic, op, "a connection panicked when asked for something");
        Box::pin(ready(Err(Failure::internal(Code::PANIC))))
    });
    host_op::raw(future)
}
