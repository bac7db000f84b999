//! The host's connection, kept by a handler.

use std::fmt;

use aaw_protocol::{Code, Failure};

use crate::abi::{Bytes, RawCaller, status};
use crate::sink::Buffer;

/// Retained for as long as this lives; usable from any thread.
pub(crate) struct OwnedCaller(RawCaller);

// SAFETY: the ABI says of `CallerVtable` that its functions may be called from any thread.
unsafe impl Send for OwnedCaller {}
// SAFETY: and by several at once.
unsafe impl Sync for OwnedCaller {}

impl OwnedCaller {
    /// # Safety
    /// The host's, and alive during this call.
    pub(super) unsafe fn retain(caller: RawCaller) -> Self {
        // SAFETY: alive, as the caller vouches.
        unsafe { ((*caller.vtable).retain)(caller.ctx) };
        Self(caller)
    }

    pub(crate) fn id(&self) -> String {
        let mut id = Vec::new();
        // SAFETY: retained; the buffer outlives the call.
        unsafe { ((*self.0.vtable).id)(self.0.ctx, Buffer::unlimited(&mut id).sink()) };
        String::from_utf8_lossy(&id).into_owned()
    }

    /// `data` is JSON that serde_json wrote.
    pub(crate) fn send_event(&self, event: &str, data: &[u8]) -> Result<(), Failure> {
        let mut said = Vec::new();
        let mut buffer = Buffer::unlimited(&mut said);
        let (event, data) = (Bytes::of(event), Bytes::of_slice(data));
        // SAFETY: retained; serde_json writes UTF-8; everything outlives the call.
        let found = unsafe { ((*self.0.vtable).send_event)(self.0.ctx, event, data, buffer.sink()) };
        if found == status::OK {
            return Ok(());
        }
        Err(serde_json::from_slice(&said).unwrap_or_else(|_| Failure::internal(Code::HANDLER)))
    }

    /// `data` is JSON that serde_json wrote.
    pub(crate) fn broadcast(&self, data: &[u8], include_self: bool) {
        // SAFETY: as above.
        unsafe { ((*self.0.vtable).broadcast)(self.0.ctx, Bytes::of_slice(data), include_self) }
    }
}

impl Clone for OwnedCaller {
    fn clone(&self) -> Self {
        // SAFETY: retained by `self`.
        unsafe { Self::retain(self.0) }
    }
}

impl Drop for OwnedCaller {
    fn drop(&mut self) {
        // SAFETY: gives back what `retain` took, once.
        unsafe { ((*self.0.vtable).release)(self.0.ctx) }
    }
}

impl fmt::Debug for OwnedCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}
