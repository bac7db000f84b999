//! The table that generated code fills and exports.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::abi::{ABI, Bytes, CallFn, EventEntry, MAGIC, ModuleHeader, StartFn, entry_flags, flags};
use crate::host::Module;

/// An event of a package whose services are an `A`.
///
/// Laid out as the ABI says: an array of these is the table of events.
#[repr(transparent)]
pub struct Entry<A> {
    entry: EventEntry,
    services: PhantomData<fn(A)>,
}

impl<A> Entry<A> {
    pub(super) const fn new<H: Copy>(name: &'static str, kind: u32, call: CallFn) -> Self {
        // What is called later is a function without a value; a closure that captures has one, which would be lost.
        const { assert!(size_of::<H>() == 0, "a handler is a plain function") };
        let entry = EventEntry { name: Bytes::of(name), kind, flags: 0, call: Some(call) };
        Self { entry, services: PhantomData }
    }

    pub(super) const fn taking_incoming(mut self) -> Self {
        self.entry.flags |= entry_flags::TAKES_UPLOAD;
        self
    }
}

/// How a package whose services are an `A` is started.
pub struct Start<A> {
    start: StartFn,
    services: PhantomData<fn(A)>,
}

impl<A> Start<A> {
    pub(super) const fn new(start: StartFn) -> Self {
        Self { start, services: PhantomData }
    }
}

/// A package's exported symbol: the [`ModuleHeader`], with the type of its services for the compiler.
#[repr(transparent)]
pub struct Package<A> {
    header: ModuleHeader,
    services: PhantomData<fn(A)>,
}

impl<A: Send + Sync + 'static> Package<A> {
    /// `unwinds` is what the package itself was compiled with, which decides for the whole library.
    pub const fn new(name: &'static str, unwinds: bool, start: Start<A>, events: &'static [Entry<A>]) -> Self {
        let header = ModuleHeader {
            magic: MAGIC,
            abi: ABI,
            size: size_of::<ModuleHeader>() as u32,
            flags: if unwinds { flags::UNWINDS } else { 0 },
            event_stride: size_of::<EventEntry>() as u32,
            package: Bytes::of(name),
            sdk_version: Bytes::of(env!("CARGO_PKG_VERSION")),
            events: events.as_ptr().cast(),
            event_count: events.len(),
            start: Some(start.start),
        };
        Self { header, services: PhantomData }
    }

    /// The package as part of this program, with the services that it builds itself.
    ///
    /// # Panics
    /// When its table is not as `events!()` makes it.
    pub fn module(&'static self) -> Module {
        Module::linked(&self.header, None)
    }

    /// The package as part of this program, with services that the program has built.
    ///
    /// # Panics
    /// As [`Package::module`].
    pub fn module_with(&'static self, app: A) -> Module {
        Module::linked(&self.header, Some(Arc::new(Handed(Arc::new(app)))))
    }

    /// What a host would find as the library's symbol.
    pub fn header(&'static self) -> *const ModuleHeader {
        &raw const self.header
    }
}

/// Services that a linked program hands in, on their way to the package.
pub(crate) trait Given: Send + Sync + 'static {
    /// Points to the `Arc` that the package expects.
    fn as_ptr(&self) -> *const c_void;
}

struct Handed<A>(Arc<A>);

impl<A: Send + Sync + 'static> Given for Handed<A> {
    fn as_ptr(&self) -> *const c_void {
        (&raw const self.0).cast()
    }
}

/// The function of the type `F`, whose values have no bytes: the table keeps none.
///
/// # Safety
/// `F` is `Copy` and `Send`, and a value of it existed: so this is one more copy of that.
pub(super) unsafe fn function_of<F>() -> F {
    const { assert!(size_of::<F>() == 0) };
    // SAFETY: no bytes to read, and a copy of a value that existed.
    unsafe { std::ptr::NonNull::<F>::dangling().read() }
}
