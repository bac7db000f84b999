//! A caller's upload, as the host provides it to a package.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use crate::abi::{self, RawUpload, Sink, UploadVtable, step};
use crate::catch_panic::catch_panic;
use crate::{scratch, waker};

/// The items that a caller sends after its body, for a handler that takes [`Upload<T>`](crate::Upload).
///
/// A handler may keep the upload beyond its call and poll it from tasks and threads of its package: never from two
/// threads at once, and not within the host's runtime. Once the handler has dropped the upload, it is not polled again;
/// items that have not been polled by then are not wanted. A panic in an implementation is caught, and ends the upload.
///
/// Implementations must wake wakers outside of locks: waking may run code of the package.
pub trait UploadSource: Send + Sync + 'static {
    /// Polls for the next item.
    ///
    /// With [`UploadStep::Item`], the item's JSON has been appended to `out`, which is empty on entry. When there is no
    /// item yet, the implementation keeps the waker. It is not called again after an end or a failure.
    fn poll_next(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<UploadStep>;
}

/// What a poll of an [`UploadSource`] returns.
#[derive(Debug, Clone, PartialEq)]
pub enum UploadStep {
    /// The next item: its JSON was appended.
    Item,
    /// The caller has sent all items.
    End,
    /// The upload was interrupted. The handler receives this failure as an error, whose message is meant for the
    /// caller.
    Failed(Failure),
}

/// Borrows `upload` for one call; a handler that takes it retains it.
pub(crate) fn raw<U: UploadSource>(upload: &Arc<U>) -> RawUpload {
    RawUpload { ctx: Arc::as_ptr(upload).cast(), vtable: &UploadVtableOf::<U>::VTABLE }
}

struct UploadVtableOf<U>(PhantomData<U>);

impl<U: UploadSource> UploadVtableOf<U> {
    const VTABLE: UploadVtable =
        UploadVtable { size: size_of::<UploadVtable>(), retain: retain::<U>, release: release::<U>, poll: poll::<U> };
}

unsafe extern "C" fn retain<U>(ctx: *const c_void) {
    // SAFETY: `ctx` is the `Arc<U>` of `raw`, which the package holds or borrows.
    unsafe { Arc::increment_strong_count(ctx.cast::<U>()) }
}

unsafe extern "C" fn release<U>(ctx: *const c_void) {
    // SAFETY: as above; the package gives back a count that it has retained.
    let dropped = catch_panic(|| unsafe { Arc::decrement_strong_count(ctx.cast::<U>()) });
    if let Err(panic) = dropped {
        tracing::error!(panic, "an upload panicked while it was dropped");
    }
}

unsafe extern "C" fn poll<U: UploadSource>(ctx: *const c_void, waker: *const abi::Waker, sink: Sink) -> u32 {
    // SAFETY: as in `retain`.
    let upload = unsafe { &*ctx.cast::<U>() };
    scratch::with_buffer(|out| {
        let polled = catch_panic(|| {
            // SAFETY: the package's waker lives for the length of this poll.
            let waker = unsafe { waker::borrow(waker) };
            upload.poll_next(&mut Context::from_waker(&waker), out)
        });
        let failure = match polled {
            Ok(Poll::Pending) => return step::PENDING,
            Ok(Poll::Ready(UploadStep::Item)) => {
                // SAFETY: the sink was passed to this call.
                let _ = unsafe { sink.write(out) };
                return step::ITEM;
            }
            Ok(Poll::Ready(UploadStep::End)) => return step::END,
            Ok(Poll::Ready(UploadStep::Failed(failure))) => failure,
            Err(panic) => {
                tracing::error!(panic, "an upload panicked when polled for an item");
                Failure::internal(Code::PANIC)
            }
        };
        let failure = serde_json::to_vec(&failure).unwrap_or_default();
        // SAFETY: as above.
        let _ = unsafe { sink.write(&failure) };
        step::ERROR
    })
}
