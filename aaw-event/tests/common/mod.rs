//! A host in memory, for the tests of packages.
#![allow(dead_code, missing_docs, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test's own part, outside of a test function")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use aaw_event::Module;
use aaw_event::host::{Caller, Host, Instance, LogRecord, Step};
use aaw_protocol::{Code, Failure};
use tracing::level_filters::LevelFilter;

/// Keeps what a package logs.
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

/// A connection that keeps what it is given.
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

/// Counts how often it is woken.
#[derive(Default)]
pub struct Woken(AtomicUsize);

impl Woken {
    pub fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Starts a package whose services wait for nothing.
pub fn start(module: &Module) -> Instance {
    started(module, Arc::new(Logs::default())).unwrap()
}

pub fn started(module: &Module, host: Arc<dyn Host>) -> Result<Instance, Failure> {
    let mut starting = module.start(host);
    match std::pin::Pin::new(&mut starting).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the services wait"),
    }
}

pub fn index(module: &Module, event: &str) -> usize {
    module.events().iter().position(|info| info.name.as_str() == event).expect(event)
}

/// Calls an event that is done at once, and drops the call.
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
        panic!("{event} waits")
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
