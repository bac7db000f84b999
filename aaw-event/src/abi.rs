//! The module ABI: the C-shaped structs, function pointers and `u32` codes that cross between a host and an events
//! package.
//!
//! Host and package need not be built by the same compiler, so nothing here is a Rust enum, a `String`, a `dyn` or a
//! future. Both sides are implemented in this crate: `module` lays out what `host` reads.
//!
//! # Rules
//!
//! * [`ModuleHeader`] begins with the magic bytes, the ABI number and the size of the header. These three never move.
//! * Structs only grow at their end. Each carries its `size` (or a stride), which limits what the other side may read.
//!   A change of meaning requires a new [`ABI`] number, which is part of the exported symbol's name.
//! * A `Bytes` value is borrowed for the one function call that it is passed to. Only those in a [`ModuleHeader`] live
//!   as long as the library, which is never unloaded.
//! * A `Sink` may refuse a write, so its owner decides how much it copies.
//! * No function unwinds. Each side catches the panics of its own code.
//! * A call (`RawCall`) is dropped before the `RawInstance` that made it is stopped.
//!
//! # Output in place
//!
//! A host that has them calls `EventEntry::run` instead of `EventEntry::call`, and `CallVtable::poll_items` instead of
//! `CallVtable::poll`. Both get a `PollArgs`, whose `Output` is a part of the buffer that the host sends from, so that
//! a serializer writes where the bytes leave. The package writes an item into the `Space` that is reserved for it, asks
//! for a larger one with `OutputVtable::reserve`, and ends the item with `OutputVtable::commit`. What is not committed
//! does not exist.
//!
//! An output is named by the number of its poll, not by a pointer: the host looks the number up among the polls of the
//! current thread. A function that is called after its poll, or on another thread, therefore has no effect. The host
//! checks each length against what it has reserved. It must trust the package to write only within a space that it was
//! given, and only during the poll; a package is native code, and could write anywhere.
//!
//! # Streams and uploads
//!
//! A stream is a `RawCall` of an event of the kind `STREAMING`: it returns `ITEM` repeatedly, then `END`. A poll by
//! `poll_items` commits any number of items, until the host wants no more. An upload is
//! a `RawUpload` and goes in the opposite direction: the host lends it to the call in `CallArgs::upload`, and the
//! package retains and polls it, passing a waker of its own through the same waker table. An event whose handler takes
//! an upload has the flag `entry_flags::TAKES_UPLOAD`.
//!
//! # Hooks
//!
//! A hook is a table entry, as an event is, with a kind of its own: `OPEN` and `CLOSE` run when a connection opens and
//! when it has closed, `GUARD` runs before the events of a folder, `PASSWORD_RESET` delivers the token of a forgotten
//! password, `RESUME`, `AWAY` and `BACK` run when a connection is about to be resumed, has lost its socket and has been
//! resumed. Its body is the JSON of the hook's argument. It returns `END`, or `ERROR`.
//!
//! # Host operations
//!
//! `CallerVtable::host_op` and `CallerVtable::host_op_async` take the name of an operation and its arguments as JSON,
//! and return its result as JSON: rooms, the caller's identity, a call to a client. A new operation therefore needs no
//! new function pointer, and a host that does not offer one returns an error that names it. An operation that is
//! awaited is a `RawCall` in the opposite direction: the package polls and drops it from any of its threads, and the
//! host enters its own runtime where the operation needs one. Both functions were appended to the table: a package
//! checks the table's size before it calls them.
//!
//! # Contract
//!
//! `ModuleHeader::describe` writes the schemas of the package's events as JSON, when the host asks for them. It needs no
//! instance.
//!
//! # Extending it
//!
//! A host rejects a package that contains an entry of an unknown kind, with an error that names the event. So a new
//! kind needs no new ABI number, and a host that is too old for guards cannot silently skip them.

use std::ffi::c_void;

/// The number of this ABI. A package with another number is rejected.
pub const ABI: u32 = crate::__abi_number!();

/// The prefix of the exported symbol's name. The package's name follows, with `_` for `-`.
///
/// The name of the package is part of the symbol so that two packages can be linked into one program.
pub const SYMBOL_PREFIX: &str = crate::__symbol!("");

/// The first bytes of every [`ModuleHeader`].
pub const MAGIC: [u8; 8] = *b"aaw-mod\0";

/// Values of [`ModuleHeader::flags`].
pub(crate) mod flags {
    /// Panics of the package unwind, so they can be caught. A package without this flag is rejected.
    pub(crate) const UNWINDS: u32 = 1;
    /// Handlers of the package read the HTTP request behind their call, which a host then has to keep. An older host does
    /// not know the flag, and the operation `handshake` fails there.
    pub(crate) const READS_HANDSHAKE: u32 = 2;
}

/// Values of [`EventEntry::kind`].
pub(crate) mod kind {
    /// The handler returns one response.
    pub(crate) const UNARY: u32 = 1;
    /// The handler returns nothing to its caller.
    pub(crate) const ONE_WAY: u32 = 2;
    /// The handler returns a stream of items.
    pub(crate) const STREAMING: u32 = 3;
    /// A hook that runs when a connection has opened. Its name is [`hook_name::OPEN`](super::hook_name::OPEN).
    pub(crate) const OPEN: u32 = 4;
    /// A hook that runs when a connection has closed. Its name is [`hook_name::CLOSE`](super::hook_name::CLOSE).
    pub(crate) const CLOSE: u32 = 5;
    /// A hook that runs before each event of a folder. Its name is the folder's path followed by `/_guard`; the root's
    /// is `_guard`.
    pub(crate) const GUARD: u32 = 6;
    /// A hook that delivers the token of a forgotten password. Its name is
    /// [`hook_name::PASSWORD_RESET`](super::hook_name::PASSWORD_RESET).
    pub(crate) const PASSWORD_RESET: u32 = 7;
    /// A hook that runs before a connection is resumed. Its name is [`hook_name::RESUME`](super::hook_name::RESUME).
    pub(crate) const RESUME: u32 = 8;
    /// A hook that runs when a connection has lost its socket. Its name is [`hook_name::AWAY`](super::hook_name::AWAY).
    pub(crate) const AWAY: u32 = 9;
    /// A hook that runs when a connection has been resumed. Its name is [`hook_name::BACK`](super::hook_name::BACK).
    pub(crate) const BACK: u32 = 10;
}

/// The names of the hooks that a package has at most one of.
pub(crate) mod hook_name {
    pub(crate) const OPEN: &str = "_open";
    pub(crate) const CLOSE: &str = "_close";
    pub(crate) const PASSWORD_RESET: &str = "_password_reset";
    pub(crate) const RESUME: &str = "_resume";
    pub(crate) const AWAY: &str = "_away";
    pub(crate) const BACK: &str = "_back";
}

/// Values of [`EventEntry::flags`]. A host ignores unknown ones.
pub(crate) mod entry_flags {
    /// The handler reads `CallArgs::upload`.
    pub(crate) const TAKES_UPLOAD: u32 = 1;
    /// The stream may be started by a GET request, as an `EventSource` does.
    pub(crate) const ALLOWS_GET: u32 = 2;
}

/// What a poll of a [`RawCall`] or of a [`RawUpload`] returns. An upload returns only the first four.
pub(crate) mod step {
    /// Nothing yet. The waker is woken when it is worth polling again.
    pub(crate) const PENDING: u32 = 0;
    /// One item: its JSON was written to the sink.
    pub(crate) const ITEM: u32 = 1;
    /// The end: there is nothing more.
    pub(crate) const END: u32 = 2;
    /// The handler failed: the JSON of an `aaw_protocol::Failure` was written to the sink.
    pub(crate) const ERROR: u32 = 3;
    /// The handler panicked: the panic's text was written to the sink.
    pub(crate) const PANIC: u32 = 4;
    /// The body does not fit, so the handler did not run. The JSON of an `aaw_protocol::Failure` was written to the
    /// sink.
    pub(crate) const REFUSED: u32 = 5;
}

/// What a write to a [`Sink`] returns.
pub(crate) mod written {
    /// All bytes were copied.
    pub(crate) const TAKEN: u32 = 0;
    /// No bytes were copied: there were more than the sink's limit. Any value other than `TAKEN` means that nothing was
    /// copied.
    pub(crate) const TOO_LARGE: u32 = 1;
}

/// What [`OutputVtable::commit`] returns.
pub(crate) mod committed {
    /// The item was taken, and the space for another one was stored.
    pub(crate) const MORE: u32 = 0;
    /// This poll takes no further item. The item was taken, unless it is longer than the host accepts, in which case
    /// the host knows its length.
    pub(crate) const ENOUGH: u32 = 1;
    /// Nothing was taken: the poll is over, or runs on another thread, or the length exceeds what was reserved.
    pub(crate) const REJECTED: u32 = 2;
}

/// How a package got into the program; the host passes this to [`ModuleHeader::start`].
pub(crate) mod mode {
    /// As a library with its own statics: the package runs its own runtime and forwards its logs.
    pub(crate) const LOADED: u32 = 0;
    /// As part of the host's binary: host and package share the runtime, the logs and the panic hook.
    pub(crate) const LINKED: u32 = 1;
}

/// What a fallible function returns.
pub(crate) mod status {
    pub(crate) const OK: u32 = 0;
    /// The JSON of an `aaw_protocol::Failure` was written to the sink.
    pub(crate) const FAILED: u32 = 1;
}

/// The exported symbol of a package: its name, its table of events, and the function that starts it.
///
/// Made by `aaw_event::events!()` only; read by [`Module::loaded`](crate::host::Module::loaded).
#[repr(C)]
pub struct ModuleHeader {
    pub(crate) magic: [u8; 8],
    pub(crate) abi: u32,
    /// The size of this struct when the package was compiled.
    pub(crate) size: u32,
    pub(crate) flags: u32,
    /// The distance from one [`EventEntry`] to the next, in bytes.
    pub(crate) event_stride: u32,
    pub(crate) package: Bytes,
    /// The version of aaw-event that the package was built with.
    pub(crate) sdk_version: Bytes,
    pub(crate) events: *const EventEntry,
    pub(crate) event_count: usize,
    pub(crate) start: Option<StartFn>,
    /// Writes the package's [contract](crate::contract) as JSON. Appended later: absent from the header of an older package.
    pub(crate) describe: Option<DescribeFn>,
}

impl ModuleHeader {
    /// The size of a header before `describe` was appended.
    pub(crate) const MIN_SIZE: usize = std::mem::offset_of!(Self, describe);
}

// SAFETY: a header consists of constants; what it points to is static and never written.
unsafe impl Sync for ModuleHeader {}
// SAFETY: as above.
unsafe impl Send for ModuleHeader {}

/// One event, or one hook, of a package.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct EventEntry {
    pub(crate) name: Bytes,
    pub(crate) kind: u32,
    /// Values of [`entry_flags`]. Zero in packages that were built before there were any.
    pub(crate) flags: u32,
    pub(crate) call: Option<CallFn>,
    /// How long the handler may run for a call that is not read as a stream, in milliseconds. 0 for the host's own limit,
    /// `u32::MAX` for none. Appended later: absent from the table of an older package, see
    /// [`ModuleHeader::event_stride`].
    pub(crate) max_call_ms: u32,
    /// Begins a call and polls it once. Appended later.
    pub(crate) run: Option<RunFn>,
    /// How much of its caller's rate limit a call uses; [`DEFAULT_COST`] in the table of an older package. Appended
    /// later.
    pub(crate) cost: u32,
    /// Always 0. It was padding before it had a name, so older packages may have any value here, and no meaning can be
    /// given to it later.
    #[allow(dead_code, reason = "names the padding")]
    pub(crate) reserved: u32,
}

/// The cost of a call of an event that states none.
pub(crate) const DEFAULT_COST: u32 = 1;

impl EventEntry {
    /// The size of an entry in the first version of this ABI.
    pub(crate) const MIN_SIZE: usize = std::mem::offset_of!(Self, max_call_ms);

    /// The size of an entry before `run` was appended.
    pub(crate) const SIZE_WITHOUT_RUN: usize = std::mem::offset_of!(Self, run);

    /// The size of an entry before `cost` was appended.
    pub(crate) const SIZE_WITHOUT_COST: usize = std::mem::offset_of!(Self, cost);

    /// The size of the fields before `reserved`, where it is not padding.
    pub(crate) const SIZE_WITHOUT_RESERVED: usize = std::mem::offset_of!(Self, reserved);
}

// SAFETY: as for `ModuleHeader`: constants only.
unsafe impl Sync for EventEntry {}
// SAFETY: as above.
unsafe impl Send for EventEntry {}

/// Writes the contract of a package to the sink. Returns a value of [`status`].
pub(crate) type DescribeFn = unsafe extern "C" fn(sink: Sink) -> u32;

/// Starts a package. `prebuilt` is null, or (linked packages only) points to the `Arc` of services that the program has
/// built.
///
/// The host is borrowed: the package retains it. A null `data` in the returned instance means that the package
/// panicked.
pub(crate) type StartFn = unsafe extern "C" fn(host: RawHost, mode: u32, prebuilt: *const c_void) -> RawInstance;

/// Begins a call. The body is parsed before this returns. The caller is borrowed; the handler's services retain it.
pub(crate) type CallFn = unsafe extern "C" fn(instance: *const c_void, args: *const CallArgs) -> RawCall;

/// Begins a call and polls it once, in one crossing. A call of a streaming event only begins: its caller's credit decides
/// when it is polled, but that its body does not fit is known at once. Its poll has no waker, and takes no items.
///
/// Returns a value of [`step`]. With `PENDING`, the call was stored in `pending`, which the host owns from then on; with
/// every other value the call is over and nothing was stored.
///
/// The call may be built in [`CallArgs::place`], where it stays while it is pending; its [`RawCall::data`] is then the
/// place's pointer. So a call that is ready at once allocates nothing.
pub(crate) type RunFn = unsafe extern "C" fn(
    instance: *const c_void,
    args: *const CallArgs,
    poll: *const PollArgs,
    pending: *mut RawCall,
) -> u32;

/// Borrowed bytes. Text is UTF-8.
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

    /// The bytes; `None` for a null pointer or an impossible length, which only a damaged table contains.
    ///
    /// # Safety
    /// The bytes live, unchanged, for `'a`.
    pub(crate) unsafe fn as_slice<'a>(self) -> Option<&'a [u8]> {
        if self.ptr.is_null() || self.len > isize::MAX as usize {
            return None;
        }
        // SAFETY: not null, and not longer than an object can be; the caller guarantees the rest.
        Some(unsafe { std::slice::from_raw_parts(self.ptr, self.len) })
    }

    /// The text; `None` if it is not UTF-8, or as for [`Bytes::as_slice`].
    ///
    /// # Safety
    /// As for [`Bytes::as_slice`].
    pub(crate) unsafe fn as_checked<'a>(self) -> Option<&'a str> {
        // SAFETY: the caller's guarantee is passed on.
        unsafe { self.as_slice() }.and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The text that was a `&str` on the other side. UTF-8 is not checked again, because a body can be large.
    ///
    /// # Safety
    /// As for [`Bytes::as_slice`], and the bytes came from a `&str`.
    pub(crate) unsafe fn as_str<'a>(self) -> &'a str {
        // SAFETY: a `&str` is never null, and is UTF-8.
        unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(self.ptr, self.len)) }
    }
}

/// The destination of output. The whole output is one write; a second write (a panic after an item, say) replaces the
/// first.
///
/// A sink belongs to the side that made it, and is valid for the one function call that it is passed to. A writer
/// ignores a refusal (see [`written`]) and returns its step as if the bytes had been taken: the owner knows what it has
/// refused, and drops the call if it wants no more.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Sink {
    pub(crate) ctx: *mut c_void,
    /// Returns a value of [`written`].
    pub(crate) write: unsafe extern "C" fn(ctx: *mut c_void, bytes: Bytes) -> u32,
}

impl Sink {
    /// Writes the output. Returns a value of [`written`].
    ///
    /// # Safety
    /// Called within the function call that the sink was passed to.
    pub(crate) unsafe fn write(self, bytes: &[u8]) -> u32 {
        // SAFETY: the caller guarantees that the sink is still valid; the bytes outlive the call.
        unsafe { (self.write)(self.ctx, Bytes::of_slice(bytes)) }
    }
}

/// Memory that the other side lends: `len` bytes from `ptr`. None if `ptr` is null.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Space {
    pub(crate) ptr: *mut u8,
    pub(crate) len: usize,
}

impl Space {
    pub(crate) const NONE: Self = Self { ptr: std::ptr::null_mut(), len: 0 };
}

/// Where the items of one poll are written, see [Output in place](self#output-in-place).
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Output {
    /// The host's number of this poll.
    pub(crate) poll: u64,
    /// What is reserved for the first item.
    pub(crate) space: Space,
    pub(crate) vtable: *const OutputVtable,
}

#[repr(C)]
pub(crate) struct OutputVtable {
    pub(crate) size: usize,
    /// Returns a space that begins with the first `written` bytes of the current item, and has room for at least
    /// `additional` more. Null if the item would be longer than the host accepts; the package then drops what it has
    /// written, and commits the length of the whole item, so that the host can report it.
    pub(crate) reserve: unsafe extern "C" fn(poll: u64, written: usize, additional: usize) -> Space,
    /// Ends an item of `written` bytes. Returns a value of [`committed`]; with `MORE`, the space of the next item was
    /// stored in `next`.
    pub(crate) commit: unsafe extern "C" fn(poll: u64, written: usize, next: *mut Space) -> u32,
}

/// What a poll that writes [in place](self#output-in-place) gets. Valid for that one call.
#[repr(C)]
pub(crate) struct PollArgs {
    pub(crate) size: usize,
    pub(crate) waker: *const Waker,
    pub(crate) output: Output,
    /// The destination of a failure or a panic's text.
    pub(crate) failure: Sink,
}

/// A running call: of an event, of a hook, of the function that builds the services, or of a host operation.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawCall {
    pub(crate) data: *mut c_void,
    pub(crate) vtable: *const CallVtable,
}

#[repr(C)]
pub(crate) struct CallVtable {
    pub(crate) size: usize,
    /// Returns a value of [`step`]. After `END`, `ERROR`, `PANIC` or `REFUSED`, and after the `ITEM` of a unary call,
    /// the handler's state has been dropped and further polls return `END`. May be called from any thread, but never
    /// from two threads at once.
    pub(crate) poll: unsafe extern "C" fn(data: *mut c_void, waker: *const Waker, sink: Sink) -> u32,
    /// Frees the call. A call that has not ended is cancelled.
    pub(crate) drop: unsafe extern "C" fn(data: *mut c_void),
    /// As `poll`, with output [in place](self#output-in-place): commits items until the host wants no more, which is
    /// `ITEM`, or until the call waits or ends. `None` for a host operation. Appended later: absent from the table of an
    /// older package.
    pub(crate) poll_items: Option<unsafe extern "C" fn(data: *mut c_void, poll: *const PollArgs) -> u32>,
}

impl CallVtable {
    /// The size of the table before `poll_items` was appended.
    pub(crate) const SIZE_WITHOUT_POLL_ITEMS: usize = std::mem::offset_of!(Self, poll_items);
}

/// A started package.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawInstance {
    pub(crate) data: *mut c_void,
    pub(crate) vtable: *const InstanceVtable,
}

#[repr(C)]
pub(crate) struct InstanceVtable {
    pub(crate) size: usize,
    /// Builds the services. Called once; the returned call is polled to its `END` before the first call of an event.
    pub(crate) services: unsafe extern "C" fn(data: *mut c_void) -> RawCall,
    /// Frees the instance: drops its services and shuts its runtime down, possibly after this has returned.
    pub(crate) stop: unsafe extern "C" fn(data: *mut c_void),
    /// Calls `run(ctx)` within the package's runtime, on this thread, so that the calls that are begun and polled in it
    /// need not enter the runtime one by one. Returns a value of [`status`]; with `FAILED`, the runtime could not be
    /// entered, and `run` was not called, or could not be left after it. `run` must not unwind. Appended later.
    pub(crate) within_runtime:
        unsafe extern "C" fn(data: *mut c_void, run: unsafe extern "C" fn(*mut c_void), ctx: *mut c_void) -> u32,
}

impl InstanceVtable {
    /// The size of the table before `within_runtime` was appended.
    pub(crate) const SIZE_WITHOUT_RUNTIME: usize = std::mem::offset_of!(Self, within_runtime);
}

/// The arguments of a call.
#[repr(C)]
pub(crate) struct CallArgs {
    pub(crate) size: usize,
    /// The event's name: the package's own text from its [`EventEntry`].
    pub(crate) event: Bytes,
    /// JSON; empty when the caller sent none.
    pub(crate) body: Bytes,
    pub(crate) caller: RawCaller,
    /// The caller's upload; null when it sends none. Borrowed: the package retains what it points to when the handler
    /// takes it.
    pub(crate) upload: *const RawUpload,
    /// Where `EventEntry::run` may build the call, aligned to [`PLACE_ALIGN`]. The host keeps it until the call that is in
    /// it has been dropped. Appended later: absent from the arguments of an older host.
    pub(crate) place: Space,
}

/// The alignment of [`CallArgs::place`].
pub(crate) const PLACE_ALIGN: usize = 16;

/// The connection or request that a call comes from, as the host provides it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawCaller {
    pub(crate) ctx: *const c_void,
    pub(crate) vtable: *const CallerVtable,
}

/// May be used from any thread for as long as it is retained, which may be longer than the call.
#[repr(C)]
pub(crate) struct CallerVtable {
    pub(crate) size: usize,
    pub(crate) retain: unsafe extern "C" fn(ctx: *const c_void),
    pub(crate) release: unsafe extern "C" fn(ctx: *const c_void),
    pub(crate) id: unsafe extern "C" fn(ctx: *const c_void, sink: Sink),
    /// Returns a value of [`status`].
    pub(crate) send_event: unsafe extern "C" fn(ctx: *const c_void, event: Bytes, data: Bytes, sink: Sink) -> u32,
    pub(crate) broadcast: unsafe extern "C" fn(ctx: *const c_void, data: Bytes, include_self: bool),
    /// Performs `op` before it returns a value of [`status`]. With `OK`, the JSON of the result was written to the
    /// sink. Appended later: absent from the table of an older host.
    pub(crate) host_op: unsafe extern "C" fn(ctx: *const c_void, op: Bytes, args: Bytes, sink: Sink) -> u32,
    /// Begins `op`. The returned call gives `PENDING`, `ITEM` (the JSON of the result) or `ERROR`, and nothing after
    /// `ITEM` or `ERROR`. Dropping it cancels the operation. It keeps alive whatever it needs of the host. Its wakers
    /// are the package's. Appended later: absent from the table of an older host.
    pub(crate) host_op_async: unsafe extern "C" fn(ctx: *const c_void, op: Bytes, args: Bytes) -> RawCall,
}

/// A caller's upload, as the host provides it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawUpload {
    pub(crate) ctx: *const c_void,
    pub(crate) vtable: *const UploadVtable,
}

/// May be used from any thread for as long as it is retained, which may be longer than the call.
#[repr(C)]
pub(crate) struct UploadVtable {
    pub(crate) size: usize,
    pub(crate) retain: unsafe extern "C" fn(ctx: *const c_void),
    pub(crate) release: unsafe extern "C" fn(ctx: *const c_void),
    /// Returns `PENDING`, `ITEM`, `END` or `ERROR` of [`step`]. Not called again after `END` or `ERROR`. The waker is
    /// the package's, and is lent for the length of the poll.
    pub(crate) poll: unsafe extern "C" fn(ctx: *const c_void, waker: *const Waker, sink: Sink) -> u32,
}

/// What the host provides to a package as a whole, independent of any call.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawHost {
    pub(crate) ctx: *const c_void,
    pub(crate) vtable: *const HostVtable,
}

/// May be used from any thread for as long as it is retained.
#[repr(C)]
pub(crate) struct HostVtable {
    pub(crate) size: usize,
    pub(crate) retain: unsafe extern "C" fn(ctx: *const c_void),
    pub(crate) release: unsafe extern "C" fn(ctx: *const c_void),
    /// Levels are numbers: 1 error, 2 warn, 3 info, 4 debug, 5 trace.
    pub(crate) log: unsafe extern "C" fn(ctx: *const c_void, level: u32, target: Bytes, message: Bytes),
    /// The most verbose level that the host wants; 0 for none.
    pub(crate) max_level: unsafe extern "C" fn(ctx: *const c_void) -> u32,
}

/// The waker of the polling side, lent for the length of one poll. What must outlive the poll is cloned.
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

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// The offset of each field and the size of the struct, in words.
    macro_rules! layout {
        ($type:ty: $($field:ident),*) => {
            [$(offset_of!($type, $field),)* size_of::<$type>()].map(|bytes| bytes as f64 / size_of::<usize>() as f64)
        };
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_layout_of_version_1_does_not_change() {
        let header = layout!(ModuleHeader:
            magic, abi, size, flags, event_stride, package, sdk_version, events, event_count, start, describe);
        assert_eq!(header, [0., 1., 1.5, 2., 2.5, 3., 5., 7., 8., 9., 10., 11.]);
        assert_eq!(ModuleHeader::MIN_SIZE, 10 * size_of::<usize>());
        let entry = layout!(EventEntry: name, kind, flags, call, max_call_ms, run, cost, reserved);
        assert_eq!(entry, [0., 2., 2.5, 3., 4., 5., 6., 6.5, 7.]);
        assert_eq!(EventEntry::MIN_SIZE, 4 * size_of::<usize>());
        assert_eq!(EventEntry::SIZE_WITHOUT_RUN, 5 * size_of::<usize>());
        assert_eq!(EventEntry::SIZE_WITHOUT_COST, 6 * size_of::<usize>());
        assert_eq!(layout!(Bytes: ptr, len), [0., 1., 2.]);
        assert_eq!(layout!(Sink: ctx, write), [0., 1., 2.]);
        assert_eq!(layout!(CallArgs: size, event, body, caller, upload, place), [0., 1., 3., 5., 7., 8., 10.]);
        assert_eq!(layout!(Space: ptr, len), [0., 1., 2.]);
        assert_eq!(layout!(Output: poll, space, vtable), [0., 1., 3., 4.]);
        assert_eq!(layout!(OutputVtable: size, reserve, commit), [0., 1., 2., 3.]);
        assert_eq!(layout!(PollArgs: size, waker, output, failure), [0., 1., 2., 6., 8.]);
        let pairs = [
            layout!(RawCall: data, vtable),
            layout!(RawInstance: data, vtable),
            layout!(RawCaller: ctx, vtable),
            layout!(RawUpload: ctx, vtable),
            layout!(RawHost: ctx, vtable),
        ];
        assert_eq!(pairs, [[0., 1., 2.]; 5]);
        assert_eq!(layout!(CallVtable: size, poll, drop, poll_items), [0., 1., 2., 3., 4.]);
        assert_eq!(layout!(InstanceVtable: size, services, stop, within_runtime), [0., 1., 2., 3., 4.]);
        let caller = layout!(CallerVtable: size, retain, release, id, send_event, broadcast, host_op, host_op_async);
        assert_eq!(caller, [0., 1., 2., 3., 4., 5., 6., 7., 8.]);
        assert_eq!(layout!(UploadVtable: size, retain, release, poll), [0., 1., 2., 3., 4.]);
        assert_eq!(layout!(HostVtable: size, retain, release, log, max_level), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(layout!(Waker: vtable), [0., 1.]);
        assert_eq!(layout!(WakerVtable: size, clone, wake, wake_by_ref, drop), [0., 1., 2., 3., 4., 5.]);
    }

    #[test]
    fn the_codes_of_version_1_do_not_change() {
        assert_eq!(ABI, 1);
        assert_eq!(SYMBOL_PREFIX, "aaw_module_v1_");
        let kinds = [kind::UNARY, kind::ONE_WAY, kind::STREAMING, kind::OPEN, kind::CLOSE, kind::GUARD];
        assert_eq!((kinds, kind::PASSWORD_RESET), ([1, 2, 3, 4, 5, 6], 7));
        assert_eq!([kind::RESUME, kind::AWAY, kind::BACK], [8, 9, 10]);
        assert_eq!([step::PENDING, step::ITEM, step::END, step::ERROR, step::PANIC, step::REFUSED], [0, 1, 2, 3, 4, 5]);
        assert_eq!((written::TAKEN, written::TOO_LARGE, status::OK, status::FAILED), (0, 1, 0, 1));
        assert_eq!((committed::MORE, committed::ENOUGH, committed::REJECTED, PLACE_ALIGN), (0, 1, 2, 16));
        assert_eq!((mode::LOADED, mode::LINKED, flags::UNWINDS, entry_flags::TAKES_UPLOAD), (0, 1, 1, 1));
        assert_eq!((entry_flags::ALLOWS_GET, flags::READS_HANDSHAKE, DEFAULT_COST), (2, 2, 1));
    }
}
