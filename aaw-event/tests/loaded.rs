//! A package as if it had been opened as a library: with a runtime of its own, and with its logs and panics forwarded.
//!
//! Only one test starts the package, because the forwarding is global to the process. Real libraries are tested with
//! the server.
#![allow(unsafe_code, reason = "loads the table as if it were the symbol of a library")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "its events are written as an author writes them"
)]

mod common;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use aaw_event::Module;
use aaw_event::abi::{ModuleHeader, SYMBOL_PREFIX};
use aaw_event::host::{Begun, Call, Instance, Step};
use aaw_protocol::Code;
use common::{Connection, Logs, block_on, call, failed, index, item, try_start};

static STOPPED: Mutex<Option<mpsc::Sender<&'static str>>> = Mutex::new(None);

/// Whether the handler of `leak_guard_and_wait` was dropped.
static WAITING_DROPPED: AtomicBool = AtomicBool::new(false);

mod services {
    pub struct App;

    impl Drop for App {
        fn drop(&mut self) {
            // Destructors may need the runtime.
            tokio::spawn(async {});
            let stopped = super::STOPPED.lock().unwrap().take();
            let _ = stopped.unwrap().send("services");
        }
    }

    pub fn services() -> App {
        App
    }
}

mod events {
    use std::time::Duration;

    use aaw_event::prelude::*;

    use crate::services::App;

    pub async fn sleep(_: Empty, _: Services<App>) -> &'static str {
        tokio::time::sleep(Duration::from_millis(1)).await;
        tokio::spawn(async { "slept" }).await.unwrap()
    }

    /// Always ready: only the cooperative budget makes it yield.
    pub async fn busy(_: Empty) {
        let (to, mut from) = tokio::sync::mpsc::unbounded_channel();
        loop {
            to.send(()).unwrap();
            from.recv().await;
        }
    }

    #[tracing::instrument]
    pub async fn write_logs(body: u8) {
        tracing::info!(half = body / 2, "counted");
        tracing::debug!("below the level");
        log::warn!("by log");
    }

    /// Leaks a runtime guard, on which tokio panics after the handler has returned.
    pub async fn leak_guard() -> u8 {
        std::mem::forget(tokio::runtime::Handle::current().enter());
        1
    }

    /// Sets its flag when it is dropped.
    pub struct SetOnDrop(pub &'static std::sync::atomic::AtomicBool);

    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    /// Waits with a leaked guard, so that the runtime cannot be left while the handler is pending.
    pub async fn leak_guard_and_wait() {
        let _dropped = SetOnDrop(&crate::WAITING_DROPPED);
        std::mem::forget(tokio::runtime::Handle::current().enter());
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }

    pub fn one_way() {}

    /// An error that panics when it is logged.
    #[derive(Debug)]
    pub struct PanicsOnDisplay;

    impl std::fmt::Display for PanicsOnDisplay {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("displayed")
        }
    }

    impl std::error::Error for PanicsOnDisplay {}

    pub fn panic_on_display() -> Result<()> {
        Err(PanicsOnDisplay)?
    }

    pub async fn explode() {
        panic!("boom")
    }

    pub struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    /// Fails with an internal error after an item. Panics if it is dropped before.
    pub fn lines() -> impl Stream<Item = Result<u8>> {
        try_stream! {
            let bomb = Bomb;
            yield 1;
            std::mem::forget(bomb);
            Err(std::io::Error::other("disk on fire"))?;
        }
    }
}

type Entry = aaw_event::export::HandlerEntry<services::App>;

aaw_event::__package!(
    "loaded_tests",
    "loaded-tests",
    crate::services::App,
    aaw_event::export::sync_services(crate::services::services),
    [
        crate::Entry::unary1("busy", crate::events::busy),
        crate::Entry::unary0("explode", crate::events::explode),
        crate::Entry::unary0("leak_guard", crate::events::leak_guard),
        crate::Entry::unary0("leak_guard_and_wait", crate::events::leak_guard_and_wait),
        crate::Entry::streaming0("lines", crate::events::lines),
        crate::Entry::one_way0("one_way", crate::events::one_way),
        crate::Entry::unary2("sleep", crate::events::sleep),
        crate::Entry::unary1("write_logs", crate::events::write_logs),
        crate::Entry::one_way0("panic_on_display", crate::events::panic_on_display),
    ]
);

/// A panic of tokio fails the call, and the host continues.
fn leaks_a_guard(module: &Module, instance: &Instance) {
    assert_eq!(call(module, instance, "leak_guard", ""), failed(Code::INTERNAL, "Internal error"));
    assert_eq!(call(module, instance, "write_logs", "1"), item("null"));
}

/// As [`leaks_a_guard`], by a handler that waits: its state is dropped, not lost in memory that the next call uses.
fn leaks_a_guard_and_waits(module: &Module, instance: &Instance) {
    let run = |event| {
        let (caller, mut out) = (Arc::new(Connection::default()), Vec::new());
        let cx = &mut Context::from_waker(Waker::noop());
        match instance.run(index(module, event), "1", &caller, cx, &mut out, 100) {
            Begun::Done(step) => (step, String::from_utf8(out).unwrap()),
            Begun::Pending(call) => panic!("{call:?} is pending"),
        }
    };
    assert_eq!(run("leak_guard_and_wait"), failed(Code::INTERNAL, "Internal error"));
    assert!(WAITING_DROPPED.load(Ordering::SeqCst), "the handler was dropped");
    assert_eq!(run("write_logs"), item("null"));
}

/// Calls during the destructors of a thread, when its tokio context is gone.
fn calls_at_thread_exit(module: &Module, instance: &Instance) {
    struct CallsOnDrop {
        module: Module,
        instance: Instance,
        _sleep: Call,
    }

    impl Drop for CallsOnDrop {
        fn drop(&mut self) {
            let Self { module, instance, _sleep } = self;
            for event in ["one_way", "explode", "write_logs"] {
                let mut call = instance.call(index(module, event), "1", &Arc::new(Connection::default()));
                let step = call.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), usize::MAX);
                assert!(step.is_ready(), "{event}");
            }
        }
    }

    thread_local!(static KEPT: RefCell<Option<CallsOnDrop>> = const { RefCell::new(None) });
    // Initialized first, so dropped last: after the thread-locals of tokio and of `catch_panic`.
    KEPT.with(|_| ());
    assert!(matches!(call(module, instance, "explode", "").0, Step::Panicked(_)));
    let mut sleep = instance.call(index(module, "sleep"), "", &Arc::new(Connection::default()));
    assert!(sleep.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), usize::MAX).is_pending());
    KEPT.set(Some(CallsOnDrop { module: module.clone(), instance: instance.clone(), _sleep: sleep }));
}

unsafe extern "C" {
    #[link_name = "aaw_module_v1_loaded_tests"]
    static SYMBOL: ModuleHeader;
}

#[test]
#[cfg_attr(miri, ignore = "it has no symbols to link to")]
fn the_symbol_has_the_name_of_the_abi() {
    assert_eq!(format!("{SYMBOL_PREFIX}loaded_tests"), "aaw_module_v1_loaded_tests");
    assert_eq!(&raw const SYMBOL, __aaw::PACKAGE.header());
}

#[test]
fn a_loaded_package_has_its_own_runtime_and_forwards_its_logs() {
    let (stopped, stops) = mpsc::channel();
    *STOPPED.lock().unwrap() = Some(stopped);
    // SAFETY: the header of this build, which is never unloaded.
    let module = unsafe { Module::loaded(__aaw::PACKAGE.header()) }.unwrap();
    let logs = Arc::new(Logs::default());
    let instance = try_start(&module, logs.clone()).unwrap();

    // This thread has no runtime: timers and tasks run on the package's own.
    let caller = Arc::new(Connection::default());
    let mut sleep = instance.call(index(&module, "sleep"), "", &caller);
    assert_eq!(block_on(&mut sleep), (Step::Item, r#""slept""#.to_owned()));

    // A handler that is always ready yields when its budget is exhausted.
    let mut busy = instance.call(index(&module, "busy"), "", &caller);
    assert_eq!(busy.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), usize::MAX), Poll::Pending);
    drop(busy);

    assert_eq!(call(&module, &instance, "write_logs", "6"), item("null"));
    let expected =
        ["loaded-tests INFO write_logs{body=6}: counted half=3".to_owned(), "loaded-tests WARN by log".to_owned()];
    assert_eq!(*logs.0.lock().unwrap(), expected);

    logs.0.lock().unwrap().clear();
    for polls in [2, 1] {
        let mut lines = instance.call(index(&module, "lines"), "", &caller);
        let steps: Vec<_> = (0..polls).map(|_| block_on(&mut lines).0).collect();
        assert_eq!(steps, [item("1").0, failed(Code::INTERNAL, "Internal error").0][..polls]);
    }
    let logged = std::mem::take(&mut *logs.0.lock().unwrap());
    assert_eq!(logged[0], "loaded-tests ERROR a handler failed: disk on fire event=\"lines\"");
    assert!(
        logged[1].contains("a handler panicked while it was dropped") && logged[1].contains("dropped (at "),
        "{logged:?}"
    );
    assert_eq!(logged.len(), 2);

    for (event, message) in [("explode", "boom"), ("panic_on_display", "displayed")] {
        let (step, _) = call(&module, &instance, event, "");
        let Step::Panicked(text) = step else { panic!("{step:?}") };
        assert!(text.starts_with(&format!("{message} (at ")) && text.contains("loaded.rs:"), "{text}");
    }

    // On threads that are not used afterwards.
    for run in [leaks_a_guard, leaks_a_guard_and_waits, calls_at_thread_exit] {
        let (module, instance) = (module.clone(), instance.clone());
        std::thread::spawn(move || run(&module, &instance)).join().unwrap();
    }
    assert_eq!(call(&module, &instance, "write_logs", "6"), item("null"), "the package still works");

    drop((instance, sleep));
    assert_eq!(stops.recv(), Ok("services"));
}
