//! The handle to the connection or request behind a call.

use std::fmt;
use std::mem::offset_of;
use std::sync::Arc;

use aaw_protocol::{Code, Failure};

use super::host_op::PendingHostOp;
use crate::abi::{Bytes, CallerVtable, RawCaller, status};
use crate::host::{self, Caller, unsupported_op};
use crate::sink::SinkBuffer;

/// Retained for as long as this lives; usable from any thread.
pub struct CallerHandle(RawCaller);

// SAFETY: the ABI lets any thread call the functions of a `CallerVtable`.
unsafe impl Send for CallerHandle {}
// SAFETY: the ABI lets several threads call them at once.
unsafe impl Sync for CallerHandle {}

impl CallerHandle {
    /// Retains the caller of a call.
    ///
    /// # Safety
    /// `caller` is the host's, and alive during this call.
    pub(crate) unsafe fn retain(caller: RawCaller) -> Self {
        // SAFETY: alive, as the caller of this function guarantees.
        unsafe { ((*caller.vtable).retain)(caller.ctx) };
        Self(caller)
    }

    /// A caller that is implemented in this program.
    pub(crate) fn new<C: Caller>(caller: &Arc<C>) -> Self {
        // SAFETY: `caller` is borrowed, so alive.
        unsafe { Self::retain(host::raw_caller(caller)) }
    }

    pub(crate) fn id(&self) -> String {
        let mut id = Vec::new();
        // SAFETY: retained; the buffer outlives the call.
        unsafe { ((*self.0.vtable).id)(self.0.ctx, SinkBuffer::unlimited(&mut id).sink()) };
        String::from_utf8_lossy(&id).into_owned()
    }

    /// `data` is JSON written by serde_json.
    pub(crate) fn send_event(&self, event: &str, data: &[u8]) -> Result<(), Failure> {
        let mut out = Vec::new();
        let mut buffer = SinkBuffer::unlimited(&mut out);
        let (event, data) = (Bytes::of(event), Bytes::of_slice(data));
        // SAFETY: retained; serde_json writes UTF-8; everything outlives the call.
        let code = unsafe { ((*self.0.vtable).send_event)(self.0.ctx, event, data, buffer.sink()) };
        if code == status::OK { Ok(()) } else { Err(parse_failure(&out)) }
    }

    /// `data` is JSON written by serde_json.
    pub(crate) fn broadcast(&self, data: &[u8], include_self: bool) {
        // SAFETY: as in `send_event`.
        unsafe { ((*self.0.vtable).broadcast)(self.0.ctx, Bytes::of_slice(data), include_self) }
    }

    /// Performs an operation that does not wait, and returns the JSON of its result. `args` is JSON written by
    /// serde_json.
    pub(crate) fn host_op(&self, op: &str, args: &[u8]) -> Result<Vec<u8>, Failure> {
        if self.table_len() < LEN_WITH_HOST_OP {
            return Err(unsupported_op(op));
        }
        let mut out = Vec::new();
        let mut buffer = SinkBuffer::unlimited(&mut out);
        let (name, args) = (Bytes::of(op), Bytes::of_slice(args));
        // SAFETY: as in `send_event`; the table is long enough.
        let code = unsafe { ((*self.0.vtable).host_op)(self.0.ctx, name, args, buffer.sink()) };
        if code == status::OK { Ok(out) } else { Err(parse_failure(&out)) }
    }

    /// Begins an operation that is awaited. `args` is JSON written by serde_json.
    pub(crate) fn host_op_async(&self, op: &str, args: &[u8]) -> Result<PendingHostOp, Failure> {
        if self.table_len() < LEN_WITH_HOST_OP_ASYNC {
            return Err(unsupported_op(op));
        }
        let (op, args) = (Bytes::of(op), Bytes::of_slice(args));
        // SAFETY: as in `host_op`; the returned call is kept nowhere else.
        Ok(unsafe { PendingHostOp::new(((*self.0.vtable).host_op_async)(self.0.ctx, op, args)) })
    }

    /// The table of an older host is shorter.
    fn table_len(&self) -> usize {
        // SAFETY: retained, and the size comes first in every table.
        unsafe { (&raw const (*self.0.vtable).size).read() }
    }
}

fn parse_failure(json: &[u8]) -> Failure {
    serde_json::from_slice(json).unwrap_or_else(|_| Failure::internal(Code::INTERNAL))
}

/// The length of a table that contains this function.
const LEN_WITH_HOST_OP: usize = offset_of!(CallerVtable, host_op) + size_of::<usize>();
const LEN_WITH_HOST_OP_ASYNC: usize = offset_of!(CallerVtable, host_op_async) + size_of::<usize>();

impl Clone for CallerHandle {
    fn clone(&self) -> Self {
        // SAFETY: `self` has retained it, so it is alive.
        unsafe { Self::retain(self.0) }
    }
}

impl Drop for CallerHandle {
    fn drop(&mut self) {
        // SAFETY: releases the count that `retain` took, once.
        unsafe { ((*self.0.vtable).release)(self.0.ctx) }
    }
}

impl fmt::Debug for CallerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use super::*;
    use crate::abi::{RawCall, Sink};

    unsafe extern "C" fn no_op(_: *const c_void) {}

    unsafe extern "C" fn no_id(_: *const c_void, _: Sink) {}

    unsafe extern "C" fn absent(_: *const c_void, _: Bytes, _: Bytes, _: Sink) -> u32 {
        panic!("called a function that the table does not contain")
    }

    unsafe extern "C" fn absent_async(_: *const c_void, _: Bytes, _: Bytes) -> RawCall {
        panic!("called a function that the table does not contain")
    }

    unsafe extern "C" fn no_broadcast(_: *const c_void, _: Bytes, _: bool) {}

    #[test]
    fn functions_that_an_older_hosts_table_lacks_are_not_called() {
        for size in [offset_of!(CallerVtable, host_op), offset_of!(CallerVtable, host_op_async)] {
            let vtable = CallerVtable {
                size,
                retain: no_op,
                release: no_op,
                id: no_id,
                send_event: absent,
                broadcast: no_broadcast,
                host_op: absent,
                host_op_async: absent_async,
            };
            // SAFETY: the table outlives the handle.
            let caller =
                unsafe { CallerHandle::retain(RawCaller { ctx: std::ptr::null(), vtable: &raw const vtable }) };
            if size == offset_of!(CallerVtable, host_op) {
                assert_eq!(caller.host_op("room/join", b"{}"), Err(unsupported_op("room/join")));
            }
            assert_eq!(caller.host_op_async("logout", b"{}").err(), Some(unsupported_op("logout")));
        }
    }
}
