//! The wire samples in `wire/`, played against the server's session. `wire/README.md` says what they mean.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use aaw_protocol::server::{
    Call, CallKey, ClientCallKey, Completion, Input, ItemFrame, Output, ResponseMode, ServerConfig, ServerConnection,
};
use aaw_protocol::{Code, Dialect, Failure, codec, dialect};
use serde::Deserialize;

#[derive(Deserialize)]
struct Exchange {
    name: String,
    dialect: String,
    #[serde(default)]
    held: bool,
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
    Opened(#[allow(dead_code, reason = "it is always true")] bool),
    Refused(String),
    Ask(String, String, Option<u64>),
    Unask(#[allow(dead_code, reason = "it is always true")] bool),
    Answered(String),
    Failed(String),
    Push(String),
    Close(u16, String),
}

#[derive(Deserialize)]
struct Handshake {
    offered: Option<String>,
    chosen: Option<String>,
    dialect: String,
}

fn exchanges() -> Vec<Exchange> {
    [include_str!("../wire/v1.json"), include_str!("../wire/classic.json"), include_str!("../wire/asks.json")]
        .into_iter()
        .flat_map(|file| serde_json::from_str::<Vec<Exchange>>(file).expect("the samples have their form"))
        .collect()
}

fn dialect_called(name: &str) -> Dialect {
    match name {
        "v1" => Dialect::V1,
        "classic" => Dialect::Classic,
        other => panic!("no dialect is called {other}"),
    }
}

/// The server that the samples speak of.
struct Server {
    session: ServerConnection,
    now: Instant,
    handlers: Vec<Handler>,
    sent: VecDeque<String>,
    /// How many asks were made, and what became of those that ended.
    asks: u64,
    outcomes: VecDeque<Result<String, Failure>>,
    /// Whether it knows who the client is.
    knows: bool,
    closed: Option<(u16, String)>,
}

/// Items of an upload for which there is room.
const WINDOW: u64 = 4;

/// That of the one session that there is.
const TOKEN: &str = "5f0c2b9e-41d7-4a36-9c1e-7d2f8b6a0e53";

/// A handler that runs.
struct Handler {
    key: CallKey,
    does: Does,
    frame: Vec<u8>,
    items: ItemFrame,
    wants: ResponseMode,
    yielded: u64,
    /// The caller's items that wait, how many were taken, how many there is room for, and whether there are no more.
    waiting: VecDeque<String>,
    taken: u64,
    room: u64,
    ended: bool,
}

enum Does {
    /// Answers this when a step says so.
    Slow(String),
    /// Counts to here, and then fails if that is so.
    Count { to: u64, fails: bool },
    /// Adds up what its caller sends.
    Sum(i64),
    /// Yields twice of what its caller sends.
    Double,
}

impl Server {
    fn new(dialect: Dialect, held: bool) -> Self {
        let now = Instant::now();
        let mut session = ServerConnection::new(dialect, "7f".into(), ServerConfig::default(), now);
        if held {
            session.wait_for_open_hook();
        }
        Self {
            session,
            now,
            handlers: Vec::new(),
            sent: VecDeque::new(),
            asks: 0,
            outcomes: VecDeque::new(),
            knows: false,
            closed: None,
        }
    }

    /// Whether the text made sense.
    fn hear(&mut self, text: &str) -> bool {
        let sense = match self.session.handle_text(self.now, text) {
            Input::Call(call) => match call.check() {
                Ok(()) => {
                    self.run(call);
                    true
                }
                Err(bad) => {
                    self.session.reject(call, bad);
                    false
                }
            },
            Input::BadFrame(_) => false,
            Input::UploadItem { key, data } => {
                let handler = self.handlers.iter_mut().find(|handler| handler.key == key).expect("it runs");
                handler.waiting.push_back(data.to_owned());
                true
            }
            Input::UploadEnd { key } => {
                self.handlers.iter_mut().find(|handler| handler.key == key).expect("it runs").ended = true;
                true
            }
            Input::Handled | Input::Refused { .. } => true,
        };
        self.settle();
        sense
    }

    fn run(&mut self, call: Call<'_>) {
        let mut frame = call.begin_response();
        let outcome = match call.event.as_ref() {
            "sum" => return self.begin(call, frame, Does::Sum(0)),
            "double" => return self.begin(call, frame, Does::Double),
            "aaw/login" | "aaw/resume" | "aaw/logout" | "auth/whoami" => self.about_session(&call, &mut frame),
            known @ ("ping" | "echo" | "slow" | "count" | "stumble" | "explode" | "announce" | "notify")
                if call.upload =>
            {
                Completion::Refused(Failure::new(Code::BAD_BODY, format!("{known} takes no stream from its caller")))
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
                return self.begin(call, frame, Does::Slow(body));
            }
            "count" => {
                let body: serde_json::Value = serde_json::from_str(call.body).expect("it is JSON");
                let to = body["to"].as_u64().expect("it says to where");
                return self.begin(call, frame, Does::Count { to, fails: false });
            }
            "stumble" => return self.begin(call, frame, Does::Count { to: 1, fails: true }),
            "explode" => wrong(),
            "announce" => Completion::OneWayDone,
            "notify" => {
                self.sent.push_back(format!(r#"["notified",{}]"#, call.body));
                Completion::OneWayDone
            }
            unknown => Completion::Refused(Failure::unknown_event(unknown)),
        };
        self.session.complete_now(call, frame, outcome);
    }

    fn about_session(&mut self, call: &Call<'_>, frame: &mut Vec<u8>) -> Completion {
        let user = r#"{"id":"7","email":"ada@example.org"}"#;
        let refused = |text: &str| Completion::Failed(Failure::new(Code::NOT_AUTHENTICATED, text));
        let body: serde_json::Value = serde_json::from_str(call.body).expect("it is JSON");
        match call.event.as_ref() {
            "aaw/logout" => {
                self.knows = false;
                frame.extend_from_slice(br#"{"ok":true}"#);
            }
            "auth/whoami" if self.knows => frame.extend_from_slice(user.as_bytes()),
            "auth/whoami" => return refused("Not authenticated"),
            "aaw/login" if body["password"] != "correct horse" => return refused("Invalid credentials"),
            "aaw/resume" if body["token"] != TOKEN => return refused("Session expired"),
            _ => {
                self.knows = true;
                frame.extend_from_slice(format!(r#"{{"token":"{TOKEN}","user":{user}}}"#).as_bytes());
            }
        }
        Completion::Responded
    }

    fn ask(&mut self, event: &str, body: &str, timeout: Option<u64>) {
        self.asks += 1;
        let deadline = timeout.map(|ms| self.now + Duration::from_millis(ms));
        if let Err(failure) = self.session.client_call(self.now, ClientCallKey(self.asks), event, body, deadline) {
            self.outcomes.push_back(Err(failure));
        }
        self.settle();
    }

    fn begin(&mut self, call: Call<'_>, frame: Vec<u8>, does: Does) {
        let (items, wants, upload) = (call.item_frame(), call.response_mode(), call.upload);
        let is_barrier = call.event == "enter";
        let key = if is_barrier { self.session.add_pending_barrier(call) } else { self.session.add_pending(call) };
        let room = if upload { WINDOW } else { 0 };
        self.session.grant_upload_credit(key, room);
        let (waiting, yielded, taken) = (VecDeque::new(), 0, 0);
        // Without an upload its stream is empty.
        let handler = Handler { key, does, frame, items, wants, yielded, waiting, taken, room, ended: !upload };
        self.handlers.push(handler);
    }

    fn complete(&mut self, body: &str) {
        let is_it = |handler: &Handler| matches!(&handler.does, Does::Slow(slow) if slow == body);
        let at = self.handlers.iter().position(is_it).expect("it runs");
        let Handler { key, mut frame, .. } = self.handlers.remove(at);
        frame.extend_from_slice(body.as_bytes());
        assert!(self.session.complete(key, frame, Completion::Responded));
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            let mut handlers = std::mem::take(&mut self.handlers);
            handlers.retain_mut(|handler| !handler.go_on(&mut self.session));
            self.handlers = handlers;
            while let Some(output) = self.session.poll_output() {
                match output {
                    Output::Send(frame) => {
                        self.session.handle_sent(frame.len());
                        self.sent.push_back(String::from_utf8(frame.into()).expect("a frame is text"));
                    }
                    Output::Drop(key) => self.handlers.retain(|handler| handler.key != key),
                    Output::Close(close) => self.closed = Some((close.code(), close.to_string())),
                    Output::ClientCallDone { outcome, .. } => self.outcomes.push_back(outcome.map(String::from)),
                    Output::Credit { .. } | Output::RunOpenHook => {}
                    Output::Ping => panic!("a ping in a sample"),
                }
            }
            let Some(waiting) = self.session.poll_queued() else { return };
            let Input::Call(call) = self.session.handle_queued(self.now, &waiting) else { panic!("a call waits") };
            self.run(call);
        }
    }
}

impl Handler {
    /// Goes as far as it can. True once it is over.
    fn go_on(&mut self, session: &mut ServerConnection) -> bool {
        match &mut self.does {
            Does::Slow(_) => false,
            Does::Count { to, fails } => {
                let (to, fails) = (*to, *fails);
                if matches!(self.wants, ResponseMode::Single | ResponseMode::Nothing) {
                    let items: Vec<_> = (1..=to).map(|item| item.to_string()).collect();
                    self.frame.extend_from_slice(format!("[{}]", items.join(",")).as_bytes());
                    let outcome = if fails { wrong() } else { Completion::Responded };
                    return session.complete(self.key, std::mem::take(&mut self.frame), outcome);
                }
                while self.yielded < to && self.yields(session) {
                    self.item(session, &(self.yielded + 1).to_string());
                }
                let outcome = if fails { wrong() } else { Completion::StreamEnded };
                self.yielded == to && session.complete(self.key, Vec::new(), outcome)
            }
            Does::Sum(sum) => {
                let mut sum = *sum;
                while let Some(item) = self.take(session) {
                    match serde_json::from_str::<i64>(&item) {
                        Ok(item) => sum += item,
                        Err(error) => {
                            // Where in the item it stands says nothing where the item is all there is.
                            let reason = error.to_string();
                            let reason = reason.split(" at line").next().unwrap_or_default();
                            let error = format!("Item {} does not fit: {reason}", self.taken);
                            let failed = Completion::Failed(Failure::new(Code::BAD_BODY, error));
                            return session.complete(self.key, Vec::new(), failed);
                        }
                    }
                }
                self.does = Does::Sum(sum);
                if !self.ended {
                    return false;
                }
                self.frame.extend_from_slice(sum.to_string().as_bytes());
                session.complete(self.key, std::mem::take(&mut self.frame), Completion::Responded)
            }
            Does::Double => {
                while self.yields(session)
                    && let Some(item) = self.take(session)
                {
                    let item: i64 = item.parse().expect("it is a number");
                    self.item(session, &(2 * item).to_string());
                }
                self.ended && self.waiting.is_empty() && session.complete(self.key, Vec::new(), Completion::StreamEnded)
            }
        }
    }

    fn yields(&self, session: &ServerConnection) -> bool {
        self.yielded < session.credit(self.key) && session.may_stream()
    }

    fn item(&mut self, session: &mut ServerConnection, item: &str) {
        let mut frame = self.items.begin();
        frame.extend_from_slice(item.as_bytes());
        self.items.end(&mut frame);
        self.yielded += 1;
        assert!(session.handle_item(self.key, frame.into()));
    }

    /// The caller's next item. There is room anew for half a window.
    fn take(&mut self, session: &mut ServerConnection) -> Option<String> {
        let item = self.waiting.pop_front()?;
        self.taken += 1;
        if self.room - self.taken <= WINDOW / 2 {
            self.room = self.taken + WINDOW;
            session.grant_upload_credit(self.key, self.room);
        }
        Some(item)
    }
}

fn wrong() -> Completion {
    Completion::Failed(Failure::new(Code::HANDLER, "Something went wrong"))
}

#[test]
fn the_server_sends_what_the_samples_say() {
    for Exchange { name, dialect, held, steps } in exchanges() {
        let mut server = Server::new(dialect_called(&dialect), held);
        for step in steps {
            if !matches!(step, Step::Server(_)) {
                assert_eq!(server.sent.pop_front(), None, "{dialect}, {name}: sent and in no step");
            }
            match step {
                // That nothing comes of what is ignored, the next step shows.
                Step::Client(text) | Step::Ignored(text) => {
                    assert!(server.hear(&text), "{dialect}, {name}: {text} makes sense");
                }
                Step::Bad(text) => assert!(!server.hear(&text), "{dialect}, {name}: {text} makes no sense"),
                Step::Server(text) => assert_eq!(server.sent.pop_front(), Some(text), "{dialect}, {name}"),
                Step::Done(body) => server.complete(&body),
                Step::Pass(ms) => {
                    server.now += Duration::from_millis(ms);
                    server.session.handle_timeout(server.now);
                    server.settle();
                }
                Step::Opened(_) => {
                    server.session.handle_open_hook_passed();
                    server.settle();
                }
                Step::Refused(why) => {
                    server.session.handle_open_hook_refused(Failure::new(Code::HANDLER, why));
                    server.settle();
                }
                Step::Ask(event, body, timeout) => server.ask(&event, &body, timeout),
                Step::Unask(_) => {
                    server.session.cancel_client_call(ClientCallKey(server.asks));
                    server.settle();
                }
                Step::Answered(json) => assert_eq!(server.outcomes.pop_front(), Some(Ok(json)), "{dialect}, {name}"),
                Step::Failed(code) => {
                    let failed = server.outcomes.pop_front().map(|outcome| outcome.map_err(|failure| failure.code));
                    assert_eq!(failed, Some(Err(Code::new(code))), "{dialect}, {name}");
                }
                Step::Push(text) => server.sent.push_back(text),
                Step::Close(code, why) => assert_eq!(server.closed.take(), Some((code, why)), "{dialect}, {name}"),
            }
        }
        assert_eq!(server.sent.pop_front(), None, "{dialect}, {name}: sent and in no step");
        assert_eq!(server.outcomes.pop_front(), None, "{dialect}, {name}: an ask ended in no step");
        assert_eq!(server.closed, None, "{dialect}, {name}: closed and in no step");
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
    let handshakes: Vec<Handshake> = serde_json::from_str(include_str!("../wire/handshakes.json")).unwrap();
    for Handshake { offered, chosen, dialect } in handshakes {
        let negotiated = dialect::negotiate(offered.as_deref().unwrap_or_default());
        assert_eq!(negotiated.chosen, chosen.as_deref(), "{offered:?}");
        assert_eq!(negotiated.dialect, dialect_called(&dialect), "{offered:?}");
        assert_eq!(dialect::accepted(chosen.as_deref()), negotiated.dialect, "{offered:?}");
    }
}

/// The specification shows frames as `C: …` and `S: …`, a line each. All of them are samples, so they are true.
#[test]
fn the_examples_of_the_specification_are_samples() {
    let (mut client, mut server) = (HashSet::new(), HashSet::new());
    for step in exchanges().into_iter().flat_map(|exchange| exchange.steps) {
        match step {
            Step::Client(text) | Step::Ignored(text) | Step::Bad(text) => _ = client.insert(text),
            Step::Server(text) => _ = server.insert(text),
            Step::Done(_) | Step::Pass(_) | Step::Opened(_) | Step::Refused(_) | Step::Close(..) => {}
            Step::Ask(..) | Step::Unask(_) | Step::Answered(_) | Step::Failed(_) | Step::Push(_) => {}
        }
    }
    let mut examples = 0;
    for line in include_str!("../../PROTOCOL.md").lines() {
        for (prefix, samples) in [("C: ", &client), ("S: ", &server)] {
            if let Some(text) = line.strip_prefix(prefix) {
                assert!(samples.contains(text), "{line} is in no sample");
                examples += 1;
            }
        }
    }
    assert!(examples > 20, "the examples were found");
}
