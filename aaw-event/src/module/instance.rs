//! A started package: its services, its runtime, and the forwarding of its logs.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use aaw_protocol::{Code, Failure};

use super::call::{self, CompletedCall, WriteOutput};
use super::forward::LogForwarding;
use super::function::function_of;
use super::output::CallOutput;
use super::runtime::PackageRuntime;
use crate::abi::{InstanceVtable, RawCall, RawHost, RawInstance, mode, status, step};
use crate::catch_panic::catch_panic;
use crate::sdk::Error;

/// Builds a package's services. `M` distinguishes the implementations in `services.rs`.
pub(super) trait BuildServices<A, M>: Copy + Send + 'static {
    fn build(self) -> impl Future<Output = Result<A, Error>> + Send + 'static;
}

/// What the host's instance points to, in a package whose services are an `A`.
pub(super) struct PackageInstance<A> {
    /// Set once `services()` has returned.
    pub(super) app: OnceLock<Arc<A>>,
    /// What `Services<()>` derefs to.
    pub(super) unit: Arc<()>,
    pub(super) runtime: PackageRuntime,
    /// `None` when linked.
    forwarding: Option<LogForwarding>,
}

/// [`StartFn`](crate::abi::StartFn) of a package whose services are an `A` that an `F` builds.
pub(super) unsafe extern "C" fn start<A, F, M>(host: RawHost, mode: u32, prebuilt: *const c_void) -> RawInstance
where
    A: Send + Sync + 'static,
    F: BuildServices<A, M>,
    M: 'static,
{
    // The host uses the instance from all its threads.
    const { assert_shared::<PackageInstance<A>>() };
    let started = catch_panic(|| {
        let app = OnceLock::new();
        if !prebuilt.is_null() {
            // SAFETY: not null only if `PackageSymbol::<A>::module_with` of this very package made it.
            let prebuilt: &Arc<A> = unsafe { &*prebuilt.cast() };
            let _ = app.set(prebuilt.clone());
        }
        let unit = Arc::new(());
        if mode == mode::LINKED {
            return PackageInstance { app, unit, runtime: PackageRuntime::Host, forwarding: None };
        }
        // SAFETY: the host is alive during this call.
        let forwarding = unsafe { LogForwarding::to(host) };
        PackageInstance { app, unit, runtime: PackageRuntime::own(), forwarding: Some(forwarding) }
    });
    let data = match started {
        Ok(instance) => Box::into_raw(Box::new(instance)).cast(),
        Err(_) => std::ptr::null_mut(),
    };
    RawInstance { data, vtable: &InstanceVtableOf::<A, F, M>::VTABLE }
}

const fn assert_shared<T: Send + Sync>() {}

struct InstanceVtableOf<A, F, M>(PhantomData<(A, F, M)>);

impl<A, F, M> InstanceVtableOf<A, F, M>
where
    A: Send + Sync + 'static,
    F: BuildServices<A, M>,
    M: 'static,
{
    const VTABLE: InstanceVtable = InstanceVtable {
        size: size_of::<InstanceVtable>(),
        services: services::<A, F, M>,
        stop: stop::<A>,
        within_runtime: within_runtime::<A>,
    };
}

unsafe extern "C" fn services<A, F, M>(data: *mut c_void) -> RawCall
where
    A: Send + Sync + 'static,
    F: BuildServices<A, M>,
    M: 'static,
{
    // SAFETY: `data` is the box of `start`, which the host keeps alive while it has calls.
    let instance = unsafe { &*data.cast::<PackageInstance<A>>() };
    if instance.app.get().is_some() {
        return call::completed(CompletedCall::Done);
    }
    // No code of the author runs here; it begins with the first poll.
    let build = async {
        // SAFETY: the package was made with a function of this type.
        let build = unsafe { function_of::<F>() };
        build.build().await
    };
    call::from_future(build, StoreServices { instance }, &instance.runtime)
}

/// Stores the services that were built in the instance.
struct StoreServices<A> {
    instance: *const PackageInstance<A>,
}

// SAFETY: a `PackageInstance<A>` may be used from any thread.
unsafe impl<A: Send + Sync> Send for StoreServices<A> {}

impl<A: Send + Sync + 'static> WriteOutput<Result<A, Error>> for StoreServices<A> {
    fn write_output(&self, output: Result<A, Error>, out: &mut CallOutput) -> u32 {
        match output {
            Ok(app) => {
                // SAFETY: the host keeps an instance alive while it has calls.
                let instance = unsafe { &*self.instance };
                let _ = instance.app.set(Arc::new(app));
                step::END
            }
            // The operator reads this failure, so it contains the whole error.
            Err(error) => out.fail(&Failure::new(Code::new(error.code().to_owned()), format!("{error:#}"))),
        }
    }
}

unsafe extern "C" fn within_runtime<A>(
    data: *mut c_void,
    run: unsafe extern "C" fn(*mut c_void),
    ctx: *mut c_void,
) -> u32 {
    // SAFETY: as in `services`.
    let instance = unsafe { &*data.cast::<PackageInstance<A>>() };
    // SAFETY: the host passes a function with the context that it expects, and which does not unwind.
    let ran = instance.runtime.poll(|| unsafe { run(ctx) });
    if ran.is_ok() { status::OK } else { status::FAILED }
}

unsafe extern "C" fn stop<A: Send + Sync + 'static>(data: *mut c_void) {
    // SAFETY: the box of `start`; the host stops an instance once, after its calls have been dropped.
    let instance = unsafe { Box::from_raw(data.cast::<PackageInstance<A>>()) };
    if !instance.runtime.is_running() {
        return instance.shut_down();
    }
    // Waiting for a runtime to shut down is not allowed on a thread that drives another runtime.
    let stopping = Arc::new(std::sync::Mutex::new(Some(instance)));
    let taken = stopping.clone();
    let stop = move || {
        if let Some(instance) = taken.lock().ok().and_then(|mut instance| instance.take()) {
            instance.shut_down();
        }
    };
    if std::thread::Builder::new().name("aaw-events-stop".to_owned()).spawn(stop).is_err() {
        // Leaving the runtime running costs memory; blocking this thread could block the host.
        tracing::error!("an events package keeps running: the thread that stops it could not be started");
        std::mem::forget(stopping);
    }
}

impl<A> PackageInstance<A> {
    fn shut_down(self) {
        let Self { app, unit: _, runtime, forwarding } = self;
        let drop_app = || call::drop_caught(|| drop(app));
        if runtime.is_running() {
            let _ = runtime.enter(drop_app);
        } else {
            drop_app();
        }
        call::drop_caught(|| runtime.shut_down());
        // Last, because all of the above may log.
        drop(forwarding);
    }
}
