//! Host operations, with and without waiting; guards and the password reset. Each test runs twice: with the package
//! linked, and as if it had been opened as a library.
#![allow(unsafe_code, reason = "loads the table as if it were the symbol of a library")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "its events are written as an author writes them"
)]

mod common;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use aaw_event::Module;
use aaw_event::host::{Call, Caller, GuardInfo, Instance, Step};
use aaw_protocol::{Code, Failure};
use common::{Connection, block_on, end, failed, item, start, unpark};

/// The handlers, as in the files of a package.
mod events {
    use std::time::Duration;

    use aaw_event::prelude::*;
    use aaw_event::{Member, RawValue};

    pub async fn rooms(_: Empty, services: Services) -> Result<Value> {
        let room = &services.room;
        room.join("a\"b")?;
        room.join_with("a", Presence)?;
        room.leave("a");
        let reached = room.emit("a", "said", json!({ "text": "é" }), Some("x"))?;
        let members: Vec<Member> = room.members("a");
        Ok(json!([reached, room.size("a"), members]))
    }
    pub async fn size(_: Empty, services: Services) -> usize {
        services.room.size("a")
    }
    pub fn join(_: Empty, services: Services) -> Result<()> {
        services.room.join("a")
    }
    pub async fn whoami(_: Empty, services: Services) -> Option<Identity> {
        services.identity()
    }
    pub async fn call_client(body: Box<RawValue>, services: Services) -> Result<u8> {
        let response = services.ws.send_async("confirm", body, Duration::from_millis(1500)).await;
        // Its caller receives what went wrong. With `?` it would receive an internal error.
        response.map_err(|error| Error::new(error.message()).with_code(error.code().to_owned()))
    }
    pub async fn call_other(_: Empty, services: Services) -> Result<()> {
        services.ws.send_async_to("c2", "confirm", (), Duration::MAX).await
    }
    pub async fn call_room(_: Empty, services: Services) -> Result<Value> {
        let all = services.room.send_async::<u8>("a", "confirm", 1, Duration::from_secs(1), None).await?;
        let to_value = |response: Result<u8>| response.map_or_else(|error| json!(error.code()), Value::from);
        Ok(all.into_iter().map(|(id, response)| json!([id, to_value(response)])).collect())
    }
    /// A loaded package runs the task on its own thread.
    pub async fn call_from_task(_: Empty, services: Services) -> Result<u8> {
        tokio::spawn(async move { services.ws.send_async("confirm", (), Duration::from_secs(1)).await }).await?
    }
    /// Drops the first future without polling it.
    pub async fn call_twice(_: Empty, services: Services) -> Result<u8> {
        let first = services.ws.send_async::<u8>("first", (), Duration::from_secs(1));
        let second = services.ws.send_async::<u8>("second", (), Duration::from_secs(1));
        drop(first);
        second.await
    }
    pub async fn log_in(_: Empty, services: Services) -> Result<LoggedIn> {
        services.authenticate(Identity::new("1", "a@b.c").with_allowed(["*"])).await
    }
    pub async fn log_out(_: Empty, services: Services) -> Result<()> {
        services.logout().await
    }
    pub async fn not_json(_: Empty, services: Services) -> Result<()> {
        let not_json = std::collections::HashMap::from([(vec![1], 2)]);
        services.ws.send_async("confirm", not_json, Duration::from_secs(1)).await
    }

    pub async fn guard(call: GuardedCall, services: Services) -> Result<()> {
        services.ws.send_event("guarded", json!([call.event, call.identity]))?;
        if call.event.ends_with("secret") { Err(Error::new("Members only")) } else { Ok(()) }
    }
    pub fn inner_guard() {}
    pub async fn reset(reset: PasswordReset, services: Services) -> Result<()> {
        services.ws.send_event("reset", [reset.email, reset.token])
    }
}

type Entry = aaw_event::export::HandlerEntry<aaw_event::export::NoServices>;

aaw_event::__package!(
    "host_op_tests",
    "host-op-tests",
    aaw_event::export::NoServices,
    aaw_event::export::sync_services(aaw_event::export::no_services),
    [
        crate::Entry::unary2("call_client", crate::events::call_client),
        crate::Entry::unary2("call_from_task", crate::events::call_from_task),
        crate::Entry::unary2("call_other", crate::events::call_other),
        crate::Entry::unary2("call_room", crate::events::call_room),
        crate::Entry::unary2("call_twice", crate::events::call_twice),
        crate::Entry::one_way2("join", crate::events::join),
        crate::Entry::unary2("log_in", crate::events::log_in),
        crate::Entry::unary2("log_out", crate::events::log_out),
        crate::Entry::unary2("not_json", crate::events::not_json),
        crate::Entry::unary2("rooms", crate::events::rooms),
        crate::Entry::unary2("size", crate::events::size),
        crate::Entry::unary2("whoami", crate::events::whoami),
        // As the build script writes them: in the order of their files.
        crate::Entry::hook0(aaw_event::export::guard("users/admin/_guard"), crate::events::inner_guard),
        crate::Entry::async_hook2(aaw_event::export::guard("_guard"), crate::events::guard),
        crate::Entry::async_hook2(aaw_event::export::guard("users/_guard"), crate::events::guard),
        crate::Entry::async_hook2(aaw_event::export::PASSWORD_RESET, crate::events::reset),
    ]
);

type OpResult = Result<String, Failure>;

/// A caller that records the operations, and returns what the test has set.
#[derive(Default)]
struct RecordingCaller {
    ops: Mutex<Vec<String>>,
    /// The results of `host_op`, in order; then `null`.
    results: Mutex<VecDeque<OpResult>>,
    /// The operations of `host_op_async`.
    pending: Mutex<Vec<Arc<PendingOp>>>,
    /// Receives each operation of `host_op_async`.
    started: Mutex<Option<Sender<Arc<PendingOp>>>>,
    sent: Mutex<Vec<String>>,
}

/// An operation that a handler awaits.
#[derive(Default)]
struct PendingOp {
    result: Mutex<Option<OpResult>>,
    waker: Mutex<Option<Waker>>,
    polls: Mutex<u32>,
    is_dropped: Mutex<bool>,
    panics: bool,
}

impl PendingOp {
    fn finish(&self, result: OpResult) {
        *self.result.lock().unwrap() = Some(result);
        let waker = self.waker.lock().unwrap().take();
        waker.unwrap().wake();
    }

    fn is_dropped(&self) -> bool {
        *self.is_dropped.lock().unwrap()
    }
}

struct PendingOpFuture(Arc<PendingOp>);

impl Future for PendingOpFuture {
    type Output = OpResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OpResult> {
        assert!(!self.0.panics, "as the test requires");
        *self.0.polls.lock().unwrap() += 1;
        *self.0.waker.lock().unwrap() = Some(cx.waker().clone());
        self.0.result.lock().unwrap().take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for PendingOpFuture {
    fn drop(&mut self) {
        *self.0.is_dropped.lock().unwrap() = true;
    }
}

impl Caller for RecordingCaller {
    fn id(&self) -> String {
        "c1".to_owned()
    }

    fn send_event(&self, event: &str, data: &str) -> Result<(), Failure> {
        self.sent.lock().unwrap().push(format!("{event} {data}"));
        Ok(())
    }

    fn broadcast(&self, _: &str, _: bool) {}

    fn host_op(&self, op: &str, args: &str) -> OpResult {
        self.ops.lock().unwrap().push(format!("{op} {args}"));
        let result = self.results.lock().unwrap().pop_front().unwrap_or_else(|| Ok("null".to_owned()));
        assert!(!matches!(&result, Ok(text) if text == "panic"), "as the test requires");
        result
    }

    fn host_op_async(self: Arc<Self>, op: String, args: String) -> Pin<Box<dyn Future<Output = OpResult> + Send>> {
        assert!(!args.contains("panic at once"), "as the test requires");
        let pending = Arc::new(PendingOp { panics: args.contains("panic"), ..PendingOp::default() });
        self.ops.lock().unwrap().push(format!("{op} {args}"));
        self.pending.lock().unwrap().push(Arc::clone(&pending));
        if let Some(started) = &*self.started.lock().unwrap() {
            let _ = started.send(Arc::clone(&pending));
        }
        Box::pin(PendingOpFuture(pending))
    }
}

struct RunningPackage {
    module: Module,
    instance: Instance,
    caller: Arc<RecordingCaller>,
    started: Receiver<Arc<PendingOp>>,
}

/// The package linked, and as if it had been loaded.
fn both() -> [RunningPackage; 2] {
    // SAFETY: the header of this build, which is never unloaded.
    let loaded = unsafe { Module::loaded(__aaw::PACKAGE.header()) }.unwrap();
    [module(), loaded].map(|module| {
        let (sender, started) = mpsc::channel();
        let caller = Arc::new(RecordingCaller { started: Mutex::new(Some(sender)), ..RecordingCaller::default() });
        RunningPackage { instance: start(&module), module, caller, started }
    })
}

impl RunningPackage {
    fn begin(&self, event: &str, body: &str) -> Call {
        self.instance.call(common::index(&self.module, event), body, &self.caller)
    }

    /// Begins a call that waits for a host operation.
    fn begin_pending(&self, event: &str, body: &str) -> (Call, Arc<PendingOp>) {
        let mut call = self.begin(event, body);
        assert!(poll(&mut call, Waker::noop()).is_pending());
        (call, self.started.recv().unwrap())
    }

    /// Calls an event that ends at its first poll.
    fn call(&self, event: &str, body: &str) -> (Step, String) {
        ready(&mut self.begin(event, body))
    }

    fn take_ops(&self) -> Vec<String> {
        std::mem::take(&mut self.caller.ops.lock().unwrap())
    }

    fn set_results<T: Into<String>>(&self, results: impl IntoIterator<Item = T>) {
        self.caller.results.lock().unwrap().extend(results.into_iter().map(|json| Ok(json.into())));
    }
}

fn poll(call: &mut Call, waker: &Waker) -> Poll<(Step, String)> {
    let mut out = Vec::new();
    let polled = call.poll(&mut Context::from_waker(waker), &mut out, usize::MAX);
    polled.map(|step| (step, String::from_utf8(out).unwrap()))
}

fn ready(call: &mut Call) -> (Step, String) {
    match poll(call, Waker::noop()) {
        Poll::Ready(step) => step,
        Poll::Pending => panic!("the call is pending"),
    }
}

#[test]
fn operations_without_waiting_pass_arguments_and_results() {
    for package in both() {
        package.set_results([
            "null",
            "null",
            "null",
            "3",
            r#"[{"id":"c1","identity":{"id":"1","email":"a@b.c"}},{"id":"c2"}]"#,
        ]);
        package.set_results(["7"]);
        let expected =
            r#"[3,7,[{"id":"c1","identity":{"allowed":null,"email":"a@b.c","id":"1"}},{"id":"c2","identity":null}]]"#;
        let (step, json) = package.call("rooms", "");
        assert_eq!(step, Step::Item);
        let expected = expected.replace(r#""allowed":null,"#, "");
        let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&json), value(&expected));
        let expected = [
            r#"room/join {"name":"a\"b","presence":false}"#,
            r#"room/join {"name":"a","presence":true}"#,
            r#"room/leave {"name":"a"}"#,
            r#"room/emit {"name":"a","event":"said","data":{"text":"é"},"except":"x"}"#,
            r#"room/members {"name":"a"}"#,
            r#"room/size {"name":"a"}"#,
        ];
        assert_eq!(package.take_ops(), expected);
        package.set_results([r#"{"id":"1","email":"a@b.c"}"#, "null"]);
        assert_eq!(package.call("whoami", ""), item(r#"{"id":"1","email":"a@b.c"}"#));
        assert_eq!(package.call("whoami", ""), item("null"));
    }
}

#[test]
fn a_failure_of_the_host_reaches_the_caller_and_a_panic_does_not() {
    for package in both() {
        let busy = Failure::new(Code::BUSY, "Too many rooms");
        package.caller.results.lock().unwrap().push_back(Err(busy));
        assert_eq!(package.call("join", ""), failed(Code::BUSY, "Too many rooms"));
        package.set_results(["panic"]);
        assert_eq!(package.call("join", ""), failed(Code::PANIC, "Internal error"));
        // An operation that cannot fail returns its default.
        package.set_results(["panic", "x", "-1"]);
        for _ in 0..3 {
            assert_eq!(package.call("size", ""), item("0"));
        }
    }
}

#[test]
fn an_awaited_operation_may_finish_on_another_thread() {
    for package in both() {
        let (mut call, op) = package.begin_pending("call_client", r#"{ "x" : 1 }"#);
        let expected = r#"ws/send_async {"to":null,"event":"confirm","data":{ "x" : 1 },"timeout_ms":1500}"#;
        assert_eq!(package.take_ops(), [expected]);
        // From here on another task polls the call, and it is the one that is woken.
        let waker = unpark();
        assert!(poll(&mut call, &waker).is_pending());
        let finishing = Arc::clone(&op);
        std::thread::spawn(move || finishing.finish(Ok("17".to_owned()))).join().unwrap();
        std::thread::park();
        assert_eq!(poll(&mut call, &waker), Poll::Ready(item("17")));
        assert_eq!((*op.polls.lock().unwrap(), op.is_dropped()), (3, true));
    }
}

#[test]
fn a_failure_or_a_response_that_does_not_fit_is_an_error() {
    for package in both() {
        let timeout = || Failure::new(Code::TIMEOUT, "Too late");
        for (result, expected) in [
            (Err(timeout()), failed(Code::TIMEOUT, "Too late")),
            (
                Ok("true".to_owned()),
                failed(Code::BAD_BODY, "The response does not fit: invalid type: boolean `true`, expected u8"),
            ),
            (Ok("x".to_owned()), failed(Code::BAD_BODY, "The response does not fit: expected value")),
        ] {
            let (mut call, op) = package.begin_pending("call_client", "1");
            op.finish(result);
            assert_eq!(ready(&mut call), expected);
        }
        let (mut call, op) = package.begin_pending("call_other", "");
        let forever = format!(r#"ws/send_async {{"to":"c2","event":"confirm","data":null,"timeout_ms":{}}}"#, u64::MAX);
        assert_eq!(package.take_ops().last(), Some(&forever));
        op.finish(Ok("null".to_owned()));
        assert_eq!(ready(&mut call), item("null"));
        // A failure that the handler returns as it is.
        let (mut call, op) = package.begin_pending("call_other", "");
        op.finish(Err(timeout()));
        assert_eq!(ready(&mut call), failed(Code::INTERNAL, "Internal error"));
        assert_eq!(package.call("not_json", ""), failed(Code::INTERNAL, "Internal error"));
    }
}

#[test]
fn the_responses_of_a_room_are_parsed_one_by_one() {
    for package in both() {
        let (mut call, op) = package.begin_pending("call_room", "");
        let args = r#"{"name":"a","event":"confirm","data":1,"timeout_ms":1000,"except":null}"#;
        assert_eq!(package.take_ops(), [format!("room/send_async {args}")]);
        let responses =
            r#"[{"id":"a","result":1},{"id":"b","error":{"error":"No","code":"timeout"}},{"id":"c","result":300}]"#;
        op.finish(Ok(responses.to_owned()));
        assert_eq!(ready(&mut call), item(r#"[["a",1],["b","timeout"],["c","bad_body"]]"#));
    }
}

#[test]
fn dropping_a_call_cancels_the_operation_that_it_awaits() {
    for package in both() {
        let (call, op) = package.begin_pending("call_client", "1");
        assert!(!op.is_dropped());
        drop(call);
        assert!(op.is_dropped());
        // A waker that outlives its call has no effect.
        op.waker.lock().unwrap().take().unwrap().wake();

        let mut call = package.begin("call_twice", "");
        assert!(poll(&mut call, Waker::noop()).is_pending());
        let (first, second) = (package.started.recv().unwrap(), package.started.recv().unwrap());
        assert_eq!((first.is_dropped(), second.is_dropped()), (true, false));
        assert_eq!(*first.polls.lock().unwrap(), 0, "an operation that is not awaited does not begin");
        second.finish(Ok("2".to_owned()));
        assert_eq!(ready(&mut call), item("2"));
        // The package holds no reference to the caller any more.
        drop((call, first, second, op));
        package.caller.pending.lock().unwrap().clear();
        assert_eq!(Arc::strong_count(&package.caller), 1);
    }
}

#[test]
fn a_panic_of_an_awaited_operation_is_a_failure() {
    for package in both() {
        assert_eq!(package.call("call_client", r#""panic at once""#), failed(Code::PANIC, "Internal error"));
        assert_eq!(package.call("call_client", r#""panic""#), failed(Code::PANIC, "Internal error"));
        assert!(package.started.recv().unwrap().is_dropped());
    }
}

#[test]
fn a_task_of_a_package_can_await_an_operation() {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    for package in both() {
        // The tasks of the linked package run on the host's runtime.
        let _entered = threads.enter();
        let (mut call, op) = package.begin_pending("call_from_task", "");
        // The operation has begun, but the task may not have polled it yet.
        while op.waker.lock().unwrap().is_none() {
            std::thread::yield_now();
        }
        op.finish(Ok("5".to_owned()));
        assert_eq!(block_on(&mut call), item("5"));
    }
}

#[test]
fn authenticate_and_logout_are_operations_of_the_host() {
    for package in both() {
        let (mut call, op) = package.begin_pending("log_in", "");
        assert_eq!(package.take_ops(), [r#"authenticate {"user":{"id":"1","email":"a@b.c","allowed":["*"]}}"#]);
        let logged_in = r#"{"token":"t","user":{"id":"1","email":"a@b.c"}}"#;
        op.finish(Ok(logged_in.to_owned()));
        assert_eq!(ready(&mut call), item(logged_in));
        let (mut call, op) = package.begin_pending("log_out", "");
        assert_eq!(package.take_ops(), ["logout {}"]);
        op.finish(Ok("null".to_owned()));
        assert_eq!(ready(&mut call), item("null"));
    }
}

#[test]
fn an_operation_that_the_host_does_not_offer_fails() {
    for package in both() {
        // Its `host_op` and `host_op_async` are the defaults of the trait.
        let bare = Arc::new(Connection::default());
        let call = |event: &str| {
            let mut call = package.instance.call(common::index(&package.module, event), "", &bare);
            ready(&mut call)
        };
        assert_eq!(call("join"), failed(Code::UNREACHABLE, "This server does not offer room/join"));
        assert_eq!(call("call_client"), failed(Code::UNREACHABLE, "This server does not offer ws/send_async"));
        assert_eq!(call("log_in"), failed(Code::UNREACHABLE, "This server does not offer authenticate"));
        assert_eq!(call("size"), item("0"));
        assert_eq!(call("whoami"), item("null"));
    }
}

#[test]
fn guards_and_the_password_reset_are_called_by_index() {
    for package in both() {
        let guards: Vec<_> = package.module.guards().iter().map(|guard| guard.folder.as_str()).collect();
        assert_eq!(guards, ["", "users", "users/admin"], "outermost first");
        let guarding = |event: &str| {
            let guards = package.module.guards().iter().filter(|guard| guard.guards(event));
            guards.map(|guard: &GuardInfo| guard.folder.clone()).collect::<Vec<_>>()
        };
        assert_eq!(guarding("users/admin/x"), ["", "users", "users/admin"]);
        assert_eq!(guarding("users/x"), ["", "users"]);
        for event in ["users", "usersx/y", "x"] {
            assert_eq!(guarding(event), [""], "{event}");
        }
        assert!(package.module.events().iter().all(|event| !event.name.as_str().contains("_guard")));

        let call = |index: usize, body: &str| ready(&mut package.instance.call(index, body, &package.caller));
        let guard = package.module.guards()[1].index;
        assert_eq!(call(guard, r#"{"event":"users/get","identity":{"id":"1","email":"a@b.c"}}"#), end());
        assert_eq!(call(guard, r#"{"event":"users/secret"}"#), failed(Code::HANDLER, "Members only"));
        assert_eq!(call(package.module.guards()[2].index, r#"{"event":"users/admin/x"}"#), end());
        let reset = package.module.password_reset_hook().unwrap();
        assert_eq!(call(reset, r#"{"email":"a@b.c","token":"t"}"#), end());
        let sent = [
            r#"guarded ["users/get",{"email":"a@b.c","id":"1"}]"#,
            r#"guarded ["users/secret",null]"#,
            r#"reset ["a@b.c","t"]"#,
        ];
        assert_eq!(*package.caller.sent.lock().unwrap(), sent);
    }
}
