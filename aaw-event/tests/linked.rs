//! A package that is linked in, through the host's side.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "its events are as an author writes them")]

mod common;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use aaw_event::Module;
use aaw_event::export::{Entry, async_services};
use aaw_event::host::{Call, Caller, HandlerKind, Instance, Step};
use aaw_protocol::{Code, Failure};
use common::{Connection, Logs, Woken, call, call_from, failed, index, item, refused, start, started};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;

/// What `_services.rs` would be.
mod services {
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    use aaw_event::prelude::*;
    use tokio::sync::{Notify, mpsc};

    /// The services of these tests.
    pub struct App {
        /// Each handler that waits, waits for this.
        pub gate: Arc<Notify>,
        /// Hears of drops.
        pub dropped: mpsc::UnboundedSender<&'static str>,
        /// Something to read.
        pub greeting: &'static str,
        /// Wakers that handlers have kept.
        pub wakers: Arc<Mutex<Vec<Waker>>>,
    }

    impl App {
        /// With its ear.
        pub fn new() -> (Self, mpsc::UnboundedReceiver<&'static str>) {
            let (dropped, ear) = mpsc::unbounded_channel();
            (Self { gate: Arc::default(), dropped, greeting: "Hello", wakers: Arc::default() }, ear)
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

/// What the events' files would be.
mod events {
    use aaw_event::RawValue;
    use aaw_event::prelude::*;

    use crate::services::App;

    /// An error that panics once it was logged.
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

    /// An answer that panics once it is written.
    #[derive(Serialize)]
    pub struct Fragile(&'static str);

    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[derive(Deserialize)]
    pub struct Body {
        pub name: String,
    }

    pub struct Guard(pub tokio::sync::mpsc::UnboundedSender<&'static str>);

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.send("handler");
        }
    }

    /// Panics when dropped, unless something else panics.
    pub struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("dropped");
            }
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
    pub async fn refuse() -> Result<()> {
        Err(Error::new("Sold out").with_code("sold_out").with_data([1, 2]))
    }
    pub async fn refuse_as_aaw_does() -> Result<()> {
        Err(Error::new("Mine").with_code("bad_body"))
    }
    pub async fn fail_at_length(body: usize) -> Result<()> {
        Err(Error::new("x".repeat(body)))
    }
    pub async fn keep_waker(_: Empty, services: Services<App>) {
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
    pub async fn no_json() -> std::collections::HashMap<Vec<u8>, u8> {
        [(vec![1], 1)].into()
    }
    pub async fn wait(_: Empty, services: Services<App>) -> &'static str {
        let _guard = Guard(services.dropped.clone());
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
        let _bomb = Bomb;
        services.gate.notified().await;
    }
    pub async fn panic_with_bomb() {
        std::panic::panic_any(Bomb)
    }
    pub async fn panic_after_answer() -> Fragile {
        Fragile("answered")
    }
    pub async fn keep(_: Empty, services: Services<App>) {
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
    pub fn plain_panic() {
        panic!("plain")
    }
    pub fn plain_fragile_error() -> Result<()> {
        Err(FragileError)?
    }
    pub fn plain_error(_: Empty) -> Result<()> {
        Err(Error::new("No"))
    }
    pub fn announce(body: Value, services: Services) {
        services.ws.broadcast(body, false);
    }
}

type Event = Entry<services::App>;

aaw_event::__package!(
    "linked_tests",
    "linked-tests",
    crate::services::App,
    super::async_services(crate::services::services),
    [
        crate::Event::plain2("announce", crate::events::announce),
        crate::Event::answer1("echo", crate::events::echo),
        crate::Event::answer1("fail_at_length", crate::events::fail_at_length),
        crate::Event::answer2("greet", crate::events::greet),
        crate::Event::answer0("io", crate::events::io),
        crate::Event::answer2("keep", crate::events::keep),
        crate::Event::answer2("keep_waker", crate::events::keep_waker),
        crate::Event::answer1("maybe", crate::events::maybe),
        crate::Event::answer0("no_json", crate::events::no_json),
        crate::Event::plain0("nothing", crate::events::nothing),
        crate::Event::answer0("panic/after_answer", crate::events::panic_after_answer),
        crate::Event::answer0("panic/at_once", crate::events::panic_at_once),
        crate::Event::answer2("panic/in_drop", crate::events::panic_in_drop),
        crate::Event::answer2("panic/late", crate::events::panic_late),
        crate::Event::answer0("panic/with_bomb", crate::events::panic_with_bomb),
        crate::Event::answer0("ping", crate::events::ping),
        crate::Event::plain1("plain/error", crate::events::plain_error),
        crate::Event::plain0("plain/panic", crate::events::plain_panic),
        crate::Event::plain0("plain/fragile_error", crate::events::plain_fragile_error),
        crate::Event::answer2("push", crate::events::push),
        crate::Event::answer0("refuse", crate::events::refuse),
        crate::Event::answer0("refuse_as_aaw_does", crate::events::refuse_as_aaw_does),
        crate::Event::answer2("wait", crate::events::wait),
        crate::Event::answer2("whoami", crate::events::whoami),
    ]
);

/// The package with services of the test's own; what wakes its handlers; what hears of drops.
fn with_own_services() -> (Module, Arc<Notify>, UnboundedReceiver<&'static str>) {
    let (app, ear) = services::App::new();
    let gate = app.gate.clone();
    (module_with(app), gate, ear)
}

fn module_with(app: services::App) -> Module {
    __aaw::PACKAGE.module_with(app)
}

/// Polls a call until it waits.
fn waiting(module: &Module, instance: &Instance, event: &str, waker: &Waker) -> Call {
    let mut call = instance.call(index(module, event), "", &Arc::new(Connection::default()));
    assert_eq!(call.poll(&mut Context::from_waker(waker), &mut Vec::new(), usize::MAX), Poll::Pending);
    call
}

#[test]
fn a_module_says_what_it_offers() {
    let module = module();
    assert_eq!(module.package(), "linked-tests");
    assert_eq!(module.sdk_version(), env!("CARGO_PKG_VERSION"));
    assert_eq!(module.events().len(), 24);
    assert_eq!(module.events()[index(&module, "greet")].kind, HandlerKind::Unary);
    assert_eq!(module.events()[index(&module, "announce")].kind, HandlerKind::OneWay);
}

#[test]
fn answers_come_as_json() {
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
fn a_body_that_does_not_fit_names_the_field() {
    let module = module();
    let instance = start(&module);
    let expected = refused("The body does not fit at name: invalid type: integer `1`, expected a string");
    assert_eq!(call(&module, &instance, "greet", r#"{"name":1}"#), expected);
}

#[test]
fn only_a_handler_that_was_not_run_is_refused() {
    let module = module();
    let instance = start(&module);
    assert_eq!(call(&module, &instance, "refuse_as_aaw_does", ""), failed(Code::BAD_BODY, "Mine"));
}

#[test]
fn a_body_that_is_not_json_is_refused_though_nobody_looks_at_it() {
    let module = module();
    let instance = start(&module);
    let caller = Arc::new(Connection::default());
    // No argument, an `Empty`, a `RawValue`, a `Value`; events that answer, and plain ones.
    for event in ["ping", "whoami", "echo", "push", "nothing", "plain/error", "announce"] {
        for body in [r#"{"a":"#, "{} {}", "{a:1}", "nul", "[1,]", "\"\u{1}\"", "x"] {
            let (step, out) = call_from(&caller, &module, &instance, event, body);
            assert!(matches!(step, Step::Refused(_)) && out.is_empty(), "{event} {body}: {step:?}");
        }
    }
    assert!(caller.sent.lock().unwrap().is_empty(), "none of them was run");
}

#[test]
fn what_is_longer_than_the_host_takes_is_not_copied() {
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
    let (step, out) = within("fail_at_length", "1000", 999);
    assert!(matches!(step, Poll::Ready(Step::TooLarge(1000..))) && out == before(), "{step:?}");
    let (step, out) = within("greet", "{}", 10);
    assert!(matches!(step, Poll::Ready(Step::TooLarge(_))) && out == before(), "{step:?}");
    let (step, out) = within("plain/panic", "", 2);
    assert_eq!(
        (step, out),
        (Poll::Ready(Step::Panicked("in 5 bytes, which is more than the host takes".into())), before())
    );
}

#[test]
fn what_a_handler_says_reaches_the_caller_and_nothing_else_does() {
    let module = module();
    let instance = start(&module);
    let data = serde_json::value::to_raw_value(&[1, 2]).unwrap();
    let refused = Failure { error: "Sold out".to_owned(), code: Code::new("sold_out"), data: Some(data) };
    assert_eq!(call(&module, &instance, "refuse", ""), (Step::Failed(refused), String::new()));
    for hidden in ["io", "no_json"] {
        assert_eq!(call(&module, &instance, hidden, ""), failed(Code::HANDLER, "Internal error"));
    }
    assert_eq!(call(&module, &instance, "plain/error", ""), failed(Code::HANDLER, "No"));
}

#[test]
fn a_plain_event_has_run_when_it_was_called() {
    let module = module();
    let instance = start(&module);
    let caller = Arc::new(Connection::default());
    let unpolled = instance.call(index(&module, "announce"), r#""all""#, &caller);
    assert_eq!(*caller.sent.lock().unwrap(), [r#"broadcast "all" false"#]);
    drop(unpolled);
    assert_eq!(call(&module, &instance, "nothing", ""), (Step::End, String::new()));
    assert_eq!(Arc::strong_count(&caller), 1);
}

#[test]
fn a_connections_refusal_is_the_handlers_error() {
    let module = module();
    let instance = start(&module);
    let caller = Arc::new(Connection { is_closed: true, ..Connection::default() });
    let expected = failed(Code::NO_CONNECTION, "The connection is closed");
    assert_eq!(call_from(&caller, &module, &instance, "push", "1"), expected);
}

#[test]
fn a_call_wakes_whoever_polled_it_last() {
    let (module, gate, _ear) = with_own_services();
    let instance = start(&module);
    let mut call = waiting(&module, &instance, "wait", Waker::noop());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut out = Vec::new();
    assert_eq!(call.poll(&mut Context::from_waker(&waker), &mut out, usize::MAX), Poll::Pending);
    assert_eq!((woken.times(), out.len()), (0, 0));
    gate.notify_one();
    assert_eq!(woken.times(), 1);
    assert_eq!(call.poll(&mut Context::from_waker(&waker), &mut out, usize::MAX), Poll::Ready(Step::Item));
    assert_eq!(out, br#""waited""#);
    drop((call, waker));
    assert_eq!(Arc::strong_count(&woken), 1, "the package has let the waker go");
}

#[test]
fn dropping_a_call_drops_its_handler() {
    let (module, _gate, mut ear) = with_own_services();
    let instance = start(&module);
    let woken = Arc::new(Woken::default());
    let call = waiting(&module, &instance, "wait", &Waker::from(woken.clone()));
    assert!(ear.try_recv().is_err());
    drop(call);
    assert_eq!(ear.try_recv(), Ok("handler"));
    assert_eq!((woken.times(), Arc::strong_count(&woken)), (0, 1));
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
fn panics_are_contained_wherever_they_happen() {
    let (module, gate, _ear) = with_own_services();
    let instance = start(&module);
    let panicked = |text: &str| (Step::Panicked(text.to_owned()), String::new());
    assert_eq!(call(&module, &instance, "panic/at_once", ""), panicked("at once"));
    assert_eq!(call(&module, &instance, "plain/panic", ""), panicked("plain"));
    assert_eq!(call(&module, &instance, "panic/with_bomb", ""), panicked("a panic whose payload is no text"));
    assert_eq!(call(&module, &instance, "panic/after_answer", ""), panicked("dropped"));
    assert_eq!(call(&module, &instance, "plain/fragile_error", ""), panicked("error dropped"));

    for (event, text) in [("panic/late", "late"), ("panic/in_drop", "dropped")] {
        let mut call = waiting(&module, &instance, event, Waker::noop());
        gate.notify_one();
        let step = call.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), usize::MAX);
        assert_eq!(step, Poll::Ready(Step::Panicked(text.to_owned())));
    }
    // Cancelled, and then it panics: nobody is told but the log.
    drop(waiting(&module, &instance, "panic/in_drop", Waker::noop()));
    assert_eq!(call(&module, &instance, "ping", ""), item(r#"{"pong":true}"#), "and it goes on");
}

#[tokio::test]
async fn services_work_after_the_call_has_ended() {
    let (module, gate, mut ear) = with_own_services();
    let instance = start(&module);
    let caller = Arc::new(Connection::default());
    assert_eq!(call_from(&caller, &module, &instance, "keep", ""), item("null"));
    drop((instance, module));
    assert!(caller.sent.lock().unwrap().is_empty());
    gate.notify_one();
    assert_eq!(ear.recv().await, Some("task"));
    assert_eq!(*caller.sent.lock().unwrap(), [r#"later "Hello""#]);
    assert_eq!(ear.recv().await, Some("services"), "the task was the last to hold them");
    assert_eq!(Arc::strong_count(&caller), 1);
}

#[test]
fn a_call_keeps_its_instance_and_the_last_user_ends_it() {
    let (module, _gate, mut ear) = with_own_services();
    let instance = start(&module);
    let call = waiting(&module, &instance, "wait", Waker::noop());
    drop((instance, module));
    assert!(ear.try_recv().is_err());
    drop(call);
    assert_eq!((ear.try_recv(), ear.try_recv()), (Ok("handler"), Ok("services")));
}

#[test]
fn a_waker_may_outlive_its_call_and_its_package() {
    let (app, _ear) = services::App::new();
    let wakers = app.wakers.clone();
    let module = module_with(app);
    let instance = start(&module);
    let woken = Arc::new(Woken::default());
    let call = waiting(&module, &instance, "keep_waker", &Waker::from(woken.clone()));
    drop((call, instance, module));
    let waker = wakers.lock().unwrap().pop().unwrap();
    let other = waker.clone();
    waker.wake_by_ref();
    drop(waker);
    // From another thread, too, as a timer's would be.
    std::thread::spawn(move || other.wake()).join().unwrap();
    assert_eq!((woken.times(), Arc::strong_count(&woken)), (2, 1));
}

/// A connection that does with the package what it likes while one of its handlers runs.
struct Meddler(Mutex<Box<dyn FnMut() + Send>>);

impl Caller for Meddler {
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
    let (answers, inner) = (Arc::new(Mutex::new(Vec::new())), (module.clone(), instance.clone()));
    let kept = answers.clone();
    let meddler = Arc::new(Meddler(Mutex::new(Box::new(move || {
        let (module, instance) = &inner;
        for event in ["echo", "announce", "panic/at_once"] {
            kept.lock().unwrap().push(call(module, instance, event, "[1]"));
        }
    }))));
    let mut call = instance.call(index(&module, "push"), r#""outer""#, &meddler);
    let mut out = Vec::new();
    let step = call.poll(&mut Context::from_waker(Waker::noop()), &mut out, usize::MAX);
    assert_eq!((step, &out[..]), (Poll::Ready(Step::Item), &b"null"[..]));
    let end = (Step::End, String::new());
    assert_eq!(*answers.lock().unwrap(), [item("[1]"), end, (Step::Panicked("at once".into()), String::new())]);
}

#[test]
fn a_host_may_let_the_package_go_while_its_handler_runs() {
    // A handler that is polled, and a plain one, which runs while the call begins.
    for event in ["push", "announce"] {
        let (module, _gate, mut ear) = with_own_services();
        let instance = start(&module);
        let at = index(&module, event);
        let other = Mutex::new(Some(instance.clone()));
        let meddler = Arc::new(Meddler(Mutex::new(Box::new(move || drop(other.lock().unwrap().take())))));
        let mut call = instance.call(at, "1", &meddler);
        drop((instance, module));
        let step = call.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new(), usize::MAX);
        assert!(matches!(step, Poll::Ready(Step::Item | Step::End)), "{step:?}");
        assert!(ear.try_recv().is_err(), "the call keeps the services");
        drop(call);
        assert_eq!(ear.try_recv(), Ok("services"));
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
            [aaw_event::export::Entry::<String>::answer0("x", crate::bad_services::handler),]
        );
    }

    pub mod panicking {
        aaw_event::__package!(
            "panicking",
            "panicking",
            String,
            aaw_event::export::sync_services(crate::bad_services::panics),
            [aaw_event::export::Entry::<String>::answer0("x", crate::bad_services::handler),]
        );
    }
}

#[test]
fn services_that_cannot_be_built_say_why() {
    let failure = started(&bad_services::failing::module(), Arc::new(Logs::default())).unwrap_err();
    assert!(failure.error.starts_with("the package failing did not start: No such file"), "{failure}");
    let failure = started(&bad_services::panicking::module(), Arc::new(Logs::default())).unwrap_err();
    assert_eq!(failure.error, "the package panicking did not start: its services panicked: no database");
    assert_eq!(failure.code, Code::PANIC);
}
