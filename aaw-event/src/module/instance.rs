//! A package that was started: its services, its runtime, its line to the host.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use aaw_protocol::{Code, Failure};

use super::call::{self, Ending, Out};
use super::forward::Forwarding;
use super::package::function_of;
use super::runtime::Runtime;
use crate::abi::{InstanceVtable, RawCall, RawHost, RawInstance, mode, step};
use crate::contain::contained;
use crate::sdk::Error;

/// How a package's services are built; `M` tells the implementations in `services.rs` apart.
pub(super) trait Build<A, M>: Copy + Send + 'static {
    fn build(self) -> impl Future<Output = Result<A, Error>> + Send + 'static;
}

pub(super) struct Instance<A> {
    /// Set once `services()` has answered.
    pub(super) app: OnceLock<Arc<A>>,
    /// What `Services<()>` derefs to, in a package that has services.
    pub(super) nothing: Arc<()>,
    pub(super) runtime: Runtime,
    /// `None` when linked.
    forwarding: Option<Forwarding>,
}

/// [`StartFn`](crate::abi::StartFn) of a package whose services are an `A` that an `F` builds.
pub(super) unsafe extern "C" fn start<A, F, M>(host: RawHost, mode: u32, given: *const c_void) -> RawInstance
where
    A: Send + Sync + 'static,
    F: Build<A, M>,
    M: 'static,
{
    // The host uses what `data` points to from all its threads.
    const { assert_shared::<Instance<A>>() };
    let started = contained(|| {
        let app = OnceLock::new();
        if !given.is_null() {
            // SAFETY: not null only when `Package::<A>::module_with` made it, of this very package.
            let given: &Arc<A> = unsafe { &*given.cast() };
            let _ = app.set(given.clone());
        }
        let nothing = Arc::new(());
        if mode == mode::LINKED {
            return Instance { app, nothing, runtime: Runtime::Host, forwarding: None };
        }
        // SAFETY: the host is alive during this call.
        let forwarding = unsafe { Forwarding::to(host) };
        Instance { app, nothing, runtime: Runtime::own(), forwarding: Some(forwarding) }
    });
    let data = match started {
        Ok(instance) => Box::into_raw(Box::new(instance)).cast(),
        Err(_) => std::ptr::null_mut(),
    };
    RawInstance { data, vtable: &Table::<A, F, M>::VTABLE }
}

const fn assert_shared<T: Send + Sync>() {}

struct Table<A, F, M>(PhantomData<(A, F, M)>);

impl<A, F, M> Table<A, F, M>
where
    A: Send + Sync + 'static,
    F: Build<A, M>,
    M: 'static,
{
    const VTABLE: InstanceVtable =
        InstanceVtable { size: size_of::<InstanceVtable>(), services: services::<A, F, M>, stop: stop::<A> };
}

unsafe extern "C" fn services<A, F, M>(data: *mut c_void) -> RawCall
where
    A: Send + Sync + 'static,
    F: Build<A, M>,
    M: 'static,
{
    // SAFETY: `data` is the box of `start`, which the host keeps for as long as its calls.
    let instance = unsafe { &*data.cast::<Instance<A>>() };
    if instance.app.get().is_some() {
        return call::ended(call::Ended::Done);
    }
    // Nothing of the author's runs here: that begins with the first poll.
    let build = async {
        // SAFETY: the package was made with a function of this type.
        let build = unsafe { function_of::<F>() };
        build.build().await
    };
    call::running(build, Keep { instance }, &instance.runtime)
}

/// Keeps the services that were built.
struct Keep<A> {
    instance: *const Instance<A>,
}

// SAFETY: an `Instance<A>` may be used from any thread.
unsafe impl<A: Send + Sync> Send for Keep<A> {}

impl<A: Send + Sync + 'static> Ending<Result<A, Error>> for Keep<A> {
    fn end(&self, output: Result<A, Error>, out: Out) -> u32 {
        match output {
            Ok(app) => {
                // SAFETY: the host keeps an instance for as long as its calls.
                let instance = unsafe { &*self.instance };
                let _ = instance.app.set(Arc::new(app));
                step::END
            }
            // For the operator's eyes: whole.
            Err(error) => out.fail(&Failure::new(Code::new(error.code().to_owned()), format!("{error:#}"))),
        }
    }
}

unsafe extern "C" fn stop<A: Send + Sync + 'static>(data: *mut c_void) {
    // SAFETY: the box of `start`; the host stops an instance once, when its calls have gone.
    let instance = unsafe { Box::from_raw(data.cast::<Instance<A>>()) };
    if !instance.runtime.is_running() {
        return instance.end();
    }
    // Waiting for a runtime's end is not for a thread that drives another one.
    let ending = Arc::new(std::sync::Mutex::new(Some(instance)));
    let taken = ending.clone();
    let end = move || {
        if let Some(instance) = taken.lock().ok().and_then(|mut instance| instance.take()) {
            instance.end();
        }
    };
    if std::thread::Builder::new().name("aaw-events-stop".to_owned()).spawn(end).is_err() {
        // No thread to be had: leaving the runtime running costs memory, blocking this one could cost the host.
        tracing::error!("no thread to stop an events package on: it is left as it is");
        std::mem::forget(ending);
    }
}

impl<A> Instance<A> {
    fn end(self) {
        let Self { app, nothing: _, runtime, forwarding } = self;
        let drop_app = || call::drop_contained(|| drop(app));
        if runtime.is_running() {
            let _ = runtime.enter(drop_app);
        } else {
            drop_app();
        }
        call::drop_contained(|| runtime.shut_down());
        // Last: all of this may have something to say.
        drop(forwarding);
    }
}
