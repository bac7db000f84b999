//! Both state machines connected in memory, with a transmission delay, a simulated clock, and lost connections.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use aaw_protocol::client::{self, CallResult, ClientConnection, DisconnectReason, EncodedMessage};
use aaw_protocol::hello::Limits;
use aaw_protocol::server::{self, Call, Completion, Input, ItemFrame, ServerConnection};
use aaw_protocol::{Code, Dialect};
use proptest::prelude::*;

mod streams;

use streams::{StreamReader, StreamSender};

const SECOND: Duration = Duration::from_secs(1);

/// The messages in transit in one direction, with their times of arrival.
type InTransit = VecDeque<(Instant, Message)>;

enum Message {
    Text(String),
    Ping,
    Pong,
}

/// A client, a server with a few [events](PairHandler), and the messages between them.
struct Pair {
    now: Instant,
    delay: Duration,
    dialect: Dialect,
    config: server::ServerConfig,
    client: ClientConnection<u64>,
    server: Option<ServerConnection>,
    to_server: InTransit,
    to_client: InTransit,
    /// The running handlers.
    handlers: Vec<(server::CallKey, PairHandler)>,
    /// Whether the handlers of `echo` respond at once.
    respond_at_once: bool,
    ended: BTreeMap<u64, CallResult>,
    readers: BTreeMap<u64, StreamReader>,
    senders: BTreeMap<u64, StreamSender>,
    disconnects: Vec<DisconnectReason>,
    calls: u64,
}

/// A handler, by its event.
enum PairHandler {
    /// `echo` responds with its body when the test completes it.
    Echo { frame: Vec<u8>, response: String },
    /// `count` yields the numbers from 0 up to, but excluding, its body, within the credit.
    Count { frame: ItemFrame, next: u64, to: u64 },
    /// `mirror` yields each item of its upload.
    Mirror { frame: ItemFrame, received: VecDeque<String>, yielded: u64, upload_ended: bool },
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
            to_server: InTransit::new(),
            to_client: InTransit::new(),
            handlers: Vec::new(),
            respond_at_once: true,
            ended: BTreeMap::new(),
            readers: BTreeMap::new(),
            senders: BTreeMap::new(),
            disconnects: Vec::new(),
            calls: 0,
        };
        pair.drain_outputs();
        pair
    }

    /// Makes a call whose body is its own number, with a timeout of 3 s.
    fn call(&mut self) -> u64 {
        self.calls += 1;
        let message = EncodedMessage::new("echo", &self.calls).expect("a number is JSON");
        self.client.call(self.now, client::CallKey(self.calls), message, Some(self.now + 3 * SECOND), self.calls);
        self.drain_outputs();
        self.calls
    }

    /// Completes the oldest or the newest handler of `echo`.
    fn complete(&mut self, newest: bool) {
        let echoes = |(_, handler): &(_, PairHandler)| matches!(handler, PairHandler::Echo { .. });
        let at = if newest { self.handlers.iter().rposition(echoes) } else { self.handlers.iter().position(echoes) };
        let Some(at) = at else { return };
        let (key, PairHandler::Echo { mut frame, response }) = self.handlers.remove(at) else { return };
        frame.extend_from_slice(response.as_bytes());
        if let Some(server) = &mut self.server {
            server.complete(key, frame, Completion::Responded);
        }
        self.drain_outputs();
    }

    /// Breaks the connection. Messages in transit are lost.
    fn cut(&mut self) {
        self.server = None;
        self.handlers.clear();
        self.to_server.clear();
        self.to_client.clear();
        self.client.handle_disconnected(self.now, DisconnectReason::Broken("cut".into()));
        self.drain_outputs();
    }

    /// Advances the clock in steps, and handles everything that is due at each.
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
            self.drain_outputs();
        }
    }

    /// Delivers all messages that are due and handles all outputs, until nothing is left to do.
    fn drain_outputs(&mut self) {
        loop {
            let mut progressed = false;
            while let Some(output) = self.client.poll_output() {
                progressed = true;
                self.handle_client_output(output);
            }
            progressed |= self.run_senders() | self.run_readers();
            progressed |= self.run_server();
            while let Some(message) = arrived(&mut self.to_client, self.now) {
                progressed = true;
                self.client.handle_sign_of_life(self.now);
                match message {
                    Message::Text(text) => self.client.handle_text(self.now, &text),
                    Message::Ping => self.to_server.push_back((self.now + self.delay, Message::Pong)),
                    Message::Pong => {}
                }
            }
            if !progressed {
                return;
            }
        }
    }

    fn handle_client_output(&mut self, output: client::Output<u64>) {
        use client::Output;
        match output {
            Output::Connect => {
                self.server = Some(ServerConnection::new(self.dialect, "c".into(), self.config.clone(), self.now));
                self.client.handle_connected(self.now, self.dialect);
            }
            Output::Send(frame) => self.to_server.push_back((self.now + self.delay, text(&frame))),
            Output::Ping => self.to_server.push_back((self.now + self.delay, Message::Ping)),
            Output::CallDone { waiter, result } => {
                self.senders.remove(&waiter);
                let again = self.ended.insert(waiter, result);
                assert!(again.is_none(), "call {waiter} ended twice");
            }
            Output::Disconnected(why) => self.disconnects.push(why),
            Output::Abort | Output::Close => self.server = None,
            Output::Warning(warning) => panic!("{warning}"),
            Output::Item { key, data } => self.receive_item(key.0, &data),
            Output::UploadCredit { key, items } => self.senders.get_mut(&key.0).expect("an upload").credit = items,
            Output::Interrupted(_) | Output::Resumed | Output::Gap { .. } => panic!("resumption was not offered"),
            Output::Opened { .. } | Output::Push { .. } | Output::Closed => {}
            Output::ClientCall { .. } | Output::ClientCallCancelled { .. } => panic!("unexpected client call"),
            Output::LoggedIn { .. } | Output::LoggedOut | Output::Unauthorized(_) => panic!("unexpected login"),
        }
    }

    fn run_server(&mut self) -> bool {
        let mut progressed = false;
        while self.server.is_some()
            && let Some(message) = arrived(&mut self.to_server, self.now)
        {
            progressed = true;
            let Some(server) = &mut self.server else { break };
            server.handle_sign_of_life(self.now);
            match message {
                Message::Text(text) => {
                    let input = server.handle_text(self.now, &text);
                    progressed |= handle_input(server, input, self.respond_at_once, &mut self.handlers);
                }
                Message::Ping => self.to_client.push_back((self.now + self.delay, Message::Pong)),
                Message::Pong => {}
            }
        }
        let Some(server) = &mut self.server else { return progressed };
        while let Some(waiting) = server.poll_queued() {
            let input = server.handle_queued(self.now, &waiting);
            progressed |= handle_input(server, input, self.respond_at_once, &mut self.handlers);
        }
        self.handlers.retain_mut(|(key, handler)| !streams::advance(server, *key, handler));
        while let Some(output) = server.poll_output() {
            progressed = true;
            match output {
                server::Output::Send(frame) | server::Output::SendUncounted(frame) | server::Output::Welcome(frame) => {
                    server.set_unsent_bytes(0);
                    self.to_client.push_back((self.now + self.delay, text(&frame)));
                }
                server::Output::Ping => self.to_client.push_back((self.now + self.delay, Message::Ping)),
                server::Output::Drop { key, .. } => self.handlers.retain(|(running, _)| *running != key),
                // Streams continue when the handlers run again.
                server::Output::Credit { .. } => {}
                server::Output::RunOpenHook => panic!("unexpected open hook"),
                server::Output::ClientCallDone { .. } => panic!("unexpected client call"),
                server::Output::Close(why) => panic!("the server closed: {why}"),
            }
        }
        progressed
    }

    fn result(&self, call: u64) -> &CallResult {
        self.ended.get(&call).unwrap_or_else(|| panic!("call {call} has not ended"))
    }
}

fn text(frame: &[u8]) -> Message {
    Message::Text(std::str::from_utf8(frame).expect("a frame is UTF-8").to_owned())
}

/// Returns the next message if it has arrived.
fn arrived(wire: &mut InTransit, now: Instant) -> Option<Message> {
    let (at, _) = wire.front()?;
    if *at <= now { wire.pop_front().map(|(_, message)| message) } else { None }
}

/// Handles an input. Returns whether a handler has something to do.
fn handle_input(
    server: &mut ServerConnection,
    input: Input<'_>,
    respond_at_once: bool,
    handlers: &mut Vec<(server::CallKey, PairHandler)>,
) -> bool {
    let mut received = |item: Option<&str>, of: server::CallKey| {
        let handler = handlers.iter_mut().find(|(key, _)| *key == of);
        let Some((_, PairHandler::Mirror { received, upload_ended, .. })) = handler else {
            panic!("an item for a call without upload")
        };
        assert!(!*upload_ended, "an item after the end");
        received.extend(item.map(str::to_owned));
        *upload_ended = item.is_none();
    };
    match input {
        Input::Call(call) => run(server, call, respond_at_once, handlers),
        Input::UploadItem { key, data } => received(Some(data), key),
        Input::UploadEnd { key } => received(None, key),
        Input::Hello(_) | Input::Acknowledged(_) => panic!("the client did not ask for resumption"),
        Input::Handled => return false,
        Input::Refused { failure, .. } => assert_eq!(failure.code, Code::BUSY, "{failure}"),
        Input::BadFrame(bad) => panic!("the client sent a bad frame: {bad}"),
    }
    true
}

fn run(
    server: &mut ServerConnection,
    call: Call<'_>,
    respond_at_once: bool,
    handlers: &mut Vec<(server::CallKey, PairHandler)>,
) {
    let mut frame = call.begin_response();
    let response = call.body.to_owned();
    match &*call.event {
        "count" => {
            let handler =
                PairHandler::Count { frame: call.item_frame(), next: 0, to: response.parse().expect("a number") };
            handlers.push((server.add_pending(call), handler));
        }
        "mirror" => {
            let frame = call.item_frame();
            let handler = PairHandler::Mirror { frame, received: VecDeque::new(), yielded: 0, upload_ended: false };
            let key = server.add_pending(call);
            server.grant_upload_credit(key, streams::WINDOW);
            handlers.push((key, handler));
        }
        _ if respond_at_once => {
            frame.extend_from_slice(response.as_bytes());
            server.complete_now(call, frame, Completion::Responded);
        }
        _ => handlers.push((server.add_pending(call), PairHandler::Echo { frame, response })),
    }
}

fn response(call: u64) -> CallResult {
    CallResult::Response(call.to_string().into())
}

#[test]
fn calls_get_responses_over_a_slow_wire() {
    for dialect in [Dialect::V1, Dialect::Classic] {
        let mut pair = Pair::new(dialect, Limits::default());
        let calls = [pair.call(), pair.call()];
        pair.pass(SECOND);
        for call in calls {
            assert_eq!(*pair.result(call), response(call), "{dialect:?}");
        }
    }
}

#[test]
fn a_client_that_respects_the_limits_is_never_refused() {
    let mut pair = Pair::new(Dialect::V1, Limits { calls: 2, line: 1, ..Limits::default() });
    pair.pass(SECOND);
    pair.respond_at_once = false;
    let calls: Vec<_> = (0..10).map(|_| pair.call()).collect();
    pair.pass(Duration::from_millis(50));
    assert_eq!(pair.handlers.len(), 2);
    for _ in &calls {
        pair.complete(true);
        pair.pass(Duration::from_millis(50));
    }
    for call in calls {
        assert_eq!(*pair.result(call), response(call));
    }
}

#[test]
fn a_cancel_may_cross_with_the_response() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    pair.pass(SECOND);
    let crossed = pair.call();
    // The response is in transit when the caller cancels.
    pair.pass(Duration::from_millis(15));
    pair.client.cancel(pair.now, client::CallKey(crossed));
    pair.drain_outputs();
    let next = pair.call();
    pair.pass(SECOND);
    assert!(!pair.ended.contains_key(&crossed));
    assert_eq!(*pair.result(next), response(next));
}

#[test]
fn a_timeout_drops_the_handler_on_the_server() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    pair.respond_at_once = false;
    let call = pair.call();
    pair.pass(SECOND);
    assert_eq!(pair.handlers.len(), 1);
    pair.pass(3 * SECOND);
    assert_eq!(*pair.result(call), CallResult::TimedOut { sent: true, taken: false });
    assert_eq!(pair.handlers.len(), 0);
}

#[test]
fn a_cut_distinguishes_written_from_queued_calls() {
    let mut pair = Pair::new(Dialect::V1, Limits { calls: 1, ..Limits::default() });
    pair.pass(SECOND);
    pair.respond_at_once = false;
    let (written, unwritten) = (pair.call(), pair.call());
    pair.cut();
    assert_eq!(*pair.result(written), CallResult::Unknown(DisconnectReason::Broken("cut".into())));
    pair.respond_at_once = true;
    pair.pass(SECOND);
    assert_eq!(*pair.result(unwritten), response(unwritten), "it was sent on the next connection");
}

#[test]
fn idle_peers_keep_the_connection_alive() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    pair.pass(3600 * SECOND);
    assert_eq!(pair.disconnects, []);
    let call = pair.call();
    pair.pass(SECOND);
    assert_eq!(*pair.result(call), response(call));
}

#[test]
fn a_client_without_input_disconnects() {
    let mut pair = Pair::new(Dialect::V1, Limits::default());
    pair.pass(SECOND);
    // The delay exceeds all timeouts.
    pair.delay = 3600 * SECOND;
    let call = pair.call();
    while pair.disconnects.is_empty() {
        // The server would time out as well, but this test is about the client.
        pair.server = None;
        pair.pass(SECOND);
    }
    assert_eq!(pair.disconnects, [DisconnectReason::Silent]);
    assert_eq!(*pair.result(call), CallResult::TimedOut { sent: true, taken: false });
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
    /// Each call that was not cancelled ends exactly once, and a response always belongs to its call.
    #[test]
    fn each_call_ends_once_with_its_own_response(steps in prop::collection::vec(step(), 1..80)) {
        let mut pair = Pair::new(Dialect::V1, Limits { calls: 4, ..Limits::default() });
        pair.respond_at_once = false;
        let mut cancelled = Vec::new();
        for step in steps {
            match step {
                Step::Call => drop(pair.call()),
                Step::Cancel(call) => {
                    cancelled.push(call);
                    pair.client.cancel(pair.now, client::CallKey(call));
                    pair.drain_outputs();
                }
                Step::Finish { newest } => pair.complete(newest),
                Step::Cut => pair.cut(),
                Step::Pass(ms) => pair.pass(Duration::from_millis(ms)),
            }
        }
        // Longer than any timeout.
        pair.pass(60 * SECOND);
        for call in 1..=pair.calls {
            match pair.ended.get(&call) {
                None => prop_assert!(cancelled.contains(&call), "call {} never ended", call),
                Some(CallResult::Response(response)) => prop_assert_eq!(&**response, call.to_string()),
                Some(CallResult::Failed(failure)) => prop_assert_eq!(&failure.code, &Code::TIMEOUT),
                Some(CallResult::StreamEnded) => prop_assert!(false, "call {} was not a stream", call),
                Some(CallResult::TimedOut { .. } | CallResult::Unknown(_) | CallResult::NotSent(_)) => {}
            }
        }
        prop_assert_eq!(pair.client.in_flight(), 0);
    }
}
