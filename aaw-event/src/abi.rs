//! What crosses between a host and an events package: C-shaped structs, function pointers and `u32` codes.
//!
//! Host and package need not share a compiler, so nothing here is a Rust enum, a `String`, a `dyn` or a future. Both
//! sides of this file are this crate: `host` reads what `module` lays out.
//!
//! # Rules
//!
//! * [`ModuleHeader`] begins with magic, ABI number and size; these three never move.
//! * Tables only grow at their end. Each carries its `size` (or a stride), by which the other side knows what it may
//!   read. What means something else gets a new [`ABI`] number, which is part of the symbol's name.
//! * `Bytes` are borrowed for the one function call that they are handed to; only those in a [`ModuleHeader`] live
//!   as long as the library, which is for ever.
//! * A `Sink` may refuse what is written to it, so that its owner decides how much it copies.
//! * No function here unwinds. Each side contains the panics of its own code.
//! * What a package makes for a call (`RawCall`) is dropped before its `RawInstance` is stopped.
//!
//! # Streams, and what a caller sends
//!
//! A stream is a `RawCall` that gives `ITEM` again and again and then `END`, with the kind `STREAM`. What a caller sends
//! after its body is a `RawUpload`, which goes the other way: the host lends it with the call, in
//! `CallArgs::incoming`, the package retains it and polls it. Its wakers are the package's then, in the same table.
//! An event says by `entry_flags::TAKES_UPLOAD` that it looks at it.
//!
//! # Hooks
//!
//! What runs when a connection opens and when it has closed are entries of the kinds `OPEN` and `CLOSE`, with a body as
//! an event has: the JSON of what there is to know of the connection. They give `END`, or `ERROR`. What runs before the
//! events of a folder (`GUARD`), and what delivers the token of a forgotten password (`PASSWORD_RESET`), are the same.
//!
//! # What a handler asks of its host
//!
//! `CallerVtable::host_op` and `CallerVtable::host_op_async` take the name of an operation and its arguments as JSON, and give
//! its result as JSON: rooms, the caller's identity, a question to a client. So an operation that is added needs no new
//! function, and a host that does not offer one says so in words. What a handler awaits is a `RawCall` in the other
//! direction: the package polls and drops it, from any of its threads, and the host enters its own runtime where it needs
//! one. Both functions were appended: a package looks at the table's size before it calls them.
//!
//! # Room for what is to come
//!
//! A host that does not know a kind refuses the package by that event's name; so a new kind needs no new number of the
//! ABI, and a guard is never left out by a host that is too old for it.

use std::ffi::c_void;

/// The number of this ABI. A package of another number is refused.
pub const ABI: u32 = crate::__abi_number!();

/// How the names of the exported symbols begin; the package's name follows, with `_` for `-`.
///
/// The name of the package is part of the symbol so that two packages can be linked into one program.
pub const SYMBOL_PREFIX: &str = crate::__symbol!("");

/// The first bytes of every [`ModuleHeader`].
pub const MAGIC: [u8; 8] = *b"aaw-mod\0";

/// Values of [`ModuleHeader::flags`].
pub(crate) mod flags {
    /// Panics of the package unwind, so they can be contained. A package without this is refused.
    pub(crate) const UNWINDS: u32 = 1;
}

/// Values of [`EventEntry::kind`].
pub(crate) mod kind {
    pub(crate) const ANSWER: u32 = 1;
    pub(crate) const PLAIN: u32 = 2;
    pub(crate) const STREAM: u32 = 3;
    /// No event: runs when a connection has opened. Its name is `_open`.
    pub(crate) const OPEN: u32 = 4;
    /// No event: runs when a connection has ended. Its name is `_close`.
    pub(crate) const CLOSE: u32 = 5;
    /// No event: runs before each event of a folder. Its name is the folder's, with `/_guard` behind it.
    pub(crate) const GUARD: u32 = 6;
    /// No event: delivers the token of a forgotten password. Its name is `_password_reset`.
    pub(crate) const PASSWORD_RESET: u32 = 7;
}

/// Values of [`EventEntry::flags`]. A host leaves alone those that it does not know.
pub(crate) mod entry_flags {
    /// The event looks at `CallArgs::incoming`.
    pub(crate) const TAKES_UPLOAD: u32 = 1;
}

/// What a poll of a [`RawCall`] or of a [`RawUpload`] gives; the latter has the first four.
pub(crate) mod step {
    /// Not yet; the waker will be woken.
    pub(crate) const PENDING: u32 = 0;
    /// One item: its JSON was written to the sink.
    pub(crate) const ITEM: u32 = 1;
    /// There is nothing more.
    pub(crate) const END: u32 = 2;
    /// Failed: the JSON of an `aaw_protocol::Failure` was written to the sink.
    pub(crate) const ERROR: u32 = 3;
    /// Panicked: what is known of it was written to the sink as text.
    pub(crate) const PANIC: u32 = 4;
    /// The handler was not run: its body does not fit. The JSON of an `aaw_protocol::Failure` was written to the sink.
    pub(crate) const REFUSED: u32 = 5;
}

/// What a [`Sink`] answers to a write.
pub(crate) mod written {
    /// It has the bytes.
    pub(crate) const TAKEN: u32 = 0;
    /// It has none of them: they are more than its owner wants. Every value but `TAKEN` means that they were not taken.
    pub(crate) const TOO_LARGE: u32 = 1;
}

/// How a package was brought in; the host says so in [`ModuleHeader::start`].
pub(crate) mod mode {
    /// A library of its own, with its own statics: it runs its own runtime and forwards its logs.
    pub(crate) const LOADED: u32 = 0;
    /// Part of the host's binary: the host's runtime, logs and panic hook are the package's too.
    pub(crate) const LINKED: u32 = 1;
}

/// What the functions that can fail answer.
pub(crate) mod status {
    pub(crate) const OK: u32 = 0;
    /// The JSON of an `aaw_protocol::Failure` was written to the sink.
    pub(crate) const FAILED: u32 = 1;
}

/// The symbol that a package exports: who it is, what it offers, how to start it.
///
/// Made by `aaw_event::events!()` only; read by [`Module::loaded`](crate::host::Module::loaded).
#[repr(C)]
pub struct ModuleHeader {
    pub(crate) magic: [u8; 8],
    pub(crate) abi: u32,
    /// The size of this struct as the package was compiled.
    pub(crate) size: u32,
    pub(crate) flags: u32,
    /// From one [`EventEntry`] to the next, in bytes.
    pub(crate) event_stride: u32,
    pub(crate) package: Bytes,
    /// The version of aaw-event that the package was built with.
    pub(crate) sdk_version: Bytes,
    pub(crate) events: *const EventEntry,
    pub(crate) event_count: usize,
    pub(crate) start: Option<StartFn>,
}

// SAFETY: a header is made of constants: what it points to is static and never written.
unsafe impl Sync for ModuleHeader {}
// SAFETY: as above.
unsafe impl Send for ModuleHeader {}

/// One event of a package.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct EventEntry {
    pub(crate) name: Bytes,
    pub(crate) kind: u32,
    /// Values of [`entry_flags`]; zero in a package of before there were any.
    pub(crate) flags: u32,
    pub(crate) call: Option<CallFn>,
}

// SAFETY: as for `ModuleHeader`: constants only.
unsafe impl Sync for EventEntry {}
// SAFETY: as above.
unsafe impl Send for EventEntry {}

/// Starts a package. `given` is null, or (when linked) points to the `Arc` of services that the program hands in.
///
/// The host is borrowed: the package retains it. A null `data` in the answer means that it panicked.
pub(crate) type StartFn = unsafe extern "C" fn(host: RawHost, mode: u32, given: *const c_void) -> RawInstance;

/// Begins a call. The body is read before this returns; the caller is borrowed, the handler's services retain it.
pub(crate) type CallFn = unsafe extern "C" fn(instance: *const c_void, args: *const CallArgs) -> RawCall;

/// Bytes that somebody else owns. Text is UTF-8.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Bytes {
    ptr: *const u8,
    len: usize,
}

impl Bytes {
    pub(crate) const fn of(text: &str) -> Self {
        Self { ptr: text.as_ptr(), len: text.len() }
    }

    pub(crate) const fn of_slice(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// `None` when there is no memory at all, which an honest peer never says.
    ///
    /// # Safety
    /// The bytes live, unchanged, for `'a`.
    pub(crate) unsafe fn as_slice<'a>(self) -> Option<&'a [u8]> {
        if self.ptr.is_null() || self.len > isize::MAX as usize {
            return None;
        }
        // SAFETY: not null, not longer than memory can be; the caller vouches for the rest.
        Some(unsafe { std::slice::from_raw_parts(self.ptr, self.len) })
    }

    /// Checked text; `None` when it is none.
    ///
    /// # Safety
    /// As for [`Bytes::as_slice`].
    pub(crate) unsafe fn as_checked<'a>(self) -> Option<&'a str> {
        // SAFETY: handed on.
        unsafe { self.as_slice() }.and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Text that was a `&str` on the other side, not checked again: a body can be large.
    ///
    /// # Safety
    /// As for [`Bytes::as_slice`], and the bytes came out of a `&str`.
    pub(crate) unsafe fn as_str<'a>(self) -> &'a str {
        // SAFETY: a `&str` is never null, and UTF-8.
        unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(self.ptr, self.len)) }
    }
}

/// Where output goes: all of it in one write. A second write, of a panic after an item, say, replaces the first.
///
/// It belongs to whoever made it, for the one function call that it is handed to. A refusal (see [`written`]) needs
/// nothing of the writer: it gives its step as if the bytes had been taken, and the sink's owner knows that it has
/// refused them, and drops the call if it wants no more.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Sink {
    pub(crate) ctx: *mut c_void,
    /// Gives a value of [`written`].
    pub(crate) write: unsafe extern "C" fn(ctx: *mut c_void, bytes: Bytes) -> u32,
}

impl Sink {
    /// Gives a value of [`written`].
    ///
    /// # Safety
    /// Within the function call that the sink was handed to.
    pub(crate) unsafe fn write(self, bytes: &[u8]) -> u32 {
        // SAFETY: the caller vouches that the sink still lives; the bytes outlive the call.
        unsafe { (self.write)(self.ctx, Bytes::of_slice(bytes)) }
    }
}

/// A call that runs: of an event, or of what builds the services.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawCall {
    pub(crate) data: *mut c_void,
    pub(crate) vtable: *const CallVtable,
}

#[repr(C)]
pub(crate) struct CallVtable {
    pub(crate) size: usize,
    /// Gives a value of [`step`]. After `END`, `ERROR`, `PANIC` or `REFUSED`, and after an answer's `ITEM`, what the
    /// handler held has been dropped, and it gives `END`. Never called by two threads at once, by any thread in turn.
    pub(crate) poll: unsafe extern "C" fn(data: *mut c_void, waker: *const Waker, sink: Sink) -> u32,
    /// Frees the call; one that has not ended is cancelled by this.
    pub(crate) drop: unsafe extern "C" fn(data: *mut c_void),
}

/// A package that was started.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawInstance {
    pub(crate) data: *mut c_void,
    pub(crate) vtable: *const InstanceVtable,
}

#[repr(C)]
pub(crate) struct InstanceVtable {
    pub(crate) size: usize,
    /// Builds the services: to be polled to its `END` before the first call of an event. Called once.
    pub(crate) services: unsafe extern "C" fn(data: *mut c_void) -> RawCall,
    /// Frees the instance: its services are dropped and its runtime is shut down, perhaps after this has returned.
    pub(crate) stop: unsafe extern "C" fn(data: *mut c_void),
}

/// What a call comes with.
#[repr(C)]
pub(crate) struct CallArgs {
    pub(crate) size: usize,
    /// The event's name: the package's own text out of its [`EventEntry`].
    pub(crate) event: Bytes,
    /// JSON; empty when the caller sent none.
    pub(crate) body: Bytes,
    pub(crate) caller: RawCaller,
    /// What the caller sends after its body; null where it sends nothing. Borrowed: the package retains what it points
    /// to, for a handler that takes it.
    pub(crate) incoming: *const RawUpload,
}

/// Who calls: the connection, as the host provides it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawCaller {
    pub(crate) ctx: *const c_void,
    pub(crate) vtable: *const CallerVtable,
}

/// May be used from any thread, for as long as it is retained: longer than the call.
#[repr(C)]
pub(crate) struct CallerVtable {
    pub(crate) size: usize,
    pub(crate) retain: unsafe extern "C" fn(ctx: *const c_void),
    pub(crate) release: unsafe extern "C" fn(ctx: *const c_void),
    pub(crate) id: unsafe extern "C" fn(ctx: *const c_void, sink: Sink),
    /// Gives a value of [`status`].
    pub(crate) send_event: unsafe extern "C" fn(ctx: *const c_void, event: Bytes, data: Bytes, sink: Sink) -> u32,
    pub(crate) broadcast: unsafe extern "C" fn(ctx: *const c_void, data: Bytes, include_self: bool),
    /// Does `op` at once. Gives a value of [`status`]: with `OK` the JSON of its result was written to the sink. Not in
    /// the table of a host of before.
    pub(crate) host_op: unsafe extern "C" fn(ctx: *const c_void, op: Bytes, args: Bytes, sink: Sink) -> u32,
    /// Begins `op`. Its call gives `PENDING`, `ITEM` (the JSON of its result) or `ERROR`, nothing after one of the latter
    /// two, and is cancelled by being dropped; it keeps the host's side of what it needs. Its wakers are the package's.
    /// Not in the table of a host of before.
    pub(crate) host_op_async: unsafe extern "C" fn(ctx: *const c_void, op: Bytes, args: Bytes) -> RawCall,
}

/// What a caller sends after its body, as the host provides it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawUpload {
    pub(crate) ctx: *const c_void,
    pub(crate) vtable: *const UploadVtable,
}

/// May be used from any thread, for as long as it is retained: longer than the call.
#[repr(C)]
pub(crate) struct UploadVtable {
    pub(crate) size: usize,
    pub(crate) retain: unsafe extern "C" fn(ctx: *const c_void),
    pub(crate) release: unsafe extern "C" fn(ctx: *const c_void),
    /// Gives `PENDING`, `ITEM`, `END` or `ERROR` of [`step`]. After `END` or `ERROR` it is not called again. The waker
    /// is the package's, for the length of the poll.
    pub(crate) poll: unsafe extern "C" fn(ctx: *const c_void, waker: *const Waker, sink: Sink) -> u32,
}

/// What the host does for a package as a whole.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawHost {
    pub(crate) ctx: *const c_void,
    pub(crate) vtable: *const HostVtable,
}

/// May be used from any thread, for as long as it is retained.
#[repr(C)]
pub(crate) struct HostVtable {
    pub(crate) size: usize,
    pub(crate) retain: unsafe extern "C" fn(ctx: *const c_void),
    pub(crate) release: unsafe extern "C" fn(ctx: *const c_void),
    /// Levels are numbers: 1 error, 2 warn, 3 info, 4 debug, 5 trace.
    pub(crate) log: unsafe extern "C" fn(ctx: *const c_void, level: u32, target: Bytes, message: Bytes),
    /// The most verbose level that is wanted; 0 for none.
    pub(crate) max_level: unsafe extern "C" fn(ctx: *const c_void) -> u32,
}

/// A waker of whoever polls, for the length of one poll. What must outlive the poll is cloned.
#[repr(C)]
pub(crate) struct Waker {
    pub(crate) vtable: *const WakerVtable,
    // The owner's own fields follow.
}

#[repr(C)]
pub(crate) struct WakerVtable {
    pub(crate) size: usize,
    pub(crate) clone: unsafe extern "C" fn(waker: *const Waker) -> *const Waker,
    /// Wakes and frees.
    pub(crate) wake: unsafe extern "C" fn(waker: *const Waker),
    pub(crate) wake_by_ref: unsafe extern "C" fn(waker: *const Waker),
    pub(crate) drop: unsafe extern "C" fn(waker: *const Waker),
}
