//! The state machine itself.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{Call, CallKey};
use super::client_calls::Asks;
use super::config::ServerConfig;
use super::output::{Close, Input, Output};
use super::response::{Completion, Reply};
use super::running_call::{Running, Upload};
use super::wait_queue::{Line, QueuedCall, Waited};
use crate::clock;
use crate::codec::{self, BadFrame, Frame, Kind};
use crate::dialect::Dialect;
use crate::failure::{Code, Failure};
use crate::heartbeat::{Beat, Heartbeat};
use crate::hello::{self, Hello, Welcome};
use crate::name::MAX_NAME_LEN;
use crate::text::Shortened;

/// The longest id of a classic call, in bytes of JSON: room for a UUID several times over. It is kept while the call
/// runs, so without a bound the calls of one connection could hold a message's size each.
const MAX_CLASSIC_ID: usize = 200;

/// What a frame that waits costs besides its text, in bytes, so that many small ones are bounded too: its buffer's spare
/// room, its header, its places in queues.
const FRAME_COST: usize = 384;

/// One connection's calls, from the server's side. See the [module's documentation](super).
#[derive(Debug)]
pub struct ServerConnection {
    pub(super) config: ServerConfig,
    pub(super) dialect: Dialect,
    connection: String,
    /// Until when a v1 client may take to say hello; `None` once it has, and for classic clients.
    pub(super) hello_due: Option<Instant>,
    /// Whether somebody has yet to agree to the connection.
    pub(super) held: bool,
    /// The last v1 id taken.
    last_id: i64,
    /// How many keys were given to what has no id.
    unnumbered: u64,
    pub(super) running: HashMap<CallKey, Running>,
    pub(super) running_bytes: usize,
    /// Of these, what answers take that wait for credit.
    pub(super) parked: usize,
    deadlines: BTreeSet<(Instant, CallKey)>,
    /// The call before whose end no further one is started.
    barrier: Option<CallKey>,
    pub(super) line: Line,
    /// Calls whose uploads ended while they waited in line, which their handlers have yet to hear.
    early_ends: VecDeque<CallKey>,
    /// What the items of uploads take that handlers have not taken.
    pub(super) uploaded: usize,
    /// What the client was asked.
    pub(super) asks: Asks,
    heartbeat: Heartbeat,
    pub(super) outputs: VecDeque<Output>,
    pub(super) unsent: usize,
    draining: bool,
    pub(super) closed: bool,
}

impl ServerConnection {
    /// A session of a connection that has just opened. `connection` is its id, as the welcome tells it.
    pub fn new(dialect: Dialect, connection: String, config: ServerConfig, now: Instant) -> Self {
        Self {
            hello_due: (dialect == Dialect::V1).then(|| clock::after(now, config.hello_timeout)),
            heartbeat: Heartbeat::new(config.heartbeat, config.missed_heartbeats, now),
            line: Line::new(config.limits.line as usize),
            dialect,
            connection,
            held: false,
            last_id: 0,
            unnumbered: 0,
            running: HashMap::new(),
            running_bytes: 0,
            parked: 0,
            deadlines: BTreeSet::new(),
            barrier: None,
            asks: Asks::default(),
            early_ends: VecDeque::new(),
            uploaded: 0,
            outputs: VecDeque::new(),
            unsent: 0,
            draining: false,
            closed: false,
            config,
        }
    }

    // --- What comes in ------------------------------------------------------------------------------------------------

    /// Something came from the peer, be it a pong.
    pub fn handle_sign_of_life(&mut self, now: Instant) {
        self.heartbeat.handle_sign_of_life(now);
    }

    /// A text message came. It is judged here: a call comes back to be run, everything else is dealt with. After
    /// [`Output::Close`] nothing is looked at any more.
    pub fn handle_text<'a>(&mut self, now: Instant, text: &'a str) -> Input<'a> {
        if self.closed {
            return Input::Handled;
        }
        let taken = match codec::decode(text) {
            Ok(frame) => match self.dialect {
                Dialect::Classic => self.take_classic(now, text, frame),
                Dialect::V1 => self.take_v1(now, text, frame),
            },
            Err(bad) => Err(bad),
        };
        taken.unwrap_or_else(|bad| self.bad(bad))
    }

    /// A binary message came. There are none.
    pub fn handle_binary(&mut self) -> BadFrame {
        let bad = BadFrame::Binary;
        self.tell_bad(&bad);
        bad
    }

    fn take_classic<'a>(&mut self, now: Instant, text: &'a str, frame: Frame<'a>) -> Result<Input<'a>, BadFrame> {
        if frame.kind != Kind::Plain || frame.meta.is_some() {
            return Err(BadFrame::OutOfPlace(
                "more than 3 elements; without aaw.v1 a frame is [event, body, id]".into(),
            ));
        }
        if let Some(id) = frame.id.filter(|id| id.len() > MAX_CLASSIC_ID) {
            let found = Shortened(id).to_string();
            return Err(BadFrame::BadId { expected: "a string or a number of at most 200 bytes", found });
        }
        let id = frame.id.map(Cow::Borrowed);
        let key = self.unnumbered_key();
        let asked = Asked { key, reply: Reply::Classic { id }, deadline: None, upload: false };
        self.admit(now, text, frame, asked)
    }

    fn take_v1<'a>(&mut self, now: Instant, text: &'a str, frame: Frame<'a>) -> Result<Input<'a>, BadFrame> {
        let id = frame.v1_id()?;
        if self.hello_due.is_some() {
            return self.take_hello(&frame, id);
        }
        match (id, frame.kind) {
            (None, Kind::Plain) => match frame.event.as_ref() {
                hello::PING => {
                    self.send(codec::message(hello::PONG, &serde_json::Value::Null).into());
                    Ok(Input::Handled)
                }
                // Says what the client needs no more. Nothing is kept for it yet.
                hello::ACK => Ok(Input::Handled),
                hello::HELLO => Err(BadFrame::OutOfPlace("a second aaw/hello".into())),
                _ => {
                    let key = self.unnumbered_key();
                    self.admit(now, text, frame, Asked { key, reply: Reply::Nothing, deadline: None, upload: false })
                }
            },
            (None, kind) => Err(BadFrame::OutOfPlace(format!(
                "kind {:?} without an id (element 3)",
                kind.word().unwrap_or_default()
            ))),
            (Some(id), Kind::Plain | Kind::Call) if id > 0 => {
                if id != self.last_id + 1 {
                    if !frame.checked {
                        // Perhaps it is no call at all, and the number no id.
                        codec::decode_strictly(text)?;
                    }
                    let next = self.last_id + 1;
                    return Err(BadFrame::OutOfPlace(format!("id {id} for a call; the next is {next}")));
                }
                self.last_id = id;
                let key = CallKey(id.unsigned_abs());
                match frame.parse_meta() {
                    Ok(meta) => {
                        let deadline = meta.timeout.and_then(|ms| now.checked_add(Duration::from_millis(ms)));
                        let reply = Reply::v1(id, meta.credit);
                        self.admit(now, text, frame, Asked { key, reply, deadline, upload: meta.upload })
                    }
                    // The call is known and has taken its id, so it is the call that gets the error.
                    Err(bad) => {
                        let failure = Failure::new(Code::BAD_FRAME, bad.to_string());
                        Ok(self.refuse(&Reply::Once { id }, frame, failure))
                    }
                }
            }
            (Some(id), Kind::Cancel) if self.was_taken(id) => {
                self.cancel(id);
                Ok(Input::Handled)
            }
            (Some(id), Kind::Credit) if self.was_taken(id) => self.take_credit(id, &frame),
            (Some(id), Kind::Item | Kind::End) if self.was_taken(id) => self.take_upload(id, &frame),
            (Some(id), Kind::Cancel | Kind::Credit | Kind::Item | Kind::End) => {
                Err(BadFrame::OutOfPlace(format!("id {id} names no call; the last was {}", self.last_id)))
            }
            (Some(id), Kind::Call) => {
                Err(BadFrame::OutOfPlace(format!("id {id} for a call; a client's ids are 1, 2, 3 and so on")))
            }
            (Some(id), Kind::Plain | Kind::Error) if id < 0 => self.take_answer(id, text, &frame),
            (Some(id), Kind::Plain | Kind::Error) => {
                Err(BadFrame::OutOfPlace(format!("an answer with id {id} to a call that was never made")))
            }
        }
    }

    fn take_hello<'a>(&mut self, frame: &Frame<'a>, id: Option<i64>) -> Result<Input<'a>, BadFrame> {
        if frame.event != hello::HELLO || id.is_some() || frame.kind != Kind::Plain {
            return Err(BadFrame::OutOfPlace("the first frame must be [\"aaw/hello\", {…}]".into()));
        }
        if !frame.data.starts_with('{') {
            return Err(BadFrame::OutOfPlace("the body of aaw/hello must be an object".into()));
        }
        let _: Hello = serde_json::from_str(frame.data).map_err(|error| {
            BadFrame::OutOfPlace(format!("the body of aaw/hello: {}", Shortened(&error.to_string())))
        })?;
        self.hello_due = None;
        if self.held {
            self.outputs.push_back(Output::RunOpenHook);
        } else {
            self.welcome();
        }
        Ok(Input::Handled)
    }

    pub(super) fn welcome(&mut self) {
        let connection = std::mem::take(&mut self.connection);
        let welcome = Welcome { connection, resumed: false, limits: self.config.limits };
        self.send(codec::message(hello::WELCOME, &welcome).into());
    }

    /// Lets a call run, wait in line, or be refused.
    fn admit<'a>(
        &mut self,
        now: Instant,
        text: &'a str,
        frame: Frame<'a>,
        asked: Asked<'a>,
    ) -> Result<Input<'a>, BadFrame> {
        let Asked { key, reply, deadline, upload } = asked;
        // No event has so long a name, and what runs or waits shall not hold one.
        let nameable = frame.event.len() <= MAX_NAME_LEN;
        if nameable && !self.draining && self.line.is_empty() && self.may_start() {
            return Ok(Input::Call(Call {
                answers: reply.wants_answer(),
                body: frame.data,
                event: frame.event,
                upload,
                upload_ended: false,
                key,
                text,
                event_json: frame.event_json,
                checked: frame.checked,
                reply,
                deadline,
            }));
        }
        // From here on nobody parses the body soon, so it is checked now, while its id can still be given back.
        if !frame.checked
            && let Err(bad) = codec::decode_strictly(text)
        {
            self.give_back(key);
            return Err(bad);
        }
        if !nameable {
            let failure = Failure::unknown_event(&frame.event);
            return Ok(self.refuse(&reply, frame, failure));
        }
        if self.draining {
            return Ok(self.refuse(&reply, frame, stopping()));
        }
        let numbered = matches!(reply, Reply::Once { .. } | Reply::Items { .. });
        match self.line.push(text, now, self.last_id, numbered, upload) {
            Ok(()) => Ok(Input::Handled),
            Err(_) => {
                let error = format!("Too many calls: {} run and the line is full", self.running.len());
                Ok(self.refuse(&reply, frame, Failure::new(Code::BUSY, error)))
            }
        }
    }

    pub(super) fn refuse<'a>(&mut self, reply: &Reply<'_>, frame: Frame<'a>, failure: Failure) -> Input<'a> {
        let mut begun = Vec::with_capacity(128);
        let mut event = frame.event;
        if event.len() > MAX_NAME_LEN {
            // The answer would not fit a message where the question just did. Its id says whose answer it is.
            event = Cow::Owned(Shortened(&event).to_string());
            codec::begin(&mut begun, &codec::event_json(&event));
        } else {
            codec::begin(&mut begun, frame.event_json);
        }
        let begun_len = begun.len();
        self.answer(reply, begun, begun_len, &Completion::Refused(failure.clone()));
        Input::Refused { event, body: frame.data, failure }
    }

    fn cancel(&mut self, id: i64) {
        let key = CallKey(id.unsigned_abs());
        match self.forget(key) {
            Some(running) if running.parked.is_none() => self.outputs.push_back(Output::Drop(key)),
            // Its handler is done.
            Some(_) => {}
            None => _ = self.line.remove(id),
        }
    }

    fn bad<'a>(&mut self, bad: BadFrame) -> Input<'a> {
        self.tell_bad(&bad);
        Input::BadFrame(bad)
    }

    fn tell_bad(&mut self, bad: &BadFrame) {
        if self.dialect == Dialect::V1 {
            self.send(codec::message(hello::ERROR, &Failure::new(Code::BAD_FRAME, bad.to_string())).into());
        }
    }

    // --- What became of calls -----------------------------------------------------------------------------------------

    /// A call was done as soon as it was begun. `frame` is what [`Call::begin_response`] began; it may be empty unless the
    /// call was [answered](Completion::Responded).
    ///
    /// An answer that is one item of a stream waits here until its caller has credit for it.
    pub fn complete_now(&mut self, call: Call<'_>, mut frame: Vec<u8>, mut outcome: Completion) {
        if self.waits_for_credit(&call.reply, &mut frame, &mut outcome) {
            let key = self.add_pending(call);
            self.park(key, frame);
            return;
        }
        if frame.len() < call.begun() {
            frame = call.begin_response();
        }
        self.answer(&call.reply, frame, call.begun(), &outcome);
    }

    /// A call that was just handed out has a body that is no JSON ([`Call::check`]), so it was none.
    pub fn reject<'a>(&mut self, call: Call<'_>, bad: BadFrame) -> Input<'a> {
        self.give_back(call.key);
        self.bad(bad)
    }

    /// A call is not done at once; it goes on elsewhere until [`finish`](Self::finish), or until
    /// [`Output::Drop`] says that nobody waits for it.
    pub fn add_pending(&mut self, call: Call<'_>) -> CallKey {
        let running = Running {
            bytes: call.text.len(),
            begun: call.begun(),
            reply: call.reply.into_owned(),
            deadline: call.deadline,
            event_json: call.event_json.into(),
            items: 0,
            parked: None,
            upload: call.upload.then(|| Box::new(Upload::new(call.upload_ended))),
        };
        if call.upload_ended {
            self.early_ends.push_back(call.key);
        }
        if let Some(deadline) = running.deadline {
            self.deadlines.insert((deadline, call.key));
        }
        self.running_bytes += running.bytes;
        self.running.insert(call.key, running);
        call.key
    }

    /// [`suspend`](Self::add_pending) of a call that changes what those behind it find: until it is over, be it by
    /// [`finish`](Self::finish), a cancel or a time-out, no further call is started. They wait in line. Everything else
    /// goes on: calls that run already, and what is read of cancels, credit, items of uploads and answers to
    /// [asks](Self::ask).
    ///
    /// A handler of such a call that asks its client must not be answered only after another call: that one waits for
    /// it.
    pub fn add_pending_barrier(&mut self, call: Call<'_>) -> CallKey {
        let key = self.add_pending(call);
        debug_assert!(self.barrier.is_none(), "nothing was started behind a barrier");
        self.barrier = Some(key);
        key
    }

    /// A suspended call is done. False if nobody waited for it any more. `frame` is what [`Call::begin_response`] began; it
    /// may be empty unless the call was [answered](Completion::Responded).
    ///
    /// An answer that is one item of a stream waits here until its caller has credit for it.
    pub fn complete(&mut self, key: CallKey, mut frame: Vec<u8>, mut outcome: Completion) -> bool {
        let Some(running) = self.running.get(&key).filter(|running| running.parked.is_none()) else { return false };
        if self.waits_for_credit(&running.reply, &mut frame, &mut outcome) {
            self.park(key, frame);
            return true;
        }
        let Some(running) = self.forget(key) else { return false };
        if frame.len() < running.begun {
            frame.clear();
            codec::begin(&mut frame, &running.event_json);
        }
        self.answer(&running.reply, frame, running.begun, &outcome);
        true
    }

    /// The next call from the line, if another may run; [`handle_queued`](Self::handle_queued) makes it a call. To be
    /// asked, until there is none, after everything that can make room: [`finish`](Self::finish),
    /// [`handle_sent`](Self::handle_sent), and also [`handle_text`](Self::handle_text) (a cancel) and
    /// [`handle_timeout`](Self::handle_timeout) and [`drain`](Self::drain). Whoever does not leaves calls waiting that
    /// nothing may ever wake.
    ///
    /// What is taken from the line can also be the end of an upload, of a call that was taken from it just before.
    pub fn poll_queued(&mut self) -> Option<QueuedCall> {
        while let Some(key) = self.early_ends.pop_front() {
            if self.running.get(&key).is_some_and(|running| running.upload.is_some()) {
                return Some(QueuedCall(Waited::EndOfUpload(key)));
            }
        }
        // Refused, as all are while draining, takes no room.
        if self.draining || self.may_start() {
            self.line.pop().map(|place| QueuedCall(Waited::Call(place)))
        } else {
            None
        }
    }

    /// The call that waited; or its refusal, if its time has run out or the session drains, which its caller is told.
    pub fn handle_queued<'a>(&mut self, now: Instant, waiting: &'a QueuedCall) -> Input<'a> {
        let waiting = match &waiting.0 {
            Waited::Call(place) => place,
            Waited::EndOfUpload(key) => return Input::UploadEnd { key: *key },
        };
        let text: &str = &waiting.text;
        let frame = match codec::decode(text) {
            Ok(frame) => frame,
            // It was a frame when it was put in line.
            Err(bad) => return self.bad(bad),
        };
        let (key, reply, deadline) = match (self.dialect, frame.v1_id()) {
            (Dialect::V1, Ok(Some(id))) => {
                let meta = frame.parse_meta().unwrap_or_default();
                let timeout = meta.timeout.map(Duration::from_millis);
                // It may have been raised meanwhile.
                let reply = Reply::v1(id, meta.credit.map(|credit| credit.max(waiting.credit)));
                (CallKey(id.unsigned_abs()), reply, timeout.and_then(|timeout| waiting.received.checked_add(timeout)))
            }
            (Dialect::V1, _) => (self.unnumbered_key(), Reply::Nothing, None),
            (Dialect::Classic, _) => (self.unnumbered_key(), Reply::Classic { id: frame.id.map(Cow::Borrowed) }, None),
        };
        if self.draining {
            return self.refuse(&reply, frame, stopping());
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return self.refuse(&reply, frame, timed_out());
        }
        Input::Call(Call {
            answers: reply.wants_answer(),
            body: frame.data,
            event: frame.event,
            upload: waiting.upload,
            upload_ended: waiting.upload_ended,
            key,
            text,
            event_json: frame.event_json,
            checked: true,
            reply,
            deadline,
        })
    }

    pub(super) fn answer(&mut self, reply: &Reply<'_>, frame: Vec<u8>, begun: usize, outcome: &Completion) {
        let most = self.config.limits.message as usize;
        let shorter;
        let outcome = match outcome {
            Completion::Refused(failure) if worst_size(failure) + 2 * begun > most => {
                shorter = Completion::Refused(shortened(failure));
                &shorter
            }
            outcome => outcome,
        };
        let end = reply.end(&frame[..begun], outcome);
        let Some(mut frame) = reply.frame(frame, begun, outcome) else { return };
        let mut end = end;
        if frame.len() > most && matches!(outcome, Completion::Responded | Completion::Failed(_)) {
            let error = format!("The answer is larger than a message may be ({most} bytes)");
            frame.truncate(begun);
            // The large answer's memory goes now, not when the client has read the small one.
            frame.shrink_to(0);
            end = None;
            match reply.frame(frame, begun, &Completion::Failed(Failure::new(Code::TOO_LARGE, error))) {
                Some(failed) => frame = failed,
                None => return,
            }
        }
        self.send(frame.into());
        if let Some(end) = end {
            self.send(end.into());
        }
    }

    // --- What goes out, and time --------------------------------------------------------------------------------------

    /// What to do next; `None` once there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() && self.outputs.capacity() > 64 {
            // A burst leaves no memory behind.
            self.outputs = VecDeque::new();
        }
        next
    }

    /// A frame of `len` bytes, got from [`Output::Send`], has left for the socket.
    pub fn handle_sent(&mut self, len: usize) {
        self.unsent = self.unsent.saturating_sub(len + FRAME_COST);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    ///
    /// After [`Output::Close`] only calls that still run are waited for.
    pub fn poll_timeout(&self) -> Instant {
        let mut soonest = self.heartbeat.poll_timeout();
        if let Some((deadline, _)) = self.deadlines.first() {
            soonest = soonest.min(*deadline);
        }
        if let Some(deadline) = self.asks.next_deadline()
            && !self.closed
        {
            soonest = soonest.min(deadline);
        }
        if let Some(due) = self.hello_due
            && !self.closed
        {
            soonest = soonest.min(due);
        }
        soonest
    }

    /// Time has passed: calls may have run out of theirs, the peer may have gone.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.deadlines.first().is_some_and(|(deadline, _)| *deadline <= now)
            && let Some((_, key)) = self.deadlines.pop_first()
        {
            if let Some(running) = self.forget(key) {
                if running.parked.is_none() {
                    self.outputs.push_back(Output::Drop(key));
                }
                let mut begun = Vec::with_capacity(128);
                codec::begin(&mut begun, &running.event_json);
                self.answer(&running.reply, begun, running.begun, &Completion::Failed(timed_out()));
            }
        }
        if !self.closed {
            self.time_out_asks(now);
        }
        if self.hello_due.is_some_and(|due| due <= now) {
            self.close(Close::NoHello);
        }
        match self.heartbeat.handle_timeout(now) {
            Beat::Quiet => {}
            Beat::Ping => self.outputs.push_back(Output::Ping),
            Beat::Gone => self.close(Close::Silent),
        }
    }

    /// No new calls from here on: they are refused, and so is what waits in line, as it is taken from there; what runs
    /// may finish.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Ends the connection, once.
    pub fn close(&mut self, close: Close) {
        if !std::mem::replace(&mut self.closed, true) {
            self.heartbeat.stop();
            self.outputs.push_back(Output::Close(close));
        }
    }

    /// Whether pushes may go out. A v1 client hears the welcome first, and nobody hears any while the connection is
    /// [held](Self::hold).
    pub fn is_open(&self) -> bool {
        self.hello_due.is_none() && !self.held
    }

    /// Whether no call runs or waits.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.line.is_empty()
    }

    /// Whether more should be read from the peer. Only a peer that reads none of the refusals it is sent gets to where
    /// it should not.
    pub fn wants_input(&self) -> bool {
        self.unsent < 2 * self.config.unsent
    }

    /// How many calls are open: their handlers run elsewhere, or their answers wait for credit.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    // --- Within -------------------------------------------------------------------------------------------------------

    fn may_start(&self) -> bool {
        !self.closed
            && !self.held
            && self.barrier.is_none()
            && self.running.len() < self.config.limits.calls as usize
            && self.running_bytes < self.config.running
            && self.unsent < self.config.unsent
    }

    fn was_taken(&self, id: i64) -> bool {
        (1..=self.last_id).contains(&id)
    }

    fn unnumbered_key(&mut self) -> CallKey {
        self.unnumbered += 1;
        CallKey(CallKey::UNNUMBERED | self.unnumbered)
    }

    /// The frame that took this id was none, so the id is the next one's.
    fn give_back(&mut self, key: CallKey) {
        if key.0 == self.last_id.unsigned_abs() {
            self.last_id -= 1;
        }
    }

    pub(super) fn forget(&mut self, key: CallKey) -> Option<Running> {
        let running = self.running.remove(&key)?;
        self.pass_barrier(key);
        self.running_bytes -= running.bytes;
        if running.parked.is_some() {
            self.parked -= running.bytes;
        }
        if let Some(upload) = &running.upload {
            self.uploaded -= upload.cost();
        }
        if let Some(deadline) = running.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        Some(running)
    }

    /// What this call was to change has changed, or never will.
    pub(super) fn pass_barrier(&mut self, key: CallKey) {
        if self.barrier == Some(key) {
            self.barrier = None;
        }
    }

    pub(super) fn send(&mut self, frame: Bytes) {
        self.unsent += frame.len() + FRAME_COST;
        self.outputs.push_back(Output::Send(frame));
    }
}

/// What a frame asks for.
struct Asked<'a> {
    key: CallKey,
    reply: Reply<'a>,
    deadline: Option<Instant>,
    upload: bool,
}

/// As much of a failure as fits anywhere. It keeps its code, which says whether the call has run.
pub(super) fn shortened(failure: &Failure) -> Failure {
    Failure::new(failure.code.clone(), Shortened(&failure.error).to_string())
}

/// What a failure takes in a frame if every byte of its text must be escaped.
pub(super) fn worst_size(failure: &Failure) -> usize {
    6 * (failure.error.len() + failure.code.as_str().len())
        + failure.data.as_ref().map_or(0, |data| data.get().len())
        + 100
}

fn stopping() -> Failure {
    Failure::new(Code::BUSY, "The server is stopping")
}

fn timed_out() -> Failure {
    Failure::new(Code::TIMEOUT, "The handler did not end within the time its caller gave it")
}
