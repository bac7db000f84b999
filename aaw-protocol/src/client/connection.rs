//! The state machine.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;

use super::backoff::Waits;
use super::client_calls::Asks;
use super::encoded_message::EncodedMessage;
use super::fifo_matcher::Oldest;
use super::streaming::{StreamOptions, Streaming};
use super::token::Login;
use super::wait_queue::{Item, Line, Place};
use super::{CallResult, ClientConfig, DisconnectReason, NotSent, Output, ProtocolWarning};
use crate::clock::after;
use crate::codec::{self, BadFrame, Frame, Kind};
use crate::heartbeat::{Beat, Heartbeat};
use crate::hello::{self, Hello, Limits, Welcome};
use crate::{Code, Dialect, Failure, Shortened, is_reserved};

/// Pings that may stay without any sign of life.
const PATIENCE: u32 = 2;

/// What the maker of a call knows it by. Any number, but one that no other open call of this session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub u64);

/// A client's connection and the connections after it; `W` is whatever waits for a call.
///
/// Every input, or every few, is followed by draining [`poll_output`](Self::poll_output) and by setting a timer to
/// [`poll_timeout`](Self::poll_timeout). A new session asks for a connection at once.
///
/// Calls and sends wait in one line while they cannot be written, and leave it in order. When a connection is gone,
/// the calls that were written end as [`CallResult::Unknown`]; the line stays, for the next connection. This is where
/// sessions that survive their connection will keep the written ones instead.
///
/// A stream is a call like others, with two counts besides: the items that its reader has room for, and those that the
/// server has room for. Nothing of a stream is stored here: an item that has come is given out, one of an upload is
/// written when it is handed in.
#[derive(Debug)]
pub struct ClientConnection<W> {
    pub(super) config: ClientConfig,
    phase: Phase,
    waits: Waits,
    /// What the last welcome said: the best guess until the next.
    limits: Limits,
    /// Whether the socket takes no more for now.
    blocked: bool,
    calls: HashMap<CallKey, Open<W>>,
    deadlines: BTreeSet<(Instant, CallKey)>,
    line: Line,
    /// Calls that were written on this connection, by the id they got.
    pub(super) written: HashMap<i64, CallKey>,
    pub(super) next_id: i64,
    pub(super) oldest: Oldest,
    /// Whether this connection's classic server has shown that its answers carry ids.
    echoes_ids: bool,
    heartbeat: Option<Heartbeat>,
    pub(super) asks: Asks,
    pub(super) login: Login,
    /// The connection could be used, but for the token that the server has not taken yet; and its id.
    opening: Option<Option<Box<str>>>,
    pub(super) outputs: VecDeque<Output<W>>,
}

/// Where the session stands.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// A connection was asked for.
    Connecting,
    /// A v1 server has accepted and not yet greeted. Calls may be written already.
    Greeting { since: Instant },
    /// All is well.
    Open { dialect: Dialect, since: Instant },
    /// The next attempt is at `until`.
    Waiting { until: Instant },
    /// The other side's part of the close is awaited. What it has to say before that is still heard.
    Closing { dialect: Dialect, until: Instant },
    /// Nothing happens any more.
    Ended,
}

#[derive(Debug)]
struct Open<W> {
    waiter: W,
    made: Instant,
    deadline: Option<Instant>,
    stage: Stage,
    /// What there is besides if its answer is read item by item.
    stream: Option<Streaming>,
}

#[derive(Debug)]
enum Stage {
    Waiting(Place),
    Written { id: i64, event_json: Box<str> },
}

impl<W> ClientConnection<W> {
    /// A session that wants its first connection. `seed` spreads the waits between attempts: different for each client.
    pub fn new(config: ClientConfig, seed: u64) -> Self {
        Self {
            phase: Phase::Connecting,
            waits: Waits::new(config.backoff.clone(), seed),
            limits: Limits::default(),
            blocked: false,
            calls: HashMap::new(),
            deadlines: BTreeSet::new(),
            line: Line::default(),
            written: HashMap::new(),
            next_id: 1,
            oldest: Oldest::default(),
            echoes_ids: false,
            heartbeat: None,
            asks: Asks::default(),
            login: Login::default(),
            opening: None,
            outputs: VecDeque::from([Output::Connect]),
            config,
        }
    }

    // --- What the application wants ----------------------------------------------------------------------------------

    /// Makes a call. It ends with exactly one [`Output::CallDone`], unless it is [cancelled](Self::cancel); without a
    /// `deadline` it may wait forever.
    pub fn call(&mut self, now: Instant, key: CallKey, draft: EncodedMessage, deadline: Option<Instant>, waiter: W) {
        self.open(now, key, draft, deadline, waiter, None);
    }

    /// Makes a call whose answer is read item by item: [`Output::Item`]s, then exactly one [`Output::CallDone`], with
    /// [`CallResult::StreamEnded`] if all went well; unless it is [cancelled](Self::cancel). A classic server's one answer is
    /// one item. A server that sends more items than there is room for fails the stream with `bad_frame`.
    ///
    /// It counts as one call in flight until it is over.
    pub fn stream(
        &mut self,
        now: Instant,
        key: CallKey,
        draft: EncodedMessage,
        options: StreamOptions,
        deadline: Option<Instant>,
        waiter: W,
    ) {
        self.open(now, key, draft.for_stream(), deadline, waiter, Some(Streaming::new(options)));
    }

    fn open(
        &mut self,
        now: Instant,
        key: CallKey,
        draft: EncodedMessage,
        deadline: Option<Instant>,
        waiter: W,
        stream: Option<Streaming>,
    ) {
        debug_assert!(!self.calls.contains_key(&key), "two open calls have one key");
        let joined = self.admit(&draft).and_then(|()| self.line.join(Item { call: Some(key), draft }, &self.config));
        match joined {
            Ok(place) => {
                if let Some(deadline) = deadline {
                    self.deadlines.insert((deadline, key));
                }
                self.calls.insert(key, Open { waiter, made: now, deadline, stage: Stage::Waiting(place), stream });
            }
            Err(why) => self.outputs.push_back(Output::CallDone { waiter, outcome: CallResult::NotSent(why) }),
        }
    }

    /// Nobody waits for this call any more: it ends without an output, and a v1 server is told. Nothing happens if it
    /// is over already.
    pub fn cancel(&mut self, now: Instant, key: CallKey) {
        self.give_up(now, key);
    }

    /// The reader of a stream has room up to the `items`-th item in all, and the server is told. Nothing happens if
    /// that is no more than was said before, or if the stream is over.
    pub fn grant_credit(&mut self, key: CallKey, items: u64) {
        let Some(Open { stage, stream: Some(stream), .. }) = self.calls.get_mut(&key) else { return };
        let Some(room) = stream.raise(items) else { return };
        // A call that waits says it when it is written; a classic server knows no room.
        if let Stage::Written { id, event_json } = stage
            && !matches!(self.phase, Phase::Open { dialect: Dialect::Classic, .. })
        {
            let credit = about(event_json, &room.to_string(), *id, Kind::Credit);
            self.outputs.push_back(Output::Send(credit));
        }
    }

    /// Writes an item of a call's upload, at once: whoever hands it in should do so only while the session
    /// [takes them](Self::can_upload). The item's draft has the event of its call.
    ///
    /// # Errors
    /// [`NotSent::TooLarge`] for that item alone. [`NotSent::Over`] if there is no such call any more, or no
    /// [`Output::UploadCredit`] for it.
    pub fn upload_item(&mut self, key: CallKey, item: EncodedMessage) -> Result<(), NotSent> {
        let (size, limit) = (item.item_size(), self.message_limit());
        let open = self.calls.get_mut(&key).ok_or(NotSent::Over)?;
        let upload = open.stream.as_mut().and_then(|stream| stream.upload.as_mut()).ok_or(NotSent::Over)?;
        let Stage::Written { id, .. } = open.stage else { return Err(NotSent::Over) };
        if size > limit {
            return Err(NotSent::TooLarge { size, limit });
        }
        if !upload.take() {
            return Err(NotSent::Over);
        }
        self.outputs.push_back(Output::Send(item.into_item(id)));
        Ok(())
    }

    /// There are no more items: the server is told, once the call is written. Nothing happens if it knows already, or
    /// if the call is over.
    pub fn upload_end(&mut self, key: CallKey) {
        let Some(open) = self.calls.get_mut(&key) else { return };
        let Some(upload) = open.stream.as_mut().and_then(|stream| stream.upload.as_mut()) else { return };
        if !std::mem::replace(&mut upload.ended, true)
            && let Stage::Written { id, event_json } = &open.stage
        {
            self.outputs.push_back(Output::Send(about(event_json, "null", *id, Kind::End)));
        }
    }

    /// Whether an item of an upload would be the next thing written. Items do not wait in line, where calls that wait
    /// for others to end would hold up the very items that those wait for.
    pub fn can_upload(&self) -> bool {
        !self.blocked && self.outputs.is_empty()
    }

    /// Sends something that nobody answers.
    ///
    /// # Errors
    /// [`NotSent`]: too large, too much is waiting, or the session is closed. Otherwise it will be written, now or on
    /// the next connection; if the session ends before there is one, it is lost.
    pub fn send(&mut self, draft: EncodedMessage) -> Result<(), NotSent> {
        self.admit(&draft)?;
        self.line.join(Item { call: None, draft }, &self.config).map(|_| ())
    }

    /// Ends the session. On a connection, sends that wait are written first. All calls end: those that were written as
    /// [`CallResult::Unknown`], the others as [`NotSent::Closed`]. The last output is [`Output::Closed`].
    pub fn close(&mut self, now: Instant) {
        match self.phase {
            Phase::Closing { .. } | Phase::Ended => {}
            Phase::Greeting { .. } | Phase::Open { .. } => {
                let dialect = self.dialect().unwrap_or(Dialect::V1);
                let limit = self.message_limit();
                self.login.disconnected();
                self.opening = None;
                self.end_written(&DisconnectReason::ClosedByUs);
                self.end_asks();
                while let Some(item) = self.line.pop() {
                    match item.call {
                        Some(key) => self.end(key, CallResult::NotSent(NotSent::Closed)),
                        None if item.draft.size() <= limit => {
                            self.outputs.push_back(Output::Send(item.draft.into_send()));
                        }
                        None => self.lose_send(item.draft.size(), limit),
                    }
                }
                self.outputs.push_back(Output::Close);
                self.phase = Phase::Closing { dialect, until: after(now, self.config.close_timeout) };
            }
            Phase::Connecting | Phase::Waiting { .. } => {
                while let Some(item) = self.line.pop() {
                    if let Some(key) = item.call {
                        self.end(key, CallResult::NotSent(NotSent::Closed));
                    }
                }
                self.finish();
            }
        }
    }

    /// Whether there is a connection that is slower than those who use it. Then they should wait where they are
    /// than in the session's line, which refuses what is too much.
    pub fn is_congested(&self) -> bool {
        /// Enough to keep a socket busy until more is fetched.
        const MARK: usize = 64 << 10;
        matches!(self.phase, Phase::Greeting { .. } | Phase::Open { .. }) && self.line.bytes() >= MARK
    }

    /// Calls that are written and unanswered.
    pub fn in_flight(&self) -> usize {
        self.written.len()
    }

    // --- What happens ------------------------------------------------------------------------------------------------

    /// The WebSocket handshake succeeded. Ignored unless a connection was asked for.
    pub fn handle_connected(&mut self, now: Instant, dialect: Dialect) {
        if !matches!(self.phase, Phase::Connecting) {
            return;
        }
        self.blocked = false;
        self.next_id = 1;
        self.echoes_ids = false;
        self.heartbeat = self.config.heartbeat.map(|interval| Heartbeat::new(interval, PATIENCE, now));
        match dialect {
            Dialect::V1 => {
                self.phase = Phase::Greeting { since: now };
                let hello = codec::message(hello::HELLO, &Hello::default());
                self.outputs.push_back(Output::Send(hello.into()));
                self.begin_resume(now, dialect);
            }
            Dialect::Classic => {
                self.phase = Phase::Open { dialect, since: now };
                self.begin_resume(now, dialect);
                self.opened(None);
            }
        }
    }

    /// The attempt failed. Ignored unless a connection was asked for.
    pub fn handle_connect_failed(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Connecting) {
            self.phase = Phase::Waiting { until: after(now, self.waits.next_wait()) };
        }
    }

    /// The connection is gone.
    pub fn handle_disconnected(&mut self, now: Instant, why: DisconnectReason) {
        match self.phase {
            Phase::Greeting { since } | Phase::Open { since, .. } => {
                self.waits.connection_ended(now, since);
                self.phase = Phase::Waiting { until: after(now, self.waits.next_wait()) };
                // What was meant for this connection alone.
                self.outputs.retain(|output| !matches!(output, Output::Send(_) | Output::Ping));
                self.login.disconnected();
                self.opening = None;
                self.end_written(&why);
                self.end_asks();
                self.outputs.push_back(Output::Disconnected(why));
            }
            Phase::Closing { .. } => {
                self.outputs.retain(|output| !matches!(output, Output::Send(_) | Output::Ping | Output::Close));
                self.outputs.push_back(Output::Disconnected(DisconnectReason::ClosedByUs));
                self.finish();
            }
            Phase::Connecting | Phase::Waiting { .. } | Phase::Ended => {}
        }
    }

    /// The socket takes no more for now: until [`handle_writable`](Self::handle_writable), what waits keeps waiting.
    /// Only what is owed to the server (a cancelled call, an answer) is still given out.
    pub fn handle_blocked(&mut self) {
        self.blocked = true;
    }

    /// The socket takes more again.
    pub fn handle_writable(&mut self) {
        self.blocked = false;
    }

    /// Something has arrived from the server, be it a pong: said besides what it is.
    pub fn handle_sign_of_life(&mut self, now: Instant) {
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.handle_sign_of_life(now);
        }
    }

    /// A text message has arrived.
    pub fn handle_text(&mut self, now: Instant, text: &str) {
        let Some(dialect) = self.dialect() else { return };
        let handled = codec::decode(text).and_then(|frame| match dialect {
            Dialect::V1 => self.handle_v1(now, &frame),
            Dialect::Classic => self.handle_classic(now, &frame),
        });
        if let Err(bad) = handled {
            self.outputs.push_back(Output::Warning(ProtocolWarning::BadFrame(bad)));
        }
    }

    /// A binary message has arrived. There are none in aaw.
    pub fn handle_binary(&mut self) {
        if self.dialect().is_some() {
            self.outputs.push_back(Output::Warning(ProtocolWarning::BadFrame(BadFrame::Binary)));
        }
    }

    /// Time has passed. Does what was due at [`poll_timeout`](Self::poll_timeout); nothing if it is earlier.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(deadline, key)) = self.deadlines.first()
            && deadline <= now
        {
            if let Some((waiter, sent)) = self.give_up(now, key) {
                self.outputs.push_back(Output::CallDone { waiter, outcome: CallResult::TimedOut { sent } });
            }
        }
        self.time_out_resume(now);
        match self.phase {
            Phase::Waiting { until } if until <= now => {
                self.phase = Phase::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            Phase::Greeting { since } if after(since, self.config.welcome_timeout) <= now => {
                self.abandon(now, DisconnectReason::NoWelcome);
            }
            Phase::Greeting { .. } | Phase::Open { .. } => {
                let Some(heartbeat) = &mut self.heartbeat else { return };
                match heartbeat.handle_timeout(now) {
                    Beat::Quiet => {}
                    Beat::Ping => self.outputs.push_back(Output::Ping),
                    Beat::Gone => self.abandon(now, DisconnectReason::Silent),
                }
            }
            Phase::Closing { until, .. } if until <= now => self.abandon(now, DisconnectReason::ClosedByUs),
            _ => {}
        }
    }

    // --- What to do --------------------------------------------------------------------------------------------------

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let look = self.heartbeat.as_ref().map(Heartbeat::poll_timeout);
        let phase = match self.phase {
            Phase::Greeting { since } => {
                let welcome = after(since, self.config.welcome_timeout);
                look.into_iter().chain([welcome]).min()
            }
            Phase::Open { .. } => look,
            Phase::Waiting { until } | Phase::Closing { until, .. } => Some(until),
            Phase::Connecting | Phase::Ended => None,
        };
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        phase.into_iter().chain(deadline).chain(self.login.due()).min()
    }

    /// The next thing to do, `None` when there is nothing. A call counts as written, and has its id, once its
    /// [`Output::Send`] was given out here: so what is not asked for is never *outcome unknown*.
    pub fn poll_output(&mut self) -> Option<Output<W>> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if !self.write_first() {
                return None;
            }
        }
    }

    // --- Writing -----------------------------------------------------------------------------------------------------

    /// What can be said before it stands in line.
    fn admit(&self, draft: &EncodedMessage) -> Result<(), NotSent> {
        let limit = match self.phase {
            Phase::Ended | Phase::Closing { .. } => return Err(NotSent::Closed),
            Phase::Open { .. } => self.message_limit(),
            // The next welcome may allow more than the last.
            _ => self.config.max_message,
        };
        let size = draft.size();
        if size > limit { Err(NotSent::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// Bytes of the largest message for this connection. A classic server does not say what it takes.
    pub fn message_limit(&self) -> usize {
        match self.phase {
            Phase::Open { dialect: Dialect::Classic, .. } => self.config.max_message,
            _ => self.config.max_message.min(self.limits.message as usize),
        }
    }

    fn call_limit(&self) -> usize {
        let server = match self.phase {
            Phase::Open { dialect: Dialect::Classic, .. } => u32::MAX,
            // At least one, or a server that said 0 would leave every call waiting for nothing.
            _ => self.limits.calls.max(1),
        };
        self.config.max_in_flight.min(server) as usize
    }

    /// Puts the first of the line into the outputs, if it may be written now.
    fn write_first(&mut self) -> bool {
        let dialect = match self.phase {
            Phase::Greeting { .. } => Dialect::V1,
            Phase::Open { dialect, .. } => dialect,
            _ => return false,
        };
        let Some(first) = self.line.first() else { return false };
        let (size, limit) = (first.draft.size(), self.message_limit());
        if self.blocked || self.login.is_resuming() || (first.call.is_some() && self.written.len() >= self.call_limit())
        {
            return false;
        }
        if size > limit && matches!(self.phase, Phase::Greeting { .. }) {
            // The welcome will say.
            return false;
        }
        let Some(Item { call, draft }) = self.line.pop() else { return false };
        match call {
            None if size > limit => self.lose_send(size, limit),
            None => self.outputs.push_back(Output::Send(draft.into_send())),
            Some(key) if size > limit => self.end(key, CallResult::NotSent(NotSent::TooLarge { size, limit })),
            Some(key) => self.write_call(key, draft, dialect),
        }
        true
    }

    fn write_call(&mut self, key: CallKey, draft: EncodedMessage, dialect: Dialect) {
        // What leaves the session leaves the line too.
        let Some(open) = self.calls.get_mut(&key) else { return };
        let upload = open.stream.as_ref().and_then(|stream| stream.upload.as_ref());
        if dialect == Dialect::Classic && upload.is_some() {
            return self.end(key, CallResult::NotSent(NotSent::NoUploads));
        }
        let upload_ended = upload.is_some_and(|upload| upload.ended);
        let id = self.next_id;
        self.next_id += 1;
        let (frame, event_json) = match &open.stream {
            Some(stream) if dialect == Dialect::V1 => draft.into_stream(id, stream.room(), upload.is_some()),
            _ => draft.into_call(id),
        };
        if dialect == Dialect::Classic && !self.echoes_ids {
            self.oldest.written(&event_json, id);
        }
        self.outputs.push_back(Output::Send(frame));
        if upload_ended {
            self.outputs.push_back(Output::Send(about(&event_json, "null", id, Kind::End)));
        }
        open.stage = Stage::Written { id, event_json };
        self.written.insert(id, key);
    }

    fn lose_send(&mut self, size: usize, limit: usize) {
        let why = NotSent::TooLarge { size, limit };
        self.outputs.push_back(Output::Warning(ProtocolWarning::SendLost(why)));
    }

    // --- Reading -----------------------------------------------------------------------------------------------------

    fn handle_v1(&mut self, now: Instant, frame: &Frame<'_>) -> Result<(), BadFrame> {
        match (frame.v1_id()?, frame.kind) {
            (None, Kind::Plain) if is_reserved(&frame.event) => self.handle_reserved(frame),
            (None, Kind::Plain) => {
                self.push(frame);
                Ok(())
            }
            (Some(id), Kind::Plain) if id > 0 => match self.written.get(&id) {
                // Not what the protocol says, and clear enough: one item, if there is room for it.
                Some(&key) if self.is_stream(key) => {
                    self.item(now, id, frame.data)?;
                    self.end(key, CallResult::StreamEnded);
                    Ok(())
                }
                _ => self.settle(id, CallResult::Response(frame.data.into())),
            },
            (Some(id), Kind::Error) if id > 0 => {
                let failure = serde_json::from_str(frame.data).unwrap_or_else(|error| {
                    Failure::new(Code::BAD_FRAME, format!("the call failed, and its error cannot be read: {error}"))
                });
                self.settle(id, CallResult::Failed(failure))
            }
            (Some(id), Kind::Item) if id > 0 => self.item(now, id, frame.data),
            (Some(id), Kind::End) if id > 0 => match self.streaming(id, Kind::End)? {
                Some((key, _)) => {
                    self.end(key, CallResult::StreamEnded);
                    Ok(())
                }
                None => Ok(()),
            },
            (Some(id), Kind::Credit) if id > 0 => self.credit(id, frame.credit()?),
            // Nothing follows a close frame, so nothing can be answered.
            (Some(id), _) if id < 0 && matches!(self.phase, Phase::Closing { .. }) => Ok(()),
            (Some(id), Kind::Plain | Kind::Call) if id < 0 => self.take_ask(id, frame),
            (Some(id), Kind::Cancel) if id < 0 => self.cancel_ask(id),
            (_, kind) => Err(not_asked_for(kind)),
        }
    }

    /// The next item of an open stream.
    fn item(&mut self, now: Instant, id: i64, data: &str) -> Result<(), BadFrame> {
        let Some((key, stream)) = self.streaming(id, Kind::Item)? else { return Ok(()) };
        if stream.take() {
            self.outputs.push_back(Output::Item { key, data: data.into() });
            return Ok(());
        }
        let room = stream.room();
        if let Some((waiter, _)) = self.give_up(now, key) {
            let text = format!("the server sent more items than the {room} that there was room for");
            let outcome = CallResult::Failed(Failure::new(Code::BAD_FRAME, text));
            self.outputs.push_back(Output::CallDone { waiter, outcome });
        }
        Ok(())
    }

    /// The server has room for items of a call's upload.
    fn credit(&mut self, id: i64, room: u64) -> Result<(), BadFrame> {
        let Some((key, stream)) = self.streaming(id, Kind::Credit)? else { return Ok(()) };
        let upload = stream.upload.as_mut().ok_or_else(|| not_asked_for(Kind::Credit))?;
        // After the end of the upload it has crossed with that.
        if let Some(items) = upload.raise(room)
            && !upload.ended
        {
            self.outputs.push_back(Output::UploadCredit { key, items });
        }
        Ok(())
    }

    fn is_stream(&self, key: CallKey) -> bool {
        self.calls.get(&key).is_some_and(|open| open.stream.is_some())
    }

    /// The open stream that a frame is about. None if it is over.
    fn streaming(&mut self, id: i64, kind: Kind) -> Result<Option<(CallKey, &mut Streaming)>, BadFrame> {
        match self.written.get(&id) {
            Some(key) => {
                let stream = self.calls.get_mut(key).and_then(|open| open.stream.as_mut());
                stream.map(|stream| Some((*key, stream))).ok_or_else(|| not_asked_for(kind))
            }
            None if id < self.next_id => Ok(None),
            None => Err(never_made(id)),
        }
    }

    /// What the server says about the connection itself. A newer one may say more.
    fn handle_reserved(&mut self, frame: &Frame<'_>) -> Result<(), BadFrame> {
        match &*frame.event {
            hello::WELCOME => {
                let welcome: Welcome = serde_json::from_str(frame.data)
                    .map_err(|error| BadFrame::OutOfPlace(format!("a welcome that cannot be read: {error}")))?;
                self.limits = welcome.limits;
                if let Phase::Greeting { since } = self.phase {
                    self.phase = Phase::Open { dialect: Dialect::V1, since };
                    self.opened(Some(welcome.connection.into()));
                }
            }
            hello::SESSION => self.session_ended(frame)?,
            hello::JOINED | hello::LEFT => self.push(frame),
            hello::ERROR => {
                let failure = serde_json::from_str(frame.data)
                    .map_err(|error| BadFrame::OutOfPlace(format!("an error that cannot be read: {error}")))?;
                self.outputs.push_back(Output::Warning(ProtocolWarning::Reported(failure)));
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_classic(&mut self, now: Instant, frame: &Frame<'_>) -> Result<(), BadFrame> {
        if let Some(word) = frame.kind.word() {
            return Err(BadFrame::OutOfPlace(format!("{word:?} on a connection that has no kinds")));
        }
        match frame.id {
            Some(id) => {
                let id = id.parse().ok().filter(|id| (1..self.next_id).contains(id)).ok_or_else(|| {
                    BadFrame::BadId { expected: "one that was sent", found: Shortened(id).to_string() }
                })?;
                // From here on, what has no id is a push.
                self.echoes_ids = true;
                self.oldest.clear();
                self.settle(id, classic_outcome(frame.data))
            }
            None => match self.oldest.take(now, &codec::event_json(&frame.event)) {
                Some(id) => self.settle(id, classic_outcome(frame.data)),
                None => {
                    self.push(frame);
                    Ok(())
                }
            },
        }
    }

    /// The dialect of the connection, if there is one.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        match self.phase {
            Phase::Greeting { .. } => Some(Dialect::V1),
            Phase::Open { dialect, .. } | Phase::Closing { dialect, .. } => Some(dialect),
            Phase::Connecting | Phase::Waiting { .. } | Phase::Ended => None,
        }
    }

    /// The connection can be used, as soon as the server has taken the token.
    fn opened(&mut self, connection: Option<Box<str>>) {
        self.opening = Some(connection);
        if !self.login.is_resuming() {
            self.tell_opened();
        }
    }

    pub(super) fn tell_opened(&mut self) {
        if let Some(connection) = self.opening.take() {
            self.outputs.push_back(Output::Opened { connection });
        }
    }

    /// The event of a call that was written, as JSON.
    pub(super) fn written_event(&self, key: CallKey) -> Option<&str> {
        match &self.calls.get(&key)?.stage {
            Stage::Written { event_json, .. } => Some(event_json),
            Stage::Waiting(_) => None,
        }
    }

    fn push(&mut self, frame: &Frame<'_>) {
        self.outputs.push_back(Output::Push { event: frame.event.as_ref().into(), data: frame.data.into() });
    }

    // --- How calls end -----------------------------------------------------------------------------------------------

    /// The answer to a written call. One that nobody waits for any more is ignored.
    fn settle(&mut self, id: i64, outcome: CallResult) -> Result<(), BadFrame> {
        if self.login.is_resume(id) {
            self.end_resume(outcome);
            return Ok(());
        }
        match self.written.get(&id) {
            Some(&key) => match outcome {
                // A classic server knows no streams.
                CallResult::Response(data) if self.is_stream(key) => {
                    self.outputs.push_back(Output::Item { key, data });
                    self.end(key, CallResult::StreamEnded);
                }
                outcome => {
                    if let CallResult::Response(data) = &outcome {
                        self.notice(key, data);
                    }
                    self.end(key, outcome);
                }
            },
            None if id < self.next_id => {}
            None => return Err(never_made(id)),
        }
        Ok(())
    }

    /// Ends a call that is open, and says so.
    fn end(&mut self, key: CallKey, outcome: CallResult) {
        if let Some(open) = self.remove(key) {
            self.outputs.push_back(Output::CallDone { waiter: open.waiter, outcome });
        }
    }

    /// Ends a call from this side. Gives back who waited, and whether it had been written.
    fn give_up(&mut self, now: Instant, key: CallKey) -> Option<(W, bool)> {
        let Open { waiter, made, deadline, stage, .. } = self.remove(key)?;
        let sent = match stage {
            Stage::Waiting(place) => {
                self.line.leave(place);
                false
            }
            Stage::Written { id, event_json } => {
                if matches!(self.phase, Phase::Open { dialect: Dialect::Classic, .. }) {
                    /// As much as the default time-out of a call, for those that have none.
                    const KEEP: Duration = Duration::from_secs(3);
                    let keep = deadline.map_or(KEEP, |deadline| deadline.saturating_duration_since(made));
                    self.oldest.given_up(now, &event_json, id, keep);
                } else {
                    self.outputs.push_back(Output::Send(about(&event_json, "null", id, Kind::Cancel)));
                }
                true
            }
        };
        Some((waiter, sent))
    }

    /// Takes a call off every list but the line.
    fn remove(&mut self, key: CallKey) -> Option<Open<W>> {
        let open = self.calls.remove(&key)?;
        if let Some(deadline) = open.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        if let Stage::Written { id, .. } = open.stage {
            self.written.remove(&id);
        }
        Some(open)
    }

    /// Ends the calls that were written on a connection which is gone, in their order.
    fn end_written(&mut self, why: &DisconnectReason) {
        let mut written: Vec<_> = self.written.iter().map(|(id, key)| (*id, *key)).collect();
        written.sort_unstable();
        for (_, key) in written {
            self.end(key, CallResult::Unknown(why.clone()));
        }
        self.oldest.clear();
    }

    fn abandon(&mut self, now: Instant, why: DisconnectReason) {
        self.outputs.push_back(Output::Abort);
        self.handle_disconnected(now, why);
    }

    fn finish(&mut self) {
        self.phase = Phase::Ended;
        self.outputs.push_back(Output::Closed);
    }
}

/// A whole frame that says something about a call that was written.
fn about(event_json: &str, data: &str, id: i64, kind: Kind) -> Bytes {
    let mut out = Vec::with_capacity(64);
    codec::begin(&mut out, event_json);
    out.extend_from_slice(data.as_bytes());
    codec::end_v1(&mut out, id, kind);
    out.into()
}

fn not_asked_for(kind: Kind) -> BadFrame {
    BadFrame::OutOfPlace(match kind.word() {
        Some(word) => format!("{word:?} for something that was not asked for"),
        None => "an answer to nothing".into(),
    })
}

fn never_made(id: i64) -> BadFrame {
    BadFrame::OutOfPlace(format!("an answer to call {id}, which was never made"))
}

/// What a classic server answered: an object whose only key is `error`, with a string, is its way to fail a call. A
/// handler that answers exactly that cannot be told from one that failed, as with the JavaScript client.
fn classic_outcome(data: &str) -> CallResult {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Failed {
        error: String,
    }
    // From an array serde would make a struct too.
    if data.starts_with('{')
        && let Ok(Failed { error }) = serde_json::from_str(data)
    {
        return CallResult::Failed(Failure::new(Code::HANDLER, error));
    }
    CallResult::Response(data.into())
}
