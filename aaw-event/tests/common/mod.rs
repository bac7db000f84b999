//! A host in memory, for the tests of events packages.
#![allow(dead_code, missing_docs, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use aaw_event::Module;
use aaw_event::host::{Call, Caller, Host, Instance, LogRecord, Step};
use aaw_protocol::{Code, Failure};
use tracing::level_filters::LevelFilter;

/// Stores what a package logs.
#[derive(Default)]
pub struct Logs(pub Mutex<Vec<String>>);

impl Host for Logs {
    fn log(&self, record: LogRecord<'_>) {
        let line = format!("{} {} {}", record.package, record.level, record.message);
        self.0.lock().unwrap().push(line);
    }

    fn max_level(&self) -> LevelFilter {
        LevelFilter::INFO
    }
}

/// A connection that stores what is sent.
#[derive(Default)]
pub struct Connection {
    pub sent: Mutex<Vec<String>>,
    pub is_closed: bool,
}

impl Caller for Connection {
    fn id(&self) -> String {
        "connection-1".to_owned()
    }

    fn send_event(&self, event: &str, data: &str) -> Result<(), Failure> {
        if self.is_closed {
            return Err(Failure::new(Code::NO_CONNECTION, "The connection is closed"));
        }
        self.sent.lock().unwrap().push(format!("{event} {data}"));
        Ok(())
    }

    fn broadcast(&self, data: &str, include_self: bool) {
        self.sent.lock().unwrap().push(format!("broadcast {data} {include_self}"));
    }
}

/// A waker that counts how often it is woken.
#[derive(Default)]
pub struct CountingWaker(AtomicUsize);

impl CountingWaker {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Starts a package whose services are built at the first poll.
pub fn start(module: &Module) -> Instance {
    try_start(module, Arc::new(Logs::default())).unwrap()
}

pub fn try_start(module: &Module, host: Arc<dyn Host>) -> Result<Instance, Failure> {
    let mut starting = module.start(host);
    match std::pin::Pin::new(&mut starting).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the start is pending"),
    }
}

pub fn index(module: &Module, event: &str) -> usize {
    module.events().iter().position(|info| info.name.as_str() == event).expect(event)
}

/// Calls an event that ends at its first poll.
pub fn call(module: &Module, instance: &Instance, event: &str, body: &str) -> (Step, String) {
    call_from(&Arc::default(), module, instance, event, body)
}

pub fn call_from(
    caller: &Arc<Connection>,
    module: &Module,
    instance: &Instance,
    event: &str,
    body: &str,
) -> (Step, String) {
    let mut out = Vec::from(*b"before ");
    let mut call = instance.call(index(module, event), body, caller);
    let Poll::Ready(step) = call.poll(&mut Context::from_waker(Waker::noop()), &mut out, usize::MAX) else {
        panic!("{event} is pending")
    };
    let mut after = Vec::new();
    assert_eq!(
        call.poll(&mut Context::from_waker(Waker::noop()), &mut after, usize::MAX),
        Poll::Ready(Step::End),
        "after the end"
    );
    assert!(after.is_empty());
    (step, String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned())
}

pub fn item(json: &str) -> (Step, String) {
    (Step::Item, json.to_owned())
}

pub fn refused(error: &str) -> (Step, String) {
    (Step::Refused(Failure::new(Code::BAD_BODY, error)), String::new())
}

pub fn failed(code: Code, error: &str) -> (Step, String) {
    (Step::Failed(Failure::new(code, error)), String::new())
}

pub fn end() -> (Step, String) {
    (Step::End, String::new())
}

/// Panics when it is dropped, except during another panic.
pub struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker that unparks the current thread.
pub fn unpark() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

/// Blocks until the call returns a step.
pub fn block_on(call: &mut Call) -> (Step, String) {
    let (waker, mut out) = (unpark(), Vec::new());
    loop {
        match call.poll(&mut Context::from_waker(&waker), &mut out, usize::MAX) {
            Poll::Ready(step) => return (step, String::from_utf8(out).unwrap()),
            Poll::Pending => std::thread::park(),
        }
    }
}
