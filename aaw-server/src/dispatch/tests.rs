//! Dispatches calls of a linked module, as the task of a connection does.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use aaw_event::export::{HandlerEntry, NoServices, PackageSymbol, guard, no_services, sync_services};
use aaw_event::host::{Caller as _, UploadSource, UploadStep};
use aaw_protocol::server::{Completion, ResponseMode};
use aaw_protocol::{Code, Failure};

use super::*;
use crate::auth::{
    Auth, IdentifiedCaller, Identity, NewSession, Service, SessionGuard, StartedSession, Store, StoreFuture, TokenHash,
};
use crate::hub::{ConnectionGuard, EventCaller, HostServices, Hub, Mailbox};
use crate::registry::Registry;

/// The handlers, as an author writes them.
mod events {
    use aaw_event::prelude::*;

    /// Runs the code of a test in its first poll, and never completes.
    pub(super) async fn long_poll(test: u32) {
        super::run_during_poll(test);
        std::future::pending::<()>().await;
    }

    /// Stands for any handler or guard that waits.
    pub(super) async fn wait() {
        std::future::pending::<()>().await;
    }

    /// Never waits, and uses up tokio's budget in each poll.
    pub(super) async fn spin() {
        loop {
            tokio::task::consume_budget().await;
        }
    }

    pub(super) fn endless() -> impl Stream<Item = u64> {
        stream! {
            for n in 0.. {
                yield n;
            }
        }
    }

    pub(super) async fn authenticate(_: Empty, services: Services) -> Result<()> {
        services.authenticate(Identity::new("1", "a@b.c")).await?;
        Ok(())
    }

    pub(super) async fn log_out(_: Empty, services: Services) -> Result<()> {
        services.logout().await
    }

    pub(super) async fn secret() -> &'static str {
        "secret"
    }
}

static MODULE: PackageSymbol<NoServices> = PackageSymbol::new(
    "dispatch-tests",
    true,
    sync_services(no_services),
    const {
        &[
            HandlerEntry::unary1("long_poll", events::long_poll),
            HandlerEntry::unary2("authenticate", events::authenticate),
            HandlerEntry::unary2("log_out", events::log_out),
            HandlerEntry::unary0("auth/secret", events::secret),
            HandlerEntry::unary0("wait", events::wait),
            HandlerEntry::unary0("wait/long", events::wait).max_call_time(Duration::from_secs(3600)),
            HandlerEntry::unary0("spin", events::spin),
            HandlerEntry::unary0("ready", events::secret),
            HandlerEntry::unary0("guarded/ready", events::secret),
            HandlerEntry::async_hook0(guard("guarded/_guard"), events::wait),
            HandlerEntry::streaming0("endless", events::endless),
        ]
    },
);

/// The code that [`events::long_poll`] runs, by the number in its body.
static DURING_POLL: LazyLock<Mutex<HashMap<u32, TestCode>>> = LazyLock::new(Mutex::default);

type TestCode = Box<dyn FnOnce() + Send>;

fn run_during_poll(test: u32) {
    let code = DURING_POLL.lock().expect("not poisoned").remove(&test);
    code.expect("each test has its own number")();
}

/// Accepts every user. No operation completes in its first poll.
struct TestStore;

impl Store for TestStore {
    fn authenticate(&self, user: Identity, _session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(StartedSession::new(user))
        })
    }

    fn end(&self, _session: TokenHash) -> StoreFuture<'_, ()> {
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(())
        })
    }
}

/// A server with one connection.
struct TestServer {
    dispatch: Arc<Dispatch>,
    caller: Arc<EventCaller>,
    _guard: ConnectionGuard,
}

impl TestServer {
    async fn start() -> Self {
        let registry = Registry::for_test(MODULE.module()).await;
        let auth = Some(Service::start(Auth::new(TestStore)));
        let max_response = 1 << 20;
        let dispatch = Arc::new(Dispatch::for_test(registry, auth.clone(), max_response));
        let hub = Arc::new(Hub::default());
        let guard = hub.insert(hub.admit(1).expect("it is the first"), None, None, Mailbox::for_test(1000));
        let services = HostServices::new(hub, auth, max_response);
        let caller = EventCaller::for_connection(services, Arc::clone(&guard.peer));
        Self { dispatch, caller, _guard: guard }
    }

    /// Begins a call, authorized by the given session.
    fn begin(&self, event: &str, body: &str, session: Option<&SessionGuard>) -> Dispatched {
        begin(&self.dispatch, &self.caller, event, body, session, &mut Vec::new())
    }

    /// Begins a long poll that runs `code` in its first poll.
    fn begin_long_poll(&self, code: impl FnOnce() + Send + 'static) -> PendingCall {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let test = NEXT.fetch_add(1, Ordering::Relaxed);
        DURING_POLL.lock().expect("not poisoned").insert(test, Box::new(code));
        pending(self.begin("long_poll", &test.to_string(), None))
    }

    /// Logs the connection in, as a call on another thread does.
    async fn log_in(&self) -> Arc<SessionGuard> {
        host_op(&self.caller, "authenticate").await.expect("the store accepts every user");
        self.caller.context().session.current().expect("the log-in is bound to the connection")
    }
}

enum NoItems {}

impl UploadSource for NoItems {
    fn poll_next(&self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<UploadStep> {
        match *self {}
    }
}

fn begin(
    dispatch: &Dispatch,
    caller: &Arc<EventCaller>,
    event: &str,
    body: &str,
    session: Option<&SessionGuard>,
    response: &mut Vec<u8>,
) -> Dispatched {
    begin_as(dispatch, caller, event, body, ResponseMode::Single, session, response)
}

fn begin_as(
    dispatch: &Dispatch,
    caller: &Arc<EventCaller>,
    event: &str,
    body: &str,
    mode: ResponseMode,
    session: Option<&SessionGuard>,
    response: &mut Vec<u8>,
) -> Dispatched {
    let (source, cost) = (CallSource::WebSocket { id: Some(1) }, Cell::new(0));
    let request = DispatchRequest { event, source, body, mode, session, cost: &cost };
    dispatch.begin::<_, NoItems>(request, ResponseFrame::new(response, 0), caller, None)
}

fn pending(call: Dispatched) -> PendingCall {
    match call {
        Dispatched::Pending(call) => call,
        Dispatched::Done(completion) => panic!("expected a pending call, found {completion:?}"),
        _ => panic!("expected a pending call"),
    }
}

fn host_op(caller: &Arc<EventCaller>, op: &str) -> impl Future<Output = Result<String, Failure>> + use<> {
    let args = r#"{"user":{"id":"1","email":"a@b.c"}}"#;
    Arc::clone(caller).host_op_async(op.into(), args.into())
}

#[tokio::test]
async fn a_call_that_begins_a_log_in_or_log_out_is_a_barrier() {
    let server = TestServer::start().await;
    assert!(pending(server.begin("authenticate", "null", None)).is_barrier());
    server.log_in().await;
    assert!(pending(server.begin("log_out", "null", None)).is_barrier());
    assert!(!server.begin_long_poll(|| ()).is_barrier());
}

#[tokio::test]
async fn a_call_is_not_a_barrier_for_a_log_in_that_another_thread_begins_during_its_first_poll() {
    let server = TestServer::start().await;
    for op in ["authenticate", "logout"] {
        let caller = Arc::clone(&server.caller);
        let call = server.begin_long_poll(move || {
            std::thread::spawn(move || drop(host_op(&caller, op))).join().expect("no panic");
        });
        assert!(!call.is_barrier(), "{op}");
    }
}

#[tokio::test]
async fn a_log_in_within_a_nested_first_poll_makes_the_nested_call_the_barrier() {
    let server = TestServer::start().await;
    let (dispatch, caller) = (Arc::clone(&server.dispatch), Arc::clone(&server.caller));
    let call = server.begin_long_poll(move || {
        assert!(pending(begin(&dispatch, &caller, "authenticate", "null", None, &mut Vec::new())).is_barrier());
    });
    assert!(!call.is_barrier());
    let (dispatch, caller) = (Arc::clone(&server.dispatch), Arc::clone(&server.caller));
    let call = server.begin_long_poll(move || {
        drop(host_op(&caller, "authenticate"));
        assert!(pending(begin(&dispatch, &caller, "authenticate", "null", None, &mut Vec::new())).is_barrier());
    });
    assert!(call.is_barrier(), "it has begun a log-in itself, before the nested call");
}

/// The transport keeps the session that it has read, and aborts the call when that session ends. So a log-in between
/// its reading and the dispatch must not authorize the call: the call would survive the log-out.
#[tokio::test]
async fn a_call_is_not_authorized_by_a_log_in_after_its_session_was_read() {
    let server = TestServer::start().await;
    let session = server.caller.context().session.current();
    server.log_in().await;
    let call = server.begin("auth/secret", "null", session.as_deref());
    let Dispatched::Done(Completion::Refused(failure)) = call else { panic!("the call was authorized") };
    assert_eq!(failure.error, "Not authenticated");
    let session = server.caller.context().session.current();
    let mut response = Vec::new();
    let call = begin(&server.dispatch, &server.caller, "auth/secret", "null", session.as_deref(), &mut response);
    assert!(matches!(call, Dispatched::Done(Completion::Responded)));
    assert_eq!(response, br#""secret""#);
}

/// Runs a call until it fails. Returns the failure, and the time that it took.
async fn failure_of(call: PendingCall) -> (Failure, Duration) {
    let started = tokio::time::Instant::now();
    let (frame, completion) = call.await;
    assert!(frame.is_empty(), "nothing of a response remains: {frame:?}");
    let failure = match completion {
        Completion::Failed(failure) | Completion::Refused(failure) => failure,
        completion => panic!("expected a failure, found {completion:?}"),
    };
    (failure, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_dropped_when_its_time_is_over() {
    let server = TestServer::start().await;
    for (event, seconds) in [("wait", 60), ("wait/long", 3600)] {
        let (failure, elapsed) = failure_of(pending(server.begin(event, "null", None))).await;
        assert_eq!(failure.code, Code::TIMEOUT);
        assert_eq!(failure.error, format!("The call did not complete within the server's limit of {seconds}s"));
        assert_eq!(elapsed.as_secs(), seconds, "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_does_not_decide_refuses_its_call() {
    let server = TestServer::start().await;
    let (failure, elapsed) = failure_of(pending(server.begin("guarded/ready", "null", None))).await;
    assert_eq!(failure.code, Code::TIMEOUT);
    assert_eq!(failure.error, "The guard of guarded/ready did not decide within the server's limit of 10s");
    assert_eq!(elapsed.as_secs(), 10);
}

/// The clock is not paused: a paused one stands still while a task is ready.
#[tokio::test]
async fn a_handler_that_never_waits_cannot_hide_its_deadline() {
    let mut server = TestServer::start().await;
    let dispatch = Arc::get_mut(&mut server.dispatch).expect("no other owner");
    dispatch.limits.call = Duration::from_millis(20);
    let (failure, _) = failure_of(pending(server.begin("spin", "null", None))).await;
    assert_eq!(failure.code, Code::TIMEOUT);
}

/// Without a runtime, creating a timer panics.
#[tokio::test]
async fn a_call_that_completes_in_its_first_poll_creates_no_timer() {
    let server = TestServer::start().await;
    let (dispatch, caller) = (Arc::clone(&server.dispatch), Arc::clone(&server.caller));
    let without_runtime = std::thread::spawn(move || {
        let call = begin(&dispatch, &caller, "ready", "null", None, &mut Vec::new());
        assert!(matches!(call, Dispatched::Done(Completion::Responded)));
        // Neither does one that waits, until it is continued.
        drop(pending(begin(&dispatch, &caller, "wait", "null", None, &mut Vec::new())));
    });
    without_runtime.join().expect("no panic");
}

#[tokio::test]
async fn a_stream_without_a_response_ends_at_its_first_item() {
    let server = TestServer::start().await;
    let (dispatch, caller, mut response) = (&server.dispatch, &server.caller, Vec::new());
    let call = begin_as(dispatch, caller, "endless", "null", ResponseMode::Nothing, None, &mut response);
    assert!(matches!(call, Dispatched::Done(Completion::OneWayDone)));
    assert!(response.is_empty());
}

#[tokio::test]
async fn a_call_belongs_to_the_generation_of_the_events_that_it_was_found_in() {
    let server = TestServer::start().await;
    let dispatch = Arc::clone(&server.dispatch);
    let generation = Arc::clone(&dispatch.registry.load().generation);
    let call = server.begin_long_poll(move || dispatch.registry.store(Arc::default()));
    assert!(Arc::ptr_eq(call.generation().expect("that of its event"), &generation));
    assert!(!Arc::ptr_eq(&server.dispatch.registry.load().generation, &generation));
    assert!(pending(server.begin("aaw/logout", "{}", None)).generation().is_none(), "built-in events are not replaced");
}

#[tokio::test]
async fn a_call_that_is_dropped_is_recorded_as_replaced_once_its_generation_has_ended() {
    for has_ended in [false, true] {
        let mut server = TestServer::start().await;
        let records = Arc::<Mutex<Vec<_>>>::default();
        let hook = Arc::clone(&records);
        Arc::get_mut(&mut server.dispatch).expect("no other owner").hook = Some(Arc::new(move |record| {
            let code = record.result.expect_err("it has failed").code.to_string();
            hook.lock().expect("not poisoned").push((record.event.to_owned(), code));
        }));
        let (dispatch, caller) = (&server.dispatch, &server.caller);
        let begin = |event, mode| begin_as(dispatch, caller, event, "{}", mode, None, &mut Vec::new());
        let calls = [
            begin("wait", ResponseMode::Single),
            begin("endless", ResponseMode::Single),
            begin("endless", ResponseMode::Items),
            begin("aaw/logout", ResponseMode::Single),
        ];
        if has_ended {
            dispatch.registry.load().generation.end();
        }
        drop(calls);
        let code = if has_ended { "replaced" } else { "cancelled" };
        let expected = [("wait", code), ("endless", code), ("endless", code), ("aaw/logout", "cancelled")];
        let records = records.lock().expect("not poisoned").clone();
        assert_eq!(records, expected.map(|(event, code)| (event.to_owned(), code.to_owned())));
    }
}
