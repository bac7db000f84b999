//! Does to a [`ServerConnection`] whatever a string of bytes says, and checks after each step that it kept its promises.
//! The property test draws the bytes, the fuzz target `server_connection` gets them from libFuzzer; both include this
//! file.
//!
//! Promises, whatever comes in and in whatever order handlers end:
//!
//! - nothing panics, and every frame that goes out is a frame;
//! - each v1 call with an id is answered exactly once, with one answer, one failure or the end of a stream, or not at
//!   all if it was cancelled while it was open; each classic call as often as its outcome says;
//! - items go out while their call is open, and never more than its caller has credit for;
//! - room for uploads grows and never shrinks, and handlers get the items that were sent into it, in order, and one
//!   end;
//! - what the client is asked has the ids −1, −2 and so on, ends once, and not at all if it was cancelled; no more of it
//!   is open than may be;
//! - while a call runs that nothing may overtake, none is started;
//! - calls leave the line in the order in which they came, and not while the connection is held;
//! - what runs, what waits, for credit too, what is uploaded and what is unsent stay within their limits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use aaw_protocol::codec::{self, Frame, Kind};
use aaw_protocol::hello::Limits;
use aaw_protocol::server::{
    Call, CallKey, ClientCallKey, Close, Completion, Input, ItemFrame, Output, ResponseMode, ServerConfig,
    ServerConnection,
};
use aaw_protocol::{Code, Dialect, Failure, MAX_NAME_LEN};

const LIMITS: Limits = Limits { calls: 3, line: 600, message: 300 };
const UNSENT: usize = 1000;
const RUNNING: usize = 350;
const UPLOADS: usize = 220;
const ASKS: u32 = 2;
/// What an item of an upload costs besides its text.
const ITEM_COST: usize = 64;
/// Items of an upload that a handler leaves waiting.
const WINDOW: u64 = 2;

/// What happens, by its number in [`World::step`], in sessions that are about streams: what is rare in others.
const STREAMS: [u8; 16] = [6, 7, 8, 9, 11, 17, 20, 23, 24, 25, 26, 31, 32, 33, 34, 35];

/// Runs one session from its opening to its end.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut bytes = Bytes(bytes.iter());
    let how = bytes.next();
    let dialect = if how % 4 == 0 { Dialect::Classic } else { Dialect::V1 };
    let mut world = World::new(dialect);
    world.streams = how & 64 != 0;
    if how & 128 != 0 {
        world.session.wait_for_open_hook();
        world.held = true;
        world.settle(&mut bytes);
    }
    // Most sessions begin well, or nothing of them would be seen but the greeting.
    if bytes.next() % 8 != 0 {
        world.hear(r#"["aaw/hello",{}]"#, &mut bytes);
    }
    while !bytes.is_empty() {
        world.step(&mut bytes);
        world.check();
    }
    world.end();
}

/// What is to be done, read byte by byte; after the end come zeros.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }
}

/// What has become of a v1 call that took an id.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Open,
    /// The client cancelled it while it was open.
    Cancelled,
    Answered,
}

/// A v1 call as its caller knows it.
#[derive(Debug)]
struct Asked {
    fate: Fate,
    /// Up to which item there is room, if it reads items, and how many came.
    credit: Option<u64>,
    items: u64,
    upload: bool,
    /// What the server gave room for, what was sent into it, and whether that is over.
    room: u64,
    uploaded: u64,
    upload_ended: bool,
}

/// A frame that should be in the line.
struct InLine {
    text: String,
    id: Option<i64>,
}

/// A handler that runs.
struct Handler {
    key: CallKey,
    id: Option<i64>,
    wants: ResponseMode,
    frame: Vec<u8>,
    items: ItemFrame,
    /// Items that it yielded.
    yielded: u64,
    /// What it was given and has not taken, and how much it took.
    waiting: VecDeque<usize>,
    taken: u64,
    upload_ended: bool,
}

struct World {
    session: ServerConnection,
    dialect: Dialect,
    streams: bool,
    now: Instant,
    /// Whether a v1 client has said hello.
    greeted: bool,
    /// Whether nobody has agreed to the connection yet, and whether that was asked for.
    held: bool,
    asked: bool,
    welcomed: bool,
    closed: bool,
    drained: bool,
    /// By id, from 1.
    calls: BTreeMap<i64, Asked>,
    in_line: VecDeque<InLine>,
    /// The call before whose end no other may begin.
    barrier: Option<CallKey>,
    /// Asks that are open, with their ids; how many were made, and the last id that was seen.
    asks: BTreeMap<u64, i64>,
    last_ask: i64,
    /// What was cancelled of them, or timed out.
    unasked: BTreeSet<i64>,
    handlers: Vec<Handler>,
    /// Answers that wait for credit, by id: how long they are.
    parked: BTreeMap<i64, usize>,
    /// Lengths of the frames that the client has not taken.
    unsent: VecDeque<usize>,
    /// How many classic frames have to go out, and how many did.
    classic_due: usize,
    classic_sent: usize,
}

impl World {
    fn new(dialect: Dialect) -> Self {
        let now = Instant::now();
        let config = ServerConfig {
            limits: LIMITS,
            unsent: UNSENT,
            running: RUNNING,
            uploads: UPLOADS,
            asks: ASKS,
            ..ServerConfig::default()
        };
        Self {
            session: ServerConnection::new(dialect, "7f".into(), config, now),
            dialect,
            streams: false,
            now,
            greeted: dialect == Dialect::Classic,
            held: false,
            asked: false,
            welcomed: dialect == Dialect::Classic,
            closed: false,
            drained: false,
            calls: BTreeMap::new(),
            in_line: VecDeque::new(),
            barrier: None,
            asks: BTreeMap::new(),
            last_ask: 0,
            unasked: BTreeSet::new(),
            handlers: Vec::new(),
            parked: BTreeMap::new(),
            unsent: VecDeque::new(),
            classic_due: 0,
            classic_sent: 0,
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let next = self.calls.len() as i64 + 1;
        // Mostly a call that may still be open, or one that was not made yet.
        let which = bytes.next();
        let some_id = if which < 16 { i64::from(which) % (next + 1) } else { (next - i64::from(which) % 4).max(0) };
        let mut what = bytes.next();
        if self.streams {
            what = STREAMS[usize::from(what) % STREAMS.len()];
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
            31 => return self.finish(bytes),
            32..=34 => return self.go_on(bytes),
            35 => return self.take(usize::from(bytes.next()) % 4, bytes),
            36 => return self.pass(Duration::from_millis(u64::from(bytes.next()) * 50), bytes),
            37 => {
                self.session.handle_binary();
                return self.settle(bytes);
            }
            38 => return self.decide(bytes),
            // An answer to what was asked, or to anything.
            39 | 40 => {
                let id = -i64::from(bytes.next() % 4) - if which < 16 { 0 } else { (-self.last_ask - 2).max(0) };
                match bytes.next() % 4 {
                    0 => format!(r#"["e",{{"error":"no"}},{id},"error"]"#),
                    1 => format!(r#"["e",[],{id},"error"]"#),
                    _ => format!(r#"["e",{{}},{id}]"#),
                }
            }
            41 => return self.ask(bytes),
            42 => {
                if let Some((&key, _)) = self.asks.iter().nth(usize::from(bytes.next() % 2)) {
                    self.asks.remove(&key);
                    self.session.cancel_client_call(ClientCallKey(key));
                }
                return self.settle(bytes);
            }
            _ => match bytes.next() % 16 {
                0 => {
                    self.drained = true;
                    self.session.drain();
                    return self.settle(bytes);
                }
                1 => {
                    self.session.close(Close::Stalled);
                    return self.settle(bytes);
                }
                _ => return self.finish(bytes),
            },
        };
        self.hear(&text, bytes);
    }

    /// Somebody asks the client.
    fn ask(&mut self, bytes: &mut Bytes<'_>) {
        let key = self.last_ask.unsigned_abs() + 1;
        let (time, len) = (bytes.next(), usize::from(bytes.next()) * 2);
        let deadline = (time % 4 != 0).then(|| self.now + Duration::from_millis(u64::from(time) * 50));
        let body = format!("{:?}", "b".repeat(len));
        let may = self.dialect == Dialect::V1 && self.session.is_open() && !self.closed;
        match self.session.client_call(self.now, ClientCallKey(key), "e", &body, deadline) {
            Ok(()) => {
                assert!(may && self.asks.len() < ASKS as usize);
                self.last_ask -= 1;
                self.asks.insert(key, self.last_ask);
            }
            Err(failure) => {
                let full = self.asks.len() == ASKS as usize || !self.session.may_stream();
                assert!(!may || len > 270 || (full && failure.code == Code::BUSY), "{failure}");
            }
        }
        self.settle(bytes);
    }

    /// Somebody agrees to the connection, or seldom does not.
    fn decide(&mut self, bytes: &mut Bytes<'_>) {
        if self.asked && self.held {
            if bytes.next().is_multiple_of(8) {
                self.session.handle_open_hook_refused(Failure::new(Code::HANDLER, "no"));
                if !self.closed {
                    self.in_line.clear();
                }
            } else {
                self.session.handle_open_hook_passed();
                // Nothing is agreed to once it has ended.
                self.held = self.closed;
            }
        } else if !self.held {
            self.session.handle_open_hook_passed();
        }
        self.settle(bytes);
    }

    /// The client sends a text, if it may: a client that reads nothing is not read from either.
    fn hear(&mut self, text: &str, bytes: &mut Bytes<'_>) {
        if !self.session.wants_input() {
            return self.take(usize::MAX, bytes);
        }
        self.session.handle_sign_of_life(self.now);
        let was_closed = self.closed;
        // What a parser that knows nothing of shortcuts makes of it.
        let frame = codec::decode_strictly(text).ok();
        let kind = frame.as_ref().map(|frame| frame.kind);
        let id = frame.as_ref().and_then(|frame| frame.v1_id().ok().flatten());
        let is_call =
            frame.is_some() && !was_closed && self.greeted && matches!(kind, Some(Kind::Unmarked | Kind::Call));
        let answers = self.dialect == Dialect::V1 && id.is_some_and(|id| id < 0) && kind == Some(Kind::Unmarked);
        let is_call = is_call && !answers;
        let next = self.calls.len() as i64 + 1;
        let takes_id = is_call && self.dialect == Dialect::V1 && id == Some(next);
        if takes_id && let Some(frame) = &frame {
            self.calls.insert(next, asked(frame));
        }
        let is_v1 = self.dialect == Dialect::V1 && self.greeted && !was_closed;
        let expected = match (&frame, id) {
            (Some(frame), Some(id)) if is_v1 && !is_call => self.expect_about(frame, id),
            _ => None,
        };
        let input = self.session.handle_text(self.now, text);
        match &expected {
            None => {}
            Some(Expected::Done) => assert!(matches!(input, Input::Handled), "{text} is dealt with, not {input:?}"),
            Some(Expected::Bad) => assert!(matches!(input, Input::BadFrame(_)), "{text} is bad, not {input:?}"),
            Some(Expected::Item) => assert!(matches!(input, Input::UploadItem { .. }), "{text}: {input:?}"),
            Some(Expected::End) => assert!(matches!(input, Input::UploadEnd { .. }), "{text}: {input:?}"),
        }
        match input {
            Input::Call(call) => {
                assert!(self.in_line.is_empty() && !self.drained, "{text} overtakes what waits");
                self.run(call, takes_id.then_some(next), bytes);
            }
            Input::UploadItem { key, data } => {
                assert_eq!(Some(data), frame.as_ref().map(|frame| frame.data));
                let handler = self.handler(key);
                assert!(handler.id == id && !handler.upload_ended);
                handler.waiting.push_back(data.len() + ITEM_COST);
                assert!(handler.waiting.len() as u64 <= WINDOW, "no more wait than there was room for");
            }
            Input::UploadEnd { key } => self.end_upload(key),
            Input::Handled if takes_id => self.in_line.push_back(InLine { text: text.to_owned(), id }),
            Input::Handled => {
                if !self.greeted && !was_closed {
                    self.greeted = true;
                } else if is_call && frame.as_ref().is_some_and(|frame| !is_aside(&frame.event, self.dialect)) {
                    self.in_line.push_back(InLine { text: text.to_owned(), id: None });
                }
            }
            Input::Refused { event, .. } => {
                assert!(is_call, "{text} was refused and is no call");
                assert!(event.len() <= 4 * (MAX_NAME_LEN + 1), "a long name is not repeated");
                self.classic_due += usize::from(self.dialect == Dialect::Classic);
            }
            Input::BadFrame(bad) => assert!(!takes_id, "{text} is a call, and not {bad}"),
        }
        self.settle(bytes);
    }

    /// What a frame about a call should come to. The caller's side of it is noted.
    fn expect_about(&mut self, frame: &Frame<'_>, id: i64) -> Option<Expected> {
        if id < 0 && matches!(frame.kind, Kind::Unmarked | Kind::Error) {
            // What was asked once may be over.
            return Some(if id >= self.last_ask { Expected::Done } else { Expected::Bad });
        }
        let Some(asked) = self.calls.get_mut(&id) else { return Some(Expected::Bad) };
        let (open, parked) = (asked.fate == Fate::Open, self.parked.contains_key(&id));
        let waits = self.in_line.iter().any(|waiting| waiting.id == Some(id));
        let expected = match frame.kind {
            Kind::Cancel => {
                if open {
                    asked.fate = Fate::Cancelled;
                    self.in_line.retain(|waiting| waiting.id != Some(id));
                }
                Expected::Done
            }
            Kind::Credit => match frame.credit() {
                Ok(items) => {
                    if open && let Some(credit) = &mut asked.credit {
                        *credit = items.max(*credit);
                    }
                    Expected::Done
                }
                Err(_) => Expected::Bad,
            },
            Kind::Item | Kind::End if !open || parked => Expected::Done,
            Kind::Item | Kind::End if !asked.upload || asked.upload_ended => Expected::Bad,
            Kind::End => {
                asked.upload_ended = true;
                if waits { Expected::Done } else { Expected::End }
            }
            Kind::Item if asked.uploaded >= asked.room => {
                self.in_line.retain(|waiting| waiting.id != Some(id));
                Expected::Bad
            }
            Kind::Item => {
                asked.uploaded += 1;
                let waiting = self.handlers.iter().flat_map(|handler| &handler.waiting).sum::<usize>();
                if waiting + frame.data.len() + ITEM_COST > UPLOADS { Expected::Done } else { Expected::Item }
            }
            Kind::Unmarked | Kind::Call | Kind::Error => return None,
        };
        Some(expected)
    }

    fn handler(&mut self, key: CallKey) -> &mut Handler {
        self.handlers.iter_mut().find(|handler| handler.key == key).expect("its handler runs")
    }

    fn end_upload(&mut self, key: CallKey) {
        let handler = self.handler(key);
        assert!(!std::mem::replace(&mut handler.upload_ended, true), "an upload ends once");
    }

    /// A handler begins; the next byte says how it goes.
    fn run(&mut self, call: Call<'_>, id: Option<i64>, bytes: &mut Bytes<'_>) {
        if let Err(bad) = call.check() {
            assert!(id.is_none(), "{call:?} is a call, and not {bad}");
            let Input::BadFrame(_) = self.session.reject(call, bad) else { panic!("it was rejected") };
            return;
        }
        assert!(!self.held && !self.closed, "{call:?} runs too early or too late");
        let barrier = self.barrier.filter(|key| self.handlers.iter().any(|handler| handler.key == *key));
        assert_eq!(barrier, None, "{call:?} overtakes a change");
        assert!(codec::is_json(call.body), "{call:?}");
        assert_eq!(call.answers, self.dialect == Dialect::Classic || id.is_some());
        assert_eq!(call.upload, id.is_some_and(|id| self.calls[&id].upload));
        let wants = call.response_mode();
        assert_eq!(wants == ResponseMode::Items, id.is_some_and(|id| self.calls[&id].credit.is_some()));
        let (frame, items) = (call.begin_response(), call.item_frame());
        let how = bytes.next();
        if how % 8 < 5 {
            let upload = call.upload;
            let key = match how / 8 % 6 {
                0 => *self.barrier.insert(self.session.add_pending_barrier(call)),
                _ => self.session.add_pending(call),
            };
            if let Some(credit) = id.and_then(|id| self.calls[&id].credit) {
                assert_eq!(self.session.credit(key), credit, "all the credit that came before counts");
            }
            if upload {
                self.session.grant_upload_credit(key, WINDOW);
            }
            let (waiting, taken) = (VecDeque::new(), 0);
            let handler = Handler { key, id, wants, frame, items, yielded: 0, waiting, taken, upload_ended: false };
            self.handlers.push(handler);
        } else {
            let (frame, outcome) = outcome(frame, how, false);
            self.expect_frames(wants, id, frame.len(), &outcome);
            self.session.complete_now(call, frame, outcome);
        }
    }

    /// One of the handlers that run yields an item if it may, and takes what was uploaded for it if there is something.
    fn go_on(&mut self, bytes: &mut Bytes<'_>) {
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
            let room = handler.taken + WINDOW;
            self.session.grant_upload_credit(key, room);
            self.session.grant_upload_credit(key, room - 1);
        } else if handler.yielded < self.session.credit(key) && self.session.may_stream() {
            handler.yielded += 1;
            let mut frame = handler.items.begin();
            frame.extend_from_slice(b"[");
            // Now and then it is larger than a message may be.
            frame.resize(frame.len() + usize::from(how), b'7');
            frame.resize(frame.len() + if how > 250 { 100 } else { 0 }, b'7');
            frame.extend_from_slice(b"]");
            handler.items.end(&mut frame);
            let (wants, fits) = (handler.wants, frame.len() <= LIMITS.message as usize);
            // An item or the failure in its place.
            self.classic_due += usize::from(wants == ResponseMode::Pushes);
            let waited_for = self.session.handle_item(key, frame.into());
            let counts = matches!(wants, ResponseMode::Items | ResponseMode::Pushes);
            assert_eq!(waited_for, fits || !counts, "the call was not dropped");
        }
        self.settle(bytes);
    }

    /// One of the handlers that run ends, not always the oldest.
    fn finish(&mut self, bytes: &mut Bytes<'_>) {
        if self.handlers.is_empty() {
            return;
        }
        let at = usize::from(bytes.next()) % self.handlers.len();
        let Handler { key, id, wants, frame, yielded, .. } = self.handlers.swap_remove(at);
        let (frame, outcome) = outcome(frame, bytes.next(), yielded > 0);
        self.expect_frames(wants, id, frame.len(), &outcome);
        assert!(self.session.complete(key, frame, outcome), "a call that was not dropped is waited for");
        self.settle(bytes);
    }

    /// A call is about to be finished. What of that waits for credit is sorted out when its frames have gone out.
    fn expect_frames(&mut self, wants: ResponseMode, id: Option<i64>, len: usize, outcome: &Completion) {
        let quiet =
            wants == ResponseMode::Pushes && matches!(outcome, Completion::OneWayDone | Completion::StreamEnded);
        self.classic_due += usize::from(self.dialect == Dialect::Classic && !quiet);
        if let Some(id) = id
            && self.calls[&id].credit == Some(0)
            && matches!(outcome, Completion::Responded)
        {
            self.parked.insert(id, len);
        }
    }

    /// The client takes some of what it was sent.
    fn take(&mut self, frames: usize, bytes: &mut Bytes<'_>) {
        for _ in 0..frames.min(self.unsent.len()) {
            self.session.handle_sent(self.unsent.pop_front().expect("it was counted"));
        }
        self.settle(bytes);
    }

    fn pass(&mut self, time: Duration, bytes: &mut Bytes<'_>) {
        self.now += time;
        self.session.handle_timeout(self.now);
        if !self.closed && self.greeted {
            // Else the owner would call again and again.
            assert!(self.session.poll_timeout() > self.now);
        }
        self.settle(bytes);
    }

    /// What the owner does after each input.
    fn settle(&mut self, bytes: &mut Bytes<'_>) {
        loop {
            while let Some(output) = self.session.poll_output() {
                self.take_output(output);
            }
            let Some(waiting) = self.session.poll_queued() else { break };
            let input = self.session.handle_queued(self.now, &waiting);
            if let Input::UploadEnd { key } = input {
                self.end_upload(key);
                continue;
            }
            let first = self.in_line.pop_front().expect("only what is in line leaves it");
            let strict = codec::decode_strictly(&first.text).expect("it was a frame");
            match input {
                Input::Call(call) => {
                    assert_eq!((&*call.event, call.body), (&*strict.event, strict.data), "first in, first out");
                    self.run(call, first.id, bytes);
                }
                // Those in line are refused one by one, each by a frame of its own.
                Input::Refused { failure, .. } => {
                    assert_eq!(failure.code, if self.drained { Code::BUSY } else { Code::TIMEOUT });
                    self.classic_due += usize::from(self.dialect == Dialect::Classic);
                }
                other => panic!("{other:?}"),
            }
        }
        self.parked.retain(|id, _| self.calls[id].fate == Fate::Open);
        assert_eq!(self.session.running(), self.handlers.len() + self.parked.len());
        for handler in &self.handlers {
            if let Some(asked) = handler.id.and_then(|id| self.calls.get(&id)) {
                assert_eq!(handler.upload_ended, asked.upload_ended, "the handler hears of the end at once");
            }
        }
    }

    fn take_output(&mut self, output: Output) {
        match output {
            Output::Send(frame) => {
                let text = std::str::from_utf8(&frame).expect("a frame is text");
                self.take_frame(text);
                self.unsent.push_back(frame.len());
            }
            Output::Drop(key) => {
                let at = self.handlers.iter().position(|running| running.key == key).expect("it ran");
                self.handlers.swap_remove(at);
                // What crosses with the drop is taken, and goes nowhere.
                assert_eq!(self.session.credit(key), 0);
                assert!(!self.session.handle_item(key, "[\"e\",1,1,\"item\"]".into()));
                self.session.grant_upload_credit(key, u64::MAX);
                assert!(!self.session.complete(key, b"[\"e\",1".to_vec(), Completion::Responded));
            }
            Output::Credit { key, items } => {
                assert!(self.session.credit(key) >= items);
                assert!(self.handlers.iter().any(|handler| handler.key == key), "it runs");
            }
            Output::RunOpenHook => {
                assert!(self.held && !std::mem::replace(&mut self.asked, true), "it is asked for once");
            }
            Output::Ping => {}
            Output::ClientCallDone { key: ClientCallKey(key), .. } => {
                let id = self.asks.remove(&key).expect("an ask ends once");
                assert!(id >= self.last_ask);
            }
            Output::Close(_) => {
                assert!(!std::mem::replace(&mut self.closed, true), "a connection ends once");
            }
        }
    }

    fn take_frame(&mut self, text: &str) {
        let sent = codec::decode_strictly(text).expect("a frame is a frame");
        let refusal = sent.kind == Kind::Error || sent.event == "aaw/error" || sent.data.contains("\"error\"");
        assert!(text.len() <= LIMITS.message as usize || refusal, "{text} is larger than a message may be");
        assert!(text.len() < 4000, "{text} is larger than a failure ever is");
        if self.dialect == Dialect::Classic {
            assert!(sent.kind == Kind::Unmarked, "{text} is not classic");
            self.classic_sent += 1;
            return;
        }
        if sent.event == "aaw/welcome" {
            assert!(!self.held && !std::mem::replace(&mut self.welcomed, true), "one welcome, when it may be");
        }
        let Some(id) = sent.v1_id().expect("a v1 frame has a v1 id") else { return };
        assert!(self.welcomed || sent.kind == Kind::Error, "{text} comes before the welcome");
        if id < 0 {
            match sent.kind {
                Kind::Unmarked => assert_eq!(id, self.last_ask, "one after the other"),
                Kind::Cancel => assert!(self.unasked.insert(id), "{text} is said twice"),
                kind => panic!("{text}: {kind:?} about an ask"),
            }
            return;
        }
        let asked = self.calls.get_mut(&id).expect("it has the id of a call");
        // Only what was under way when the client's cancel came; here nothing is.
        assert_eq!(asked.fate, Fate::Open, "{text} comes for a call that is over");
        match sent.kind {
            Kind::Item => {
                asked.items += 1;
                assert!(asked.items <= asked.credit.expect("it reads items"), "{text} is beyond its credit");
            }
            Kind::Credit => {
                let room = sent.credit().expect("it is a number of items");
                assert!(asked.upload && room > asked.room && !asked.upload_ended, "{text} is no more room");
                asked.room = room;
            }
            Kind::End => {
                assert!(asked.credit.is_some(), "it reads items");
                asked.fate = Fate::Answered;
            }
            Kind::Unmarked => {
                assert!(asked.credit.is_none(), "it reads no items");
                asked.fate = Fate::Answered;
            }
            Kind::Error => asked.fate = Fate::Answered,
            Kind::Call | Kind::Cancel => panic!("a server says no {text}"),
        }
    }

    fn check(&self) {
        assert!(self.handlers.len() + self.parked.len() <= LIMITS.calls as usize);
        assert!(self.in_line.iter().map(|waiting| waiting.text.len()).sum::<usize>() <= LIMITS.line as usize);
        assert!(self.parked.values().sum::<usize>() <= RUNNING);
        for (id, asked) in self.calls.iter().filter(|(id, _)| self.parked.contains_key(id)) {
            assert_eq!(asked.credit, Some(0), "the answer to {id} waits and has credit");
        }
        let uploaded = self.handlers.iter().flat_map(|handler| &handler.waiting);
        assert!(uploaded.sum::<usize>() <= UPLOADS);
        // What the session lets pile up, what was read last, what runs already, the refusals of a whole line, and
        // answers that waited for credit.
        let most =
            2 * UNSENT + 4000 + LIMITS.calls as usize * LIMITS.message as usize + LIMITS.line as usize * 10 + RUNNING;
        assert!(self.unsent.iter().sum::<usize>() <= most);
        assert_eq!(self.session.is_open(), self.greeted && !self.held);
        if self.dialect == Dialect::Classic {
            assert_eq!(self.classic_sent, self.classic_due);
        }
    }

    /// Everything is agreed to, finished and taken, and gets its credit: now each call must have ended.
    fn end(mut self) {
        let mut nothing = Bytes([].iter());
        if self.asked && self.held && !self.closed {
            self.held = false;
            self.session.handle_open_hook_passed();
            self.settle(&mut nothing);
        }
        while !self.handlers.is_empty() || !self.unsent.is_empty() || (!self.parked.is_empty() && !self.closed) {
            self.finish(&mut nothing);
            self.take(usize::MAX, &mut nothing);
            if let Some((id, _)) = self.parked.pop_first() {
                self.parked.insert(id, 0);
                self.hear(&format!(r#"["e",1,{id},"credit"]"#), &mut nothing);
            }
            self.check();
        }
        if self.closed {
            return;
        }
        assert!(self.session.is_idle() && self.in_line.is_empty());
        for (id, asked) in &self.calls {
            assert_ne!(asked.fate, Fate::Open, "call {id} was never answered");
        }
    }
}

/// What a frame about a call that was made should come to.
enum Expected {
    Done,
    Bad,
    Item,
    End,
}

fn asked(frame: &Frame<'_>) -> Asked {
    let meta = frame.parse_meta().unwrap_or_default();
    Asked {
        fate: Fate::Open,
        credit: meta.credit,
        items: 0,
        upload: meta.upload,
        room: 0,
        uploaded: 0,
        upload_ended: false,
    }
}

/// What is answered at once: not calls, and nothing waits for them.
fn is_aside(event: &str, dialect: Dialect) -> bool {
    dialect == Dialect::V1 && matches!(event, "aaw/ping" | "aaw/ack")
}

/// How a handler ends: a stream that yielded something has no answer besides.
fn outcome(mut frame: Vec<u8>, how: u8, streamed: bool) -> (Vec<u8>, Completion) {
    let outcome = match how % 8 {
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
    (frame, outcome)
}
