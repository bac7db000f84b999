//! The table that generated code fills and exports.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::{Code, Failure};

use super::begin::{self, BeginCall};
use super::function::function_of;
use crate::abi::{
    ABI, Bytes, CallFn, DEFAULT_COST, EventEntry, MAGIC, ModuleHeader, RunFn, Sink, StartFn, entry_flags, flags, kind,
    status,
};
use crate::catch_panic::catch_panic;
use crate::contract::PackageContract;
use crate::host::{Module, PrebuiltServices};

/// An event or a hook of a package whose services are an `A`.
///
/// It has the layout of an [`EventEntry`], so an array of these is the table of events.
#[repr(transparent)]
pub struct HandlerEntry<A> {
    entry: EventEntry,
    services: PhantomData<fn(A)>,
}

impl<A> HandlerEntry<A> {
    /// An event or a hook whose calls are polled, each of which a `B` begins.
    pub(super) const fn polled<H: Copy, B: BeginCall<A>>(name: &'static str, kind: u32) -> Self {
        Self::new::<H>(name, kind, begin::call::<A, B>, begin::run::<A, B>)
    }

    /// A streaming event, each of whose calls a `B` begins.
    pub(super) const fn streamed<H: Copy, B: BeginCall<A>>(name: &'static str) -> Self {
        Self::new::<H>(name, kind::STREAMING, begin::call::<A, B>, begin::run_stream::<A, B>)
    }

    pub(super) const fn new<H: Copy>(name: &'static str, kind: u32, call: CallFn, run: RunFn) -> Self {
        // The table stores the type of the handler, not its value. The value of a closure
        // with captures would be lost.
        const { assert!(size_of::<H>() == 0, "a handler must be a function, not a closure that captures") };
        let entry = EventEntry {
            name: Bytes::of(name),
            kind,
            flags: 0,
            call: Some(call),
            max_call_ms: 0,
            run: Some(run),
            cost: DEFAULT_COST,
            reserved: 0,
        };
        Self { entry, services: PhantomData }
    }

    pub(super) const fn taking_upload(mut self) -> Self {
        self.entry.flags |= entry_flags::TAKES_UPLOAD;
        self
    }

    /// Limits how long the handler may run for a call that is not read as a stream, instead of the server's limit.
    /// `Duration::MAX` is no limit, and so is more than 49 days. Rounded up to milliseconds.
    ///
    /// # Panics
    /// At compile time, when the duration is zero: no handler could run.
    #[must_use]
    pub const fn max_call_time(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "MAX_CALL_TIME is zero: expected a longer time, or Duration::MAX for no limit");
        let ms = time.as_nanos().div_ceil(1_000_000);
        self.entry.max_call_ms = if ms >= u32::MAX as u128 { u32::MAX } else { ms as u32 };
        self
    }

    /// How much of its caller's rate limit a call uses, instead of 1. With 0, calls are not counted.
    #[must_use]
    pub const fn cost(mut self, cost: u32) -> Self {
        self.entry.cost = cost;
        self
    }

    /// Whether a GET request may start the stream, as an `EventSource` does.
    ///
    /// # Panics
    /// At compile time, when the event does not stream.
    #[must_use]
    pub const fn event_source(mut self, allowed: bool) -> Self {
        assert!(self.entry.kind == kind::STREAMING, "EVENT_SOURCE is for handlers that return a stream");
        if allowed {
            self.entry.flags |= entry_flags::ALLOWS_GET;
        }
        self
    }
}

/// The function that starts a package whose services are an `A`.
pub struct StartFunction<A> {
    start: StartFn,
    services: PhantomData<fn(A)>,
}

impl<A> StartFunction<A> {
    pub(super) const fn new(start: StartFn) -> Self {
        Self { start, services: PhantomData }
    }
}

/// A package's exported symbol: its [`ModuleHeader`], typed by its services.
#[repr(transparent)]
pub struct PackageSymbol<A> {
    header: ModuleHeader,
    services: PhantomData<fn(A)>,
}

impl<A: Send + Sync + 'static> PackageSymbol<A> {
    /// Creates the symbol. `unwinds` is the panic strategy that the package itself was compiled with, which is that of
    /// the whole library.
    pub const fn new(
        name: &'static str,
        unwinds: bool,
        start: StartFunction<A>,
        events: &'static [HandlerEntry<A>],
    ) -> Self {
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
            describe: None,
        };
        Self { header, services: PhantomData }
    }

    /// Sets the function that describes the events.
    #[must_use]
    pub const fn describing<F>(mut self, _: F) -> Self
    where
        F: Fn(&mut PackageContract) + Copy + Send + 'static,
    {
        self.header.describe = Some(describe::<F>);
        self
    }

    /// Declares that handlers of the package read the HTTP request behind their call.
    #[must_use]
    pub const fn reading_handshakes(mut self) -> Self {
        self.header.flags |= flags::READS_HANDSHAKE;
        self
    }

    /// The package as part of this program. It builds its own services.
    ///
    /// # Panics
    /// When the table is invalid, which `events!()` rules out.
    pub fn module(&'static self) -> Module {
        Module::linked(&self.header, None)
    }

    /// The package as part of this program, with services that the program has built: `services()` does not run.
    ///
    /// # Panics
    /// As [`PackageSymbol::module`].
    pub fn module_with(&'static self, app: A) -> Module {
        Module::linked(&self.header, Some(Arc::new(PrebuiltApp(Arc::new(app)))))
    }

    /// The address of the exported symbol.
    pub fn header(&'static self) -> *const ModuleHeader {
        &raw const self.header
    }
}

/// [`DescribeFn`](crate::abi::DescribeFn) of a package whose events an `F` describes.
unsafe extern "C" fn describe<F>(sink: Sink) -> u32
where
    F: Fn(&mut PackageContract) + Copy + Send + 'static,
{
    let described = catch_panic(|| {
        // SAFETY: the header was made with a function of this type.
        let describe = unsafe { function_of::<F>() };
        let mut contract = PackageContract::new();
        describe(&mut contract);
        serde_json::to_vec(&contract.finish())
    });
    let error = match described {
        Ok(Ok(json)) => {
            // SAFETY: the host passes a sink that is valid during this call.
            unsafe { sink.write(&json) };
            return status::OK;
        }
        Ok(Err(error)) => format!("The schemas cannot be serialized: {error}"),
        Err(panic) => format!("A schema of the package panicked: {panic}"),
    };
    let failure = Failure::new(Code::INTERNAL, error);
    // A failure consists of texts, so serializing it cannot fail.
    let json = serde_json::to_vec(&failure).unwrap_or_default();
    // SAFETY: as above.
    unsafe { sink.write(&json) };
    status::FAILED
}

struct PrebuiltApp<A>(Arc<A>);

impl<A: Send + Sync + 'static> PrebuiltServices for PrebuiltApp<A> {
    fn as_ptr(&self) -> *const c_void {
        (&raw const self.0).cast()
    }
}
