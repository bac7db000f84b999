//! Both state machines, connected in memory by sockets that break, against a small model: everything happens once, and in
//! order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use aaw_protocol::client::{self, CallResult, ClientConnection, DisconnectReason, EncodedMessage, StreamOptions};
use aaw_protocol::hello::Hello;
use aaw_protocol::resumption::ResumptionKey;
use aaw_protocol::server::{self, CallKey, Completion, Input, ItemFrame, ServerConfig, ServerConnection};
use aaw_protocol::websocket::{FrameBuffer, RetainedLog, SharedFrame};
use aaw_protocol::{Dialect, codec};

/// Applies the operations that these bytes choose, lets everything end without further cuts, and checks what has happened.
///
/// # Panics
/// If anything was lost, doubled or reordered.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut world = World::new();
    for operation in bytes.chunks_exact(2) {
        world.apply(operation[0], operation[1]);
    }
    world.finish();
    for call in (1..=world.calls).filter(|call| !world.cancelled.contains(call)) {
        assert!(world.executed.contains(&call), "call {call} has not run");
        let result = world.results.get(&call);
        let is_success = matches!(result, Some(CallResult::Response(_) | CallResult::StreamEnded));
        assert!(is_success, "call {call}: {result:?}");
    }
}

/// A handler that runs.
enum Handler {
    Unary { frame: Vec<u8> },
    Stream { frame: ItemFrame, next: u64, items: u64 },
}

/// A socket between the two.
#[derive(Default)]
struct Socket {
    to_server: VecDeque<String>,
    to_client: VecDeque<String>,
    /// The hello of this socket has arrived.
    is_attached: bool,
}

struct World {
    now: Instant,
    client: ClientConnection<u64>,
    server: ServerConnection,
    retained: RetainedLog,
    /// The key of the server's state.
    key: Option<ResumptionKey>,
    socket: Option<Socket>,
    wants_connection: bool,
    /// When the connection was interrupted, if it has brought nothing new since.
    interrupted_since: Option<Instant>,
    keys: u8,
    handlers: Vec<(CallKey, Handler)>,
    calls: u64,
    cancelled: BTreeSet<u64>,
    /// The calls whose handlers have run.
    executed: BTreeSet<u64>,
    results: BTreeMap<u64, CallResult>,
    /// The items that each stream has yielded and received.
    items: BTreeMap<u64, (u64, u64)>,
    pushed: u64,
    received: u64,
    client_calls: u64,
    answered: u64,
    resumed: u64,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            client: ClientConnection::new(client::ClientConfig::default(), 1),
            server: ServerConnection::new(Dialect::V1, "7f".into(), ServerConfig::default(), now),
            retained: RetainedLog::default(),
            key: None,
            socket: None,
            wants_connection: false,
            interrupted_since: None,
            keys: 0,
            handlers: Vec::new(),
            calls: 0,
            cancelled: BTreeSet::new(),
            executed: BTreeSet::new(),
            results: BTreeMap::new(),
            items: BTreeMap::new(),
            pushed: 0,
            received: 0,
            client_calls: 0,
            answered: 0,
            resumed: 0,
        };
        world.drain();
        world
    }

    /// Applies the operation that the byte chooses, with another byte as its parameter.
    fn apply(&mut self, operation: u8, parameter: u8) {
        let parameter = usize::from(parameter);
        match operation % 45 {
            0..6 => {
                self.calls += 1;
                let message = EncodedMessage::new("unary", &self.calls).expect("a number");
                self.client.call(self.now, client::CallKey(self.calls), message, None, self.calls);
            }
            6..8 => {
                let items = parameter as u64;
                self.calls += 1;
                let message = EncodedMessage::new("stream", &[self.calls, items]).expect("numbers");
                let options = StreamOptions { window: 1 << 53, upload: false };
                self.items.insert(self.calls, (0, 0));
                self.client.stream(self.now, client::CallKey(self.calls), message, options, None, self.calls);
            }
            8 => {
                let open: Vec<_> = (1..=self.calls).filter(|call| self.is_open(*call)).collect();
                if !open.is_empty() {
                    let call = open[parameter % open.len()];
                    self.cancelled.insert(call);
                    self.client.cancel(self.now, client::CallKey(call));
                }
            }
            9..15 => {
                if !self.handlers.is_empty() {
                    self.run(parameter % self.handlers.len());
                }
            }
            15..18 if self.key.is_some() => {
                self.pushed += 1;
                let text = format!("[\"push\",{}]", self.pushed);
                self.retained.push(&SharedFrame::text(text.as_bytes()));
                self.send_to_client(text);
            }
            18..20 if self.key.is_some() => {
                let data = format!("{}", self.client_calls);
                let key = server::ClientCallKey(self.client_calls + 1);
                if self.server.client_call(self.now, key, "ask", &data, None).is_ok() {
                    self.client_calls += 1;
                }
            }
            15..20 => {}
            // Messages arrive.
            20..28 => (0..=parameter % 4).for_each(|_| self.deliver_to_server()),
            28..36 => (0..=parameter % 4).for_each(|_| self.deliver_to_client()),
            36..39 => self.cut(),
            39..43 => self.connect(),
            _ => {
                let time = Duration::from_millis(6 * parameter as u64);
                // The client gives the state up if it cannot resume it within the server's minute.
                let is_in_time = |since| self.now + time < since + Duration::from_secs(45);
                if self.interrupted_since.is_none_or(is_in_time) {
                    self.pass(time);
                }
            }
        }
        self.drain();
    }

    fn is_open(&self, call: u64) -> bool {
        !self.results.contains_key(&call) && !self.cancelled.contains(&call)
    }

    fn run(&mut self, at: usize) {
        let (key, handler) = &mut self.handlers[at];
        let is_done = match handler {
            Handler::Unary { frame } => {
                frame.extend_from_slice(b"true");
                self.server.complete(*key, std::mem::take(frame), Completion::Responded)
            }
            Handler::Stream { frame, next, items } => {
                while *next < *items && self.server.may_stream() && *next < self.server.credit(*key) {
                    *next += 1;
                    let mut item = frame.begin();
                    item.extend_from_slice(next.to_string().as_bytes());
                    frame.end(&mut item);
                    assert!(self.server.handle_item(*key, item.into()));
                }
                *next == *items && self.server.complete(*key, Vec::new(), Completion::StreamEnded)
            }
        };
        if is_done {
            self.handlers.remove(at);
        }
    }

    fn cut(&mut self) {
        if let Some(socket) = self.socket.take() {
            if socket.is_attached {
                self.server.suspend();
            }
            self.client.handle_disconnected(self.now, DisconnectReason::Broken("cut".into()));
        }
    }

    fn connect(&mut self) {
        if !std::mem::take(&mut self.wants_connection) {
            return;
        }
        self.socket = Some(Socket::default());
        self.keys += 1;
        self.client.offer_resumption(ResumptionKey::from_random([self.keys; 16]));
        self.client.handle_connected(self.now, Dialect::V1);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
        // Without a key there is no connection yet.
        if self.key.is_some() {
            self.server.handle_timeout(self.now);
        }
        self.drain();
    }

    fn send_to_client(&mut self, text: String) {
        if let Some(socket) = self.socket.as_mut().filter(|socket| socket.is_attached) {
            socket.to_client.push_back(text);
        }
    }

    fn deliver_to_server(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        let Some(text) = socket.to_server.pop_front() else { return };
        if !socket.is_attached {
            return self.attach(&text);
        }
        self.server.handle_sign_of_life(self.now);
        match self.server.handle_text(self.now, &text) {
            Input::Call(call) => {
                let numbers: Vec<u64> =
                    serde_json::from_str(&format!("[{}]", call.body.trim_matches(['[', ']']))).expect("numbers");
                assert!(self.executed.insert(numbers[0]), "call {} runs twice", numbers[0]);
                let handler = match numbers.get(1) {
                    None => Handler::Unary { frame: call.begin_response() },
                    Some(items) => Handler::Stream { frame: call.item_frame(), next: 0, items: *items },
                };
                let key = self.server.add_pending(call);
                self.handlers.push((key, handler));
            }
            Input::Acknowledged(number) => {
                self.retained.acknowledge(number).expect("it was sent");
                self.server.set_unacknowledged_bytes(self.retained.bytes());
            }
            Input::Handled => {}
            other => panic!("{text}: {other:?}"),
        }
        self.drain();
        assert!(self.server.poll_queued().is_none(), "nothing waits");
    }

    /// Handles the hello of a socket.
    fn attach(&mut self, text: &str) {
        let hello: Hello = serde_json::from_str(codec::decode(text).expect("a frame").data).expect("a hello");
        let request = hello.resumption.expect("it asks for resumption");
        if let Some(socket) = &mut self.socket {
            socket.is_attached = true;
        }
        if request.resume {
            assert_eq!(Some(request.key), self.key, "there is one state");
            self.retained.acknowledge(request.received.expect("a number")).expect("it was sent");
            let welcome = self.server.resume(self.now, "7f".into());
            self.send_to_client(String::from_utf8(welcome).expect("text"));
            let again: Vec<_> = self.retained.frames().frames().map(|(_, payload)| payload).collect();
            for payload in again {
                self.send_to_client(String::from_utf8(payload).expect("text"));
            }
        } else {
            // The client has never received the welcome of the state before, so nothing has happened there.
            assert_eq!((self.retained.acknowledged(), self.executed.len()), (0, 0));
            self.pushed = 0;
            self.client_calls = 0;
            self.server = ServerConnection::new(Dialect::V1, "7f".into(), ServerConfig::default(), self.now);
            self.key = Some(request.key);
            let Input::Hello(_) = self.server.handle_text(self.now, text) else { panic!("a hello") };
            self.server.begin(true);
        }
        self.drain();
    }

    fn deliver_to_client(&mut self) {
        if let Some(text) = self.socket.as_mut().and_then(|socket| socket.to_client.pop_front()) {
            self.client.handle_sign_of_life(self.now);
            self.client.handle_text(self.now, &text);
            self.drain();
            // A socket that brings a welcome only has not proved that it lasts.
            if !text.starts_with("[\"aaw/") {
                self.interrupted_since = None;
            }
        }
    }

    fn drain(&mut self) {
        loop {
            let mut is_done = true;
            while let Some(output) = self.client.poll_output() {
                is_done = false;
                self.handle_client_output(output);
            }
            while let Some(output) = self.server.poll_output() {
                is_done = false;
                self.handle_server_output(output);
            }
            if let Some(acknowledgement) = self.server.poll_acknowledgement(self.now, false) {
                self.send_to_client(String::from_utf8(acknowledgement).expect("text"));
            }
            if is_done {
                return;
            }
        }
    }

    fn handle_server_output(&mut self, output: server::Output) {
        use server::Output;
        match output {
            Output::Send(frame) => {
                let mut frames = FrameBuffer::default();
                frames.text(frame.clone());
                self.retained.append(&frames);
                self.server.set_unsent_bytes(0);
                self.server.set_unacknowledged_bytes(self.retained.bytes());
                self.send_to_client(String::from_utf8(frame.into()).expect("text"));
            }
            Output::SendUncounted(frame) => self.send_to_client(String::from_utf8(frame.into()).expect("text")),
            Output::Welcome(frame) => {
                self.retained = RetainedLog::default();
                self.send_to_client(String::from_utf8(frame.into()).expect("text"));
            }
            Output::Drop { key, .. } => self.handlers.retain(|(running, _)| *running != key),
            Output::ClientCallDone { result, .. } => {
                assert_eq!(result, Ok("\"yes\"".into()));
                self.answered += 1;
            }
            Output::Credit { .. } | Output::Ping => {}
            // Nothing has arrived for a minute.
            Output::Close(server::Close::Silent) => self.cut(),
            Output::RunOpenHook | Output::Close(_) => panic!("{output:?}"),
        }
    }

    fn handle_client_output(&mut self, output: client::Output<u64>) {
        use client::Output;
        match output {
            Output::Connect => self.wants_connection = true,
            Output::Send(frame) => {
                let text = String::from_utf8(frame.into()).expect("text");
                if let Some(socket) = &mut self.socket {
                    socket.to_server.push_back(text);
                }
            }
            Output::CallDone { waiter, result } => {
                let before = self.results.insert(waiter, result);
                assert_eq!(before, None, "call {waiter} ends twice");
            }
            Output::Item { key, data } => {
                let (_, received) = self.items.get_mut(&key.0).expect("a stream");
                *received += 1;
                assert_eq!(*data, *received.to_string(), "the items of {}", key.0);
            }
            Output::Push { data, .. } => {
                self.received += 1;
                assert_eq!(*data, *self.received.to_string(), "pushes arrive once and in order");
            }
            Output::ClientCall { key, .. } => self.client.respond(key, Ok("\"yes\"")),
            Output::Resumed => self.resumed += 1,
            Output::Ping => {
                // The server's pong is at once.
                if self.socket.as_ref().is_some_and(|socket| socket.is_attached) {
                    self.client.handle_sign_of_life(self.now);
                }
            }
            Output::Abort => self.cut_by_client(),
            Output::Opened { .. } => {}
            Output::Interrupted(_) => _ = self.interrupted_since.get_or_insert(self.now),
            // Before the first welcome there is no state that could go on.
            Output::Disconnected(_) if self.executed.is_empty() && self.results.is_empty() => {}
            other => panic!("{other:?}"),
        }
    }

    /// The client has dropped the socket.
    fn cut_by_client(&mut self) {
        if self.socket.take().is_some_and(|socket| socket.is_attached) {
            self.server.suspend();
        }
    }

    /// Lets everything happen that is still to happen, without further cuts.
    fn finish(&mut self) {
        for _ in 0..1000 {
            self.connect();
            self.drain();
            let in_transit = |socket: &Socket| socket.to_server.len() + socket.to_client.len();
            while self.socket.as_ref().is_some_and(|socket| in_transit(socket) > 0) {
                self.deliver_to_server();
                self.deliver_to_client();
            }
            for at in (0..self.handlers.len()).rev() {
                self.run(at);
                self.drain();
            }
            if self.socket.as_ref().is_none_or(|socket| in_transit(socket) == 0) {
                self.pass(Duration::from_millis(100));
            }
            if self.is_finished() {
                return;
            }
        }
        panic!("it does not finish");
    }

    fn is_finished(&self) -> bool {
        self.handlers.is_empty()
            && (1..=self.calls).all(|call| !self.is_open(call))
            && self.socket.as_ref().is_some_and(|socket| socket.to_client.is_empty() && socket.to_server.is_empty())
            && self.received == self.pushed
            && self.answered == self.client_calls
    }
}
