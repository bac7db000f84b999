//! What a caller sends after its body, kept by a handler.

use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use crate::abi::{RawUpload, step};
use crate::sink::Buffer;
use crate::waker::Lent;

/// Retained for as long as this lives; usable from any thread.
pub(crate) struct OwnedUpload(RawUpload);

// SAFETY: the ABI says of `UploadVtable` that its functions may be called from any thread.
unsafe impl Send for OwnedUpload {}
// SAFETY: and polling it needs it mutably.
unsafe impl Sync for OwnedUpload {}

impl OwnedUpload {
    /// `None` where the caller sends nothing.
    ///
    /// # Safety
    /// Null, or the host's, and alive during this call.
    pub(super) unsafe fn retain(incoming: *const RawUpload) -> Option<Self> {
        // SAFETY: null or alive, as the caller vouches.
        let incoming = *unsafe { incoming.as_ref() }?;
        // SAFETY: as above.
        unsafe { ((*incoming.vtable).retain)(incoming.ctx) };
        Some(Self(incoming))
    }

    /// Appends the next item's JSON to `out`. Not to be polled again after its end (`None`) or an error.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Option<Result<(), Failure>>> {
        let head_len = out.len();
        let mut buffer = Buffer::unlimited(out);
        // SAFETY: retained; waker and sink outlive the poll.
        let found =
            Lent::lend(cx.waker(), |waker| unsafe { ((*self.0.vtable).poll)(self.0.ctx, waker, buffer.sink()) });
        match found {
            step::PENDING => Poll::Pending,
            step::ITEM => Poll::Ready(Some(Ok(()))),
            step::END => Poll::Ready(None),
            _ => {
                let failure = serde_json::from_slice(&out[head_len..]);
                Poll::Ready(Some(Err(failure.unwrap_or_else(|_| Failure::internal(Code::HANDLER)))))
            }
        }
    }
}

impl Drop for OwnedUpload {
    fn drop(&mut self) {
        // SAFETY: gives back what `retain` took, once.
        unsafe { ((*self.0.vtable).release)(self.0.ctx) }
    }
}
