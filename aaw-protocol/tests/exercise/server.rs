//! Does to a [`ServerSession`] whatever a string of bytes says, and checks after each step that it kept its promises.
//! The property test draws the bytes, the fuzz target `server_session` gets them from libFuzzer; both include this
//! file.
//!
//! Promises, whatever comes in and in whatever order handlers end:
//!
//! - nothing panics, and every frame that goes out is a frame;
//! - each v1 call with an id is answered exactly once, or not at all if it was cancelled while it was open; each
//!   classic call as often as its outcome says;
//! - calls leave the line in the order in which they came;
//! - what runs, what waits and what is unsent stay within their limits.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use aaw_protocol::codec::{self, Kind};
use aaw_protocol::hello::Limits;
use aaw_protocol::server::{Call, CallKey, Close, Config, Input, Outcome, Output, ServerSession};
use aaw_protocol::{Code, Dialect, Failure, MAX_NAME_LEN};

const LIMITS: Limits = Limits { calls: 3, line: 600, message: 300 };
const UNSENT: usize = 1000;

/// Runs one session from its opening to its end.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut bytes = Bytes(bytes.iter());
    let dialect = if bytes.next() % 4 == 0 { Dialect::Classic } else { Dialect::V1 };
    let mut world = World::new(dialect);
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

/// A frame that should be in the line.
struct InLine {
    text: String,
    id: Option<i64>,
}

struct World {
    session: ServerSession,
    dialect: Dialect,
    now: Instant,
    open: bool,
    closed: bool,
    drained: bool,
    /// By id, from 1.
    calls: BTreeMap<i64, Fate>,
    in_line: VecDeque<InLine>,
    suspended: Vec<(CallKey, Option<i64>, Reply, Vec<u8>)>,
    /// Lengths of the frames that the client has not taken.
    unsent: VecDeque<usize>,
    /// How many classic frames have to go out, and how many did.
    classic_due: usize,
    classic_sent: usize,
}

/// How a classic call asked; v1 is watched by its ids.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reply {
    V1,
    Classic { with_id: bool },
}

impl World {
    fn new(dialect: Dialect) -> Self {
        let now = Instant::now();
        let config = Config { limits: LIMITS, unsent: UNSENT, ..Config::default() };
        Self {
            session: ServerSession::new(dialect, "7f".into(), config, now),
            dialect,
            now,
            open: dialect == Dialect::Classic,
            closed: false,
            drained: false,
            calls: BTreeMap::new(),
            in_line: VecDeque::new(),
            suspended: Vec::new(),
            unsent: VecDeque::new(),
            classic_due: 0,
            classic_sent: 0,
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let next = self.calls.len() as i64 + 1;
        let some_id = i64::from(bytes.next()) % (next + 1);
        let text = match bytes.next() % 24 {
            0..=4 => format!(r#"["e",{{"n":{some_id}}},{next}]"#),
            5 => format!(r#"["e",1,{next},"call",{{"timeout":{}}}]"#, u64::from(bytes.next()) * 100),
            6 => format!(r#"["e", [] ,{next},"call",{{"credit":2}}]"#),
            7 => format!(r#"["e",1,{next},"call",{{"timeout":"x"}}]"#),
            8 => format!(r#"["e",1,0,"call",{next}]"#),
            9 => format!(r#"["e",{{]],{next}]"#),
            10 => r#"["e",{}]"#.to_owned(),
            11 => format!(r#"["e",{{}},{some_id}]"#),
            12 | 13 => format!(r#"["e",null,{some_id},"cancel"]"#),
            14 => {
                let kind = ["credit", "item", "end", "error", "call", "maybe"][usize::from(bytes.next()) % 6];
                format!(r#"["e",null,{},"{kind}"]"#, some_id - 1)
            }
            15 => {
                let known = ["aaw/ping", "aaw/ack", "aaw/hello", "aaw/else"][usize::from(bytes.next()) % 4];
                format!(r#"["{known}",{{}}]"#)
            }
            16 => format!(r#"["{}",1,{next}]"#, "n".repeat(usize::from(bytes.next()) * 2)),
            17 => format!(r#"["e","{}",{next}]"#, "b".repeat(usize::from(bytes.next()))),
            18 => {
                let len = usize::from(bytes.next()) % 64;
                let raw: Vec<u8> = (0..len).map(|_| bytes.next()).collect();
                String::from_utf8_lossy(&raw).into_owned()
            }
            19 => return self.finish(bytes),
            20 => return self.take(usize::from(bytes.next()) % 4, bytes),
            21 => return self.pass(Duration::from_millis(u64::from(bytes.next()) * 50), bytes),
            22 => {
                self.session.handle_binary();
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
        let is_call = frame.is_some() && !was_closed && self.open && matches!(kind, Some(Kind::Plain | Kind::Call));
        let next = self.calls.len() as i64 + 1;
        let takes_id = is_call && self.dialect == Dialect::V1 && id == Some(next);
        if takes_id {
            self.calls.insert(next, Fate::Open);
        }
        if let (Some(Kind::Cancel), Some(id), Dialect::V1, true, false) =
            (kind, id, self.dialect, self.open, was_closed)
            && let Some(fate @ Fate::Open) = self.calls.get_mut(&id)
        {
            *fate = Fate::Cancelled;
            self.in_line.retain(|waiting| waiting.id != Some(id));
        }
        match self.session.handle_text(self.now, text) {
            Input::Call(call) => {
                assert!(self.in_line.is_empty() && !self.drained, "{text} overtakes what waits");
                let reply = self.reply_to(frame.as_ref().and_then(|frame| frame.id));
                self.run(call, takes_id.then_some(next), reply, bytes);
            }
            Input::Done if takes_id => self.in_line.push_back(InLine { text: text.to_owned(), id }),
            Input::Done => {
                if !self.open && !was_closed {
                    self.open = true;
                } else if is_call && frame.as_ref().is_some_and(|frame| !is_aside(&frame.event, self.dialect)) {
                    self.in_line.push_back(InLine { text: text.to_owned(), id: None });
                }
            }
            Input::Refused { event, .. } => {
                assert!(is_call, "{text} was refused and is no call");
                assert!(event.len() <= 4 * (MAX_NAME_LEN + 1), "a long name is not repeated");
                self.classic_due += usize::from(self.dialect == Dialect::Classic);
            }
            Input::Item { .. } | Input::ItemsEnd { .. } => {}
            Input::Bad(bad) => assert!(!takes_id, "{text} is a call, and not {bad}"),
        }
        self.settle(bytes);
    }

    fn reply_to(&self, id: Option<&str>) -> Reply {
        match self.dialect {
            Dialect::V1 => Reply::V1,
            Dialect::Classic => Reply::Classic { with_id: id.is_some() },
        }
    }

    /// A handler begins; the next byte says how it goes.
    fn run(&mut self, call: Call<'_>, id: Option<i64>, reply: Reply, bytes: &mut Bytes<'_>) {
        if let Err(bad) = call.check() {
            assert!(id.is_none(), "{call:?} is a call, and not {bad}");
            let Input::Bad(_) = self.session.reject(call, bad) else { panic!("it was rejected") };
            return;
        }
        assert!(codec::is_json(call.body), "{call:?}");
        assert_eq!(call.answers, self.dialect == Dialect::Classic || id.is_some());
        let frame = call.begin_answer();
        let how = bytes.next();
        if how % 8 < 4 {
            let key = self.session.suspend(call);
            self.suspended.push((key, id, reply, frame));
        } else {
            let (frame, outcome) = outcome(frame, how);
            self.expect_classic(reply, &outcome);
            self.session.finish_now(call, frame, outcome);
        }
    }

    /// One of the handlers that run ends, not always the oldest.
    fn finish(&mut self, bytes: &mut Bytes<'_>) {
        if self.suspended.is_empty() {
            return;
        }
        let at = usize::from(bytes.next()) % self.suspended.len();
        let (key, _, reply, frame) = self.suspended.swap_remove(at);
        let (frame, outcome) = outcome(frame, bytes.next());
        self.expect_classic(reply, &outcome);
        assert!(self.session.finish(key, frame, outcome), "a call that was not dropped is waited for");
        self.settle(bytes);
    }

    fn expect_classic(&mut self, reply: Reply, outcome: &Outcome) {
        if let Reply::Classic { with_id } = reply {
            self.classic_due += usize::from(with_id || !matches!(outcome, Outcome::Ran));
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
        if !self.closed && self.open {
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
            let Some(waiting) = self.session.poll_waiting() else { break };
            let first = self.in_line.pop_front().expect("only what is in line leaves it");
            let strict = codec::decode_strictly(&first.text).expect("it was a frame");
            match self.session.call_in_line(self.now, &waiting) {
                Input::Call(call) => {
                    assert_eq!((&*call.event, call.body), (&*strict.event, strict.data), "first in, first out");
                    let reply = self.reply_to(strict.id);
                    self.run(call, first.id, reply, bytes);
                }
                // Those in line are refused one by one, each by a frame of its own.
                Input::Refused { failure, .. } => {
                    assert_eq!(failure.code, if self.drained { Code::BUSY } else { Code::TIMEOUT });
                    self.classic_due += usize::from(self.dialect == Dialect::Classic);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(self.session.running(), self.suspended.len());
    }

    fn take_output(&mut self, output: Output) {
        match output {
            Output::Send(frame) => {
                let text = std::str::from_utf8(&frame).expect("a frame is text");
                let sent = codec::decode_strictly(text).expect("a frame is a frame");
                let refusal = sent.kind == Kind::Error || sent.event == "aaw/error" || sent.data.contains("\"error\"");
                assert!(frame.len() <= LIMITS.message as usize || refusal, "{text} is larger than a message may be");
                assert!(frame.len() < 4000, "{text} is larger than a failure ever is");
                if self.dialect == Dialect::Classic {
                    assert!(sent.kind == Kind::Plain, "{text} is not classic");
                    self.classic_sent += 1;
                } else if let Some(id) = sent.v1_id().expect("a v1 frame has a v1 id")
                    && sent.kind != Kind::Item
                {
                    let fate = self.calls.get_mut(&id).expect("an answer has the id of a call");
                    assert_eq!(*fate, Fate::Open, "{text} comes for a call that is over");
                    *fate = Fate::Answered;
                }
                self.unsent.push_back(frame.len());
            }
            Output::Drop(key) => {
                let at = self.suspended.iter().position(|(running, ..)| *running == key).expect("it ran");
                let (key, ..) = self.suspended.swap_remove(at);
                // An outcome that crosses with the drop is taken, and goes nowhere.
                assert!(!self.session.finish(key, b"[\"e\",1".to_vec(), Outcome::Answered));
            }
            Output::Ping | Output::Credit { .. } | Output::Open => {}
            Output::Close(_) => {
                assert!(!std::mem::replace(&mut self.closed, true), "a connection ends once");
            }
        }
    }

    fn check(&self) {
        assert!(self.suspended.len() <= LIMITS.calls as usize);
        assert!(self.in_line.iter().map(|waiting| waiting.text.len()).sum::<usize>() <= LIMITS.line as usize);
        // What the session lets pile up, what was read last, what runs already, and the refusals of a whole line.
        let most = 2 * UNSENT + 4000 + LIMITS.calls as usize * LIMITS.message as usize + LIMITS.line as usize * 10;
        assert!(self.unsent.iter().sum::<usize>() <= most);
        if self.dialect == Dialect::Classic {
            assert_eq!(self.classic_sent, self.classic_due);
        }
    }

    /// Everything is finished and taken: now each call must have ended.
    fn end(mut self) {
        let mut nothing = Bytes([].iter());
        while !self.suspended.is_empty() || !self.unsent.is_empty() {
            self.finish(&mut nothing);
            self.take(usize::MAX, &mut nothing);
            self.check();
        }
        if self.closed {
            return;
        }
        assert!(self.session.is_idle() && self.in_line.is_empty());
        for (id, fate) in &self.calls {
            assert_ne!(*fate, Fate::Open, "call {id} was never answered");
        }
    }
}

/// What is answered at once: not calls, and nothing waits for them.
fn is_aside(event: &str, dialect: Dialect) -> bool {
    dialect == Dialect::V1 && matches!(event, "aaw/ping" | "aaw/ack")
}

fn outcome(mut frame: Vec<u8>, how: u8) -> (Vec<u8>, Outcome) {
    let outcome = match how % 6 {
        0 | 1 => {
            frame.extend_from_slice(b"{\"done\":true}");
            Outcome::Answered
        }
        2 => {
            frame.push(b'"');
            frame.resize(frame.len() + usize::from(how) * 2, b'x');
            frame.push(b'"');
            Outcome::Answered
        }
        3 => Outcome::Ran,
        4 => Outcome::Failed(Failure::new(Code::HANDLER, "x".repeat(usize::from(how) * 2))),
        _ => Outcome::Refused(Failure::unknown_event("e")),
    };
    (frame, outcome)
}
