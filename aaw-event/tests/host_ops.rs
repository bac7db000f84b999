//! What handlers ask of their host: at once and awaited, of a package that is linked in, and as if it had been opened as
//! a library; guards and the password reset.
#![allow(unsafe_code, reason = "hands over the table as a library's symbol")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "its events are as an author writes them")]

mod common;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use aaw_event::Module;
use aaw_event::host::{Call, Caller, GuardInfo, Instance, Step};
use aaw_protocol::{Code, Failure};
use common::{Connection, failed, item, start};

/// What the events' files would be.
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
    pub async fn ask(body: Box<RawValue>, services: Services) -> Result<u8> {
        services.ws.send_async("confirm", body, Duration::from_millis(1500)).await
    }
    pub async fn ask_other(_: Empty, services: Services) -> Result<()> {
        services.ws.send_async_to("c2", "confirm", (), Duration::MAX).await
    }
    pub async fn ask_room(_: Empty, services: Services) -> Result<Value> {
        let all = services.room.send_async::<u8>("a", "confirm", 1, Duration::from_secs(1), None).await?;
        let told = |answer: Result<u8>| answer.map_or_else(|error| json!(error.code()), Value::from);
        Ok(all.into_iter().map(|(id, answer)| json!([id, told(answer)])).collect())
    }
    /// In a task, which a loaded package runs on a thread of its own.
    pub async fn ask_from_a_task(_: Empty, services: Services) -> Result<u8> {
        tokio::spawn(async move { services.ws.send_async("confirm", (), Duration::from_secs(1)).await }).await?
    }
    /// The first is given up at once.
    pub async fn ask_two(_: Empty, services: Services) -> Result<u8> {
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
    pub async fn no_json(_: Empty, services: Services) -> Result<()> {
        let no_json = std::collections::HashMap::from([(vec![1], 2)]);
        services.ws.send_async("confirm", no_json, Duration::from_secs(1)).await
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

type Entry = aaw_event::export::Entry<aaw_event::export::NoServices>;

aaw_event::__package!(
    "asks_tests",
    "asks-tests",
    aaw_event::export::NoServices,
    aaw_event::export::sync_services(aaw_event::export::no_services),
    [
        crate::Entry::answer2("ask", crate::events::ask),
        crate::Entry::answer2("ask_from_a_task", crate::events::ask_from_a_task),
        crate::Entry::answer2("ask_other", crate::events::ask_other),
        crate::Entry::answer2("ask_room", crate::events::ask_room),
        crate::Entry::answer2("ask_two", crate::events::ask_two),
        crate::Entry::plain2("join", crate::events::join),
        crate::Entry::answer2("log_in", crate::events::log_in),
        crate::Entry::answer2("log_out", crate::events::log_out),
        crate::Entry::answer2("no_json", crate::events::no_json),
        crate::Entry::answer2("rooms", crate::events::rooms),
        crate::Entry::answer2("size", crate::events::size),
        crate::Entry::answer2("whoami", crate::events::whoami),
        // As the build script writes them: by their files.
        crate::Entry::hook0(aaw_event::export::guard("users/admin/_guard"), crate::events::inner_guard),
        crate::Entry::async_hook2(aaw_event::export::guard("_guard"), crate::events::guard),
        crate::Entry::async_hook2(aaw_event::export::guard("users/_guard"), crate::events::guard),
        crate::Entry::async_hook2(aaw_event::export::PASSWORD_RESET, crate::events::reset),
    ]
);

type Answer = Result<String, Failure>;

/// A host that keeps what it is asked, and answers what the test says.
#[derive(Default)]
struct Asked {
    asked: Mutex<Vec<String>>,
    /// Of what is asked at once, in order; `null` when there are no more.
    answers: Mutex<VecDeque<Answer>>,
    /// What is awaited and not answered.
    open: Mutex<Vec<Arc<Open>>>,
    /// Hears of each that is awaited.
    opened: Mutex<Option<Sender<Arc<Open>>>>,
    sent: Mutex<Vec<String>>,
}

/// Something that a handler waits for.
#[derive(Default)]
struct Open {
    answer: Mutex<Option<Answer>>,
    waker: Mutex<Option<Waker>>,
    polls: Mutex<u32>,
    is_dropped: Mutex<bool>,
    panics: bool,
}

impl Open {
    fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = Some(answer);
        let waker = self.waker.lock().unwrap().take();
        waker.unwrap().wake();
    }

    fn is_dropped(&self) -> bool {
        *self.is_dropped.lock().unwrap()
    }
}

struct Waits(Arc<Open>);

impl Future for Waits {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        assert!(!self.0.panics, "asked to");
        *self.0.polls.lock().unwrap() += 1;
        *self.0.waker.lock().unwrap() = Some(cx.waker().clone());
        self.0.answer.lock().unwrap().take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        *self.0.is_dropped.lock().unwrap() = true;
    }
}

impl Caller for Asked {
    fn id(&self) -> String {
        "c1".to_owned()
    }

    fn send_event(&self, event: &str, data: &str) -> Result<(), Failure> {
        self.sent.lock().unwrap().push(format!("{event} {data}"));
        Ok(())
    }

    fn broadcast(&self, _: &str, _: bool) {}

    fn host_op(&self, op: &str, args: &str) -> Answer {
        self.asked.lock().unwrap().push(format!("{op} {args}"));
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok("null".to_owned()));
        assert!(!matches!(&answer, Ok(text) if text == "panic"), "asked to");
        answer
    }

    fn host_op_async(self: Arc<Self>, op: String, args: String) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        assert!(!args.contains("panic at once"), "asked to");
        let open = Arc::new(Open { panics: args.contains("panic"), ..Open::default() });
        self.asked.lock().unwrap().push(format!("{op} {args}"));
        self.open.lock().unwrap().push(Arc::clone(&open));
        if let Some(opened) = &*self.opened.lock().unwrap() {
            let _ = opened.send(Arc::clone(&open));
        }
        Box::pin(Waits(open))
    }
}

struct Run {
    module: Module,
    instance: Instance,
    host: Arc<Asked>,
    opened: Receiver<Arc<Open>>,
}

/// Linked, and as if it had been loaded.
fn both() -> [Run; 2] {
    // SAFETY: the header of this very build, which is never unloaded.
    let loaded = unsafe { Module::loaded(__aaw::PACKAGE.header()) }.unwrap();
    [module(), loaded].map(|module| {
        let (told, opened) = mpsc::channel();
        let host = Arc::new(Asked { opened: Mutex::new(Some(told)), ..Asked::default() });
        Run { instance: start(&module), module, host, opened }
    })
}

impl Run {
    fn begin(&self, event: &str, body: &str) -> Call {
        self.instance.call(common::index(&self.module, event), body, &self.host)
    }

    /// Polls a call that is done then.
    fn call(&self, event: &str, body: &str) -> (Step, String) {
        done(&mut self.begin(event, body))
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.host.asked.lock().unwrap())
    }

    fn answer<T: Into<String>>(&self, answers: impl IntoIterator<Item = T>) {
        self.host.answers.lock().unwrap().extend(answers.into_iter().map(|text| Ok(text.into())));
    }
}

fn poll(call: &mut Call, waker: &Waker) -> Poll<(Step, String)> {
    let mut out = Vec::new();
    let polled = call.poll(&mut Context::from_waker(waker), &mut out, usize::MAX);
    polled.map(|step| (step, String::from_utf8(out).unwrap()))
}

fn done(call: &mut Call) -> (Step, String) {
    match poll(call, Waker::noop()) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn unpark() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

fn block_on(call: &mut Call) -> (Step, String) {
    let waker = unpark();
    loop {
        match poll(call, &waker) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn what_is_asked_at_once_crosses_both_ways() {
    for run in both() {
        run.answer(["null", "null", "null", "3", r#"[{"id":"c1","identity":{"id":"1","email":"a@b.c"}},{"id":"c2"}]"#]);
        run.answer(["7"]);
        let expected =
            r#"[3,7,[{"id":"c1","identity":{"allowed":null,"email":"a@b.c","id":"1"}},{"id":"c2","identity":null}]]"#;
        let (step, json) = run.call("rooms", "");
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
        assert_eq!(run.asked(), expected);
        run.answer([r#"{"id":"1","email":"a@b.c"}"#, "null"]);
        assert_eq!(run.call("whoami", ""), item(r#"{"id":"1","email":"a@b.c"}"#));
        assert_eq!(run.call("whoami", ""), item("null"));
    }
}

#[test]
fn the_hosts_words_reach_the_caller_and_its_panics_do_not() {
    for run in both() {
        let busy = Failure::new(Code::BUSY, "Too many rooms");
        run.host.answers.lock().unwrap().push_back(Err(busy));
        assert_eq!(run.call("join", ""), failed(Code::BUSY, "Too many rooms"));
        run.answer(["panic"]);
        assert_eq!(run.call("join", ""), failed(Code::PANIC, "Internal error"));
        // Where there is nobody to tell, there is nothing.
        run.answer(["panic", "x", "-1"]);
        for _ in 0..3 {
            assert_eq!(run.call("size", ""), item("0"));
        }
    }
}

#[test]
fn what_is_awaited_is_answered_later_and_from_any_thread() {
    for run in both() {
        let mut call = run.begin("ask", r#"{ "x" : 1 }"#);
        assert!(poll(&mut call, Waker::noop()).is_pending());
        let expected = r#"ws/send_async {"to":null,"event":"confirm","data":{ "x" : 1 },"timeout_ms":1500}"#;
        assert_eq!(run.asked(), [expected]);
        let open = run.opened.recv().unwrap();
        // Another task polls it from here on, and is the one that is woken.
        let waker = unpark();
        assert!(poll(&mut call, &waker).is_pending());
        let answering = Arc::clone(&open);
        std::thread::spawn(move || answering.answer(Ok("17".to_owned()))).join().unwrap();
        std::thread::park();
        assert_eq!(poll(&mut call, &waker), Poll::Ready(item("17")));
        assert_eq!((*open.polls.lock().unwrap(), open.is_dropped()), (3, true));
    }
}

#[test]
fn an_answer_that_is_a_failure_or_does_not_fit() {
    for run in both() {
        let timeout = || Failure::new(Code::TIMEOUT, "Too late");
        for (answer, expected) in [
            (Err(timeout()), failed(Code::TIMEOUT, "Too late")),
            (
                Ok("true".to_owned()),
                failed(Code::BAD_BODY, "The answer does not fit: invalid type: boolean `true`, expected u8"),
            ),
            (Ok("x".to_owned()), failed(Code::BAD_BODY, "The answer does not fit: expected value")),
        ] {
            let mut call = run.begin("ask", "1");
            assert!(poll(&mut call, Waker::noop()).is_pending());
            run.opened.recv().unwrap().answer(answer);
            assert_eq!(done(&mut call), expected);
        }
        let mut call = run.begin("ask_other", "");
        assert!(poll(&mut call, Waker::noop()).is_pending());
        let forever = format!(r#"ws/send_async {{"to":"c2","event":"confirm","data":null,"timeout_ms":{}}}"#, u64::MAX);
        assert_eq!(run.asked().last(), Some(&forever));
        run.opened.recv().unwrap().answer(Ok("null".to_owned()));
        assert_eq!(done(&mut call), item("null"));
        assert_eq!(run.call("no_json", ""), failed(Code::HANDLER, "Internal error"));
    }
}

#[test]
fn a_room_answers_one_by_one() {
    for run in both() {
        let mut call = run.begin("ask_room", "");
        assert!(poll(&mut call, Waker::noop()).is_pending());
        let args = r#"{"name":"a","event":"confirm","data":1,"timeout_ms":1000,"except":null}"#;
        assert_eq!(run.asked(), [format!("room/send_async {args}")]);
        let answers =
            r#"[{"id":"a","result":1},{"id":"b","error":{"error":"No","code":"timeout"}},{"id":"c","result":300}]"#;
        run.opened.recv().unwrap().answer(Ok(answers.to_owned()));
        assert_eq!(done(&mut call), item(r#"[["a",1],["b","timeout"],["c","bad_body"]]"#));
    }
}

#[test]
fn who_is_dropped_cancels_what_it_awaits() {
    for run in both() {
        let mut call = run.begin("ask", "1");
        assert!(poll(&mut call, Waker::noop()).is_pending());
        let open = run.opened.recv().unwrap();
        assert!(!open.is_dropped());
        drop(call);
        assert!(open.is_dropped());
        // A waker that is kept longer than the call wakes nobody.
        open.waker.lock().unwrap().take().unwrap().wake();

        let mut call = run.begin("ask_two", "");
        assert!(poll(&mut call, Waker::noop()).is_pending());
        let (first, second) = (run.opened.recv().unwrap(), run.opened.recv().unwrap());
        assert_eq!((first.is_dropped(), second.is_dropped()), (true, false));
        assert_eq!(*first.polls.lock().unwrap(), 0, "what is not awaited does not begin");
        second.answer(Ok("2".to_owned()));
        assert_eq!(done(&mut call), item("2"));
        // What the host keeps for its packages has gone with them.
        drop((call, first, second, open));
        run.host.open.lock().unwrap().clear();
        assert_eq!(Arc::strong_count(&run.host), 1);
    }
}

#[test]
fn a_host_that_panics_while_it_is_waited_for_has_failed() {
    for run in both() {
        assert_eq!(run.call("ask", r#""panic at once""#), failed(Code::PANIC, "Internal error"));
        assert_eq!(run.call("ask", r#""panic""#), failed(Code::PANIC, "Internal error"));
        assert!(run.opened.recv().unwrap().is_dropped());
    }
}

#[test]
fn a_task_of_a_package_awaits_its_host_too() {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    for run in both() {
        // For the linked one: its tasks are the host's.
        let _entered = threads.enter();
        let mut call = run.begin("ask_from_a_task", "");
        assert!(poll(&mut call, Waker::noop()).is_pending());
        let open = run.opened.recv().unwrap();
        // It may have been asked for, and not been polled yet.
        while open.waker.lock().unwrap().is_none() {
            std::thread::yield_now();
        }
        open.answer(Ok("5".to_owned()));
        assert_eq!(block_on(&mut call), item("5"));
    }
}

#[test]
fn sessions_begin_and_end_by_the_host() {
    for run in both() {
        let mut call = run.begin("log_in", "");
        assert!(poll(&mut call, Waker::noop()).is_pending());
        assert_eq!(run.asked(), [r#"authenticate {"user":{"id":"1","email":"a@b.c","allowed":["*"]}}"#]);
        let answer = r#"{"token":"t","user":{"id":"1","email":"a@b.c"}}"#;
        run.opened.recv().unwrap().answer(Ok(answer.to_owned()));
        assert_eq!(done(&mut call), item(answer));
        let mut call = run.begin("log_out", "");
        assert!(poll(&mut call, Waker::noop()).is_pending());
        assert_eq!(run.asked(), ["logout {}"]);
        run.opened.recv().unwrap().answer(Ok("null".to_owned()));
        assert_eq!(done(&mut call), item("null"));
    }
}

#[test]
fn a_host_that_offers_nothing_says_so() {
    for run in both() {
        // Its `ask` and `host_op_async` are those of the trait.
        let bare = Arc::new(Connection::default());
        let call = |event: &str| {
            let mut call = run.instance.call(common::index(&run.module, event), "", &bare);
            done(&mut call)
        };
        assert_eq!(call("join"), failed(Code::UNREACHABLE, "This server does not offer room/join"));
        assert_eq!(call("ask"), failed(Code::UNREACHABLE, "This server does not offer ws/send_async"));
        assert_eq!(call("log_in"), failed(Code::UNREACHABLE, "This server does not offer authenticate"));
        assert_eq!(call("size"), item("0"));
        assert_eq!(call("whoami"), item("null"));
    }
}

#[test]
fn guards_and_the_password_reset_are_called_by_their_places() {
    for run in both() {
        let guards: Vec<_> = run.module.guards().iter().map(|guard| guard.folder.as_str()).collect();
        assert_eq!(guards, ["", "users", "users/admin"], "outermost first");
        let guarding = |event: &str| {
            let guards = run.module.guards().iter().filter(|guard| guard.guards(event));
            guards.map(|guard: &GuardInfo| guard.folder.clone()).collect::<Vec<_>>()
        };
        assert_eq!(guarding("users/admin/x"), ["", "users", "users/admin"]);
        assert_eq!(guarding("users/x"), ["", "users"]);
        for event in ["users", "usersx/y", "x"] {
            assert_eq!(guarding(event), [""], "{event}");
        }
        assert!(run.module.events().iter().all(|event| !event.name.as_str().contains("_guard")));

        let call = |index: usize, body: &str| done(&mut run.instance.call(index, body, &run.host));
        let end = (Step::End, String::new());
        let guard = run.module.guards()[1].index;
        assert_eq!(call(guard, r#"{"event":"users/get","identity":{"id":"1","email":"a@b.c"}}"#), end);
        assert_eq!(call(guard, r#"{"event":"users/secret"}"#), failed(Code::HANDLER, "Members only"));
        assert_eq!(call(run.module.guards()[2].index, r#"{"event":"users/admin/x"}"#), end);
        let reset = run.module.password_reset_hook().unwrap();
        assert_eq!(call(reset, r#"{"email":"a@b.c","token":"t"}"#), end);
        let sent = [
            r#"guarded ["users/get",{"email":"a@b.c","id":"1"}]"#,
            r#"guarded ["users/secret",null]"#,
            r#"reset ["a@b.c","t"]"#,
        ];
        assert_eq!(*run.host.sent.lock().unwrap(), sent);
    }
}
