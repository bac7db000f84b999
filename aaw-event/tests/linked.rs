//! A linked package, called through the host's side.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "its events are written as an author writes them"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use aaw_event::Module;
use aaw_event::export::{HandlerEntry, async_services};
use aaw_event::host::{Call, Caller, HandlerKind, Instance, Step};
use aaw_protocol::{Code, Failure};
use common::{Connection, CountingWaker, Logs, call, call_from, end, failed, index, item, refused, start, try_start};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;

/// The services, as in a `_services.rs`.
mod services {
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    use aaw_event::prelude::*;
    use tokio::sync::{Notify, mpsc};

    /// The services of these tests.
    pub struct App {
        /// What handlers wait for.
        pub gate: Arc<Notify>,
        /// Receives a name when something is dropped.
        pub dropped: mpsc::UnboundedSender<&'static str>,
        /// A value to read.
        pub greeting: &'static str,
        /// The wakers that handlers have stored.
        pub wakers: Arc<Mutex<Vec<Waker>>>,
    }

    impl App {
        /// The services, and the receiver of `dropped`.
        pub fn new() -> (Self, mpsc::UnboundedReceiver<&'static str>) {
            let (dropped, drops) = mpsc::unbounded_channel();
            (Self { gate: Arc::default(), dropped, greeting: "Hello", wakers: Arc::default() }, drops)
        }
    }

    impl Drop for App {
        fn drop(&mut self) {
            let _ = self.dropped.send("services");
        }
    }

    /// Builds them.
    pub async fn services() -> Result<App> {
        Ok(App::new().0)
    }
}

/// The handlers, as in the files of a package.
mod events {
    use aaw_event::RawValue;
    use aaw_event::prelude::*;

    use crate::common::PanicsOnDrop;
    use crate::services::App;

    /// An error that panics when it is dropped, after it was logged.
    #[derive(Debug)]
    pub struct FragileError;

    impl std::fmt::Display for FragileError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("fragile")
        }
    }

    impl std::error::Error for FragileError {}

    impl Drop for FragileError {
        fn drop(&mut self) {
            panic!("error dropped");
        }
    }

    /// A response that panics when it is dropped, after it was written.
    #[derive(Serialize)]
    pub struct FragileResponse(&'static str);

    impl Drop for FragileResponse {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[derive(Deserialize)]
    pub struct Body {
        pub name: String,
    }

    pub struct ReportsDrop(pub tokio::sync::mpsc::UnboundedSender<&'static str>);

    impl Drop for ReportsDrop {
        fn drop(&mut self) {
            let _ = self.0.send("handler");
        }
    }

    pub async fn ping() -> Value {
        json!({ "pong": true })
    }
    pub async fn echo(body: Box<RawValue>) -> Box<RawValue> {
        body
    }
    pub async fn maybe(body: Option<i64>) -> Option<i64> {
        body
    }
    pub async fn greet(body: Body, services: Services<App>) -> Result<String> {
        Ok(format!("{}, {}", services.greeting, body.name))
    }
    pub async fn whoami(_: Empty, services: Services) -> String {
        services.ws.id()
    }
    pub async fn fail() -> Result<()> {
        Err(Error::new("Sold out").with_code("sold_out").with_data([1, 2]))
    }
    pub async fn fail_with_bad_body() -> Result<()> {
        Err(Error::new("Mine").with_code("bad_body"))
    }
    pub async fn fail_with_length(body: usize) -> Result<()> {
        Err(Error::new("x".repeat(body)))
    }
    pub async fn store_waker(_: Empty, services: Services<App>) {
        let mut polled = false;
        std::future::poll_fn(|cx| {
            if polled {
                return std::task::Poll::Ready(());
            }
            polled = true;
            services.wakers.lock().unwrap().push(cx.waker().clone());
            std::task::Poll::Pending
        })
        .await;
    }
    pub async fn io() -> Result<String> {
        Ok(std::fs::read_to_string("/there/is/no/such/file")?)
    }
    pub async fn not_json() -> std::collections::HashMap<Vec<u8>, u8> {
        [(vec![1], 1)].into()
    }
    pub async fn wait(_: Empty, services: Services<App>) -> &'static str {
        let _guard = ReportsDrop(services.dropped.clone());
        services.gate.notified().await;
        "waited"
    }
    #[allow(clippy::unused_async)]
    pub async fn panic_at_once() {
        panic!("at once")
    }
    pub async fn panic_late(_: Empty, services: Services<App>) {
        services.gate.notified().await;
        panic!("late")
    }
    pub async fn panic_in_drop(_: Empty, services: Services<App>) {
        let _guard = PanicsOnDrop;
        services.gate.notified().await;
    }
    pub async fn panic_with_payload() {
        std::panic::panic_any(PanicsOnDrop)
    }
    pub async fn panic_after_response() -> FragileResponse {
        FragileResponse("response")
    }
    pub async fn outlive(_: Empty, services: Services<App>) {
        tokio::spawn(async move {
            services.gate.notified().await;
            services.ws.send_event("later", services.greeting).expect("still open");
            let _ = services.dropped.send("task");
        });
    }
    pub async fn push(body: Value, services: Services) -> Result<()> {
        services.ws.send_event("pushed", body)
    }

    pub fn nothing() {}
    pub fn one_way_panic() {
        panic!("one-way")
    }
    pub fn one_way_fragile_error() -> Result<()> {
        Err(FragileError)?
    }
    pub fn one_way_error(_: Empty) -> Result<()> {
        Err(Error::new("No"))
    }
    pub fn announce(body: Value, services: Services) {
        services.ws.broadcast(body, false);
    }
}

type Event = HandlerEntry<services::App>;

aaw_event::__package!(
    "linked_tests",
    "linked-tests",
    crate::services::App,
    super::async_services(crate::services::services),
    [
        crate::Event::one_way2("announce", crate::events::announce),
        crate::Event::unary1("echo", crate::events::echo),
        crate::Event::unary1("fail_with_length", crate::events::fail_with_length),
        crate::Event::unary2("greet", crate::events::greet),
        crate::Event::unary0("io", crate::events::io),
        crate::Event::unary2("outlive", crate::events::outlive),
        crate::Event::unary2("store_waker", crate::events::store_waker),
        crate::Event::unary1("maybe", crate::events::maybe),
        crate::Event::unary0("not_json", crate::events::not_json),
        crate::Event::one_way0("nothing", crate::events::nothing),
        crate::Event::unary0("panic/after_response", crate::events::panic_after_response),
        crate::Event::unary0("panic/at_once", crate::events::panic_at_once),
        crate::Event::unary2("panic/in_drop", crate::events::panic_in_drop),
        crate::Event::unary2("panic/late", crate::events::panic_late),
        crate::Event::unary0("panic/with_payload", crate::events::panic_with_payload),
        crate::Event::unary0("ping", crate::events::ping),
        crate::Event::one_way1("one_way/error", crate::events::one_way_error),
        crate::Event::one_way0("one_way/panic", crate::events::one_way_panic),
        crate::Event::one_way0("one_way/fragile_error", crate::events::one_way_fragile_error),
        crate::Event::unary2("push", crate::events::push),
        crate::Event::unary0("fail", crate::events::fail),
        crate::Event::unary0("fail_with_bad_body", crate::events::fail_with_bad_body),
        crate::Event::unary2("wait", crate::events::wait),
        crate::Event::unary2("whoami", crate::events::whoami),
    ]
);

/// The package with prebuilt services, the gate of its handlers, and the receiver of drops.
fn with_prebuilt_services() -> (Module, Arc<Notify>, UnboundedReceiver<&'static str>) {
    let (app, drops) = services::App::new();
    let gate = app.gate.clone();
    (module_with(app), gate, drops)
}

fn module_with(app: services::App) -> Module {
    __aaw::PACKAGE.module_with(app)
}

/// Begins a call that is pending after its first poll.
fn begin_pending(module: &Module, instance: &Instance, event: &str, waker: &Waker) -> Call {
    let mut call = instance.call(index(module, event), "", &Arc::new(Connection::default()));
    assert_eq!(call.poll(&mut Context::from_waker(waker), &mut Vec::new(), usize::MAX), Poll::Pending);
    call
}

#[test]
fn a_module_lists_its_events() {
    let module = module();
    assert_eq!(module.package(), "linked-tests");
    assert_eq!(module.sdk_version(), env!("CARGO_PKG_VERSION"));
    assert_eq!(module.events().len(), 24);
    assert_eq!(module.events()[index(&module, "greet")].kind, HandlerKind::Unary);
    assert_eq!(module.events()[index(&module, "announce")].kind, HandlerKind::OneWay);
}

#[test]
fn responses_are_json() {
    let module = module();
    let instance = start(&module);
    assert_eq!(call(&module, &instance, "ping", "{}"), item(r#"{"pong":true}"#));
    assert_eq!(call(&module, &instance, "echo", r#"{"b": 1, "a" : 1.50}"#), item(r#"{"b": 1, "a" : 1.50}"#));
    assert_eq!(call(&module, &instance, "greet", r#"{"name":"Ada"}"#), item(r#""Hello, Ada""#));
    assert_eq!(call(&module, &instance, "whoami", "17"), item(r#""connection-1""#));
}

#[test]
fn a_missing_body_is_an_empty_object() {
    let module = module();
    let instance = start(&module);
    for missing in ["", "null"] {
        assert_eq!(call(&module, &instance, "echo", missing), item("{}"));
        assert_eq!(call(&module, &instance, "maybe", missing), item("null"));
        let expected = refused("The body does not fit: missing field `name`");
        assert_eq!(call(&module, &instance, "greet", missing), expected);
    }
}

#[test]
fn the_error_of_a_body_names_the_field() {
    let module = module();
    let instance = start(&module);
    let expected = refused("The body does not fit at name: invalid type: integer `1`, expected a string");
    assert_eq!(call(&module, &instance, "greet", r#"{"name":1}"#), expected);
}

#[test]
fn a_handler_that_fails_with_bad_body_has_failed_and_was_not_refused() {
    let module = module();
    let instance = start(&module);
    assert_eq!(call(&module, &instance, "fail_with_bad_body", ""), failed(Code::BAD_BODY, "Mine"));
}

#[test]
fn a_body_that_is_not_json_is_refused_by_every_handler() {
    let module = module();
    let instance = start(&module);
    let caller = Arc::new(Connection::default());
    // Without arguments, with an `Empty`, a `RawValue`, a `Value`; unary and one-way.
    for event in ["ping", "whoami", "echo", "push", "nothing", "one_way/error", "announce"] {
        for body in [r#"{"a":"#, "{} {}", "{a:1}", "nul", "[1,]", "\"\u{1}\"", "x"] {
            let (step, out) = call_from(&caller, &module, &instance, event, body);
            assert!(matches!(step, Step::Refused(_)) && out.is_empty(), "{event} {body}: {step:?}");
        }
    }
    assert!(caller.sent.lock().unwrap().is_empty(), "no handler has run");
}

#[test]
fn output_beyond_the_limit_of_the_host_is_not_copied() {
    let module = module();
    let instance = start(&module);
    let caller = Arc::new(Connection::default());
    let within = |event: &str, body: &str, max_len: usize| {
        let mut out = b"before ".to_vec();
        let mut call = instance.call(index(&module, event), body, &caller);
        let step = call.poll(&mut Context::from_waker(Waker::noop()), &mut out, max_len);
        assert_eq!(call.poll(&mut Context::from_waker(Waker::noop()), &mut out, max_len), Poll::Ready(Step::End));
        (step, String::from_utf8(out).unwrap())
    };
    let before = || "before ".to_owned();
    assert_eq!(within("echo", "12345", 5), (Poll::Ready(Step::Item), "before 12345".to_owned()));
    assert_eq!(within("echo", "12345", 4), (Poll::Ready(Step::TooLarge(5)), before()));
    let (step, out) = within("fail_with_length", "1000", 999);
    assert!(matches!(step, Poll::Ready(Step::TooLarge(1000..))) && out == before(), "{step:?}");
    let (step, out) = within("greet", "{}", 10);
    assert!(matches!(step, Poll::Ready(Step::TooLarge(_))) && out == before(), "{step:?}");
    let (step, out) = within("one_way/panic", "", 2);
    assert_eq!(
        (step, out),
        (Poll::Ready(Step::Panicked("with a text of 7 bytes, more than the host accepts".into())), before())
    );
}

#[test]
fn only_messages_for_the_caller_reach_the_caller() {
    let module = module();
    let instance = start(&module);
    let data = serde_json::value::to_raw_value(&[1, 2]).unwrap();
    let refused = Failure { error: "Sold out".to_owned(), code: Code::new("sold_out"), data: Some(data), status: None };
    assert_eq!(call(&module, &instance, "fail", ""), (Step::Failed(refused), String::new()));
    for hidden in ["io", "not_json"] {
        assert_eq!(call(&module, &instance, hidden, ""), failed(Code::INTERNAL, "Internal error"));
    }
    assert_eq!(call(&module, &instance, "one_way/error", ""), failed(Code::HANDLER, "No"));
}

#[test]
fn a_one_way_handler_runs_when_its_call_begins() {
    let module = module();
    let instance = start(&module);
    let caller = Arc::new(Connection::default());
    let unpolled = instance.call(index(&module, "announce"), r#""all""#, &caller);
    assert_eq!(*caller.sent.lock().unwrap(), [r#"broadcast "all" false"#]);
    drop(unpolled);
    assert_eq!(call(&module, &instance, "nothing", ""), end());
    assert_eq!(Arc::strong_count(&caller), 1);
}

#[test]
fn a_push_to_a_closed_connection_fails() {
    let module = module();
    let instance = start(&module);
    let caller = Arc::new(Connection { is_closed: true, ..Connection::default() });
    let expected = failed(Code::NO_CONNECTION, "The connection is closed");
    assert_eq!(call_from(&caller, &module, &instance, "push", "1"), expected);
}

#[test]
fn a_call_wakes_the_last_waker() {
    let (module, gate, _drops) = with_prebuilt_services();
    let instance = start(&module);
    let mut call = begin_pending(&module, &instance, "wait", Waker::noop());
    let woken = Arc::new(CountingWaker::default());
    let waker = Waker::from(woken.clone());
    let mut out = Vec::new();
    assert_eq!(call.poll(&mut Context::from_waker(&waker), &mut out, usize::MAX), Poll::Pending);
    assert_eq!((woken.count(), out.len()), (0, 0));
    gate.notify_one();
    assert_eq!(woken.count(), 1);
    assert_eq!(call.poll(&mut Context::from_waker(&waker), &mut out, usize::MAX), Poll::Ready(Step::Item));
    assert_eq!(out, br#""waited""#);
    drop((call, waker));
    assert_eq!(Arc::strong_count(&woken), 1, "the package has dropped the waker");
}

#[test]
fn dropping_a_call_drops_its_handler() {
    let (module, _gate, mut drops) = with_prebuilt_services();
    let instance = start(&module);
    let woken = Arc::new(CountingWaker::default());
    let call = begin_pending(&module, &instance, "wait", &Waker::from(woken.clone()));
    assert!(drops.try_recv().is_err());
    drop(call);
    assert_eq!(drops.try_recv(), Ok("handler"));
    assert_eq!((woken.count(), Arc::strong_count(&woken)), (0, 1));
}

#[test]
fn a_call_that_was_never_polled_can_be_dropped() {
    let module = module();
    let instance = start(&module);
    let caller = Arc::new(Connection::default());
    drop(instance.call(index(&module, "wait"), "", &caller));
    drop(instance.call(index(&module, "greet"), "does not fit", &caller));
    assert_eq!(Arc::strong_count(&caller), 1);
}

#[test]
fn panics_are_caught_wherever_they_happen() {
    let (module, gate, _drops) = with_prebuilt_services();
    let instance = start(&module);
    let panicked = |text: &str| (Step::Panicked(text.to_owned()), String::new());
    assert_eq!(call(&module, &instance, "panic/at_once", ""), panicked("at once"));
    assert_eq!(call(&module, &instance, "one_way/panic", ""), panicked("one-way"));
    assert_eq!(call(&module, &instance, "panic/with_payload", ""), panicked("a panic whose payload is not text"));
    assert_eq!(call(&module, &instance, "panic/after_response", ""), panicked("dropped"));
    assert_eq!(call(&module, &instance, "one_way/fragile_error", ""), panicked("error dropped"));

    for (event, text) in [("panic/late", "late"), ("panic/in_drop", "dropped")] {
        let mut call = begin_pending(&module, &instance, event, Waker::noop());
        gate.notify_one();
        let step = call.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), usize::MAX);
        assert_eq!(step, Poll::Ready(Step::Panicked(text.to_owned())));
    }
    // A panic during cancellation is only logged.
    drop(begin_pending(&module, &instance, "panic/in_drop", Waker::noop()));
    assert_eq!(call(&module, &instance, "ping", ""), item(r#"{"pong":true}"#), "the package still works");
}

#[tokio::test]
async fn services_work_after_the_call_has_ended() {
    let (module, gate, mut drops) = with_prebuilt_services();
    let instance = start(&module);
    let caller = Arc::new(Connection::default());
    assert_eq!(call_from(&caller, &module, &instance, "outlive", ""), item("null"));
    drop((instance, module));
    assert!(caller.sent.lock().unwrap().is_empty());
    gate.notify_one();
    assert_eq!(drops.recv().await, Some("task"));
    assert_eq!(*caller.sent.lock().unwrap(), [r#"later "Hello""#]);
    assert_eq!(drops.recv().await, Some("services"), "the task held the last reference to them");
    assert_eq!(Arc::strong_count(&caller), 1);
}

#[test]
fn the_services_live_until_the_last_call_is_dropped() {
    let (module, _gate, mut drops) = with_prebuilt_services();
    let instance = start(&module);
    let call = begin_pending(&module, &instance, "wait", Waker::noop());
    drop((instance, module));
    assert!(drops.try_recv().is_err());
    drop(call);
    assert_eq!((drops.try_recv(), drops.try_recv()), (Ok("handler"), Ok("services")));
}

#[test]
fn a_waker_may_outlive_its_call_and_its_package() {
    let (app, _drops) = services::App::new();
    let wakers = app.wakers.clone();
    let module = module_with(app);
    let instance = start(&module);
    let woken = Arc::new(CountingWaker::default());
    let call = begin_pending(&module, &instance, "store_waker", &Waker::from(woken.clone()));
    drop((call, instance, module));
    let waker = wakers.lock().unwrap().pop().unwrap();
    let other = waker.clone();
    waker.wake_by_ref();
    drop(waker);
    // From another thread, as a timer would.
    std::thread::spawn(move || other.wake()).join().unwrap();
    assert_eq!((woken.count(), Arc::strong_count(&woken)), (2, 1));
}

/// A caller that runs a function of the test while a handler runs.
struct CallbackCaller(Mutex<Box<dyn FnMut() + Send>>);

impl Caller for CallbackCaller {
    fn id(&self) -> String {
        String::new()
    }

    fn send_event(&self, _: &str, _: &str) -> Result<(), Failure> {
        self.0.lock().unwrap()();
        Ok(())
    }

    fn broadcast(&self, _: &str, _: bool) {
        self.0.lock().unwrap()();
    }
}

#[test]
fn a_host_may_call_the_package_while_its_handler_runs() {
    let module = module();
    let instance = start(&module);
    let (results, inner) = (Arc::new(Mutex::new(Vec::new())), (module.clone(), instance.clone()));
    let results_of_calls = results.clone();
    let caller = Arc::new(CallbackCaller(Mutex::new(Box::new(move || {
        let (module, instance) = &inner;
        for event in ["echo", "announce", "panic/at_once"] {
            results_of_calls.lock().unwrap().push(call(module, instance, event, "[1]"));
        }
    }))));
    let mut call = instance.call(index(&module, "push"), r#""outer""#, &caller);
    let mut out = Vec::new();
    let step = call.poll(&mut Context::from_waker(Waker::noop()), &mut out, usize::MAX);
    assert_eq!((step, &out[..]), (Poll::Ready(Step::Item), &b"null"[..]));
    assert_eq!(*results.lock().unwrap(), [item("[1]"), end(), (Step::Panicked("at once".into()), String::new())]);
}

#[test]
fn a_host_may_drop_the_instance_while_a_handler_runs() {
    // A unary handler, which is polled, and a one-way handler, which runs while the call begins.
    for event in ["push", "announce"] {
        let (module, _gate, mut drops) = with_prebuilt_services();
        let instance = start(&module);
        let at = index(&module, event);
        let other = Mutex::new(Some(instance.clone()));
        let caller = Arc::new(CallbackCaller(Mutex::new(Box::new(move || drop(other.lock().unwrap().take())))));
        let mut call = instance.call(at, "1", &caller);
        drop((instance, module));
        let step = call.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), usize::MAX);
        assert!(matches!(step, Poll::Ready(Step::Item | Step::End)), "{step:?}");
        assert!(drops.try_recv().is_err(), "the call keeps the services alive");
        drop(call);
        assert_eq!(drops.try_recv(), Ok("services"));
    }
}

mod bad_services {
    use aaw_event::prelude::*;

    pub async fn fails() -> Result<String> {
        Ok(std::fs::read_to_string("/there/is/no/such/file")?)
    }

    pub fn panics() -> String {
        panic!("no database")
    }

    pub async fn handler() {}

    pub mod failing {
        aaw_event::__package!(
            "failing",
            "failing",
            String,
            aaw_event::export::async_services(crate::bad_services::fails),
            [aaw_event::export::HandlerEntry::<String>::unary0("x", crate::bad_services::handler),]
        );
    }

    pub mod panicking {
        aaw_event::__package!(
            "panicking",
            "panicking",
            String,
            aaw_event::export::sync_services(crate::bad_services::panics),
            [aaw_event::export::HandlerEntry::<String>::unary0("x", crate::bad_services::handler),]
        );
    }
}

#[test]
fn a_failure_to_build_the_services_is_reported() {
    let failure = try_start(&bad_services::failing::module(), Arc::new(Logs::default())).unwrap_err();
    assert!(failure.error.starts_with("the package failing did not start: No such file"), "{failure}");
    let failure = try_start(&bad_services::panicking::module(), Arc::new(Logs::default())).unwrap_err();
    assert_eq!(failure.error, "the package panicking did not start: its services panicked: no database");
    assert_eq!(failure.code, Code::PANIC);
}
