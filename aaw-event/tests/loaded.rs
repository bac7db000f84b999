//! A package as if it had been opened as a library: with a runtime of its own, and its logs and panics forwarded.
//!
//! One test with a package that runs: what is forwarded belongs to the whole process. That a real library works so is
//! tested with the server.
#![allow(unsafe_code, reason = "hands over the table as a library's symbol")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "its events are as an author writes them")]

mod common;

use std::cell::RefCell;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use aaw_event::Module;
use aaw_event::abi::{ModuleHeader, SYMBOL_PREFIX};
use aaw_event::host::{Call, Instance, Step};
use aaw_protocol::Code;
use common::{Connection, Logs, call, failed, index, item, started};

static STOPPED: Mutex<Option<mpsc::Sender<&'static str>>> = Mutex::new(None);

mod services {
    pub struct App;

    impl Drop for App {
        fn drop(&mut self) {
            // What is dropped may need the runtime.
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

    /// Always ready: only a budget makes it give way.
    pub async fn busy(_: Empty) {
        let (to, mut from) = tokio::sync::mpsc::unbounded_channel();
        loop {
            to.send(()).unwrap();
            from.recv().await;
        }
    }

    #[tracing::instrument]
    pub async fn talk(body: u8) {
        tracing::info!(half = body / 2, "counted");
        tracing::debug!("nobody wants this");
        log::warn!("by log");
    }

    /// Leaves tokio in a state that it complains about, after the handler.
    pub async fn forget() -> u8 {
        std::mem::forget(tokio::runtime::Handle::current().enter());
        1
    }

    pub fn plain() {}

    /// An error that panics when it is logged.
    #[derive(Debug)]
    pub struct Unspeakable;

    impl std::fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("displayed")
        }
    }

    impl std::error::Error for Unspeakable {}

    pub fn unspeakable() -> Result<()> {
        Err(Unspeakable)?
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

    /// Fails after an item with what is for the log alone; when it is dropped before that, it panics.
    pub fn lines() -> impl Stream<Item = Result<u8>> {
        try_stream! {
            let bomb = Bomb;
            yield 1;
            std::mem::forget(bomb);
            Err(std::io::Error::other("disk on fire"))?;
        }
    }
}

type Entry = aaw_event::export::Entry<services::App>;

aaw_event::__package!(
    "loaded_tests",
    "loaded-tests",
    crate::services::App,
    aaw_event::export::sync_services(crate::services::services),
    [
        crate::Entry::answer1("busy", crate::events::busy),
        crate::Entry::answer0("explode", crate::events::explode),
        crate::Entry::answer0("forget", crate::events::forget),
        crate::Entry::stream0("lines", crate::events::lines),
        crate::Entry::plain0("plain", crate::events::plain),
        crate::Entry::answer2("sleep", crate::events::sleep),
        crate::Entry::answer1("talk", crate::events::talk),
        crate::Entry::plain0("unspeakable", crate::events::unspeakable),
    ]
);

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on(call: &mut Call) -> (Step, Vec<u8>) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut out = Vec::new();
    loop {
        match call.poll(&mut Context::from_waker(&waker), &mut out, usize::MAX) {
            Poll::Ready(step) => return (step, out),
            Poll::Pending => std::thread::park(),
        }
    }
}

/// What tokio then panics with ends the call, not the host.
fn guard_is_forgotten(module: &Module, instance: &Instance) {
    assert_eq!(call(module, instance, "forget", ""), failed(Code::HANDLER, "Internal error"));
    assert_eq!(call(module, instance, "talk", "1"), item("null"));
}

/// A call that is dropped by a thread's end, when there is no tokio on it any more.
fn thread_is_ending(module: &Module, instance: &Instance) {
    struct AtTheEnd {
        module: Module,
        instance: Instance,
        _sleep: Call,
    }

    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let Self { module, instance, _sleep } = self;
            for event in ["plain", "explode", "talk"] {
                let mut call = instance.call(index(module, event), "1", &Arc::new(Connection::default()));
                let step = call.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), usize::MAX);
                assert!(step.is_ready(), "{event}");
            }
        }
    }

    thread_local!(static KEPT: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) });
    // First, so that it is dropped last: after what tokio keeps for this thread, and what a contained panic does.
    KEPT.with(|_| ());
    assert!(matches!(call(module, instance, "explode", "").0, Step::Panicked(_)));
    let mut sleep = instance.call(index(module, "sleep"), "", &Arc::new(Connection::default()));
    assert!(sleep.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), usize::MAX).is_pending());
    KEPT.set(Some(AtTheEnd { module: module.clone(), instance: instance.clone(), _sleep: sleep }));
}

unsafe extern "C" {
    #[link_name = "aaw_module_v1_loaded_tests"]
    static SYMBOL: ModuleHeader;
}

#[test]
#[cfg_attr(miri, ignore = "it has no symbols to link to")]
fn the_symbol_is_called_as_the_abi_says() {
    assert_eq!(format!("{SYMBOL_PREFIX}loaded_tests"), "aaw_module_v1_loaded_tests");
    assert_eq!(&raw const SYMBOL, __aaw::PACKAGE.header());
}

#[test]
fn a_loaded_package_lives_on_its_own() {
    let (stopped, ear) = mpsc::channel();
    *STOPPED.lock().unwrap() = Some(stopped);
    // SAFETY: the header of this very build, which is never unloaded.
    let module = unsafe { Module::loaded(__aaw::PACKAGE.header()) }.unwrap();
    let logs = Arc::new(Logs::default());
    let instance = started(&module, logs.clone()).unwrap();

    // No runtime of the host's is around: timers and tasks are the package's own.
    let caller = Arc::new(Connection::default());
    let mut sleep = instance.call(index(&module, "sleep"), "", &caller);
    assert_eq!(block_on(&mut sleep), (Step::Item, br#""slept""#.to_vec()));

    // A handler that never waits gives way all the same.
    let mut busy = instance.call(index(&module, "busy"), "", &caller);
    assert_eq!(busy.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), usize::MAX), Poll::Pending);
    drop(busy);

    assert_eq!(call(&module, &instance, "talk", "6"), item("null"));
    let expected = ["loaded-tests INFO talk{body=6}: counted half=3".to_owned(), "loaded-tests WARN by log".to_owned()];
    assert_eq!(*logs.0.lock().unwrap(), expected);

    logs.0.lock().unwrap().clear();
    for polls in [2, 1] {
        let mut lines = instance.call(index(&module, "lines"), "", &caller);
        let steps: Vec<_> = (0..polls).map(|_| block_on(&mut lines).0).collect();
        assert_eq!(steps, [item("1").0, failed(Code::HANDLER, "Internal error").0][..polls]);
    }
    let said = std::mem::take(&mut *logs.0.lock().unwrap());
    assert_eq!(said[0], "loaded-tests ERROR a handler failed: disk on fire event=\"lines\"");
    assert!(
        said[1].contains("a handler panicked while it was dropped") && said[1].contains("dropped (at "),
        "{said:?}"
    );
    assert_eq!(said.len(), 2);

    for (event, said) in [("explode", "boom"), ("unspeakable", "displayed")] {
        let (step, _) = call(&module, &instance, event, "");
        let Step::Panicked(text) = step else { panic!("{step:?}") };
        assert!(text.starts_with(&format!("{said} (at ")) && text.contains("loaded.rs:"), "{text}");
    }

    // On threads that are not needed afterwards.
    for wrecks in [guard_is_forgotten, thread_is_ending] {
        let (module, instance) = (module.clone(), instance.clone());
        std::thread::spawn(move || wrecks(&module, &instance)).join().unwrap();
    }
    assert_eq!(call(&module, &instance, "talk", "6"), item("null"), "and it goes on");

    drop((instance, sleep));
    assert_eq!(ear.recv(), Ok("services"));
}
