//! A client's session and a server's, joined in memory: a wire with a delay, a clock moved by hand, and cuts.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use aaw_protocol::client::{self, CallResult, ClientConnection, DisconnectReason, EncodedMessage};
use aaw_protocol::hello::Limits;
use aaw_protocol::server::{self, Call, Completion, Input, ItemFrame, ServerConnection};
use aaw_protocol::{Code, Dialect};
use proptest::prelude::*;

#[path = "pair/streams.rs"]
mod streams;

use streams::{Reader, Sender};

const SECOND: Duration = Duration::from_secs(1);

/// What is on its way: when it arrives, and what it is.
type Wire = VecDeque<(Instant, Message)>;

enum Message {
    Text(String),
    Ping,
    Pong,
}

/// Both sessions, what lies between them, and a server of a few [events](Handler).
struct Pair {
    now: Instant,
    delay: Duration,
    dialect: Dialect,
    config: server::ServerConfig,
    client: ClientConnection<u64>,
    server: Option<ServerConnection>,
    to_server: Wire,
    to_client: Wire,
    /// Handlers that run.
    handlers: Vec<(server::CallKey, Handler)>,
    /// Whether handlers of `echo` answer at once.
    prompt: bool,
    ended: BTreeMap<u64, CallResult>,
    readers: BTreeMap<u64, Reader>,
    senders: BTreeMap<u64, Sender>,
    lost: Vec<DisconnectReason>,
    calls: u64,
}

/// What an event does.
enum Handler {
    /// `echo` answers its body when it is told to.
    Echo { frame: Vec<u8>, answer: String },
    /// `count` yields the numbers from 0 up to its body, as there is credit for them.
    Count { frame: ItemFrame, next: u64, to: u64 },
    /// `mirror` yields each item that its caller sends.
    Mirror { frame: ItemFrame, came: VecDeque<String>, yielded: u64, all_came: bool },
}

impl Pair {
    fn new(dialect: Dialect, limits: Limits) -> Self {
        let mut pair = Self {
            now: Instant::now(),
            delay: Duration::from_millis(10),
            dialect,
            config: server::ServerConfig { limits, ..server::ServerConfig::default() },
            client: ClientConnection::new(client::ClientConfig::default(), 7),
            server: None,
            to_server: Wire::new(),
            to_client: Wire::new(),
            handlers: Vec::new(),
            prompt: true,
            ended: BTreeMap::new(),
            readers: BTreeMap::new(),
            senders: BTreeMap::new(),
            lost: Vec::new(),
            calls: 0,
        };
        pair.settle();
        pair
    }

    /// Makes a call whose body is its own number, with a time-out of 3 s.
    fn call(&mut self) -> u64 {
        self.calls += 1;
        let draft = EncodedMessage::new("echo", &self.calls).expect("a number is JSON");
        self.client.call(self.now, client::CallKey(self.calls), draft, Some(self.now + 3 * SECOND), self.calls);
        self.settle();
        self.calls
    }

    /// Lets the oldest or the newest handler of `echo` answer.
    fn complete(&mut self, newest: bool) {
        let echoes = |(_, handler): &(_, Handler)| matches!(handler, Handler::Echo { .. });
        let at = if newest { self.handlers.iter().rposition(echoes) } else { self.handlers.iter().position(echoes) };
        let Some(at) = at else { return };
        let (key, Handler::Echo { mut frame, answer }) = self.handlers.remove(at) else { return };
        frame.extend_from_slice(answer.as_bytes());
        if let Some(server) = &mut self.server {
            server.complete(key, frame, Completion::Responded);
        }
        self.settle();
    }

    /// The connection breaks, and whatever is on its way is lost.
    fn cut(&mut self) {
        self.server = None;
        self.handlers.clear();
        self.to_server.clear();
        self.to_client.clear();
        self.client.handle_disconnected(self.now, DisconnectReason::Broken("cut".into()));
        self.settle();
    }

    /// Lets time pass, in steps in which everything due happens.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let due = [
                self.client.poll_timeout(),
                self.server.as_ref().map(ServerConnection::poll_timeout),
                self.to_server.front().map(|(at, _)| *at),
                self.to_client.front().map(|(at, _)| *at),
            ];
            let next = due.into_iter().flatten().filter(|at| *at > self.now).min();
            self.now = next.unwrap_or(end).min(end);
            self.client.handle_timeout(self.now);
            if let Some(server) = &mut self.server {
                server.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    /// Delivers what is due and does what both sides want, until there is no more.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            while let Some(output) = self.client.poll_output() {
                moved = true;
                self.client_wants(output);
            }
            moved |= self.senders_turn() | self.readers_turn();
            moved |= self.server_turn();
            while let Some(message) = arrived(&mut self.to_client, self.now) {
                moved = true;
                self.client.handle_sign_of_life(self.now);
                match message {
                    Message::Text(text) => self.client.handle_text(self.now, &text),
                    Message::Ping => self.to_server.push_back((self.now + self.delay, Message::Pong)),
                    Message::Pong => {}
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn client_wants(&mut self, output: client::Output<u64>) {
        use client::Output;
        match output {
            Output::Connect => {
                self.server = Some(ServerConnection::new(self.dialect, "c".into(), self.config.clone(), self.now));
                self.client.handle_connected(self.now, self.dialect);
            }
            Output::Send(frame) => self.to_server.push_back((self.now + self.delay, text(&frame))),
            Output::Ping => self.to_server.push_back((self.now + self.delay, Message::Ping)),
            Output::CallDone { waiter, outcome } => {
                self.senders.remove(&waiter);
                let again = self.ended.insert(waiter, outcome);
                assert!(again.is_none(), "call {waiter} ended twice");
            }
            Output::Disconnected(why) => self.lost.push(why),
            Output::Abort | Output::Close => self.server = None,
            Output::Warning(problem) => panic!("{problem}"),
            Output::Item { key, data } => self.came(key.0, &data),
            Output::UploadCredit { key, items } => self.senders.get_mut(&key.0).expect("an upload").room = items,
            Output::Opened { .. } | Output::Push { .. } | Output::Closed => {}
            Output::ClientCall { .. } | Output::ClientCallCancelled { .. } => panic!("nobody asked"),
            Output::LoggedIn { .. } | Output::LoggedOut | Output::Unauthorized(_) => panic!("nobody logged in"),
        }
    }

    fn server_turn(&mut self) -> bool {
        let mut moved = false;
        while self.server.is_some()
            && let Some(message) = arrived(&mut self.to_server, self.now)
        {
            moved = true;
            let Some(server) = &mut self.server else { break };
            server.handle_sign_of_life(self.now);
            match message {
                Message::Text(text) => {
                    let input = server.handle_text(self.now, &text);
                    moved |= take_up(server, input, self.prompt, &mut self.handlers);
                }
                Message::Ping => self.to_client.push_back((self.now + self.delay, Message::Pong)),
                Message::Pong => {}
            }
        }
        let Some(server) = &mut self.server else { return moved };
        while let Some(waiting) = server.poll_queued() {
            let input = server.handle_queued(self.now, &waiting);
            moved |= take_up(server, input, self.prompt, &mut self.handlers);
        }
        self.handlers.retain_mut(|(key, handler)| !streams::go_on(server, *key, handler));
        while let Some(output) = server.poll_output() {
            moved = true;
            match output {
                server::Output::Send(frame) => {
                    server.handle_sent(frame.len());
                    self.to_client.push_back((self.now + self.delay, text(&frame)));
                }
                server::Output::Ping => self.to_client.push_back((self.now + self.delay, Message::Ping)),
                server::Output::Drop(key) => self.handlers.retain(|(running, _)| *running != key),
                // It goes on when the handlers are asked again.
                server::Output::Credit { .. } => {}
                server::Output::RunOpenHook => panic!("nobody holds it"),
                server::Output::ClientCallDone { .. } => panic!("nobody asked"),
                server::Output::Close(why) => panic!("the server closed: {why}"),
            }
        }
        moved
    }

    fn outcome(&self, call: u64) -> &CallResult {
        self.ended.get(&call).unwrap_or_else(|| panic!("call {call} has not ended"))
    }
}

fn text(frame: &[u8]) -> Message {
    Message::Text(std::str::from_utf8(frame).expect("frames are text").to_owned())
}

/// The next message, if it has arrived by now.
fn arrived(wire: &mut Wire, now: Instant) -> Option<Message> {
    let (at, _) = wire.front()?;
    if *at <= now { wire.pop_front().map(|(_, message)| message) } else { None }
}

/// Whether a handler has something to do.
fn take_up(
    server: &mut ServerConnection,
    input: Input<'_>,
    prompt: bool,
    handlers: &mut Vec<(server::CallKey, Handler)>,
) -> bool {
    let mut came = |item: Option<&str>, of: server::CallKey| {
        let handler = handlers.iter_mut().find(|(key, _)| *key == of);
        let Some((_, Handler::Mirror { came, all_came, .. })) = handler else { panic!("an item for nobody") };
        assert!(!*all_came, "more after the end");
        came.extend(item.map(str::to_owned));
        *all_came = item.is_none();
    };
    match input {
        Input::Call(call) => run(server, call, prompt, handlers),
        Input::UploadItem { key, data } => came(Some(data), key),
        Input::UploadEnd { key } => came(None, key),
        Input::Handled => return false,
        Input::Refused { failure, .. } => assert_eq!(failure.code, Code::BUSY, "{failure}"),
        Input::BadFrame(bad) => panic!("our own client sent a bad frame: {bad}"),
    }
    true
}

fn run(server: &mut ServerConnection, call: Call<'_>, prompt: bool, handlers: &mut Vec<(server::CallKey, Handler)>) {
    let mut frame = call.begin_response();
    let answer = call.body.to_owned();
    match &*call.event {
        "count" => {
            let handler = Handler::Count { frame: call.item_frame(), next: 0, to: answer.parse().expect("a number") };
            handlers.push((server.add_pending(call), handler));
        }
        "mirror" => {
            let frame = call.item_frame();
            let handler = Handler::Mirror { frame, came: VecDeque::new(), yielded: 0, all_came: false };
            let key = server.add_pending(call);
            server.grant_upload_credit(key, streams::WINDOW);
            handlers.push((key, handler));
        }
        _ if prompt => {
            frame.extend_from_slice(answer.as_bytes());
            server.complete_now(call, frame, Completion::Responded);
        }
        _ => handlers.push((server.add_pending(call), Handler::Echo { frame, answer })),
    }
}

fn answered(call: u64) -> CallResult {
    CallResult::Response(call.to_string().into())
}

#[test]
fn calls_get_responses_over_a_slow_wire() {
    for dialect in [Dialect::V1, Dialect::Classic] {
        let mut pair = Pair::new(dialect, Limits::default());
        let calls = [pair.call(), pair.call()];
        pair.pass(SECOND);
        for call in calls {
            assert_eq!(*pair.outcome(call), answered(call), "{dialect:?}");
        }
    }
}

#[test]
fn a_client_that_respects_the_limits_is_never_refused() {
    let mut pair = Pair::new(Dialect::V1, Limits { calls: 2, line: 1, ..Limits::default() });
    pair.pass(SECOND);
    pair.prompt = false;
    let calls: Vec<_> = (0..10).map(|_| pair.call()).collect();
    pair.pass(Duration::from_millis(50));
    assert_eq!(pair.handlers.len(), 2);
    for _ in &calls {
        pair.complete(true);
        pair.pass(Duration::from_millis(50));
    }
    for call in calls {
        assert_eq!(*pair.outcome(call), answered(call));
    }
}

#[test]
fn a_cancel_may_cross_with_the_response() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    pair.pass(SECOND);
    let crossed = pair.call();
    // The call has arrived and its answer is on its way when the caller goes.
    pair.pass(Duration::from_millis(15));
    pair.client.cancel(pair.now, client::CallKey(crossed));
    pair.settle();
    let next = pair.call();
    pair.pass(SECOND);
    assert!(!pair.ended.contains_key(&crossed));
    assert_eq!(*pair.outcome(next), answered(next));
}

#[test]
fn a_timeout_drops_the_handler_on_the_server() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    pair.prompt = false;
    let call = pair.call();
    pair.pass(SECOND);
    assert_eq!(pair.handlers.len(), 1);
    pair.pass(3 * SECOND);
    assert_eq!(*pair.outcome(call), CallResult::TimedOut { sent: true });
    assert_eq!(pair.handlers.len(), 0);
}

#[test]
fn a_cut_distinguishes_written_from_queued_calls() {
    let mut pair = Pair::new(Dialect::V1, Limits { calls: 1, ..Limits::default() });
    pair.pass(SECOND);
    pair.prompt = false;
    let (written, unwritten) = (pair.call(), pair.call());
    pair.cut();
    assert_eq!(*pair.outcome(written), CallResult::Unknown(DisconnectReason::Broken("cut".into())));
    pair.prompt = true;
    pair.pass(SECOND);
    assert_eq!(*pair.outcome(unwritten), answered(unwritten), "it went out on the next connection");
}

#[test]
fn idle_peers_keep_the_connection_alive() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    pair.pass(3600 * SECOND);
    assert_eq!(pair.lost, []);
    let call = pair.call();
    pair.pass(SECOND);
    assert_eq!(*pair.outcome(call), answered(call));
}

#[test]
fn a_client_without_input_disconnects() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    pair.pass(SECOND);
    // Everything takes longer than anybody waits.
    pair.delay = 3600 * SECOND;
    let call = pair.call();
    while pair.lost.is_empty() {
        // The server's own patience ends too; it is the client that is looked at here.
        pair.server = None;
        pair.pass(SECOND);
    }
    assert_eq!(pair.lost, [DisconnectReason::Silent]);
    assert_eq!(*pair.outcome(call), CallResult::TimedOut { sent: true });
}

#[derive(Debug, Clone)]
enum Step {
    Call,
    Cancel(u64),
    Finish { newest: bool },
    Cut,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Call),
        2 => (1u64..40).prop_map(Step::Cancel),
        6 => any::<bool>().prop_map(|newest| Step::Finish { newest }),
        1 => Just(Step::Cut),
        5 => (1u64..400).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens, each call that was not cancelled ends exactly once, and an answer is always the call's own.
    #[test]
    fn each_call_ends_once_with_its_own_response(steps in prop::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new(Dialect::V1, Limits { calls: 4, ..Limits::default() });
        pair.prompt = false;
        let mut cancelled = Vec::new();
        for step in steps {
            match step {
                Step::Call => drop(pair.call()),
                Step::Cancel(call) => {
                    cancelled.push(call);
                    pair.client.cancel(pair.now, client::CallKey(call));
                    pair.settle();
                }
                Step::Finish { newest } => pair.complete(newest),
                Step::Cut => pair.cut(),
                Step::Pass(ms) => pair.pass(Duration::from_millis(ms)),
            }
        }
        // Longer than any call waits.
        pair.pass(60 * SECOND);
        for call in 1..=pair.calls {
            match pair.ended.get(&call) {
                None => prop_assert!(cancelled.contains(&call), "call {} never ended", call),
                Some(CallResult::Response(answer)) => prop_assert_eq!(&**answer, call.to_string()),
                Some(CallResult::Failed(failure)) => prop_assert_eq!(&failure.code, &Code::TIMEOUT),
                Some(CallResult::StreamEnded) => prop_assert!(false, "call {} was no stream", call),
                Some(CallResult::TimedOut { .. } | CallResult::Unknown(_) | CallResult::NotSent(_)) => {}
            }
        }
        prop_assert_eq!(pair.client.in_flight(), 0);
    }
}
