//! Handlers that yield, that read what their caller sends, and hooks: each test with the package linked in, and as if it
//! had been opened as a library.
#![allow(unsafe_code, reason = "hands over the table as a library's symbol")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "its events are as an author writes them")]

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use aaw_event::host::{Call, HandlerKind, Instance, Step, UploadSource, UploadStep};
use aaw_event::{CloseInfo, ClosedBy, Module, OpenInfo};
use aaw_protocol::{Code, Failure};
use common::{Connection, Woken, failed, index, item, refused, start};
use services::App;

/// What `_services.rs` would be.
mod services {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    use tokio::sync::Notify;

    thread_local! {
        /// What the test on this thread wants `services()` to give.
        pub static WANTED: RefCell<Option<App>> = const { RefCell::new(None) };
    }

    /// The services of these tests.
    #[derive(Clone)]
    pub struct App {
        /// Each handler that waits, waits for this.
        pub gate: Arc<Notify>,
        /// Hears of drops, with whether there was a runtime then.
        pub dropped: mpsc::Sender<(&'static str, bool)>,
        /// Items that were begun.
        pub begun: Arc<AtomicUsize>,
        /// What a task has made of what the caller sent.
        pub told: mpsc::Sender<String>,
    }

    pub fn services() -> App {
        WANTED.with_borrow(Clone::clone).unwrap()
    }

    impl App {
        pub fn begins(&self) {
            self.begun.fetch_add(1, Ordering::SeqCst);
        }

        pub fn begun(&self) -> usize {
            self.begun.load(Ordering::SeqCst)
        }

        pub fn guard(&self) -> Guard {
            Guard(self.dropped.clone())
        }
    }

    pub struct Guard(mpsc::Sender<(&'static str, bool)>);

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = self.0.send(("handler", tokio::runtime::Handle::try_current().is_ok()));
        }
    }
}

/// What the events' files would be.
mod events {
    use std::collections::HashMap;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use aaw_event::prelude::*;
    use aaw_event::{BoxStream, RawValue};

    use crate::services::{App, Guard};

    /// A stream that keeps what it holds when it is over, unlike a `stream!`.
    pub struct Keeper<T> {
        left: Vec<Option<Result<u8>>>,
        _held: T,
    }

    impl<T: Unpin> Stream for Keeper<T> {
        type Item = Result<u8>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.left.remove(0))
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
                services.begins();
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
    pub async fn doubtful(body: Option<u8>) -> Result<Pin<Box<dyn Stream<Item = Result<u8>> + Send>>> {
        let body = body.ok_or_else(|| Error::new("None of these"))?;
        Ok(Box::pin(try_stream! { yield body; }))
    }
    pub fn fails(_: Empty, services: Services<App>) -> impl Stream<Item = Result<u8>> {
        Keeper { left: vec![Some(Ok(1)), Some(Err(Error::new("Sold out"))), Some(Ok(3))], _held: services.guard() }
    }
    pub fn question() -> impl Stream<Item = Result<String>> {
        try_stream! {
            yield "first".to_owned();
            yield std::fs::read_to_string("/there/is/no/such/file")?;
            yield "never".to_owned();
        }
    }
    pub fn keeps(_: Empty, services: Services<App>) -> Keeper<Guard> {
        Keeper { left: vec![Some(Ok(1)), None, Some(Ok(3))], _held: services.guard() }
    }
    pub fn no_json(_: Empty, services: Services<App>) -> impl Stream<Item = HashMap<Vec<u8>, u8>> {
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
    pub fn panic_in_drop() -> Keeper<Bomb> {
        Keeper { left: vec![Some(Ok(1)), None, None], _held: Bomb }
    }
    pub fn panic_when_done() -> impl Stream<Item = u8> {
        stream! {
            let _bomb = Bomb;
            yield 1;
        }
    }
    pub fn sizes() -> impl Stream<Item = String> {
        futures_util::stream::iter(["12345", "1234567890", "1"].map(str::to_owned))
    }
    /// What stands before the stream needs a runtime, too.
    pub fn ticks(body: u8) -> impl Stream<Item = u8> {
        let mut timer = Box::pin(tokio::time::sleep(Duration::from_millis(1)));
        stream! {
            for number in 0..body {
                timer.as_mut().await;
                yield number;
            }
        }
    }
    /// Always ready, and never with an item: only a budget makes it give way.
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

    pub async fn sum(start: u64, _: Services, mut incoming: Upload<u64>) -> Result<u64> {
        let mut sum = start;
        while let Some(number) = incoming.next().await {
            sum += number?;
        }
        Ok(sum)
    }
    pub async fn points(_: Empty, _: Services, incoming: Upload<Point>) -> Result<Vec<u8>> {
        let points: Vec<Result<Point>> = incoming.collect().await;
        points.into_iter().map(|point| point.map(|point| point.x)).collect()
    }
    /// Does not mind what does not fit.
    pub fn mild(_: Empty, _: Services, incoming: Upload<u8>) -> impl Stream<Item = String> {
        incoming.map(|item| match item {
            Ok(number) => number.to_string(),
            Err(error) => format!("{}: {}", error.code(), error.message()),
        })
    }
    pub fn echo(
        _: Empty,
        _: Services,
        mut incoming: Upload<Box<RawValue>>,
    ) -> impl Stream<Item = Result<Box<RawValue>>> {
        try_stream! {
            while let Some(item) = incoming.next().await {
                yield item?;
            }
        }
    }
    pub async fn echo_awaited(
        _: Empty,
        services: Services<App>,
        incoming: Upload<Value>,
    ) -> Result<impl Stream<Item = Result<Value>>> {
        services.gate.notified().await;
        Ok(incoming)
    }
    pub async fn takes_one(_: Empty, services: Services<App>, mut incoming: Upload<Value>) -> Option<Value> {
        let first = incoming.next().await.and_then(Result::ok);
        drop(incoming);
        services.gate.notified().await;
        first
    }
    /// Answers at once; a task goes on.
    pub async fn keeps_incoming(_: Empty, services: Services<App>, mut incoming: Upload<u64>) {
        let task = async move {
            let mut sum = 0;
            while let Some(number) = incoming.next().await {
                match number {
                    Ok(number) => sum += number,
                    Err(error) => {
                        let _ = services.told.send(error.to_string());
                    }
                }
            }
            let _ = services.told.send(sum.to_string());
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
        let _ = services.told.send(format!("{:?} {:?} {}", closed.by, closed.code, closed.reason));
    }
}

type Event = aaw_event::export::Entry<App>;

aaw_event::__package!(
    "stream_tests",
    "stream-tests",
    crate::services::App,
    aaw_event::export::sync_services(crate::services::services),
    [
        crate::Event::async_stream2("awaited", crate::events::awaited),
        crate::Event::stream0("busy", crate::events::busy),
        crate::Event::stream1("count", crate::events::count),
        crate::Event::async_stream1("doubtful", crate::events::doubtful),
        crate::Event::stream3("echo", crate::events::echo),
        crate::Event::async_stream3("echo_awaited", crate::events::echo_awaited),
        crate::Event::stream2("endless", crate::events::endless),
        crate::Event::stream2("fails", crate::events::fails),
        crate::Event::stream2("gated", crate::events::gated),
        crate::Event::stream2("keeps", crate::events::keeps),
        crate::Event::answer3("keeps_incoming", crate::events::keeps_incoming),
        crate::Event::stream3("mild", crate::events::mild),
        crate::Event::stream2("no_json", crate::events::no_json),
        crate::Event::stream0("none", crate::events::none),
        crate::Event::stream2("panic/after", crate::events::panic_after),
        crate::Event::stream2("panic/at_once", crate::events::panic_at_once),
        crate::Event::stream0("panic/in_drop", crate::events::panic_in_drop),
        crate::Event::stream0("panic/when_done", crate::events::panic_when_done),
        crate::Event::answer0("ping", crate::events::ping),
        crate::Event::answer3("points", crate::events::points),
        crate::Event::stream0("question", crate::events::question),
        crate::Event::stream0("sizes", crate::events::sizes),
        crate::Event::answer3("sum", crate::events::sum),
        crate::Event::answer3("takes_one", crate::events::takes_one),
        crate::Event::stream1("ticks", crate::events::ticks),
        crate::Event::hook2(aaw_event::export::CLOSE, crate::events::close),
        crate::Event::async_hook2(aaw_event::export::OPEN, crate::events::open),
    ]
);

/// The package, running.
struct Run {
    module: Module,
    instance: Instance,
    app: App,
    dropped: mpsc::Receiver<(&'static str, bool)>,
    told: mpsc::Receiver<String>,
    is_loaded: bool,
}

/// Linked in; and as if it had been opened as a library.
fn both() -> [Run; 2] {
    // SAFETY: the header of this very build, which is never unloaded.
    let loaded = unsafe { Module::loaded(__aaw::PACKAGE.header()) }.unwrap();
    [(module(), false), (loaded, true)].map(|(module, is_loaded)| {
        let (dropped, ear) = mpsc::channel();
        let (told, listener) = mpsc::channel();
        let app = App { gate: Arc::default(), dropped, begun: Arc::default(), told };
        services::WANTED.set(Some(app.clone()));
        let instance = start(&module);
        Run { module, instance, app, dropped: ear, told: listener, is_loaded }
    })
}

impl Run {
    fn call(&self, event: &str, body: &str) -> Call {
        self.instance.call(index(&self.module, event), body, &Arc::new(Connection::default()))
    }

    fn call_with(&self, event: &str, body: &str, incoming: &Arc<Upload>) -> Call {
        let caller = Arc::new(Connection::default());
        self.instance.call_with_upload(index(&self.module, event), body, &caller, incoming)
    }

    /// All that a stream has to say that never waits.
    fn all(&self, event: &str, body: &str) -> Vec<(Step, String)> {
        all(&mut self.call(event, body))
    }

    /// Asserts that the handler has been dropped, in its runtime.
    #[track_caller]
    fn has_dropped(&self) {
        let (what, in_runtime) = self.dropped.try_recv().expect("not dropped yet");
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
    let Poll::Ready(step) = poll(call) else { panic!("it waits") };
    step
}

/// Polls up to and with the end, and once more.
fn all(call: &mut Call) -> Vec<(Step, String)> {
    let mut steps = vec![next(call)];
    while steps.last().unwrap().0 == Step::Item {
        steps.push(next(call));
    }
    assert_eq!(next(call), end(), "after the end");
    steps
}

/// What a panic says is followed by its place where the package's own hook has seen it.
fn without_place(mut steps: Vec<(Step, String)>) -> Vec<(Step, String)> {
    for (step, _) in &mut steps {
        if let Step::Panicked(text) = step {
            *text = text.split(" (at ").next().unwrap().to_owned();
        }
    }
    steps
}

fn end() -> (Step, String) {
    (Step::End, String::new())
}

fn panicked(text: &str) -> (Step, String) {
    (Step::Panicked(text.to_owned()), String::new())
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on(call: &mut Call) -> (Step, String) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match poll_with(call, &waker, usize::MAX) {
            Poll::Ready(step) => return step,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// What a caller sends, as a test feeds it.
#[derive(Default)]
struct Upload(Mutex<Feed>, Condvar);

#[derive(Default)]
struct Feed {
    steps: VecDeque<(UploadStep, &'static str)>,
    waker: Option<Waker>,
    polls: usize,
    is_over: bool,
}

impl Upload {
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
        let mut feed = self.0.lock().unwrap();
        feed.steps.push_back((step, json));
        let waker = feed.waker.take();
        drop(feed);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Waits until a waker has been left.
    fn is_waited_for(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |feed| feed.waker.is_none()).unwrap());
    }

    fn polls(&self) -> usize {
        self.0.lock().unwrap().polls
    }
}

impl UploadSource for Upload {
    fn poll_next(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<UploadStep> {
        let mut feed = self.0.lock().unwrap();
        assert!(!feed.is_over, "polled after its end");
        assert!(out.is_empty());
        feed.polls += 1;
        let Some((step, json)) = feed.steps.pop_front() else {
            feed.waker = Some(cx.waker().clone());
            self.1.notify_all();
            return Poll::Pending;
        };
        feed.is_over = step != UploadStep::Item;
        out.extend_from_slice(json.as_bytes());
        Poll::Ready(step)
    }
}

// --- streams ----------------------------------------------------------------------------------------------------------

#[test]
fn the_table_says_what_is_a_stream_and_what_takes_one() {
    for run in both() {
        let info = |event| {
            let info = &run.module.events()[index(&run.module, event)];
            (info.kind, info.takes_upload)
        };
        assert_eq!(info("count"), (HandlerKind::Streaming, false));
        assert_eq!(info("doubtful"), (HandlerKind::Streaming, false));
        assert_eq!(info("echo"), (HandlerKind::Streaming, true));
        assert_eq!(info("echo_awaited"), (HandlerKind::Streaming, true));
        assert_eq!(info("sum"), (HandlerKind::Unary, true));
        assert_eq!(info("ping"), (HandlerKind::Unary, false));
        assert_eq!(HandlerKind::Streaming.to_string(), "stream");
    }
}

#[test]
fn items_come_one_a_poll_and_then_the_end() {
    for run in both() {
        assert_eq!(run.all("count", "3"), [item("1"), item("2"), item("3"), end()]);
        assert_eq!(run.all("count", "0"), [end()]);
        assert_eq!(run.all("none", ""), [end()]);
        assert_eq!(run.all("doubtful", "7"), [item("7"), end()]);
    }
}

#[test]
fn a_handler_makes_no_item_that_nobody_has_asked_for() {
    for run in both() {
        let mut call = run.call("endless", "");
        assert_eq!(run.app.begun(), 0);
        assert_eq!((next(&mut call), next(&mut call)), (item("1"), item("2")));
        assert_eq!(run.app.begun(), 2);
        run.has_not_dropped();
        drop(call);
        run.has_dropped();
    }
}

#[test]
fn a_stream_that_waits_wakes_whoever_polled_it_last() {
    for run in both() {
        let mut call = run.call("gated", "");
        let (earlier, later) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        for _ in 0..3 {
            for woken in [&earlier, &later] {
                assert_eq!(poll_with(&mut call, &Waker::from(woken.clone()), usize::MAX), Poll::Pending);
            }
            run.app.gate.notify_one();
            assert_eq!(next(&mut call), item(r#""through""#));
        }
        assert_eq!((earlier.times(), later.times()), (0, 3));
        assert_eq!(poll_with(&mut call, &Waker::from(later.clone()), usize::MAX), Poll::Pending);
        drop(call);
        run.has_dropped();
        assert_eq!((later.times(), Arc::strong_count(&later), Arc::strong_count(&earlier)), (3, 1, 1));
    }
}

#[test]
fn a_stream_may_have_to_be_awaited_and_may_not_come() {
    for run in both() {
        let mut call = run.call("awaited", "4");
        assert_eq!(poll(&mut call), Poll::Pending);
        run.has_not_dropped();
        run.app.gate.notify_one();
        assert_eq!(next(&mut call), item("4"));
        // The future has made room for its stream.
        run.has_dropped();
        assert_eq!((next(&mut call), next(&mut call), next(&mut call)), (item("5"), end(), end()));

        let mut call = run.call("awaited", "4");
        assert_eq!(poll(&mut call), Poll::Pending);
        drop(call);
        run.has_dropped();
        assert_eq!(run.all("doubtful", ""), [failed(Code::HANDLER, "None of these")]);
    }
}

#[test]
fn an_error_comes_after_the_items_and_nothing_after_it() {
    for run in both() {
        assert_eq!(run.all("fails", ""), [item("1"), failed(Code::HANDLER, "Sold out")]);
        assert_eq!(run.all("question", ""), [item(r#""first""#), failed(Code::HANDLER, "Internal error")]);
        assert_eq!(run.all("no_json", ""), [item("{}"), failed(Code::HANDLER, "Internal error")]);
    }
}

#[test]
fn what_a_handler_holds_goes_with_its_last_poll() {
    for run in both() {
        for (event, steps) in [("keeps", 2), ("fails", 2), ("no_json", 2), ("panic/after", 2)] {
            let mut call = run.call(event, "");
            for step in 1..=steps {
                run.has_not_dropped();
                assert!(poll(&mut call).is_ready(), "{event}");
                assert_eq!(step == steps, run.dropped.try_recv() == Ok(("handler", run.is_loaded)), "{event} {step}");
            }
            assert_eq!(next(&mut call), end());
        }
    }
}

#[test]
fn panics_are_contained_wherever_they_happen() {
    for run in both() {
        let all = |event| without_place(run.all(event, ""));
        assert_eq!(all("panic/at_once"), [panicked("at once")]);
        run.has_dropped();
        assert_eq!(all("panic/after"), [item("1"), panicked("after items")]);
        assert_eq!(all("panic/when_done"), [item("1"), panicked("dropped")]);
        // Too late for its reader, who has everything.
        assert_eq!(all("panic/in_drop"), [item("1"), end()]);
        let mut call = run.call("panic/in_drop", "");
        assert_eq!(next(&mut call), item("1"));
        drop(call);
        drop(run.call("panic/in_drop", ""));
        assert_eq!(run.all("count", "1"), [item("1"), end()], "and it goes on");
    }
}

#[test]
fn an_item_that_is_too_long_does_not_end_the_stream_by_itself() {
    for run in both() {
        let mut call = run.call("sizes", "");
        let mut next = || poll_with(&mut call, Waker::noop(), 7);
        assert_eq!(next(), Poll::Ready(item(r#""12345""#)));
        assert_eq!(next(), Poll::Ready((Step::TooLarge(12), String::new())));
        assert_eq!((next(), next()), (Poll::Ready(item(r#""1""#)), Poll::Ready(end())));
    }
}

#[test]
fn a_body_is_checked_before_a_stream_begins() {
    for run in both() {
        let expected = refused("The body does not fit: invalid type: string \"x\", expected u64");
        assert_eq!(run.all("count", r#""x""#), [expected]);
        assert!(matches!(run.all("endless", "{")[0].0, Step::Refused(_)));
        assert!(matches!(run.all("doubtful", "300")[0].0, Step::Refused(_)));
        assert_eq!(run.app.begun(), 0);
    }
}

#[test]
fn a_call_that_was_never_polled_can_be_dropped() {
    for run in both() {
        for event in ["endless", "gated", "awaited", "none"] {
            drop(run.call(event, "1"));
        }
        let upload = Upload::of(&["1"]);
        drop(run.call_with("sum", "", &upload));
        drop(run.call_with("echo", "", &upload));
        assert_eq!((Arc::strong_count(&upload), upload.polls()), (1, 0));
    }
}

#[test]
fn a_loaded_packages_streams_have_its_own_timers_and_a_budget() {
    let [_, run] = both();
    let mut call = run.call("ticks", "2");
    assert_eq!([(); 3].map(|()| block_on(&mut call)), [item("0"), item("1"), end()]);
    assert_eq!(poll(&mut run.call("busy", "")), Poll::Pending);
}

// --- what a caller sends ----------------------------------------------------------------------------------------------

#[test]
fn a_handler_reads_what_its_caller_sends() {
    for run in both() {
        let upload = Upload::ended(&["1", "2", "30"]);
        assert_eq!(all(&mut run.call_with("sum", "100", &upload))[..1], [item("133")]);
        assert_eq!((upload.polls(), Arc::strong_count(&upload)), (4, 1));

        let upload = Upload::ended(&[r#"{"a": 1.50}"#, "null"]);
        assert_eq!(all(&mut run.call_with("echo", "", &upload)), [item(r#"{"a": 1.50}"#), item("null"), end()]);
        assert_eq!(Arc::strong_count(&upload), 1);
    }
}

#[test]
fn a_caller_that_sends_nothing_sends_an_empty_stream() {
    for run in both() {
        assert_eq!(run.all("sum", "7"), [item("7"), end()]);
        assert_eq!(run.all("echo", ""), [end()]);
    }
}

#[test]
fn who_does_not_take_what_a_caller_sends_leaves_it_alone() {
    for run in both() {
        let upload = Upload::of(&["1"]);
        let call = run.call_with("ping", "", &upload);
        let stream = run.call_with("count", "1", &upload);
        assert_eq!(Arc::strong_count(&upload), 1);
        drop((call, stream));
        assert_eq!(upload.polls(), 0);
    }
}

#[test]
fn a_handler_that_waits_for_its_caller_is_woken_by_it() {
    for run in both() {
        let upload = Upload::of(&["1"]);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut call = run.call_with("echo", "", &upload);
        assert_eq!(poll_with(&mut call, &waker, usize::MAX), Poll::Ready(item("1")));
        for n in 1..=3 {
            assert_eq!(poll_with(&mut call, &waker, usize::MAX), Poll::Pending);
            assert_eq!(woken.times(), n - 1);
            // As a connection's task does, on another thread.
            let other = upload.clone();
            std::thread::spawn(move || other.item("2")).join().unwrap();
            assert_eq!(woken.times(), n);
            assert_eq!(poll_with(&mut call, &waker, usize::MAX), Poll::Ready(item("2")));
        }
        // A waker that the host has kept outlives the handler.
        assert_eq!(poll_with(&mut call, &waker, usize::MAX), Poll::Pending);
        drop((call, waker));
        assert_eq!(Arc::strong_count(&upload), 1);
        upload.item("3");
        assert_eq!((woken.times(), Arc::strong_count(&woken)), (4, 1));
    }
}

#[test]
fn an_item_that_does_not_fit_is_told_to_the_caller() {
    for run in both() {
        let upload = Upload::of(&[r#"{"x":1}"#, r#"{"x":2}"#, r#"{"x":true}"#]);
        upload.push(UploadStep::End, "");
        let expected = "Item 3 does not fit at x: invalid type: boolean `true`, expected u8";
        assert_eq!(all(&mut run.call_with("points", "", &upload)), [failed(Code::BAD_BODY, expected)]);
        // The stream goes on, if the handler does.
        let upload = Upload::ended(&["1", "x", "[", "4"]);
        let steps = all(&mut run.call_with("mild", "", &upload));
        assert_eq!((&steps[0], &steps[3], &steps[4]), (&item(r#""1""#), &item(r#""4""#), &end()));
        let expected = "bad_body: Item 2 does not fit: expected value";
        assert_eq!(steps[1], item(&format!("{expected:?}")));
        assert!(steps[2].1.contains("bad_body: Item 3 does not fit"), "{steps:?}");
    }
}

#[test]
fn what_breaks_off_fails_in_the_hosts_words_and_ends() {
    for run in both() {
        let failure = || UploadStep::Failed(Failure::new(Code::NO_CONNECTION, "The connection has gone"));
        let upload = Upload::of(&["1"]);
        upload.push(failure(), "");
        let expected = failed(Code::NO_CONNECTION, "The connection has gone");
        assert_eq!(all(&mut run.call_with("sum", "1", &upload)), [expected]);
        assert_eq!(Arc::strong_count(&upload), 1);

        // It is not polled again, though this handler goes on.
        let upload = Upload::of(&["1"]);
        upload.push(failure(), "");
        let steps = all(&mut run.call_with("mild", "", &upload));
        assert_eq!(steps[1..], [item(r#""no_connection: The connection has gone""#), end()]);
    }
}

/// A host that panics.
struct Broken;

impl UploadSource for Broken {
    fn poll_next(&self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<UploadStep> {
        panic!("when polled")
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        panic!("when dropped");
    }
}

#[test]
fn a_panic_of_the_hosts_ends_the_stream_and_nothing_else() {
    for run in both() {
        let broken = Arc::new(Broken);
        let caller = Arc::new(Connection::default());
        let mut call = run.instance.call_with_upload(index(&run.module, "sum"), "1", &caller, &broken);
        // The handler's is the last one.
        // SAFETY: gives up the test's own count, which it uses no more.
        unsafe { Arc::decrement_strong_count(Arc::into_raw(broken)) };
        assert_eq!(next(&mut call), failed(Code::PANIC, "Internal error"));
    }
}

#[test]
fn what_is_dropped_early_is_let_go_at_once() {
    for run in both() {
        let upload = Upload::of(&["1", "2"]);
        let mut call = run.call_with("takes_one", "", &upload);
        assert_eq!(Arc::strong_count(&upload), 2);
        assert_eq!(poll(&mut call), Poll::Pending);
        assert_eq!((upload.polls(), Arc::strong_count(&upload)), (1, 1));
        run.app.gate.notify_one();
        assert_eq!(next(&mut call), item("1"));
    }
}

#[test]
fn a_stream_that_is_awaited_may_be_what_the_caller_sends() {
    for run in both() {
        let upload = Upload::ended(&["1"]);
        let mut call = run.call_with("echo_awaited", "", &upload);
        assert_eq!(poll(&mut call), Poll::Pending);
        run.app.gate.notify_one();
        assert_eq!(all(&mut call), [item("1"), end()]);
    }
}

#[test]
fn what_a_caller_sends_may_outlive_its_call() {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    for run in both() {
        let upload = Upload::of(&["1"]);
        // Linked in, its task is one of the host's; else it runs on the package's own threads, and its wakers cross.
        let host = (!run.is_loaded).then(|| threads.enter());
        let mut call = run.call_with("keeps_incoming", "", &upload);
        assert_eq!(next(&mut call), item("null"));
        drop((call, host));
        for json in ["2", r#""x""#, "3"] {
            upload.is_waited_for();
            upload.item(json);
        }
        upload.push(UploadStep::End, "");
        let said = run.told.recv().unwrap();
        assert!(said.starts_with("Item 3 does not fit: invalid type: string"), "{said}");
        assert_eq!(run.told.recv().unwrap(), "6");
    }
}

// --- hooks ------------------------------------------------------------------------------------------------------------

#[test]
fn hooks_are_no_events_and_are_called_like_some() {
    for run in both() {
        assert!(run.module.events().iter().all(|event| !event.name.as_str().starts_with('_')));
        let (open, close) = (run.module.open_hook().unwrap(), run.module.close_hook().unwrap());
        let caller = Arc::new(Connection::default());
        let call = |hook, body: String| run.instance.call(hook, &body, &caller);
        let json = |opened: &OpenInfo| serde_json::to_string(opened).unwrap();

        let mut opened = OpenInfo::default();
        opened.address = Some("127.0.0.1:7".to_owned());
        assert_eq!(all(&mut call(open, json(&opened))), [end()]);
        assert_eq!(*caller.sent.lock().unwrap(), [r#"welcome "127.0.0.1:7""#]);

        opened.origin = Some("http://elsewhere".to_owned());
        opened.client_key = Some("slow".to_owned());
        let mut slow = call(open, json(&opened));
        assert_eq!(poll(&mut slow), Poll::Pending);
        run.app.gate.notify_one();
        assert_eq!(all(&mut slow), [failed(Code::new("not_allowed"), "Not from http://elsewhere")]);
        assert!(matches!(all(&mut call(open, "7".to_owned()))[0].0, Step::Refused(_)));

        let closed = CloseInfo::new(ClosedBy::Client, Some(1000), "bye");
        assert_eq!(all(&mut call(close, serde_json::to_string(&closed).unwrap())), [end()]);
        assert_eq!(run.told.try_recv().unwrap(), "Client Some(1000) bye");
    }
}
