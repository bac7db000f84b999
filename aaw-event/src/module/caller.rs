//! The host's connection, kept by a handler.

use std::fmt;
use std::mem::offset_of;

use aaw_protocol::{Code, Failure};

use super::host_op::Asking;
use crate::abi::{Bytes, CallerVtable, RawCaller, status};
use crate::host::unsupported_op;
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

    /// Has the host do something at once, and gives the JSON of its result. `args` is JSON that serde_json wrote.
    pub(crate) fn host_op(&self, op: &str, args: &[u8]) -> Result<Vec<u8>, Failure> {
        if self.table_len() < HOST_OP_END {
            return Err(unsupported_op(op));
        }
        let mut said = Vec::new();
        let mut buffer = Buffer::unlimited(&mut said);
        let (name, args) = (Bytes::of(op), Bytes::of_slice(args));
        // SAFETY: as in `send_event`; the table is long enough.
        let found = unsafe { ((*self.0.vtable).host_op)(self.0.ctx, name, args, buffer.sink()) };
        if found == status::OK {
            return Ok(said);
        }
        Err(serde_json::from_slice(&said).unwrap_or_else(|_| Failure::internal(Code::HANDLER)))
    }

    /// Has the host begin something. `args` is JSON that serde_json wrote.
    pub(crate) fn host_op_async(&self, op: &str, args: &[u8]) -> Result<Asking, Failure> {
        if self.table_len() < HOST_OP_ASYNC_END {
            return Err(unsupported_op(op));
        }
        // SAFETY: as in `host_op`; what is given is kept nowhere else.
        Ok(unsafe { Asking::new(((*self.0.vtable).host_op_async)(self.0.ctx, Bytes::of(op), Bytes::of_slice(args))) })
    }

    /// A host of before has a shorter table.
    fn table_len(&self) -> usize {
        // SAFETY: retained, and its size comes first in every table.
        unsafe { (&raw const (*self.0.vtable).size).read() }
    }
}

/// How long a table is that has these functions.
const HOST_OP_END: usize = offset_of!(CallerVtable, host_op) + size_of::<usize>();
const HOST_OP_ASYNC_END: usize = offset_of!(CallerVtable, host_op_async) + size_of::<usize>();

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

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use super::*;
    use crate::abi::Sink;

    unsafe extern "C" fn nothing(_: *const c_void) {}

    unsafe extern "C" fn no_id(_: *const c_void, _: Sink) {}

    unsafe extern "C" fn never(_: *const c_void, _: Bytes, _: Bytes, _: Sink) -> u32 {
        panic!("it is not in the table")
    }

    unsafe extern "C" fn never_awaited(_: *const c_void, _: Bytes, _: Bytes) -> crate::abi::RawCall {
        panic!("it is not in the table")
    }

    unsafe extern "C" fn no_broadcast(_: *const c_void, _: Bytes, _: bool) {}

    #[test]
    fn a_host_of_before_is_not_asked_for_what_its_table_lacks() {
        for size in [offset_of!(CallerVtable, host_op), offset_of!(CallerVtable, host_op_async)] {
            let vtable = CallerVtable {
                size,
                retain: nothing,
                release: nothing,
                id: no_id,
                send_event: never,
                broadcast: no_broadcast,
                host_op: never,
                host_op_async: never_awaited,
            };
            // SAFETY: the table outlives the caller.
            let caller = unsafe { OwnedCaller::retain(RawCaller { ctx: std::ptr::null(), vtable: &raw const vtable }) };
            if size == offset_of!(CallerVtable, host_op) {
                assert_eq!(caller.host_op("room/join", b"{}"), Err(unsupported_op("room/join")));
            }
            assert_eq!(caller.host_op_async("logout", b"{}").err(), Some(unsupported_op("logout")));
        }
    }
}
