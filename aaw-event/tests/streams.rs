//! Streaming handlers, uploads and hooks. Each test runs twice: with the package linked, and as if it had been opened
//! as a library.
#![allow(unsafe_code, reason = "loads the table as if it were the symbol of a library")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "its events are written as an author writes them"
)]

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aaw_event::host::{Begun, Call, HandlerKind, Instance, Step, UploadSource, UploadStep};
use aaw_event::{AwayInfo, BackInfo, CloseInfo, ClosedBy, Module, OpenInfo};
use aaw_protocol::{Code, Failure};
use common::{Connection, CountingWaker, block_on, end, failed, index, item, refused, start};
use services::App;

/// The services, as in a `_services.rs`.
mod services {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    use tokio::sync::Notify;

    thread_local! {
        /// What `services()` returns in the test on this thread.
        pub static APP: RefCell<Option<App>> = const { RefCell::new(None) };
    }

    /// The services of these tests.
    #[derive(Clone)]
    pub struct App {
        /// What handlers wait for.
        pub gate: Arc<Notify>,
        /// Receives a name when something is dropped, and whether there was a runtime then.
        pub dropped: mpsc::Sender<(&'static str, bool)>,
        /// The number of items that were begun.
        pub started_items: Arc<AtomicUsize>,
        /// Receives what a task or a hook has computed.
        pub results: mpsc::Sender<String>,
    }

    pub fn services() -> App {
        APP.with_borrow(Clone::clone).unwrap()
    }

    impl App {
        pub fn start_item(&self) {
            self.started_items.fetch_add(1, Ordering::SeqCst);
        }

        pub fn started_items(&self) -> usize {
            self.started_items.load(Ordering::SeqCst)
        }

        pub fn guard(&self) -> ReportsDrop {
            ReportsDrop(self.dropped.clone())
        }
    }

    pub struct ReportsDrop(mpsc::Sender<(&'static str, bool)>);

    impl Drop for ReportsDrop {
        fn drop(&mut self) {
            let _ = self.0.send(("handler", tokio::runtime::Handle::try_current().is_ok()));
        }
    }
}

/// The handlers, as in the files of a package.
mod events {
    use std::collections::HashMap;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use aaw_event::prelude::*;
    use aaw_event::{BoxStream, RawValue};

    use crate::common::PanicsOnDrop;
    use crate::services::{App, ReportsDrop};

    /// A stream that keeps its state after its end, unlike a `stream!`.
    pub struct StatefulStream<T> {
        left: Vec<Option<Result<u8>>>,
        _held: T,
    }

    impl<T: Unpin> Stream for StatefulStream<T> {
        type Item = Result<u8>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.left.remove(0))
        }
    }

    pub fn count(to: u64) -> impl Stream<Item = u64> {
        stream! {
            for number in 1..=to {
                yield number;
            }
        }
    }
    pub fn none() -> BoxStream<'static, Result<u8>> {
        futures_util::stream::empty().boxed()
    }
    pub fn endless(_: Empty, services: Services<App>) -> impl Stream<Item = u64> {
        stream! {
            let _guard = services.guard();
            for number in 1.. {
                services.start_item();
                yield number;
            }
        }
    }
    pub fn gated(_: Empty, services: Services<App>) -> impl Stream<Item = &'static str> {
        stream! {
            let _guard = services.guard();
            loop {
                services.gate.notified().await;
                yield "through";
            }
        }
    }
    pub async fn awaited(body: u8, services: Services<App>) -> impl Stream<Item = u8> {
        let _guard = services.guard();
        services.gate.notified().await;
        futures_util::stream::iter([body, body + 1])
    }
    pub async fn optional(body: Option<u8>) -> Result<Pin<Box<dyn Stream<Item = Result<u8>> + Send>>> {
        let body = body.ok_or_else(|| Error::new("None of these"))?;
        Ok(Box::pin(try_stream! { yield body; }))
    }
    pub fn fails(_: Empty, services: Services<App>) -> impl Stream<Item = Result<u8>> {
        StatefulStream {
            left: vec![Some(Ok(1)), Some(Err(Error::new("Sold out"))), Some(Ok(3))],
            _held: services.guard(),
        }
    }
    pub fn question_mark() -> impl Stream<Item = Result<String>> {
        try_stream! {
            yield "first".to_owned();
            yield std::fs::read_to_string("/there/is/no/such/file")?;
            yield "never".to_owned();
        }
    }
    pub fn keeps_state(_: Empty, services: Services<App>) -> StatefulStream<ReportsDrop> {
        StatefulStream { left: vec![Some(Ok(1)), None, Some(Ok(3))], _held: services.guard() }
    }
    pub fn not_json(_: Empty, services: Services<App>) -> impl Stream<Item = HashMap<Vec<u8>, u8>> {
        stream! {
            let _guard = services.guard();
            yield HashMap::new();
            yield HashMap::from([(vec![1], 1)]);
            yield HashMap::new();
        }
    }
    pub fn panic_at_once(_: Empty, services: Services<App>) -> BoxStream<'static, u8> {
        let _guard = services.guard();
        panic!("at once")
    }
    pub fn panic_after(_: Empty, services: Services<App>) -> impl Stream<Item = u8> {
        stream! {
            let _guard = services.guard();
            yield 1;
            panic!("after items");
        }
    }
    pub fn panic_in_drop() -> StatefulStream<PanicsOnDrop> {
        StatefulStream { left: vec![Some(Ok(1)), None, None], _held: PanicsOnDrop }
    }
    pub fn panic_at_end() -> impl Stream<Item = u8> {
        stream! {
            let _guard = PanicsOnDrop;
            yield 1;
        }
    }
    pub fn sizes() -> impl Stream<Item = String> {
        futures_util::stream::iter(["12345", "1234567890", "1"].map(str::to_owned))
    }
    /// Creates a timer before the stream, which needs the runtime.
    pub fn ticks(body: u8) -> impl Stream<Item = u8> {
        let mut timer = Box::pin(tokio::time::sleep(Duration::from_millis(1)));
        stream! {
            for number in 0..body {
                timer.as_mut().await;
                yield number;
            }
        }
    }
    /// Always ready, and never with an item: only the cooperative budget makes it yield.
    pub fn busy() -> impl Stream<Item = u8> {
        stream! {
            let (to, mut from) = tokio::sync::mpsc::unbounded_channel();
            loop {
                to.send(1).unwrap();
                if from.recv().await == Some(2) {
                    yield 1;
                }
            }
        }
    }

    #[derive(Deserialize)]
    pub struct Point {
        x: u8,
    }

    pub async fn sum(start: u64, _: Services, mut upload: Upload<u64>) -> Result<u64> {
        let mut sum = start;
        while let Some(number) = upload.next().await {
            sum += number?;
        }
        Ok(sum)
    }
    pub async fn points(_: Empty, _: Services, upload: Upload<Point>) -> Result<Vec<u8>> {
        let points: Vec<Result<Point>> = upload.collect().await;
        points.into_iter().map(|point| point.map(|point| point.x)).collect()
    }
    /// Continues after an item that does not fit.
    pub fn lenient(_: Empty, _: Services, upload: Upload<u8>) -> impl Stream<Item = String> {
        upload.map(|item| match item {
            Ok(number) => number.to_string(),
            Err(error) => format!("{}: {}", error.code(), error.message()),
        })
    }
    pub fn echo(_: Empty, _: Services, mut upload: Upload<Box<RawValue>>) -> impl Stream<Item = Result<Box<RawValue>>> {
        try_stream! {
            while let Some(item) = upload.next().await {
                yield item?;
            }
        }
    }
    pub async fn echo_awaited(
        _: Empty,
        services: Services<App>,
        upload: Upload<Value>,
    ) -> Result<impl Stream<Item = Result<Value>>> {
        services.gate.notified().await;
        Ok(upload)
    }
    pub async fn takes_one(_: Empty, services: Services<App>, mut upload: Upload<Value>) -> Option<Value> {
        let first = upload.next().await.and_then(Result::ok);
        drop(upload);
        services.gate.notified().await;
        first
    }
    /// Returns at once; a task reads the upload.
    pub async fn reads_in_task(_: Empty, services: Services<App>, mut upload: Upload<u64>) {
        let task = async move {
            let mut sum = 0;
            while let Some(number) = upload.next().await {
                match number {
                    Ok(number) => sum += number,
                    Err(error) => {
                        let _ = services.results.send(error.to_string());
                    }
                }
            }
            let _ = services.results.send(sum.to_string());
        };
        tokio::spawn(task);
    }

    pub async fn ping() -> bool {
        true
    }

    pub async fn open(opened: OpenInfo, services: Services<App>) -> Result<()> {
        if opened.client_key.as_deref() == Some("slow") {
            services.gate.notified().await;
        }
        services.ws.send_event("welcome", opened.address)?;
        match opened.origin {
            Some(origin) => Err(Error::new(format!("Not from {origin}")).with_code("not_allowed")),
            None => Ok(()),
        }
    }
    pub fn close(closed: CloseInfo, services: Services<App>) {
        let _ = services.results.send(format!("{:?} {:?} {}", closed.by, closed.code, closed.reason));
    }

    pub fn resume(opened: OpenInfo) -> Result<()> {
        opened.client_key.map(|_| ()).ok_or_else(|| Error::new("No key"))
    }

    pub fn away(away: AwayInfo, services: Services<App>) {
        let _ = services.results.send(format!("away {:?} {:?} {}", away.by, away.code, away.reason));
    }

    pub async fn back(back: BackInfo, services: Services<App>) {
        let _ = services.results.send(format!("back {}", back.away_ms));
    }
}

type Event = aaw_event::export::HandlerEntry<App>;

aaw_event::__package!(
    "stream_tests",
    "stream-tests",
    crate::services::App,
    aaw_event::export::sync_services(crate::services::services),
    [
        crate::Event::async_streaming2("awaited", crate::events::awaited),
        crate::Event::streaming0("busy", crate::events::busy),
        crate::Event::streaming1("count", crate::events::count),
        crate::Event::async_streaming1("optional", crate::events::optional),
        crate::Event::streaming3("echo", crate::events::echo),
        crate::Event::async_streaming3("echo_awaited", crate::events::echo_awaited),
        crate::Event::streaming2("endless", crate::events::endless),
        crate::Event::streaming2("fails", crate::events::fails),
        crate::Event::streaming2("gated", crate::events::gated),
        crate::Event::streaming2("keeps_state", crate::events::keeps_state),
        crate::Event::unary3("reads_in_task", crate::events::reads_in_task),
        crate::Event::streaming3("lenient", crate::events::lenient),
        crate::Event::streaming2("not_json", crate::events::not_json),
        crate::Event::streaming0("none", crate::events::none),
        crate::Event::streaming2("panic/after", crate::events::panic_after),
        crate::Event::streaming2("panic/at_once", crate::events::panic_at_once),
        crate::Event::streaming0("panic/in_drop", crate::events::panic_in_drop),
        crate::Event::streaming0("panic/at_end", crate::events::panic_at_end),
        crate::Event::unary0("ping", crate::events::ping),
        crate::Event::unary3("points", crate::events::points),
        crate::Event::streaming0("question_mark", crate::events::question_mark),
        crate::Event::streaming0("sizes", crate::events::sizes),
        crate::Event::unary3("sum", crate::events::sum),
        crate::Event::unary3("takes_one", crate::events::takes_one),
        crate::Event::streaming1("ticks", crate::events::ticks),
        crate::Event::hook2(aaw_event::export::CLOSE, crate::events::close),
        crate::Event::async_hook2(aaw_event::export::OPEN, crate::events::open),
        crate::Event::hook1(aaw_event::export::RESUME, crate::events::resume),
        crate::Event::hook2(aaw_event::export::AWAY, crate::events::away),
        crate::Event::async_hook2(aaw_event::export::BACK, crate::events::back),
    ]
);

struct RunningPackage {
    module: Module,
    instance: Instance,
    app: App,
    dropped: mpsc::Receiver<(&'static str, bool)>,
    results: mpsc::Receiver<String>,
    is_loaded: bool,
}

/// The package linked, and as if it had been loaded.
fn both() -> [RunningPackage; 2] {
    // SAFETY: the header of this build, which is never unloaded.
    let loaded = unsafe { Module::loaded(__aaw::PACKAGE.header()) }.unwrap();
    [(module(), false), (loaded, true)].map(|(module, is_loaded)| {
        let (dropped, drops) = mpsc::channel();
        let (sender, results) = mpsc::channel();
        let app = App { gate: Arc::default(), dropped, started_items: Arc::default(), results: sender };
        services::APP.set(Some(app.clone()));
        let instance = start(&module);
        RunningPackage { module, instance, app, dropped: drops, results, is_loaded }
    })
}

impl RunningPackage {
    fn call(&self, event: &str, body: &str) -> Call {
        self.instance.call(index(&self.module, event), body, &Arc::new(Connection::default()))
    }

    /// Begins a call, as a host does for a call from a connection.
    fn run(&self, event: &str, body: &str) -> Begun {
        let (caller, cx) = (Arc::new(Connection::default()), &mut Context::from_waker(Waker::noop()));
        let mut out = Vec::new();
        let begun = self.instance.run(index(&self.module, event), body, &caller, cx, &mut out, usize::MAX);
        assert!(out.is_empty(), "{event} is a stream");
        begun
    }

    fn call_with(&self, event: &str, body: &str, upload: &Arc<TestUpload>) -> Call {
        let caller = Arc::new(Connection::default());
        self.instance.call_with_upload(index(&self.module, event), body, &caller, upload)
    }

    /// All steps of a call that is never pending.
    fn all(&self, event: &str, body: &str) -> Vec<(Step, String)> {
        all(&mut self.call(event, body))
    }

    /// Asserts that the state of the handler was dropped, in its runtime.
    #[track_caller]
    fn has_dropped(&self) {
        let (what, in_runtime) = self.dropped.try_recv().expect("not dropped");
        assert_eq!((what, in_runtime), ("handler", self.is_loaded));
    }

    #[track_caller]
    fn has_not_dropped(&self) {
        assert_eq!(self.dropped.try_recv(), Err(mpsc::TryRecvError::Empty));
    }
}

fn poll_with(call: &mut Call, waker: &Waker, max_len: usize) -> Poll<(Step, String)> {
    let mut out = Vec::from(*b"before ");
    let step = call.poll(&mut Context::from_waker(waker), &mut out, max_len);
    let out = String::from_utf8(out).unwrap().strip_prefix("before ").unwrap().to_owned();
    assert!(out.is_empty() || step == Poll::Ready(Step::Item), "{step:?} {out}");
    step.map(|step| (step, out))
}

fn poll(call: &mut Call) -> Poll<(Step, String)> {
    poll_with(call, Waker::noop(), usize::MAX)
}

#[track_caller]
fn next(call: &mut Call) -> (Step, String) {
    let Poll::Ready(step) = poll(call) else { panic!("the call is pending") };
    step
}

/// Polls until the end, and once more.
fn all(call: &mut Call) -> Vec<(Step, String)> {
    let mut steps = vec![next(call)];
    while steps.last().unwrap().0 == Step::Item {
        steps.push(next(call));
    }
    assert_eq!(next(call), end(), "after the end");
    steps
}

/// Removes the location of panics, which the package's hook adds if it is installed.
fn without_location(mut steps: Vec<(Step, String)>) -> Vec<(Step, String)> {
    for (step, _) in &mut steps {
        if let Step::Panicked(text) = step {
            *text = text.split(" (at ").next().unwrap().to_owned();
        }
    }
    steps
}

fn panicked(text: &str) -> (Step, String) {
    (Step::Panicked(text.to_owned()), String::new())
}

/// An upload whose items the test adds.
#[derive(Default)]
struct TestUpload(Mutex<TestUploadState>, Condvar);

#[derive(Default)]
struct TestUploadState {
    steps: VecDeque<(UploadStep, &'static str)>,
    waker: Option<Waker>,
    polls: usize,
    has_ended: bool,
}

impl TestUpload {
    fn of(items: &[&'static str]) -> Arc<Self> {
        let upload = Self::default();
        items.iter().for_each(|item| upload.item(item));
        Arc::new(upload)
    }

    fn ended(items: &[&'static str]) -> Arc<Self> {
        let upload = Self::of(items);
        upload.push(UploadStep::End, "");
        upload
    }

    fn item(&self, json: &'static str) {
        self.push(UploadStep::Item, json);
    }

    fn push(&self, step: UploadStep, json: &'static str) {
        let mut state = self.0.lock().unwrap();
        state.steps.push_back((step, json));
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Blocks until the handler waits for an item.
    fn wait_for_waker(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |state| state.waker.is_none()).unwrap());
    }

    fn polls(&self) -> usize {
        self.0.lock().unwrap().polls
    }
}

impl UploadSource for TestUpload {
    fn poll_next(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<UploadStep> {
        let mut state = self.0.lock().unwrap();
        assert!(!state.has_ended, "polled after its end");
        assert!(out.is_empty());
        state.polls += 1;
        let Some((step, json)) = state.steps.pop_front() else {
            state.waker = Some(cx.waker().clone());
            self.1.notify_all();
            return Poll::Pending;
        };
        state.has_ended = step != UploadStep::Item;
        out.extend_from_slice(json.as_bytes());
        Poll::Ready(step)
    }
}

// --- streams ---------------------------------------------------------------------------------------------------------

#[test]
fn a_stream_begins_without_being_polled() {
    for package in both() {
        let Begun::Pending(mut endless) = package.run("endless", "") else { panic!("a stream waits to be polled") };
        assert_eq!(package.app.started_items(), 0);
        assert_eq!(next(&mut endless), item("1"));
        drop(endless);
        package.has_dropped();
        if package.is_loaded {
            let Begun::Pending(mut ticks) = package.run("ticks", "2") else { panic!("a stream waits to be polled") };
            assert_eq!(block_on(&mut ticks).0, Step::Item, "its timer has the runtime");
        }

        // What is known without a poll is reported without one.
        for (event, body) in [("count", "-1"), ("count", "[1"), ("awaited", "null")] {
            let begun = package.run(event, body);
            let Begun::Done(Step::Refused(failure)) = &begun else { panic!("{event} {body}: {begun:?}") };
            assert_eq!(failure.code, Code::BAD_BODY);
        }
        let begun = package.run("panic/at_once", "");
        assert!(matches!(&begun, Begun::Done(Step::Panicked(text)) if text.starts_with("at once")), "{begun:?}");
        package.has_dropped();
    }
}

#[test]
fn the_table_contains_kinds_and_uploads() {
    for package in both() {
        let info = |event| {
            let info = &package.module.events()[index(&package.module, event)];
            (info.kind, info.takes_upload)
        };
        assert_eq!(info("count"), (HandlerKind::Streaming, false));
        assert_eq!(info("optional"), (HandlerKind::Streaming, false));
        assert_eq!(info("echo"), (HandlerKind::Streaming, true));
        assert_eq!(info("echo_awaited"), (HandlerKind::Streaming, true));
        assert_eq!(info("sum"), (HandlerKind::Unary, true));
        assert_eq!(info("ping"), (HandlerKind::Unary, false));
        assert_eq!(HandlerKind::Streaming.to_string(), "streaming");
    }
}

#[test]
fn each_poll_returns_one_item_and_then_the_end() {
    for package in both() {
        assert_eq!(package.all("count", "3"), [item("1"), item("2"), item("3"), end()]);
        assert_eq!(package.all("count", "0"), [end()]);
        assert_eq!(package.all("none", ""), [end()]);
        assert_eq!(package.all("optional", "7"), [item("7"), end()]);
    }
}

#[test]
fn an_item_is_made_only_when_it_is_polled_for() {
    for package in both() {
        let mut call = package.call("endless", "");
        assert_eq!(package.app.started_items(), 0);
        assert_eq!((next(&mut call), next(&mut call)), (item("1"), item("2")));
        assert_eq!(package.app.started_items(), 2);
        package.has_not_dropped();
        drop(call);
        package.has_dropped();
    }
}

#[test]
fn a_pending_stream_wakes_the_last_waker() {
    for package in both() {
        let mut call = package.call("gated", "");
        let (earlier, later) = (Arc::new(CountingWaker::default()), Arc::new(CountingWaker::default()));
        for _ in 0..3 {
            for woken in [&earlier, &later] {
                assert_eq!(poll_with(&mut call, &Waker::from(woken.clone()), usize::MAX), Poll::Pending);
            }
            package.app.gate.notify_one();
            assert_eq!(next(&mut call), item(r#""through""#));
        }
        assert_eq!((earlier.count(), later.count()), (0, 3));
        assert_eq!(poll_with(&mut call, &Waker::from(later.clone()), usize::MAX), Poll::Pending);
        drop(call);
        package.has_dropped();
        assert_eq!((later.count(), Arc::strong_count(&later), Arc::strong_count(&earlier)), (3, 1, 1));
    }
}

#[test]
fn a_stream_can_be_awaited_and_can_fail_to_open() {
    for package in both() {
        let mut call = package.call("awaited", "4");
        assert_eq!(poll(&mut call), Poll::Pending);
        package.has_not_dropped();
        package.app.gate.notify_one();
        assert_eq!(next(&mut call), item("4"));
        // The stream has replaced the future.
        package.has_dropped();
        assert_eq!((next(&mut call), next(&mut call), next(&mut call)), (item("5"), end(), end()));

        let mut call = package.call("awaited", "4");
        assert_eq!(poll(&mut call), Poll::Pending);
        drop(call);
        package.has_dropped();
        assert_eq!(package.all("optional", ""), [failed(Code::HANDLER, "None of these")]);
    }
}

#[test]
fn an_error_follows_the_items_and_ends_the_stream() {
    for package in both() {
        assert_eq!(package.all("fails", ""), [item("1"), failed(Code::HANDLER, "Sold out")]);
        assert_eq!(package.all("question_mark", ""), [item(r#""first""#), failed(Code::INTERNAL, "Internal error")]);
        assert_eq!(package.all("not_json", ""), [item("{}"), failed(Code::INTERNAL, "Internal error")]);
    }
}

#[test]
fn the_state_of_a_handler_is_dropped_in_its_last_poll() {
    for package in both() {
        for (event, steps) in [("keeps_state", 2), ("fails", 2), ("not_json", 2), ("panic/after", 2)] {
            let mut call = package.call(event, "");
            for step in 1..=steps {
                package.has_not_dropped();
                assert!(poll(&mut call).is_ready(), "{event}");
                assert_eq!(
                    step == steps,
                    package.dropped.try_recv() == Ok(("handler", package.is_loaded)),
                    "{event} {step}"
                );
            }
            assert_eq!(next(&mut call), end());
        }
    }
}

#[test]
fn panics_are_caught_wherever_they_happen() {
    for package in both() {
        let all = |event| without_location(package.all(event, ""));
        assert_eq!(all("panic/at_once"), [panicked("at once")]);
        package.has_dropped();
        assert_eq!(all("panic/after"), [item("1"), panicked("after items")]);
        assert_eq!(all("panic/at_end"), [item("1"), panicked("dropped")]);
        // The reader has everything, so a panic while the state is dropped is only logged.
        assert_eq!(all("panic/in_drop"), [item("1"), end()]);
        let mut call = package.call("panic/in_drop", "");
        assert_eq!(next(&mut call), item("1"));
        drop(call);
        drop(package.call("panic/in_drop", ""));
        assert_eq!(package.all("count", "1"), [item("1"), end()], "the package still works");
    }
}

#[test]
fn an_item_beyond_the_limit_does_not_end_the_stream() {
    for package in both() {
        let mut call = package.call("sizes", "");
        let mut next = || poll_with(&mut call, Waker::noop(), 7);
        assert_eq!(next(), Poll::Ready(item(r#""12345""#)));
        assert_eq!(next(), Poll::Ready((Step::TooLarge(12), String::new())));
        assert_eq!((next(), next()), (Poll::Ready(item(r#""1""#)), Poll::Ready(end())));
    }
}

#[test]
fn a_body_is_checked_before_the_handler_runs() {
    for package in both() {
        let expected = refused("The body does not fit: invalid type: string \"x\", expected u64");
        assert_eq!(package.all("count", r#""x""#), [expected]);
        assert!(matches!(package.all("endless", "{")[0].0, Step::Refused(_)));
        assert!(matches!(package.all("optional", "300")[0].0, Step::Refused(_)));
        assert_eq!(package.app.started_items(), 0);
    }
}

#[test]
fn a_call_that_was_never_polled_can_be_dropped() {
    for package in both() {
        for event in ["endless", "gated", "awaited", "none"] {
            drop(package.call(event, "1"));
        }
        let upload = TestUpload::of(&["1"]);
        drop(package.call_with("sum", "", &upload));
        drop(package.call_with("echo", "", &upload));
        assert_eq!((Arc::strong_count(&upload), upload.polls()), (1, 0));
    }
}

#[test]
fn a_loaded_packages_streams_have_its_own_timers_and_a_budget() {
    let [_, package] = both();
    let mut call = package.call("ticks", "2");
    assert_eq!([(); 3].map(|()| block_on(&mut call)), [item("0"), item("1"), end()]);
    assert_eq!(poll(&mut package.call("busy", "")), Poll::Pending);
}

// --- uploads ---------------------------------------------------------------------------------------------------------

#[test]
fn a_handler_reads_an_upload() {
    for package in both() {
        let upload = TestUpload::ended(&["1", "2", "30"]);
        assert_eq!(all(&mut package.call_with("sum", "100", &upload))[..1], [item("133")]);
        assert_eq!((upload.polls(), Arc::strong_count(&upload)), (4, 1));

        let upload = TestUpload::ended(&[r#"{"a": 1.50}"#, "null"]);
        assert_eq!(all(&mut package.call_with("echo", "", &upload)), [item(r#"{"a": 1.50}"#), item("null"), end()]);
        assert_eq!(Arc::strong_count(&upload), 1);
    }
}

#[test]
fn without_an_upload_the_argument_is_empty() {
    for package in both() {
        assert_eq!(package.all("sum", "7"), [item("7"), end()]);
        assert_eq!(package.all("echo", ""), [end()]);
    }
}

#[test]
fn a_handler_without_an_upload_argument_ignores_the_upload() {
    for package in both() {
        let upload = TestUpload::of(&["1"]);
        let call = package.call_with("ping", "", &upload);
        let stream = package.call_with("count", "1", &upload);
        assert_eq!(Arc::strong_count(&upload), 1);
        drop((call, stream));
        assert_eq!(upload.polls(), 0);
    }
}

#[test]
fn an_item_of_an_upload_wakes_the_handler() {
    for package in both() {
        let upload = TestUpload::of(&["1"]);
        let woken = Arc::new(CountingWaker::default());
        let waker = Waker::from(woken.clone());
        let mut call = package.call_with("echo", "", &upload);
        assert_eq!(poll_with(&mut call, &waker, usize::MAX), Poll::Ready(item("1")));
        for n in 1..=3 {
            assert_eq!(poll_with(&mut call, &waker, usize::MAX), Poll::Pending);
            assert_eq!(woken.count(), n - 1);
            // On another thread, as the task of a connection would.
            let other = upload.clone();
            std::thread::spawn(move || other.item("2")).join().unwrap();
            assert_eq!(woken.count(), n);
            assert_eq!(poll_with(&mut call, &waker, usize::MAX), Poll::Ready(item("2")));
        }
        // The waker that the upload has stored outlives the handler.
        assert_eq!(poll_with(&mut call, &waker, usize::MAX), Poll::Pending);
        drop((call, waker));
        assert_eq!(Arc::strong_count(&upload), 1);
        upload.item("3");
        assert_eq!((woken.count(), Arc::strong_count(&woken)), (4, 1));
    }
}

#[test]
fn an_upload_item_that_does_not_fit_is_an_error() {
    for package in both() {
        let upload = TestUpload::of(&[r#"{"x":1}"#, r#"{"x":2}"#, r#"{"x":true}"#]);
        upload.push(UploadStep::End, "");
        let expected = "Item 3 does not fit at x: invalid type: boolean `true`, expected u8";
        assert_eq!(all(&mut package.call_with("points", "", &upload)), [failed(Code::BAD_BODY, expected)]);
        // A handler that continues receives the next items.
        let upload = TestUpload::ended(&["1", "x", "[", "4"]);
        let steps = all(&mut package.call_with("lenient", "", &upload));
        assert_eq!((&steps[0], &steps[3], &steps[4]), (&item(r#""1""#), &item(r#""4""#), &end()));
        let expected = "bad_body: Item 2 does not fit: expected value";
        assert_eq!(steps[1], item(&format!("{expected:?}")));
        assert!(steps[2].1.contains("bad_body: Item 3 does not fit"), "{steps:?}");
    }
}

#[test]
fn an_interrupted_upload_fails_with_the_failure_of_the_host_and_ends() {
    for package in both() {
        let failure = || UploadStep::Failed(Failure::new(Code::NO_CONNECTION, "The connection has closed"));
        let upload = TestUpload::of(&["1"]);
        upload.push(failure(), "");
        let expected = failed(Code::NO_CONNECTION, "The connection has closed");
        assert_eq!(all(&mut package.call_with("sum", "1", &upload)), [expected]);
        assert_eq!(Arc::strong_count(&upload), 1);

        // It is not polled again, although this handler continues.
        let upload = TestUpload::of(&["1"]);
        upload.push(failure(), "");
        let steps = all(&mut package.call_with("lenient", "", &upload));
        assert_eq!(steps[1..], [item(r#""no_connection: The connection has closed""#), end()]);
    }
}

/// An upload that panics.
struct PanickingUpload;

impl UploadSource for PanickingUpload {
    fn poll_next(&self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<UploadStep> {
        panic!("when polled")
    }
}

impl Drop for PanickingUpload {
    fn drop(&mut self) {
        panic!("when dropped");
    }
}

#[test]
fn a_panic_of_an_upload_fails_the_upload_only() {
    for package in both() {
        let upload = Arc::new(PanickingUpload);
        let caller = Arc::new(Connection::default());
        let mut call = package.instance.call_with_upload(index(&package.module, "sum"), "1", &caller, &upload);
        // The handler then has the last reference, whose destructor panics.
        // SAFETY: releases the test's own count, and the test does not use it again.
        unsafe { Arc::decrement_strong_count(Arc::into_raw(upload)) };
        assert_eq!(next(&mut call), failed(Code::PANIC, "Internal error"));
    }
}

#[test]
fn a_dropped_upload_is_released_at_once() {
    for package in both() {
        let upload = TestUpload::of(&["1", "2"]);
        let mut call = package.call_with("takes_one", "", &upload);
        assert_eq!(Arc::strong_count(&upload), 2);
        assert_eq!(poll(&mut call), Poll::Pending);
        assert_eq!((upload.polls(), Arc::strong_count(&upload)), (1, 1));
        package.app.gate.notify_one();
        assert_eq!(next(&mut call), item("1"));
    }
}

#[test]
fn a_handler_may_return_its_upload_as_its_stream() {
    for package in both() {
        let upload = TestUpload::ended(&["1"]);
        let mut call = package.call_with("echo_awaited", "", &upload);
        assert_eq!(poll(&mut call), Poll::Pending);
        package.app.gate.notify_one();
        assert_eq!(all(&mut call), [item("1"), end()]);
    }
}

#[test]
fn an_upload_may_outlive_its_call() {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    for package in both() {
        let upload = TestUpload::of(&["1"]);
        // The task runs on the host's runtime if the package is linked; otherwise on the package's own, and its wakers
        // cross the ABI.
        let host = (!package.is_loaded).then(|| threads.enter());
        let mut call = package.call_with("reads_in_task", "", &upload);
        assert_eq!(next(&mut call), item("null"));
        drop((call, host));
        for json in ["2", r#""x""#, "3"] {
            upload.wait_for_waker();
            upload.item(json);
        }
        upload.push(UploadStep::End, "");
        let error = package.results.recv().unwrap();
        assert!(error.starts_with("Item 3 does not fit: invalid type: string"), "{error}");
        assert_eq!(package.results.recv().unwrap(), "6");
    }
}

// --- hooks -----------------------------------------------------------------------------------------------------------

#[test]
fn hooks_are_not_events_and_are_called_like_events() {
    for package in both() {
        assert!(package.module.events().iter().all(|event| !event.name.as_str().starts_with('_')));
        let (open, close) = (package.module.open_hook().unwrap(), package.module.close_hook().unwrap());
        let caller = Arc::new(Connection::default());
        let call = |hook, body: String| package.instance.call(hook, &body, &caller);
        let json = |opened: &OpenInfo| serde_json::to_string(opened).unwrap();

        let mut opened = OpenInfo::default();
        opened.address = Some("127.0.0.1:7".to_owned());
        assert_eq!(all(&mut call(open, json(&opened))), [end()]);
        assert_eq!(*caller.sent.lock().unwrap(), [r#"welcome "127.0.0.1:7""#]);

        opened.origin = Some("http://elsewhere".to_owned());
        opened.client_key = Some("slow".to_owned());
        let mut slow = call(open, json(&opened));
        assert_eq!(poll(&mut slow), Poll::Pending);
        package.app.gate.notify_one();
        assert_eq!(all(&mut slow), [failed(Code::new("not_allowed"), "Not from http://elsewhere")]);
        assert!(matches!(all(&mut call(open, "7".to_owned()))[0].0, Step::Refused(_)));

        let closed = CloseInfo::new(ClosedBy::Client, Some(1000), "bye");
        assert_eq!(all(&mut call(close, serde_json::to_string(&closed).unwrap())), [end()]);
        assert_eq!(package.results.try_recv().unwrap(), "Client Some(1000) bye");
    }
}

#[test]
fn the_hooks_of_resumption_are_called_by_index() {
    for package in both() {
        let caller = Arc::new(Connection::default());
        let call = |hook: Option<usize>, body: String| package.instance.call(hook.unwrap(), &body, &caller);
        let mut opened = OpenInfo::default();
        let resume = |opened: &OpenInfo| call(package.module.resume_hook(), serde_json::to_string(opened).unwrap());
        assert_eq!(all(&mut resume(&opened)), [failed(Code::HANDLER, "No key")]);
        opened.client_key = Some("key".to_owned());
        assert_eq!(all(&mut resume(&opened)), [end()]);
        let away = serde_json::to_string(&AwayInfo::new(ClosedBy::Broken, None, "reset")).unwrap();
        assert_eq!(all(&mut call(package.module.away_hook(), away)), [end()]);
        assert_eq!(package.results.try_recv().unwrap(), "away Broken None reset");
        let back = serde_json::to_string(&BackInfo::new(Duration::from_millis(7))).unwrap();
        assert_eq!(all(&mut call(package.module.back_hook(), back)), [end()]);
        assert_eq!(package.results.try_recv().unwrap(), "back 7");
    }
}
