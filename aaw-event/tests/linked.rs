//! A package that is linked in, through the host's side.
#![allow(missing_docs, unreachable_pub, reason = "its events are as an author writes them")]

mod common;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use aaw_event::Module;
use aaw_event::export::{Entry, async_services};
use aaw_event::host::{Call, Instance, Kind, Step};
use aaw_protocol::{Code, Failure};
use common::{Connection, Logs, Woken, call, call_from, failed, index, item, start, started};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;

/// What `_services.rs` would be.
mod services {
    use std::sync::Arc;

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
    }

    impl App {
        /// With its ear.
        pub fn new() -> (Self, mpsc::UnboundedReceiver<&'static str>) {
            let (dropped, ear) = mpsc::unbounded_channel();
            (Self { gate: Arc::default(), dropped, greeting: "Hello" }, ear)
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
    pub fn plain_error(_: Empty) -> Result<()> {
        Err(Error::new("No"))
    }
    pub fn announce(body: Value, services: Services) {
        services.ws.broadcast(body, false);
    }
}

type Event = Entry<services::App>;

aaw_event::__package!(
    aaw_module_v1_linked_tests,
    "linked-tests",
    crate::services::App,
    super::async_services(crate::services::services),
    [
        crate::Event::fire2("announce", crate::events::announce),
        crate::Event::reply1("echo", crate::events::echo),
        crate::Event::reply2("greet", crate::events::greet),
        crate::Event::reply0("io", crate::events::io),
        crate::Event::reply2("keep", crate::events::keep),
        crate::Event::reply1("maybe", crate::events::maybe),
        crate::Event::reply0("no_json", crate::events::no_json),
        crate::Event::fire0("nothing", crate::events::nothing),
        crate::Event::reply0("panic/at_once", crate::events::panic_at_once),
        crate::Event::reply2("panic/in_drop", crate::events::panic_in_drop),
        crate::Event::reply2("panic/late", crate::events::panic_late),
        crate::Event::reply0("panic/with_bomb", crate::events::panic_with_bomb),
        crate::Event::reply0("ping", crate::events::ping),
        crate::Event::fire1("plain/error", crate::events::plain_error),
        crate::Event::fire0("plain/panic", crate::events::plain_panic),
        crate::Event::reply2("push", crate::events::push),
        crate::Event::reply0("refuse", crate::events::refuse),
        crate::Event::reply2("wait", crate::events::wait),
        crate::Event::reply2("whoami", crate::events::whoami),
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
    assert_eq!(call.poll(&mut Context::from_waker(waker), &mut Vec::new()), Poll::Pending);
    call
}

#[test]
fn a_module_says_what_it_offers() {
    let module = module();
    assert_eq!(module.package(), "linked-tests");
    assert_eq!(module.sdk_version(), env!("CARGO_PKG_VERSION"));
    assert_eq!(module.events().len(), 19);
    assert_eq!(module.events()[index(&module, "greet")].kind, Kind::Answer);
    assert_eq!(module.events()[index(&module, "announce")].kind, Kind::Plain);
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
        let expected = failed(Code::BAD_BODY, "The body does not fit: missing field `name`");
        assert_eq!(call(&module, &instance, "greet", missing), expected);
    }
}

#[test]
fn a_body_that_does_not_fit_names_the_field() {
    let module = module();
    let instance = start(&module);
    let expected =
        failed(Code::BAD_BODY, "The body does not fit at name: invalid type: integer `1`, expected a string");
    assert_eq!(call(&module, &instance, "greet", r#"{"name":1}"#), expected);
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
    assert_eq!(call.poll(&mut Context::from_waker(&waker), &mut out), Poll::Pending);
    assert_eq!((woken.times(), out.len()), (0, 0));
    gate.notify_one();
    assert_eq!(woken.times(), 1);
    assert_eq!(call.poll(&mut Context::from_waker(&waker), &mut out), Poll::Ready(Step::Item));
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

    for (event, text) in [("panic/late", "late"), ("panic/in_drop", "dropped")] {
        let mut call = waiting(&module, &instance, event, Waker::noop());
        gate.notify_one();
        let step = call.poll(&mut Context::from_waker(Waker::noop()), &mut Vec::new());
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
            aaw_module_v1_failing,
            "failing",
            String,
            aaw_event::export::async_services(crate::bad_services::fails),
            [aaw_event::export::Entry::<String>::reply0("x", crate::bad_services::handler),]
        );
    }

    pub mod panicking {
        aaw_event::__package!(
            aaw_module_v1_panicking,
            "panicking",
            String,
            aaw_event::export::sync_services(crate::bad_services::panics),
            [aaw_event::export::Entry::<String>::reply0("x", crate::bad_services::handler),]
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
