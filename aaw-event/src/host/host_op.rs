//! What a handler awaits of its host: a future of the host's, polled by a package.

use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use crate::abi::{self, CallVtable, RawCall, Sink, step};
use crate::contain::contained;
use crate::waker;

type Answering = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send>>;

/// `None` when it has ended.
type Asked = Option<Answering>;

static VTABLE: CallVtable = CallVtable { size: size_of::<CallVtable>(), poll, drop: drop_asked };

/// Owned by whoever gets it.
pub(super) fn raw(future: Answering) -> RawCall {
    RawCall { data: Box::into_raw(Box::new(Some(future) as Asked)).cast(), vtable: &VTABLE }
}

unsafe extern "C" fn poll(data: *mut c_void, waker: *const abi::Waker, sink: Sink) -> u32 {
    // SAFETY: `data` is the box of `raw`, and a call is polled by one thread at a time.
    let asked = unsafe { &mut *data.cast::<Asked>() };
    let polled = contained(|| {
        let Some(future) = asked else { return None };
        // SAFETY: the package's waker lives as long as this poll.
        let waker = unsafe { waker::borrowed(waker) };
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            *asked = None;
        }
        Some(polled)
    });
    let failure = match polled {
        Ok(Some(Poll::Pending)) => return step::PENDING,
        Ok(None) => return step::END,
        Ok(Some(Poll::Ready(Ok(result)))) => {
            // SAFETY: the sink was handed to this very call.
            let _ = unsafe { sink.write(result.as_bytes()) };
            return step::ITEM;
        }
        Ok(Some(Poll::Ready(Err(failure)))) => failure,
        Err(panic) => {
            tracing::error!(panic, "what a handler asked of its connection panicked");
            end(asked);
            Failure::internal(Code::PANIC)
        }
    };
    let failure = serde_json::to_vec(&failure).unwrap_or_default();
    // SAFETY: as above.
    let _ = unsafe { sink.write(&failure) };
    step::ERROR
}

unsafe extern "C" fn drop_asked(data: *mut c_void) {
    // SAFETY: the box of `raw`; a call is dropped once, and used no more.
    let mut asked = unsafe { Box::from_raw(data.cast::<Asked>()) };
    end(&mut asked);
}

fn end(asked: &mut Asked) {
    if let Err(panic) = contained(|| *asked = None) {
        tracing::error!(panic, "what a handler asked of its connection panicked while it was dropped");
    }
}
