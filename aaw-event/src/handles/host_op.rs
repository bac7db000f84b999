//! The handle to a host operation that a handler awaits.

use std::fmt;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use crate::abi::{RawCall, step};
use crate::sink::SinkBuffer;
use crate::waker;

/// A host operation in progress. Dropping it cancels the operation; usable from any thread.
pub(crate) struct PendingHostOp(RawCall);

// SAFETY: the ABI lets any thread poll and drop what `host_op_async` returns.
unsafe impl Send for PendingHostOp {}
// SAFETY: a shared reference has no methods; polling requires `&mut self`.
unsafe impl Sync for PendingHostOp {}

impl PendingHostOp {
    /// # Safety
    /// `raw` was returned by `CallerVtable::host_op_async`, and is kept nowhere else.
    pub(super) unsafe fn new(raw: RawCall) -> Self {
        Self(raw)
    }

    /// Polls for the JSON of the result. Must not be polled again once it was ready.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, Failure>> {
        let mut out = Vec::new();
        let mut buffer = SinkBuffer::unlimited(&mut out);
        // SAFETY: owned, and `&mut self` makes this the only poll; waker and sink outlive it.
        let code =
            waker::lend(cx.waker(), |waker| unsafe { ((*self.0.vtable).poll)(self.0.data, waker, buffer.sink()) });
        Poll::Ready(match code {
            step::PENDING => return Poll::Pending,
            step::ITEM => Ok(out),
            _ => Err(serde_json::from_slice(&out).unwrap_or_else(|_| Failure::internal(Code::INTERNAL))),
        })
    }
}

impl Drop for PendingHostOp {
    fn drop(&mut self) {
        // SAFETY: owned, and not used again.
        unsafe { ((*self.0.vtable).drop)(self.0.data) }
    }
}

impl fmt::Debug for PendingHostOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingHostOp").finish_non_exhaustive()
    }
}
