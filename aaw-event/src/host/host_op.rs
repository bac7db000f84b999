//! A host operation that a handler awaits: a future of the host, polled by a package.

use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use crate::abi::{self, CallVtable, RawCall, Sink, step};
use crate::catch_panic::catch_panic;
use crate::waker;

type HostOpFuture = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

/// `None` once the operation has ended.
type HostOpState = Option<HostOpFuture>;

static VTABLE: CallVtable = CallVtable { size: size_of::<CallVtable>(), poll, drop: drop_op, poll_items: None };

/// Boxes `future` as a call, which the receiver owns.
pub(super) fn raw(future: HostOpFuture) -> RawCall {
    RawCall { data: Box::into_raw(Box::new(Some(future) as HostOpState)).cast(), vtable: &VTABLE }
}

unsafe extern "C" fn poll(data: *mut c_void, waker: *const abi::Waker, sink: Sink) -> u32 {
    // SAFETY: `data` is the box of `raw`, and a call is polled by one thread at a time.
    let state = unsafe { &mut *data.cast::<HostOpState>() };
    let polled = catch_panic(|| {
        let Some(future) = state else { return None };
        // SAFETY: the package's waker lives for the length of this poll.
        let waker = unsafe { waker::borrow(waker) };
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            *state = None;
        }
        Some(polled)
    });
    let failure = match polled {
        Ok(Some(Poll::Pending)) => return step::PENDING,
        Ok(None) => return step::END,
        Ok(Some(Poll::Ready(Ok(result)))) => {
            // SAFETY: the sink was passed to this call.
            let _ = unsafe { sink.write(result.as_bytes()) };
            return step::ITEM;
        }
        Ok(Some(Poll::Ready(Err(failure)))) => failure,
        Err(panic) => {
            tracing::error!(panic, "a host operation panicked");
            drop_future(state);
            Failure::internal(Code::PANIC)
        }
    };
    let failure = serde_json::to_vec(&failure).unwrap_or_default();
    // SAFETY: as above.
    let _ = unsafe { sink.write(&failure) };
    step::ERROR
}

unsafe extern "C" fn drop_op(data: *mut c_void) {
    // SAFETY: the box of `raw`; a call is dropped once, and not used again.
    let mut state = unsafe { Box::from_raw(data.cast::<HostOpState>()) };
    drop_future(&mut state);
}

fn drop_future(state: &mut HostOpState) {
    if let Err(panic) = catch_panic(|| *state = None) {
        tracing::error!(panic, "a host operation panicked while it was dropped");
    }
}
