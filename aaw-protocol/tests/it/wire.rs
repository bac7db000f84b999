//! Plays the wire samples in `wire/` against the server's state machine. `wire/README.md` describes their format.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use aaw_protocol::server::{
    Call, CallKey, ClientCallKey, Completion, Input, ItemFrame, Output, ResponseMode, ServerConfig, ServerConnection,
};
use aaw_protocol::websocket::{FrameBuffer, RetainedLog, SharedFrame};
use aaw_protocol::{Code, Dialect, Failure, codec, dialect, hello};
use bytes::Bytes;
use serde::Deserialize;

#[derive(Deserialize)]
struct Exchange {
    name: String,
    dialect: String,
    #[serde(default, rename = "hookPending")]
    hook_pending: bool,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Step {
    Client(String),
    Ignored(String),
    Bad(String),
    Server(String),
    Done(String),
    Pass(u64),
    Opened(#[allow(dead_code, reason = "always true")] bool),
    Refused(String),
    #[serde(rename = "clientCall")]
    ClientCall(String, String, Option<u64>),
    #[serde(rename = "cancelClientCall")]
    CancelClientCall(#[allow(dead_code, reason = "always true")] bool),
    #[serde(rename = "responded")]
    Responded(String),
    Failed(String),
    Push(String),
    Close(u16, String),
    Broken(#[allow(dead_code, reason = "always true")] bool),
    Again(String),
    Away(Vec<Option<String>>),
}

#[derive(Deserialize)]
struct Handshake {
    offered: Option<String>,
    chosen: Option<String>,
    dialect: String,
}

fn exchanges() -> Vec<Exchange> {
    [
        include_str!("../../wire/v1.json"),
        include_str!("../../wire/classic.json"),
        include_str!("../../wire/client_calls.json"),
        include_str!("../../wire/resumption.json"),
    ]
    .into_iter()
    .flat_map(|file| serde_json::from_str::<Vec<Exchange>>(file).expect("valid samples"))
    .collect()
}

fn dialect_called(name: &str) -> Dialect {
    match name {
        "v1" => Dialect::V1,
        "classic" => Dialect::Classic,
        other => panic!("unknown dialect {other}"),
    }
}

/// The server that the samples assume.
struct Server {
    connection: ServerConnection,
    now: Instant,
    handlers: Vec<SampleHandler>,
    sent: VecDeque<String>,
    /// The number of client calls made, and the results of those that ended.
    client_calls: u64,
    results: VecDeque<Result<String, Failure>>,
    /// Whether the connection has a session.
    logged_in: bool,
    closed: Option<(u16, String)>,
    /// What is not acknowledged, if the connection is resumable.
    retained: Option<RetainedLog>,
}

/// The number of upload items that may wait for a handler.
const WINDOW: u64 = 4;

/// The token of the only session.
const TOKEN: &str = "5f0c2b9e-41d7-4a36-9c1e-7d2f8b6a0e53";

/// A running handler.
struct SampleHandler {
    key: CallKey,
    progress: HandlerProgress,
    frame: Vec<u8>,
    items: ItemFrame,
    mode: ResponseMode,
    yielded: u64,
    /// The upload items that wait, the number of items taken, the credit granted, and whether the upload ended.
    waiting: VecDeque<String>,
    taken: u64,
    granted: u64,
    ended: bool,
}

enum HandlerProgress {
    /// Responds with this text on the step `done`.
    Slow(String),
    /// Yields the numbers up to `to`, and then fails if `fails` is set.
    Count { to: u64, fails: bool },
    /// Sums up the items of the upload.
    Sum(i64),
    /// Yields twice the value of each item of the upload.
    Double,
}

impl Server {
    fn new(dialect: Dialect, hook_pending: bool) -> Self {
        let now = Instant::now();
        let mut connection = ServerConnection::new(dialect, "7f".into(), ServerConfig::default(), now);
        if hook_pending {
            connection.wait_for_open_hook();
        }
        Self {
            connection,
            now,
            handlers: Vec::new(),
            sent: VecDeque::new(),
            client_calls: 0,
            results: VecDeque::new(),
            logged_in: false,
            closed: None,
            retained: None,
        }
    }

    /// Receives a text and returns whether it is valid.
    fn receive(&mut self, text: &str) -> bool {
        let is_valid = match self.connection.handle_text(self.now, text) {
            Input::Call(call) => match call.check() {
                Ok(()) => {
                    self.run(call);
                    true
                }
                Err(bad) => {
                    self.connection.reject(call, bad);
                    false
                }
            },
            Input::Hello(_) => {
                self.connection.begin(true);
                true
            }
            Input::Acknowledged(number) => {
                self.retained.as_mut().expect("it is resumable").acknowledge(number).expect("it was sent");
                true
            }
            Input::BadFrame(_) => false,
            Input::UploadItem { key, data } => {
                let handler = self.handlers.iter_mut().find(|handler| handler.key == key).expect("the handler runs");
                handler.waiting.push_back(data.to_owned());
                true
            }
            Input::UploadEnd { key } => {
                self.handlers.iter_mut().find(|handler| handler.key == key).expect("the handler runs").ended = true;
                true
            }
            Input::Handled | Input::Refused { .. } => true,
        };
        self.drain_outputs();
        is_valid
    }

    fn run(&mut self, call: Call<'_>) {
        let mut frame = call.begin_response();
        let completion = match call.event.as_ref() {
            "sum" => return self.start(call, frame, HandlerProgress::Sum(0)),
            "double" => return self.start(call, frame, HandlerProgress::Double),
            "aaw/login" | "aaw/resume" | "aaw/logout" | "auth/whoami" => self.run_session_event(&call, &mut frame),
            known @ ("ping" | "echo" | "slow" | "count" | "stumble" | "explode" | "announce" | "notify")
                if call.upload =>
            {
                Completion::Refused(Failure::new(Code::BAD_BODY, format!("{known} does not take an upload")))
            }
            "ping" => {
                frame.extend_from_slice(br#"{"pong":true}"#);
                Completion::Responded
            }
            "echo" => {
                frame.extend_from_slice(call.body.as_bytes());
                Completion::Responded
            }
            "slow" | "enter" => {
                let body = call.body.to_owned();
                return self.start(call, frame, HandlerProgress::Slow(body));
            }
            "count" => {
                let body: serde_json::Value = serde_json::from_str(call.body).expect("valid JSON");
                let to = body["to"].as_u64().expect("a number `to`");
                return self.start(call, frame, HandlerProgress::Count { to, fails: false });
            }
            "stumble" => return self.start(call, frame, HandlerProgress::Count { to: 1, fails: true }),
            "explode" => something_went_wrong(),
            "announce" => Completion::OneWayDone,
            "notify" => {
                self.sent.push_back(format!(r#"["notified",{}]"#, call.body));
                Completion::OneWayDone
            }
            unknown => Completion::Refused(Failure::unknown_event(unknown)),
        };
        self.connection.complete_now(call, frame, completion);
    }

    fn run_session_event(&mut self, call: &Call<'_>, frame: &mut Vec<u8>) -> Completion {
        let user = r#"{"id":"7","email":"ada@example.org"}"#;
        let refused = |text: &str| Completion::Failed(Failure::new(Code::NOT_AUTHENTICATED, text));
        let body: serde_json::Value = serde_json::from_str(call.body).expect("valid JSON");
        match call.event.as_ref() {
            "aaw/logout" => {
                self.logged_in = false;
                frame.extend_from_slice(br#"{"ok":true}"#);
            }
            "auth/whoami" if self.logged_in => frame.extend_from_slice(user.as_bytes()),
            "auth/whoami" => return refused("Not authenticated"),
            "aaw/login" if body["password"] != "correct horse" => return refused("Invalid credentials"),
            "aaw/resume" if body["token"] != TOKEN => return refused("Session expired"),
            _ => {
                self.logged_in = true;
                frame.extend_from_slice(format!(r#"{{"token":"{TOKEN}","user":{user}}}"#).as_bytes());
            }
        }
        Completion::Responded
    }

    fn client_call(&mut self, event: &str, body: &str, timeout: Option<u64>) {
        self.client_calls += 1;
        let deadline = timeout.map(|ms| self.now + Duration::from_millis(ms));
        if let Err(failure) =
            self.connection.client_call(self.now, ClientCallKey(self.client_calls), event, body, deadline)
        {
            self.results.push_back(Err(failure));
        }
        self.drain_outputs();
    }

    fn start(&mut self, call: Call<'_>, frame: Vec<u8>, progress: HandlerProgress) {
        let (items, mode, upload) = (call.item_frame(), call.response_mode(), call.upload);
        let is_barrier = call.event == "enter";
        let key =
            if is_barrier { self.connection.add_pending_barrier(call) } else { self.connection.add_pending(call) };
        let granted = if upload { WINDOW } else { 0 };
        self.connection.grant_upload_credit(key, granted);
        let (waiting, yielded, taken) = (VecDeque::new(), 0, 0);
        // Without an upload the handler's stream is empty.
        let handler =
            SampleHandler { key, progress, frame, items, mode, yielded, waiting, taken, granted, ended: !upload };
        self.handlers.push(handler);
    }

    fn complete(&mut self, body: &str) {
        let is_it = |handler: &SampleHandler| matches!(&handler.progress, HandlerProgress::Slow(slow) if slow == body);
        let at = self.handlers.iter().position(is_it).expect("the handler runs");
        let SampleHandler { key, mut frame, .. } = self.handlers.remove(at);
        frame.extend_from_slice(body.as_bytes());
        assert!(self.connection.complete(key, frame, Completion::Responded));
        self.drain_outputs();
    }

    fn drain_outputs(&mut self) {
        loop {
            let mut handlers = std::mem::take(&mut self.handlers);
            handlers.retain_mut(|handler| !handler.advance(&mut self.connection));
            self.handlers = handlers;
            while let Some(output) = self.connection.poll_output() {
                match output {
                    Output::Send(frame) => {
                        self.connection.set_unsent_bytes(0);
                        if let Some(retained) = &mut self.retained {
                            let mut frames = FrameBuffer::default();
                            frames.text(frame.clone());
                            retained.append(&frames);
                        }
                        self.sent.push_back(text(frame));
                    }
                    Output::SendUncounted(frame) => self.sent.push_back(text(frame)),
                    Output::Welcome(frame) => {
                        self.retained = self.connection.is_resumable().then(RetainedLog::default);
                        self.sent.push_back(text(frame));
                    }
                    Output::Drop { key, .. } => self.handlers.retain(|handler| handler.key != key),
                    Output::Close(close) => self.closed = Some((close.code(), close.to_string())),
                    Output::ClientCallDone { result, .. } => self.results.push_back(result.map(String::from)),
                    Output::Credit { .. } | Output::RunOpenHook => {}
                    Output::Ping => panic!("unexpected ping"),
                }
            }
            let Some(queued) = self.connection.poll_queued() else { break };
            let Input::Call(call) = self.connection.handle_queued(self.now, &queued) else { panic!("a queued call") };
            self.run(call);
        }
        if let Some(acknowledgement) = self.connection.poll_acknowledgement(self.now, false) {
            self.sent.push_back(text(acknowledgement.into()));
        }
    }

    /// Receives the hello of a new socket. `knows_state`: the server still has the state of the connection.
    fn receive_on_new_socket(&mut self, hello: &str, knows_state: bool) {
        let frame = codec::decode(hello).expect("a frame");
        assert_eq!(frame.event, hello::HELLO);
        let body: hello::Hello = serde_json::from_str(frame.data).expect("a hello");
        let request = body.resumption.expect("it asks for resumption");
        assert!(request.resume);
        if !knows_state {
            let next = serde_json::json!({ "resumption": { "key": request.next } });
            *self = Self::new(Dialect::V1, false);
            assert!(self.receive(&format!("[\"aaw/hello\",{next}]")));
            return;
        }
        let retained = self.retained.as_mut().expect("it is resumable");
        retained.acknowledge(request.received.expect("a number")).expect("it was sent");
        self.sent.push_back(text(self.connection.resume(self.now, "7f".into()).into()));
        self.sent.extend(retained.frames().frames().map(|(_, payload)| text(payload.into())));
    }
}

fn text(frame: Bytes) -> String {
    String::from_utf8(frame.into()).expect("a frame is text")
}

impl SampleHandler {
    /// Runs as far as possible. Returns `true` once the handler is done.
    fn advance(&mut self, connection: &mut ServerConnection) -> bool {
        match &mut self.progress {
            HandlerProgress::Slow(_) => false,
            HandlerProgress::Count { to, fails } => {
                let (to, fails) = (*to, *fails);
                if matches!(self.mode, ResponseMode::Single | ResponseMode::Nothing) {
                    let items: Vec<_> = (1..=to).map(|item| item.to_string()).collect();
                    self.frame.extend_from_slice(format!("[{}]", items.join(",")).as_bytes());
                    let completion = if fails { something_went_wrong() } else { Completion::Responded };
                    return connection.complete(self.key, std::mem::take(&mut self.frame), completion);
                }
                while self.yielded < to && self.may_yield(connection) {
                    self.yield_item(connection, &(self.yielded + 1).to_string());
                }
                let completion = if fails { something_went_wrong() } else { Completion::StreamEnded };
                self.yielded == to && connection.complete(self.key, Vec::new(), completion)
            }
            HandlerProgress::Sum(sum) => {
                let mut sum = *sum;
                while let Some(item) = self.take_item(connection) {
                    match serde_json::from_str::<i64>(&item) {
                        Ok(item) => sum += item,
                        Err(error) => {
                            // The position within the item is omitted, as in the errors of aaw-event.
                            let reason = error.to_string();
                            let reason = reason.split(" at line").next().unwrap_or_default();
                            let error = format!("Item {} does not fit: {reason}", self.taken);
                            let failed = Completion::Failed(Failure::new(Code::BAD_BODY, error));
                            return connection.complete(self.key, Vec::new(), failed);
                        }
                    }
                }
                self.progress = HandlerProgress::Sum(sum);
                if !self.ended {
                    return false;
                }
                self.frame.extend_from_slice(sum.to_string().as_bytes());
                connection.complete(self.key, std::mem::take(&mut self.frame), Completion::Responded)
            }
            HandlerProgress::Double => {
                while self.may_yield(connection)
                    && let Some(item) = self.take_item(connection)
                {
                    let item: i64 = item.parse().expect("a number");
                    self.yield_item(connection, &(2 * item).to_string());
                }
                self.ended
                    && self.waiting.is_empty()
                    && connection.complete(self.key, Vec::new(), Completion::StreamEnded)
            }
        }
    }

    fn may_yield(&self, connection: &ServerConnection) -> bool {
        self.yielded < connection.credit(self.key) && connection.may_stream()
    }

    fn yield_item(&mut self, connection: &mut ServerConnection, item: &str) {
        let mut frame = self.items.begin();
        frame.extend_from_slice(item.as_bytes());
        self.items.end(&mut frame);
        self.yielded += 1;
        assert!(connection.handle_item(self.key, frame.into()));
    }

    /// Takes the next upload item, and renews the credit when half of the window is used.
    fn take_item(&mut self, connection: &mut ServerConnection) -> Option<String> {
        let item = self.waiting.pop_front()?;
        self.taken += 1;
        if self.granted - self.taken <= WINDOW / 2 {
            self.granted = self.taken + WINDOW;
            connection.grant_upload_credit(self.key, self.granted);
        }
        Some(item)
    }
}

fn something_went_wrong() -> Completion {
    Completion::Failed(Failure::new(Code::HANDLER, "Something went wrong"))
}

#[test]
fn the_server_sends_what_the_samples_say() {
    for Exchange { name, dialect, hook_pending, steps } in exchanges() {
        let mut server = Server::new(dialect_called(&dialect), hook_pending);
        let again = |step: &Step| if let Step::Again(text) = step { Some(text.clone()) } else { None };
        let lost: Vec<_> = steps.iter().filter_map(again).collect();
        let mut steps = steps.into_iter().peekable();
        while let Some(step) = steps.next() {
            if !matches!(step, Step::Server(_)) {
                assert_eq!(server.sent.pop_front(), None, "{dialect}, {name}: sent without a step");
            }
            match step {
                Step::Broken(_) => server.connection.suspend(),
                Step::Away(frames) => {
                    let retained = server.retained.as_mut().expect("it is resumable");
                    for frame in frames {
                        match frame {
                            Some(text) => retained.push(&SharedFrame::text(text.as_bytes())),
                            None => retained.lose(1),
                        }
                    }
                }
                Step::Client(text) if server.connection.is_away() => {
                    let Some(Step::Server(welcome)) = steps.peek() else { panic!("{name}: no welcome") };
                    server.receive_on_new_socket(&text, welcome.contains(r#""resumed":true"#));
                }
                // It is lost with its socket.
                Step::Client(text) if lost.contains(&text) => {}
                // The next step shows that an ignored text has no effect.
                Step::Client(text) | Step::Ignored(text) | Step::Again(text) => {
                    assert!(server.receive(&text), "{dialect}, {name}: {text} is valid");
                }
                Step::Bad(text) => assert!(!server.receive(&text), "{dialect}, {name}: {text} is bad"),
                Step::Server(text) => assert_eq!(server.sent.pop_front(), Some(text), "{dialect}, {name}"),
                Step::Done(body) => server.complete(&body),
                Step::Pass(ms) => {
                    server.now += Duration::from_millis(ms);
                    server.connection.handle_timeout(server.now);
                    server.drain_outputs();
                }
                Step::Opened(_) => {
                    server.connection.handle_open_hook_passed();
                    server.drain_outputs();
                }
                Step::Refused(why) => {
                    server.connection.handle_open_hook_refused(Failure::new(Code::HANDLER, why));
                    server.drain_outputs();
                }
                Step::ClientCall(event, body, timeout) => server.client_call(&event, &body, timeout),
                Step::CancelClientCall(_) => {
                    server.connection.cancel_client_call(ClientCallKey(server.client_calls));
                    server.drain_outputs();
                }
                Step::Responded(json) => assert_eq!(server.results.pop_front(), Some(Ok(json)), "{dialect}, {name}"),
                Step::Failed(code) => {
                    let failed =
                        server.results.pop_front().map(|completion| completion.map_err(|failure| failure.code));
                    assert_eq!(failed, Some(Err(Code::new(code))), "{dialect}, {name}");
                }
                Step::Push(text) => server.sent.push_back(text),
                Step::Close(code, why) => assert_eq!(server.closed.take(), Some((code, why)), "{dialect}, {name}"),
            }
        }
        assert_eq!(server.sent.pop_front(), None, "{dialect}, {name}: sent without a step");
        assert_eq!(server.results.pop_front(), None, "{dialect}, {name}: a client call ended without a step");
        assert_eq!(server.closed, None, "{dialect}, {name}: closed without a step");
    }
}

#[test]
fn valid_frames_decode_the_same_both_ways() {
    for Exchange { name, steps, .. } in exchanges() {
        for step in steps {
            if let Step::Client(text) | Step::Ignored(text) | Step::Server(text) = step {
                let strict = codec::decode_strictly(&text).unwrap_or_else(|bad| panic!("{name}: {text}: {bad}"));
                assert_eq!(
                    codec::decode(&text),
                    Ok(codec::Frame { checked: codec::decode(&text).unwrap().checked, ..strict })
                );
            }
        }
    }
}

#[test]
fn handshakes_negotiate_as_in_the_samples() {
    let handshakes: Vec<Handshake> = serde_json::from_str(include_str!("../../wire/handshakes.json")).unwrap();
    for Handshake { offered, chosen, dialect } in handshakes {
        let negotiated = dialect::negotiate(offered.as_deref().unwrap_or_default());
        assert_eq!(negotiated.chosen, chosen.as_deref(), "{offered:?}");
        assert_eq!(negotiated.dialect, dialect_called(&dialect), "{offered:?}");
        assert_eq!(dialect::accepted(chosen.as_deref()), negotiated.dialect, "{offered:?}");
    }
}

/// The specification shows frames as lines `C: …` and `S: …`. Each must be part of a sample, so that it is correct.
#[test]
fn the_examples_of_the_specification_are_samples() {
    let (mut client, mut server) = (HashSet::new(), HashSet::new());
    for step in exchanges().into_iter().flat_map(|exchange| exchange.steps) {
        match step {
            Step::Client(text) | Step::Ignored(text) | Step::Bad(text) | Step::Again(text) => _ = client.insert(text),
            Step::Server(text) => _ = server.insert(text),
            Step::Done(_) | Step::Pass(_) | Step::Opened(_) | Step::Refused(_) | Step::Close(..) => {}
            Step::Broken(_) | Step::Away(_) => {}
            Step::ClientCall(..) | Step::CancelClientCall(_) | Step::Responded(_) | Step::Failed(_) | Step::Push(_) => {
            }
        }
    }
    let mut examples = 0;
    for line in include_str!("../../../PROTOCOL.md").lines() {
        for (prefix, samples) in [("C: ", &client), ("S: ", &server)] {
            if let Some(text) = line.strip_prefix(prefix) {
                assert!(samples.contains(text), "{line} is not part of a sample");
                examples += 1;
            }
        }
    }
    assert!(examples > 20, "the examples were found");
}
