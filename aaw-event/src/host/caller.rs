//! The connection or request behind a call, as the host provides it to a package.

use std::ffi::c_void;
use std::future::{Future, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use aaw_protocol::{Code, Failure, Shortened};

use super::host_op;
use crate::abi::{Bytes, CallerVtable, RawCall, RawCaller, Sink, status};
use crate::catch_panic::catch_panic;

/// The connection, or the HTTP request, that a call comes from: what handlers use as `services.ws`, `services.room` and
/// `services` itself.
///
/// Handlers may keep it beyond their call and use it from tasks and other threads, also after the connection has
/// closed. A panic in an implementation is caught and logged.
///
/// Everything beyond the first three methods is an operation, with a name and with arguments and a result in JSON, so
/// that one can be added without changing this trait or the ABI. A host returns [`unsupported_op`] for an operation
/// that it does not offer.
///
/// | operation | arguments | result |
/// |---|---|---|
/// | `room/join` | `{name, presence}` | `null` |
/// | `room/leave` | `{name}` | `null` |
/// | `room/emit` | `{name, event, data, except}` | the number of connections reached |
/// | `ws/is_connected` | `{}` | whether the connection has a socket at present |
/// | `room/size` | `{name}` | the number of members |
/// | `room/members` | `{name}` | `[{id, identity}]` |
/// | `identity` | `{}` | `{id, email, allowed?}` or `null` |
/// | `handshake` | `{}` | the JSON of a [`Handshake`](crate::Handshake) |
/// | `ws/send_async`, awaited | `{to, event, data, timeout_ms}`; `to` is a connection's id, or `null` for this one | the client's response |
/// | `room/send_async`, awaited | `{name, event, data, timeout_ms, except}` | `[{id, result}]`, with `{id, error}` for a client call that failed |
/// | `authenticate`, awaited | `{user: {id, email, allowed?}}` | `{token, user}` |
/// | `logout`, awaited | `{}` | `null` |
pub trait Caller: Send + Sync + 'static {
    /// The connection's id, as text.
    fn id(&self) -> String;

    /// Pushes an event to this connection. `data` is JSON.
    ///
    /// # Errors
    /// When the event cannot be sent: the connection has closed, or its push queue is full.
    fn send_event(&self, event: &str, data: &str) -> Result<(), Failure>;

    /// Pushes the event `broadcast` to every connection, to this one only with `include_self`. `data` is JSON.
    fn broadcast(&self, data: &str, include_self: bool);

    /// Performs an operation that does not wait. `args` and the result are JSON.
    ///
    /// # Errors
    /// The failure becomes the handler's error, and the caller's if the handler passes it on. The default
    /// implementation returns [`unsupported_op`].
    fn host_op(&self, op: &str, args: &str) -> Result<String, Failure> {
        let _ = args;
        Err(unsupported_op(op))
    }

    /// Performs an operation that is awaited. `args` and the result are JSON.
    ///
    /// The future is polled on the host's threads and on those of a loaded package, where the host's runtime is not
    /// available: a future that needs the runtime must enter it at each poll. It is dropped when the handler no longer
    /// waits for it. Implementations must wake wakers outside of locks: waking may run code of the package. The default
    /// implementation returns [`unsupported_op`].
    fn host_op_async(
        self: Arc<Self>,
        op: String,
        args: String,
    ) -> Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>> {
        let _ = args;
        Box::pin(ready(Err(unsupported_op(&op))))
    }
}

/// The failure of an operation that this host does not offer; its code is `unreachable`.
pub fn unsupported_op(op: &str) -> Failure {
    Failure::new(Code::UNREACHABLE, format!("This server does not offer {}", Shortened(op)))
}

/// Borrows `caller` for one call; a handler that takes services retains it.
pub(crate) fn raw<C: Caller>(caller: &Arc<C>) -> RawCaller {
    RawCaller { ctx: Arc::as_ptr(caller).cast(), vtable: &CallerVtableOf::<C>::VTABLE }
}

struct CallerVtableOf<C>(PhantomData<C>);

impl<C: Caller> CallerVtableOf<C> {
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
    // SAFETY: `ctx` is the `Arc<C>` of `raw`, which the package holds or borrows.
    unsafe { Arc::increment_strong_count(ctx.cast::<C>()) }
}

unsafe extern "C" fn release<C>(ctx: *const c_void) {
    // SAFETY: as above; the package gives back a count that it has retained.
    let dropped = catch_panic(|| unsafe { Arc::decrement_strong_count(ctx.cast::<C>()) });
    if let Err(panic) = dropped {
        tracing::error!(panic, "a caller panicked while it was dropped");
    }
}

unsafe extern "C" fn id<C: Caller>(ctx: *const c_void, sink: Sink) {
    // SAFETY: as in `retain`.
    let caller = unsafe { &*ctx.cast::<C>() };
    match catch_panic(|| caller.id()) {
        Ok(id) => {
            // SAFETY: the sink was passed to this call.
            let _ = unsafe { sink.write(id.as_bytes()) };
        }
        Err(panic) => tracing::error!(panic, "a caller panicked while its id was read"),
    }
}

unsafe extern "C" fn send_event<C: Caller>(ctx: *const c_void, event: Bytes, data: Bytes, sink: Sink) -> u32 {
    // SAFETY: as in `retain`; both texts were `&str` and live for this call.
    let (caller, event, data) = unsafe { (&*ctx.cast::<C>(), event.as_str(), data.as_str()) };
    let failure = match catch_panic(|| caller.send_event(event, data)) {
        Ok(Ok(())) => return status::OK,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            tracing::error!(panic, event, "a caller panicked in send_event");
            Failure::internal(Code::PANIC)
        }
    };
    let failure = serde_json::to_vec(&failure).unwrap_or_default();
    // SAFETY: the sink was passed to this call.
    let _ = unsafe { sink.write(&failure) };
    status::FAILED
}

unsafe extern "C" fn broadcast<C: Caller>(ctx: *const c_void, data: Bytes, include_self: bool) {
    // SAFETY: as in `send_event`.
    let (caller, data) = unsafe { (&*ctx.cast::<C>(), data.as_str()) };
    if let Err(panic) = catch_panic(|| caller.broadcast(data, include_self)) {
        tracing::error!(panic, "a caller panicked in broadcast");
    }
}

unsafe extern "C" fn host_op<C: Caller>(ctx: *const c_void, op: Bytes, args: Bytes, sink: Sink) -> u32 {
    // SAFETY: as in `send_event`.
    let (caller, op, args) = unsafe { (&*ctx.cast::<C>(), op.as_str(), args.as_str()) };
    let failure = match catch_panic(|| caller.host_op(op, args)) {
        Ok(Ok(result)) => {
            // SAFETY: the sink was passed to this call.
            let _ = unsafe { sink.write(result.as_bytes()) };
            return status::OK;
        }
        Ok(Err(failure)) => failure,
        Err(panic) => {
            tracing::error!(panic, op, "a caller panicked in host_op");
            Failure::internal(Code::PANIC)
        }
    };
    let failure = serde_json::to_vec(&failure).unwrap_or_default();
    // SAFETY: as above.
    let _ = unsafe { sink.write(&failure) };
    status::FAILED
}

unsafe extern "C" fn host_op_async<C: Caller>(ctx: *const c_void, op: Bytes, args: Bytes) -> RawCall {
    // SAFETY: as in `send_event`; the count that is added here is released by the `Arc`.
    let (caller, op, args) = unsafe {
        Arc::increment_strong_count(ctx.cast::<C>());
        (Arc::from_raw(ctx.cast::<C>()), op.as_str(), args.as_str())
    };
    let future = catch_panic(|| caller.host_op_async(op.to_owned(), args.to_owned())).unwrap_or_else(|panic| {
        tracing::error!(panic, op, "a caller panicked in host_op_async");
        Box::pin(ready(Err(Failure::internal(Code::PANIC))))
    });
    host_op::raw(future)
}
