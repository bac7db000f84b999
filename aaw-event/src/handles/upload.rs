//! The handle to a caller's upload.

use std::sync::Arc;
use std::task::{Context, Poll};

use aaw_protocol::{Code, Failure};

use crate::abi::{RawUpload, step};
use crate::host::{self, UploadSource};
use crate::sink::SinkBuffer;
use crate::waker;

/// Retained for as long as this lives; usable from any thread.
pub struct UploadHandle(RawUpload);

// SAFETY: the ABI lets any thread call the functions of an `UploadVtable`.
unsafe impl Send for UploadHandle {}
// SAFETY: a shared reference has no methods; polling requires `&mut self`.
unsafe impl Sync for UploadHandle {}

impl UploadHandle {
    /// Retains the upload of a call; `None` when the caller sends none.
    ///
    /// # Safety
    /// `upload` is null, or the host's and alive during this call.
    pub(crate) unsafe fn retain(upload: *const RawUpload) -> Option<Self> {
        // SAFETY: null or alive, as the caller guarantees.
        let upload = *unsafe { upload.as_ref() }?;
        // SAFETY: as above.
        unsafe { ((*upload.vtable).retain)(upload.ctx) };
        Some(Self(upload))
    }

    /// An upload that is implemented in this program.
    pub(crate) fn new<U: UploadSource>(upload: &Arc<U>) -> Self {
        let raw = host::raw_upload(upload);
        // SAFETY: `upload` is borrowed, so alive.
        unsafe { ((*raw.vtable).retain)(raw.ctx) };
        Self(raw)
    }

    /// Polls for the next item and appends its JSON to `out`. Must not be polled again after the end (`None`) or an
    /// error.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<Option<Result<(), Failure>>> {
        let head_len = out.len();
        let mut buffer = SinkBuffer::unlimited(out);
        // SAFETY: retained; waker and sink outlive the poll.
        let code =
            waker::lend(cx.waker(), |waker| unsafe { ((*self.0.vtable).poll)(self.0.ctx, waker, buffer.sink()) });
        match code {
            step::PENDING => Poll::Pending,
            step::ITEM => Poll::Ready(Some(Ok(()))),
            step::END => Poll::Ready(None),
            _ => {
                let failure = serde_json::from_slice(&out[head_len..]);
                Poll::Ready(Some(Err(failure.unwrap_or_else(|_| Failure::internal(Code::INTERNAL)))))
            }
        }
    }
}

impl Drop for UploadHandle {
    fn drop(&mut self) {
        // SAFETY: releases the count that the constructor has retained, once.
        unsafe { ((*self.0.vtable).release)(self.0.ctx) }
    }
}
