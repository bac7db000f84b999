//! Something that the host was asked for, and that a handler waits for.

use std::fmt;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use crate::abi::{RawCall, step};
use crate::sink::Buffer;
use crate::waker::Lent;

/// Cancelled when dropped; usable from any thread.
pub(crate) struct Asking(RawCall);

// SAFETY: the ABI says of what `host_op_async` gives that any thread may poll and drop it.
unsafe impl Send for Asking {}
// SAFETY: and polling it needs it mutably.
unsafe impl Sync for Asking {}

impl Asking {
    /// # Safety
    /// Given by `CallerVtable::host_op_async`, and kept nowhere else.
    pub(super) unsafe fn new(raw: RawCall) -> Self {
        Self(raw)
    }

    /// The JSON of its result. Not to be polled again after its end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, Failure>> {
        let mut said = Vec::new();
        let mut buffer = Buffer::unlimited(&mut said);
        // SAFETY: owned, and `&mut self` makes this its only poll; waker and sink outlive it.
        let found =
            Lent::lend(cx.waker(), |waker| unsafe { ((*self.0.vtable).poll)(self.0.data, waker, buffer.sink()) });
        Poll::Ready(match found {
            step::PENDING => return Poll::Pending,
            step::ITEM => Ok(said),
            _ => Err(serde_json::from_slice(&said).unwrap_or_else(|_| Failure::internal(Code::HANDLER))),
        })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // SAFETY: owned, and used no more.
        unsafe { ((*self.0.vtable).drop)(self.0.data) }
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}
