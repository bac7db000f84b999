//! What a caller sends after its body, as the host provides it.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use crate::abi::{self, RawUpload, Sink, UploadVtable, step};
use crate::contain::contained;
use crate::{scratch, waker};

/// A caller's stream of items, for a handler that takes `UploadSource<T>`.
///
/// A handler keeps it beyond its call if it likes, and polls it from tasks and threads of its package: never from two at
/// once, and not within the host's runtime. When the handler has let it go, nobody polls it again; what it has not asked
/// for by then, it does not want. A panic in here is contained, and ends the stream.
///
/// Wake wakers outside of locks: that may run code of the package.
pub trait UploadSource: Send + Sync + 'static {
    /// Appends the next item's JSON to `out`, which is empty, and gives [`UploadStep::Item`]; keeps the waker when
    /// there is none yet. After an end or a failure it is not called again.
    fn poll_next(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<UploadStep>;
}

/// What a poll of an [`UploadSource`] gives.
#[derive(Debug, Clone, PartialEq)]
pub enum UploadStep {
    /// The next item.
    Item,
    /// The caller has sent all.
    End,
    /// Nothing more comes, for this reason: the handler gets it as an error, whose words are for the caller.
    Failed(Failure),
}

/// Borrowed for the call that it is handed to; a handler that takes it retains it.
pub(super) fn raw<I: UploadSource>(incoming: &Arc<I>) -> RawUpload {
    RawUpload { ctx: Arc::as_ptr(incoming).cast(), vtable: &Table::<I>::VTABLE }
}

struct Table<I>(PhantomData<I>);

impl<I: UploadSource> Table<I> {
    const VTABLE: UploadVtable =
        UploadVtable { size: size_of::<UploadVtable>(), retain: retain::<I>, release: release::<I>, poll: poll::<I> };
}

unsafe extern "C" fn retain<I>(ctx: *const c_void) {
    // SAFETY: `ctx` is the `Arc<I>` of `raw`, and whoever calls holds or borrows it.
    unsafe { Arc::increment_strong_count(ctx.cast::<I>()) }
}

unsafe extern "C" fn release<I>(ctx: *const c_void) {
    // SAFETY: as above; it gives back what it has retained.
    let dropped = contained(|| unsafe { Arc::decrement_strong_count(ctx.cast::<I>()) });
    if let Err(panic) = dropped {
        tracing::error!(panic, "what a caller sends panicked while it was dropped");
    }
}

unsafe extern "C" fn poll<I: UploadSource>(ctx: *const c_void, waker: *const abi::Waker, sink: Sink) -> u32 {
    // SAFETY: as in `retain`.
    let incoming = unsafe { &*ctx.cast::<I>() };
    scratch::with(|out| {
        let polled = contained(|| {
            // SAFETY: the package's waker lives as long as this poll.
            let waker = unsafe { waker::borrowed(waker) };
            incoming.poll_next(&mut Context::from_waker(&waker), out)
        });
        let failure = match polled {
            Ok(Poll::Pending) => return step::PENDING,
            Ok(Poll::Ready(UploadStep::Item)) => {
                // SAFETY: the sink was handed to this very call.
                let _ = unsafe { sink.write(out) };
                return step::ITEM;
            }
            Ok(Poll::Ready(UploadStep::End)) => return step::END,
            Ok(Poll::Ready(UploadStep::Failed(failure))) => failure,
            Err(panic) => {
                tracing::error!(panic, "what a caller sends panicked when asked for an item");
                Failure::internal(Code::PANIC)
            }
        };
        let failure = serde_json::to_vec(&failure).unwrap_or_default();
        // SAFETY: as above.
        let _ = unsafe { sink.write(&failure) };
        step::ERROR
    })
}
