//! What a handler finds as `services.ws`, as the host provides it.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

use aaw_protocol::{Code, Failure};

use crate::abi::{Bytes, CallerVtable, RawCaller, Sink, status};
use crate::contain::contained;

/// The connection that a call came from.
///
/// Handlers keep it (as `services.ws`) beyond their call and use it from tasks and other threads, also when the
/// connection has long gone. A panic in here is contained and logged.
///
/// Methods will be added for what else a handler may ask of a connection: its rooms, its identity, a call to the
/// client. Each will have a default, which says that this host does not offer it.
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
