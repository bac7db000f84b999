//! Interprets bytes as operations on a [`ServerConnection`], and checks its invariants after each one. The property
//! test generates the bytes, the fuzz target `server_connection` receives them from libFuzzer; both include this file.
//!
//! The invariants, for any input and any order in which handlers end:
//!
//! - Nothing panics, and every frame sent is valid.
//! - Each v1 call with an id gets exactly one response, failure or end of stream, or nothing if it was cancelled while
//!   it was open. Each classic call gets as many frames as its completion requires.
//! - Items are sent only while their call is open, and only within the caller's credit.
//! - The credit of uploads only grows. Handlers receive the items sent within it, in order, and one end.
//! - Client calls have the ids −1, −2 and so on. Each ends once, or not at all if it was cancelled. Their number is
//!   limited.
//! - No call starts while a barrier runs.
//! - Calls leave the wait queue in their order, and not while the open hook is pending.
//! - Running calls, queued calls, deferred responses, upload items and unsent frames stay within their limits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use aaw_protocol::codec::{self, Frame, Kind};
use aaw_protocol::hello::Limits;
use aaw_protocol::server::{
    Call, CallKey, ClientCallKey, Close, Completion, Input, ItemFrame, Output, ResponseMode, ServerConfig,
    ServerConnection,
};
use aaw_protocol::websocket::frame_len;
use aaw_protocol::{Code, Dialect, Failure, MAX_NAME_LEN};

const LIMITS: Limits = Limits { calls: 3, line: 600, message: 300 };
const MAX_UNSENT: usize = 1000;
const MAX_RUNNING: usize = 350;
const MAX_UPLOADS: usize = 220;
const MAX_CLIENT_CALLS: u32 = 2;
/// The cost of an upload item in addition to its text.
const ITEM_COST: usize = 64;
/// The number of upload items that may wait for a handler.
const WINDOW: u64 = 2;

/// What happens, by its number in [`ServerExercise::step`], in runs that test streams: steps that are rare in other
/// runs.
const STREAM_STEPS: [u8; 16] = [6, 7, 8, 9, 11, 17, 20, 23, 24, 25, 26, 31, 32, 33, 34, 35];

/// Runs one connection from its opening to its end.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut bytes = InputBytes(bytes.iter());
    let how = bytes.next();
    let dialect = if how % 4 == 0 { Dialect::Classic } else { Dialect::V1 };
    let mut exercise = ServerExercise::new(dialect);
    exercise.streams = how & 64 != 0;
    if how & 128 != 0 {
        exercise.connection.wait_for_open_hook();
        exercise.hook_pending = true;
        exercise.drain_outputs(&mut bytes);
    }
    // Most connections start with a hello; otherwise few would get past the handshake.
    if bytes.next() % 8 != 0 {
        exercise.receive(r#"["aaw/hello",{}]"#, &mut bytes);
    }
    while !bytes.is_empty() {
        exercise.step(&mut bytes);
        exercise.check();
    }
    exercise.end();
}

/// The input, read byte by byte and followed by endless zeros.
struct InputBytes<'a>(std::slice::Iter<'a, u8>);

impl InputBytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}

/// The state of a v1 call that used an id.
#[derive(Debug, Clone, Copy, PartialEq)]
enum CallFate {
    Open,
    /// The client cancelled it while it was open.
    Cancelled,
    Done,
}

/// A v1 call from the caller's point of view.
#[derive(Debug)]
struct CallerView {
    fate: CallFate,
    /// The credit, if the caller reads items, and the number of items received.
    credit: Option<u64>,
    items: u64,
    upload: bool,
    /// The credit granted by the server, the number of items sent, and whether the upload ended.
    granted: u64,
    uploaded: u64,
    upload_ended: bool,
}

/// A frame that should be in the wait queue.
struct QueuedText {
    text: String,
    id: Option<i64>,
}

/// A running handler.
struct RunningHandler {
    key: CallKey,
    id: Option<i64>,
    mode: ResponseMode,
    frame: Vec<u8>,
    items: ItemFrame,
    /// The number of items yielded.
    yielded: u64,
    /// The costs of the upload items that it has not taken, and the number of those that it has.
    waiting: VecDeque<usize>,
    taken: u64,
    upload_ended: bool,
}

struct ServerExercise {
    connection: ServerConnection,
    dialect: Dialect,
    streams: bool,
    now: Instant,
    /// Whether a v1 client has sent its hello.
    hello_received: bool,
    /// Whether the open hook is pending, and whether it was requested.
    hook_pending: bool,
    hook_requested: bool,
    welcomed: bool,
    closed: bool,
    drained: bool,
    /// The calls by id, from 1.
    calls: BTreeMap<i64, CallerView>,
    queued: VecDeque<QueuedText>,
    /// The call that no later call may overtake.
    barrier: Option<CallKey>,
    /// The client calls in flight, with their ids, and the last id.
    client_calls: BTreeMap<u64, i64>,
    last_client_call: i64,
    /// The ids of client calls that were cancelled or timed out.
    cancelled_client_calls: BTreeSet<i64>,
    handlers: Vec<RunningHandler>,
    /// The lengths of deferred responses, by id.
    deferred: BTreeMap<i64, usize>,
    /// The lengths of the frames that were not written to the socket.
    unsent: VecDeque<usize>,
    /// The number of classic frames that are due, and of those sent.
    classic_due: usize,
    classic_sent: usize,
}

impl ServerExercise {
    fn new(dialect: Dialect) -> Self {
        let now = Instant::now();
        let config = ServerConfig {
            limits: LIMITS,
            max_unsent_bytes: MAX_UNSENT,
            max_running_bytes: MAX_RUNNING,
            max_upload_bytes: MAX_UPLOADS,
            max_client_calls: MAX_CLIENT_CALLS,
            ..ServerConfig::default()
        };
        Self {
            connection: ServerConnection::new(dialect, "7f".into(), config, now),
            dialect,
            streams: false,
            now,
            hello_received: dialect == Dialect::Classic,
            hook_pending: false,
            hook_requested: false,
            welcomed: dialect == Dialect::Classic,
            closed: false,
            drained: false,
            calls: BTreeMap::new(),
            queued: VecDeque::new(),
            barrier: None,
            client_calls: BTreeMap::new(),
            last_client_call: 0,
            cancelled_client_calls: BTreeSet::new(),
            handlers: Vec::new(),
            deferred: BTreeMap::new(),
            unsent: VecDeque::new(),
            classic_due: 0,
            classic_sent: 0,
        }
    }

    fn step(&mut self, bytes: &mut InputBytes<'_>) {
        let next = self.calls.len() as i64 + 1;
        // Mostly the id of a call that may be open, or the next id.
        let which = bytes.next();
        let some_id = if which < 16 { i64::from(which) % (next + 1) } else { (next - i64::from(which) % 4).max(0) };
        let mut what = bytes.next();
        if self.streams {
            what = STREAM_STEPS[usize::from(what) % STREAM_STEPS.len()];
        }
        let text = match what % 43 {
            0..=4 => format!(r#"["e",{{"n":{some_id}}},{next}]"#),
            5 => format!(r#"["e",1,{next},"call",{{"timeout":{}}}]"#, u64::from(bytes.next()) * 100),
            6..=8 => format!(r#"["e", [] ,{next},"call",{{"credit":{}}}]"#, bytes.next() % 4),
            9 | 10 => format!(r#"["e",1,{next},"call",{{"in":true}}]"#),
            11 => {
                let (credit, timeout) = (bytes.next() % 2, u64::from(bytes.next()) * 100);
                format!(r#"["e",1,{next},"call",{{"in":true,"credit":{credit},"timeout":{timeout}}}]"#)
            }
            12 => format!(r#"["e",1,{next},"call",{{"timeout":"x"}}]"#),
            13 => format!(r#"["e",1,0,"call",{next}]"#),
            14 => format!(r#"["e",{{]],{next}]"#),
            15 => r#"["e",{}]"#.to_owned(),
            16 => format!(r#"["e",{{}},{some_id}]"#),
            17 | 18 => format!(r#"["e",null,{some_id},"cancel"]"#),
            19 => {
                let kind = ["credit", "item", "end", "error", "call", "maybe"][usize::from(bytes.next()) % 6];
                format!(r#"["e",null,{},"{kind}"]"#, some_id - 1)
            }
            20..=22 => format!(r#"["e",{},{some_id},"credit"]"#, i64::from(bytes.next() % 8) - 1),
            23..=25 => format!(r#"["e","{}",{some_id},"item"]"#, "i".repeat(usize::from(bytes.next()) / 2)),
            26 => format!(r#"["e",null,{some_id},"end"]"#),
            27 => {
                let known = ["aaw/ping", "aaw/ack", "aaw/hello", "aaw/else"][usize::from(bytes.next()) % 4];
                format!(r#"["{known}",{{}}]"#)
            }
            28 => format!(r#"["{}",1,{next}]"#, "n".repeat(usize::from(bytes.next()) * 2)),
            29 => format!(r#"["e","{}",{next}]"#, "b".repeat(usize::from(bytes.next()))),
            30 => {
                let len = usize::from(bytes.next()) % 64;
                let raw: Vec<u8> = (0..len).map(|_| bytes.next()).collect();
                String::from_utf8_lossy(&raw).into_owned()
            }
            31 => return self.complete(bytes),
            32..=34 => return self.advance(bytes),
            35 => return self.write(usize::from(bytes.next()) % 4, bytes),
            36 => return self.pass(Duration::from_millis(u64::from(bytes.next()) * 50), bytes),
            37 => {
                self.connection.handle_binary(self.now, 3);
                return self.drain_outputs(bytes);
            }
            38 => return self.run_open_hook(bytes),
            // A response to a client call, or with an unrelated id.
            39 | 40 => {
                let id =
                    -i64::from(bytes.next() % 4) - if which < 16 { 0 } else { (-self.last_client_call - 2).max(0) };
                match bytes.next() % 4 {
                    0 => format!(r#"["e",{{"error":"no"}},{id},"error"]"#),
                    1 => format!(r#"["e",[],{id},"error"]"#),
                    _ => format!(r#"["e",{{}},{id}]"#),
                }
            }
            41 => return self.make_client_call(bytes),
            42 => {
                if let Some((&key, _)) = self.client_calls.iter().nth(usize::from(bytes.next() % 2)) {
                    self.client_calls.remove(&key);
                    self.connection.cancel_client_call(ClientCallKey(key));
                }
                return self.drain_outputs(bytes);
            }
            _ => match bytes.next() % 16 {
                0 => {
                    self.drained = true;
                    self.connection.drain();
                    return self.drain_outputs(bytes);
                }
                1 => {
                    self.connection.close(Close::Stalled);
                    return self.drain_outputs(bytes);
                }
                _ => return self.complete(bytes),
            },
        };
        self.receive(&text, bytes);
    }

    /// Makes a client call.
    fn make_client_call(&mut self, bytes: &mut InputBytes<'_>) {
        let key = self.last_client_call.unsigned_abs() + 1;
        let (time, len) = (bytes.next(), usize::from(bytes.next()) * 2);
        let deadline = (time % 4 != 0).then(|| self.now + Duration::from_millis(u64::from(time) * 50));
        let body = format!("{:?}", "b".repeat(len));
        let may = self.dialect == Dialect::V1 && self.connection.is_open() && !self.closed;
        match self.connection.client_call(self.now, ClientCallKey(key), "e", &body, deadline) {
            Ok(()) => {
                assert!(may && self.client_calls.len() < MAX_CLIENT_CALLS as usize);
                self.last_client_call -= 1;
                self.client_calls.insert(key, self.last_client_call);
            }
            Err(failure) => {
                let full = self.client_calls.len() == MAX_CLIENT_CALLS as usize || !self.connection.may_stream();
                assert!(!may || len > 270 || (full && failure.code == Code::BUSY), "{failure}");
            }
        }
        self.drain_outputs(bytes);
    }

    /// Lets the open hook pass, or sometimes refuse the connection.
    fn run_open_hook(&mut self, bytes: &mut InputBytes<'_>) {
        if self.hook_requested && self.hook_pending {
            if bytes.next().is_multiple_of(8) {
                self.connection.handle_open_hook_refused(Failure::new(Code::HANDLER, "no"));
                if !self.closed {
                    self.queued.clear();
                }
            } else {
                self.connection.handle_open_hook_passed();
                // A hook that passes after the close has no effect.
                self.hook_pending = self.closed;
            }
        } else if !self.hook_pending {
            self.connection.handle_open_hook_passed();
        }
        self.drain_outputs(bytes);
    }

    /// Receives a text, unless the server does not read because the client does not.
    fn receive(&mut self, text: &str, bytes: &mut InputBytes<'_>) {
        if !self.connection.wants_input() {
            return self.write(usize::MAX, bytes);
        }
        self.connection.handle_sign_of_life(self.now);
        let was_closed = self.closed;
        // The result of a parser without shortcuts.
        let frame = codec::decode_strictly(text).ok();
        let kind = frame.as_ref().map(|frame| frame.kind);
        let id = frame.as_ref().and_then(|frame| frame.v1_id().ok().flatten());
        let is_call =
            frame.is_some() && !was_closed && self.hello_received && matches!(kind, Some(Kind::Unmarked | Kind::Call));
        let is_client_response =
            self.dialect == Dialect::V1 && id.is_some_and(|id| id < 0) && kind == Some(Kind::Unmarked);
        let is_call = is_call && !is_client_response;
        let next = self.calls.len() as i64 + 1;
        let takes_id = is_call && self.dialect == Dialect::V1 && id == Some(next);
        if takes_id && let Some(frame) = &frame {
            self.calls.insert(next, caller_view(frame));
        }
        let is_v1 = self.dialect == Dialect::V1 && self.hello_received && !was_closed;
        let expected = match (&frame, id) {
            (Some(frame), Some(id)) if is_v1 && !is_call => self.expect_control_frame(frame, id),
            _ => None,
        };
        let input = self.connection.handle_text(self.now, text);
        match &expected {
            None => {}
            Some(ExpectedInput::Done) => {
                assert!(matches!(input, Input::Handled), "{text} should be handled, not {input:?}");
            }
            Some(ExpectedInput::Bad) => {
                assert!(matches!(input, Input::BadFrame(_)), "{text} should be bad, not {input:?}");
            }
            Some(ExpectedInput::Item) => assert!(matches!(input, Input::UploadItem { .. }), "{text}: {input:?}"),
            Some(ExpectedInput::End) => assert!(matches!(input, Input::UploadEnd { .. }), "{text}: {input:?}"),
        }
        match input {
            Input::Call(call) => {
                assert!(self.queued.is_empty() && !self.drained, "{text} overtakes a queued call");
                self.run(call, takes_id.then_some(next), bytes);
            }
            Input::UploadItem { key, data } => {
                assert_eq!(Some(data), frame.as_ref().map(|frame| frame.data));
                let handler = self.handler(key);
                assert!(handler.id == id && !handler.upload_ended);
                handler.waiting.push_back(data.len() + ITEM_COST);
                assert!(handler.waiting.len() as u64 <= WINDOW, "no more items wait than the window allows");
            }
            Input::Hello(_) | Input::Acknowledged(_) => panic!("no hello of these asks for resumption"),
            Input::UploadEnd { key } => self.end_upload(key),
            Input::Handled if takes_id => self.queued.push_back(QueuedText { text: text.to_owned(), id }),
            Input::Handled => {
                if !self.hello_received && !was_closed {
                    self.hello_received = true;
                } else if is_call && frame.as_ref().is_some_and(|frame| !is_handled_at_once(&frame.event, self.dialect))
                {
                    self.queued.push_back(QueuedText { text: text.to_owned(), id: None });
                }
            }
            Input::Refused { event, .. } => {
                assert!(is_call, "{text} was refused but is not a call");
                assert!(event.len() <= 4 * (MAX_NAME_LEN + 1), "a long name is shortened");
                self.classic_due += usize::from(self.dialect == Dialect::Classic);
            }
            Input::BadFrame(bad) => assert!(!takes_id, "{text} is a call, not {bad}"),
        }
        self.drain_outputs(bytes);
    }

    /// Returns the expected result of a frame with the id of a call, and updates the caller's view.
    fn expect_control_frame(&mut self, frame: &Frame<'_>, id: i64) -> Option<ExpectedInput> {
        if id < 0 && matches!(frame.kind, Kind::Unmarked | Kind::Error) {
            // A known client call may be over.
            return Some(if id >= self.last_client_call { ExpectedInput::Done } else { ExpectedInput::Bad });
        }
        let Some(view) = self.calls.get_mut(&id) else { return Some(ExpectedInput::Bad) };
        let (open, deferred) = (view.fate == CallFate::Open, self.deferred.contains_key(&id));
        let is_queued = self.queued.iter().any(|queued| queued.id == Some(id));
        let expected = match frame.kind {
            Kind::Cancel => {
                if open {
                    view.fate = CallFate::Cancelled;
                    self.queued.retain(|queued| queued.id != Some(id));
                }
                ExpectedInput::Done
            }
            Kind::Credit => match frame.credit() {
                Ok(items) => {
                    if open && let Some(credit) = &mut view.credit {
                        *credit = items.max(*credit);
                    }
                    ExpectedInput::Done
                }
                Err(_) => ExpectedInput::Bad,
            },
            Kind::Item | Kind::End if !open || deferred => ExpectedInput::Done,
            Kind::Item | Kind::End if !view.upload || view.upload_ended => ExpectedInput::Bad,
            Kind::End => {
                view.upload_ended = true;
                if is_queued { ExpectedInput::Done } else { ExpectedInput::End }
            }
            Kind::Item if view.uploaded >= view.granted => {
                self.queued.retain(|queued| queued.id != Some(id));
                ExpectedInput::Bad
            }
            Kind::Item => {
                view.uploaded += 1;
                let waiting = self.handlers.iter().flat_map(|handler| &handler.waiting).sum::<usize>();
                if waiting + frame.data.len() + ITEM_COST > MAX_UPLOADS {
                    ExpectedInput::Done
                } else {
                    ExpectedInput::Item
                }
            }
            Kind::Unmarked | Kind::Call | Kind::Error => return None,
        };
        Some(expected)
    }

    fn handler(&mut self, key: CallKey) -> &mut RunningHandler {
        self.handlers.iter_mut().find(|handler| handler.key == key).expect("the handler runs")
    }

    fn end_upload(&mut self, key: CallKey) {
        let handler = self.handler(key);
        assert!(!std::mem::replace(&mut handler.upload_ended, true), "an upload ends once");
    }

    /// Starts a handler. The next byte determines how it continues.
    fn run(&mut self, call: Call<'_>, id: Option<i64>, bytes: &mut InputBytes<'_>) {
        if let Err(bad) = call.check() {
            assert!(id.is_none(), "{call:?} is a call, not {bad}");
            let Input::BadFrame(_) = self.connection.reject(call, bad) else { panic!("a bad frame") };
            return;
        }
        assert!(!self.hook_pending && !self.closed, "{call:?} runs too early or too late");
        let barrier = self.barrier.filter(|key| self.handlers.iter().any(|handler| handler.key == *key));
        assert_eq!(barrier, None, "{call:?} overtakes a barrier");
        assert!(codec::is_json(call.body), "{call:?}");
        assert_eq!(call.expects_response, self.dialect == Dialect::Classic || id.is_some());
        assert_eq!(call.upload, id.is_some_and(|id| self.calls[&id].upload));
        let mode = call.response_mode();
        assert_eq!(mode == ResponseMode::Items, id.is_some_and(|id| self.calls[&id].credit.is_some()));
        let (frame, items) = (call.begin_response(), call.item_frame());
        let how = bytes.next();
        if how % 8 < 5 {
            let upload = call.upload;
            let key = match how / 8 % 6 {
                0 => *self.barrier.insert(self.connection.add_pending_barrier(call)),
                _ => self.connection.add_pending(call),
            };
            if let Some(credit) = id.and_then(|id| self.calls[&id].credit) {
                assert_eq!(self.connection.credit(key), credit, "all earlier credit counts");
            }
            if upload {
                self.connection.grant_upload_credit(key, WINDOW);
            }
            let (waiting, taken) = (VecDeque::new(), 0);
            let handler =
                RunningHandler { key, id, mode, frame, items, yielded: 0, waiting, taken, upload_ended: false };
            self.handlers.push(handler);
        } else {
            let (frame, completion) = completion(frame, how, false);
            self.expect_frames(mode, id, frame.len(), &completion);
            self.connection.complete_now(call, frame, completion);
        }
    }

    /// Lets a running handler take an upload item if there is one, or yield an item if it may.
    fn advance(&mut self, bytes: &mut InputBytes<'_>) {
        if self.handlers.is_empty() {
            return;
        }
        let at = usize::from(bytes.next()) % self.handlers.len();
        let how = bytes.next();
        let handler = &mut self.handlers[at];
        let key = handler.key;
        if how.is_multiple_of(2) && !handler.waiting.is_empty() {
            handler.waiting.pop_front();
            handler.taken += 1;
            let credit = handler.taken + WINDOW;
            self.connection.grant_upload_credit(key, credit);
            self.connection.grant_upload_credit(key, credit - 1);
        } else if handler.yielded < self.connection.credit(key) && self.connection.may_stream() {
            handler.yielded += 1;
            let mut frame = handler.items.begin();
            frame.extend_from_slice(b"[");
            // Some items exceed the message limit.
            frame.resize(frame.len() + usize::from(how), b'7');
            frame.resize(frame.len() + if how > 250 { 100 } else { 0 }, b'7');
            frame.extend_from_slice(b"]");
            handler.items.end(&mut frame);
            let (mode, fits) = (handler.mode, frame.len() <= LIMITS.message as usize);
            // An item, or the failure in its place.
            self.classic_due += usize::from(mode == ResponseMode::Pushes);
            let was_open = self.connection.handle_item(key, frame.into());
            let counts = matches!(mode, ResponseMode::Items | ResponseMode::Pushes);
            assert_eq!(was_open, fits || !counts, "the call was not dropped");
        }
        self.drain_outputs(bytes);
    }

    /// Completes a running handler, not always the oldest.
    fn complete(&mut self, bytes: &mut InputBytes<'_>) {
        if self.handlers.is_empty() {
            return;
        }
        let at = usize::from(bytes.next()) % self.handlers.len();
        let RunningHandler { key, id, mode, frame, yielded, .. } = self.handlers.swap_remove(at);
        let (frame, completion) = completion(frame, bytes.next(), yielded > 0);
        self.expect_frames(mode, id, frame.len(), &completion);
        assert!(self.connection.complete(key, frame, completion), "a call that was not dropped is open");
        self.drain_outputs(bytes);
    }

    /// Registers the frames that are due for a call that is about to complete. A deferred response is removed again
    /// once its frames are sent.
    fn expect_frames(&mut self, mode: ResponseMode, id: Option<i64>, len: usize, completion: &Completion) {
        let quiet =
            mode == ResponseMode::Pushes && matches!(completion, Completion::OneWayDone | Completion::StreamEnded);
        self.classic_due += usize::from(self.dialect == Dialect::Classic && !quiet);
        if let Some(id) = id
            && self.calls[&id].credit == Some(0)
            && matches!(completion, Completion::Responded)
        {
            self.deferred.insert(id, len);
        }
    }

    /// Writes some of the unsent frames.
    fn write(&mut self, frames: usize, bytes: &mut InputBytes<'_>) {
        for _ in 0..frames.min(self.unsent.len()) {
            self.unsent.pop_front().expect("an unsent frame");
        }
        self.connection.set_unsent_bytes(self.unsent.iter().map(|len| frame_len(*len)).sum());
        self.drain_outputs(bytes);
    }

    fn pass(&mut self, time: Duration, bytes: &mut InputBytes<'_>) {
        self.now += time;
        self.connection.handle_timeout(self.now);
        if !self.closed && self.hello_received {
            // Otherwise the owner's timer would spin.
            assert!(self.connection.poll_timeout() > self.now);
        }
        self.drain_outputs(bytes);
    }

    /// Does what the owner of the socket does after each input.
    fn drain_outputs(&mut self, bytes: &mut InputBytes<'_>) {
        loop {
            while let Some(output) = self.connection.poll_output() {
                self.handle_output(output);
            }
            let Some(queued) = self.connection.poll_queued() else { break };
            let input = self.connection.handle_queued(self.now, &queued);
            if let Input::UploadEnd { key } = input {
                self.end_upload(key);
                continue;
            }
            let first = self.queued.pop_front().expect("the wait queue returns only queued calls");
            let strict = codec::decode_strictly(&first.text).expect("a valid frame");
            match input {
                Input::Call(call) => {
                    assert_eq!((&*call.event, call.body), (&*strict.event, strict.data), "first in, first out");
                    self.run(call, first.id, bytes);
                }
                // Queued calls are refused one by one, each with its own frame.
                Input::Refused { failure, .. } => {
                    assert_eq!(failure.code, if self.drained { Code::BUSY } else { Code::TIMEOUT });
                    self.classic_due += usize::from(self.dialect == Dialect::Classic);
                }
                other => panic!("{other:?}"),
            }
        }
        self.deferred.retain(|id, _| self.calls[id].fate == CallFate::Open);
        assert_eq!(self.connection.open_calls(), self.handlers.len() + self.deferred.len());
        for handler in &self.handlers {
            if let Some(view) = handler.id.and_then(|id| self.calls.get(&id)) {
                assert_eq!(handler.upload_ended, view.upload_ended, "the handler is notified of the end at once");
            }
        }
    }

    fn handle_output(&mut self, output: Output) {
        match output {
            Output::Send(frame) | Output::SendUncounted(frame) | Output::Welcome(frame) => {
                let text = std::str::from_utf8(&frame).expect("a frame is UTF-8");
                self.handle_frame(text);
                self.unsent.push_back(frame.len());
            }
            Output::Drop { key, .. } => {
                let at = self.handlers.iter().position(|running| running.key == key).expect("the handler runs");
                self.handlers.swap_remove(at);
                // Calls of methods that cross with the drop are ignored.
                assert_eq!(self.connection.credit(key), 0);
                assert!(!self.connection.handle_item(key, "[\"e\",1,1,\"item\"]".into()));
                self.connection.grant_upload_credit(key, u64::MAX);
                assert!(!self.connection.complete(key, b"[\"e\",1".to_vec(), Completion::Responded));
            }
            Output::Credit { key, items } => {
                assert!(self.connection.credit(key) >= items);
                assert!(self.handlers.iter().any(|handler| handler.key == key), "the handler runs");
            }
            Output::RunOpenHook => {
                assert!(
                    self.hook_pending && !std::mem::replace(&mut self.hook_requested, true),
                    "the hook is requested once"
                );
            }
            Output::Ping => {}
            Output::ClientCallDone { key: ClientCallKey(key), .. } => {
                let id = self.client_calls.remove(&key).expect("a client call ends once");
                assert!(id >= self.last_client_call);
            }
            Output::Close(_) => {
                assert!(!std::mem::replace(&mut self.closed, true), "a connection closes once");
            }
        }
    }

    fn handle_frame(&mut self, text: &str) {
        let sent = codec::decode_strictly(text).expect("the server sends valid frames");
        let refusal = sent.kind == Kind::Error || sent.event == "aaw/error" || sent.data.contains("\"error\"");
        assert!(text.len() <= LIMITS.message as usize || refusal, "{text} exceeds the message limit");
        assert!(text.len() < 4000, "{text} is larger than any failure");
        if self.dialect == Dialect::Classic {
            assert!(sent.kind == Kind::Unmarked, "{text} is not classic");
            self.classic_sent += 1;
            return;
        }
        if sent.event == "aaw/welcome" {
            assert!(!self.hook_pending && !std::mem::replace(&mut self.welcomed, true), "one welcome, after the hook");
        }
        let Some(id) = sent.v1_id().expect("a v1 frame has a v1 id") else { return };
        assert!(self.welcomed || sent.kind == Kind::Error, "{text} comes before the welcome");
        if id < 0 {
            match sent.kind {
                Kind::Unmarked => assert_eq!(id, self.last_client_call, "ids of client calls are consecutive"),
                Kind::Cancel => assert!(self.cancelled_client_calls.insert(id), "{text} is sent twice"),
                kind => panic!("{text}: {kind:?} for a client call"),
            }
            return;
        }
        let view = self.calls.get_mut(&id).expect("the id of a call");
        // Frames in transit could cross with a cancel, but here there is no transit.
        assert_eq!(view.fate, CallFate::Open, "{text} is sent for a call that is over");
        match sent.kind {
            Kind::Item => {
                view.items += 1;
                assert!(view.items <= view.credit.expect("the caller reads items"), "{text} is beyond its credit");
            }
            Kind::Credit => {
                let credit = sent.credit().expect("valid credit");
                assert!(view.upload && credit > view.granted && !view.upload_ended, "{text} does not raise the credit");
                view.granted = credit;
            }
            Kind::End => {
                assert!(view.credit.is_some(), "the caller reads items");
                view.fate = CallFate::Done;
            }
            Kind::Unmarked => {
                assert!(view.credit.is_none(), "the caller reads no items");
                view.fate = CallFate::Done;
            }
            Kind::Error => view.fate = CallFate::Done,
            Kind::Call | Kind::Cancel => panic!("a server does not send {text}"),
        }
    }

    fn check(&self) {
        assert!(self.handlers.len() + self.deferred.len() <= LIMITS.calls as usize);
        assert!(self.queued.iter().map(|queued| queued.text.len()).sum::<usize>() <= LIMITS.line as usize);
        assert!(self.deferred.values().sum::<usize>() <= MAX_RUNNING);
        for (id, view) in self.calls.iter().filter(|(id, _)| self.deferred.contains_key(id)) {
            assert_eq!(view.credit, Some(0), "the response to {id} is deferred despite its credit");
        }
        let uploaded = self.handlers.iter().flat_map(|handler| &handler.waiting);
        assert!(uploaded.sum::<usize>() <= MAX_UPLOADS);
        // The limit at which reading stops, the last frame, the running calls, the refusals of a full wait queue, and
        // the deferred responses.
        let max_bytes = 2 * MAX_UNSENT
            + 4000
            + LIMITS.calls as usize * LIMITS.message as usize
            + LIMITS.line as usize * 10
            + MAX_RUNNING;
        assert!(self.unsent.iter().sum::<usize>() <= max_bytes);
        assert_eq!(self.connection.is_open(), self.hello_received && !self.hook_pending);
        if self.dialect == Dialect::Classic {
            assert_eq!(self.classic_sent, self.classic_due);
        }
    }

    /// Passes the hook, completes all handlers, writes all frames and grants all credit. Then each call must be over.
    fn end(mut self) {
        let mut nothing = InputBytes([].iter());
        if self.hook_requested && self.hook_pending && !self.closed {
            self.hook_pending = false;
            self.connection.handle_open_hook_passed();
            self.drain_outputs(&mut nothing);
        }
        while !self.handlers.is_empty() || !self.unsent.is_empty() || (!self.deferred.is_empty() && !self.closed) {
            self.complete(&mut nothing);
            self.write(usize::MAX, &mut nothing);
            if let Some((id, _)) = self.deferred.pop_first() {
                self.deferred.insert(id, 0);
                self.receive(&format!(r#"["e",1,{id},"credit"]"#), &mut nothing);
            }
            self.check();
        }
        if self.closed {
            return;
        }
        assert!(self.connection.is_idle() && self.queued.is_empty());
        for (id, view) in &self.calls {
            assert_ne!(view.fate, CallFate::Open, "call {id} got no response");
        }
    }
}

/// The expected result of a frame with the id of a call.
enum ExpectedInput {
    Done,
    Bad,
    Item,
    End,
}

fn caller_view(frame: &Frame<'_>) -> CallerView {
    let meta = frame.parse_meta().unwrap_or_default();
    CallerView {
        fate: CallFate::Open,
        credit: meta.credit,
        items: 0,
        upload: meta.upload,
        granted: 0,
        uploaded: 0,
        upload_ended: false,
    }
}

/// Whether an event is handled at once, bypassing the wait queue.
fn is_handled_at_once(event: &str, dialect: Dialect) -> bool {
    dialect == Dialect::V1 && matches!(event, "aaw/ping" | "aaw/ack")
}

/// Returns how a handler completes. A handler that yielded items has no other response.
fn completion(mut frame: Vec<u8>, how: u8, streamed: bool) -> (Vec<u8>, Completion) {
    let completion = match how % 8 {
        3 => Completion::OneWayDone,
        4 => Completion::Failed(Failure::new(Code::HANDLER, "x".repeat(usize::from(how) * 2))),
        5 => Completion::Refused(Failure::unknown_event("e")),
        6 => {
            frame.clear();
            Completion::StreamEnded
        }
        _ if streamed => Completion::StreamEnded,
        1 | 2 => {
            frame.push(b'"');
            frame.resize(frame.len() + usize::from(how), b'x');
            frame.resize(frame.len() + if how > 240 { 100 } else { 0 }, b'x');
            frame.push(b'"');
            Completion::Responded
        }
        _ => {
            frame.extend_from_slice(b"{\"done\":true}");
            Completion::Responded
        }
    };
    (frame, completion)
}
