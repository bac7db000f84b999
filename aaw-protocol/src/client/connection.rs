//! The state machine of a client's connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;

use super::backoff::{ReconnectDelays, RetryHint};
use super::encoded_message::EncodedMessage;
use super::event_names::EventNames;
use super::fifo_matcher::FifoMatcher;
use super::keys::CallKey;
use super::login_state::LoginState;
use super::resumption_state::Resumption;
use super::running_client_calls::RunningClientCalls;
use super::streaming::{StreamFlow, StreamOptions};
use super::write_queue::{QueuedMessage, WritePosition, WriteQueue};
use super::{CallResult, ClientConfig, DisconnectReason, NotSent, Output, ProtocolWarning};
use crate::clock::after;
use crate::codec::{self, BadFrame, Frame, Kind};
use crate::fast_map::FastMap;
use crate::heartbeat::{Heartbeat, HeartbeatAction};
use crate::hello::{self, Hello, Limits, Welcome};
use crate::resumption::ResumptionKey;
use crate::timer_wheel::{DeadlineKey, TimerWheel};
use crate::{Code, Dialect, Failure, Shortened, is_reserved};

/// The number of consecutive pings without a sign of life after which the server is considered dead.
const MAX_MISSED_HEARTBEATS: u32 = 2;

/// The state of a client's connection, across reconnections. `W` is the application's waiter of a call. See the
/// [module's documentation](super) for how to drive it.
///
/// A new `ClientConnection` requests a connection attempt at once, and another one after each disconnection.
///
/// Calls and one-way sends that cannot be written yet wait in one queue and leave it in order. When a connection is
/// lost, the written calls end as [`CallResult::Unknown`], and the queue is kept for the next connection.
///
/// A stream is a call with flow control: the credit that the application grants to the server, and for an upload the
/// credit that the server grants. Items are not stored here: a received item is returned as output at once, and an
/// upload item is written when it is passed in.
#[derive(Debug)]
pub struct ClientConnection<W> {
    pub(super) config: ClientConfig,
    pub(super) phase: ConnectionPhase,
    reconnect_delays: ReconnectDelays,
    /// The limits of the last welcome. Until the next welcome they are the best estimate.
    server_limits: Limits,
    /// Whether the socket currently accepts no more data.
    blocked: bool,
    calls: FastMap<CallKey, OpenCall<W>>,
    deadlines: TimerWheel<CallKey>,
    event_names: EventNames,
    pub(super) write_queue: WriteQueue,
    /// The open calls that were written on this connection, by id.
    pub(super) written: FastMap<i64, CallKey>,
    pub(super) next_id: i64,
    pub(super) fifo_matcher: FifoMatcher,
    /// Whether the classic server of this connection has sent a response with an id.
    echoes_ids: bool,
    heartbeat: Option<Heartbeat>,
    pub(super) client_calls: RunningClientCalls,
    pub(super) login: LoginState,
    /// The argument of the [`Output::Opened`] that waits for the server to accept the token.
    pub(super) pending_open: Option<Option<Box<str>>>,
    /// The key of the next state.
    pub(super) offered_key: Option<ResumptionKey>,
    /// What outlives a socket, if the server has agreed to resumption or was asked for it.
    pub(super) resumption: Option<Box<Resumption>>,
    /// The time of the last input that had one.
    last_input: Option<Instant>,
    /// The client is to be closed after the welcome: until when that is awaited.
    pub(super) close_requested: Option<Instant>,
    /// The open calls that were written on this connection and are no streams.
    pub(super) written_unary: usize,
    /// Since when such a call waits for anything from the server, if there is any.
    pub(super) waits_since: Option<Instant>,
    /// When the last of them was written.
    pub(super) written_at: Option<Instant>,
    /// One of them was given up, and nothing has arrived since.
    pub(super) has_unanswered: bool,
    pub(super) outputs: VecDeque<Output<W>>,
}

/// The phase of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum ConnectionPhase {
    /// A connection attempt was requested.
    Connecting,
    /// A v1 server has accepted the connection and not sent its welcome yet. Calls may be written already.
    AwaitingWelcome { since: Instant },
    /// The connection is usable.
    Open { dialect: Dialect, since: Instant },
    /// There is no connection. The next attempt is due at `until`.
    Reconnecting { until: Instant },
    /// A close frame was sent, and the server's is expected. Frames that arrive before it are still handled.
    Closing { dialect: Dialect, until: Instant },
    /// The client is closed for good.
    Closed,
}

#[derive(Debug)]
struct OpenCall<W> {
    waiter: W,
    /// How long it may take, and its deadline.
    deadline: Option<(Duration, DeadlineKey)>,
    stage: CallStage,
    /// The flow control, if the response is read item by item.
    stream: Option<StreamFlow>,
}

/// An open call that has ended without a result.
struct AbortedCall<W> {
    waiter: W,
    /// Whether the call had been written.
    sent: bool,
    /// Whether the server had acknowledged it.
    taken: bool,
}

#[derive(Debug)]
enum CallStage {
    Queued(WritePosition),
    /// `number` is that of its message, on a resumable connection.
    Written {
        id: i64,
        event_json: Arc<str>,
        number: u64,
    },
}

impl<W> ClientConnection<W> {
    /// Creates a client that requests its first connection. `seed` randomizes the delays between attempts and should
    /// differ for each client.
    pub fn new(config: ClientConfig, seed: u64) -> Self {
        Self {
            phase: ConnectionPhase::Connecting,
            reconnect_delays: ReconnectDelays::new(config.backoff.clone(), seed),
            server_limits: Limits::default(),
            blocked: false,
            calls: FastMap::default(),
            deadlines: TimerWheel::default(),
            event_names: EventNames::default(),
            write_queue: WriteQueue::default(),
            written: FastMap::default(),
            next_id: 1,
            fifo_matcher: FifoMatcher::default(),
            echoes_ids: false,
            heartbeat: None,
            client_calls: RunningClientCalls::default(),
            login: LoginState::default(),
            pending_open: None,
            offered_key: None,
            resumption: None,
            last_input: None,
            close_requested: None,
            written_unary: 0,
            waits_since: None,
            written_at: None,
            has_unanswered: false,
            outputs: VecDeque::from([Output::Connect]),
            config,
        }
    }

    // --- Requests of the application ---------------------------------------------------------------------------------

    /// Makes a call. It ends with exactly one [`Output::CallDone`], unless it is [cancelled](Self::cancel). Without a
    /// `deadline` it may wait indefinitely.
    pub fn call(&mut self, now: Instant, key: CallKey, message: EncodedMessage, deadline: Option<Instant>, waiter: W) {
        self.start_call(now, key, message, deadline, waiter, None);
    }

    /// Makes a call whose response is read item by item.
    ///
    /// It yields any number of [`Output::Item`]s and then exactly one [`Output::CallDone`], which is
    /// [`CallResult::StreamEnded`] on success, unless it is [cancelled](Self::cancel). The single response of a classic
    /// server becomes one item. A server that sends items without credit fails the stream with the code `bad_frame`.
    ///
    /// The stream counts as one call in flight until it is over.
    pub fn stream(
        &mut self,
        now: Instant,
        key: CallKey,
        message: EncodedMessage,
        options: StreamOptions,
        deadline: Option<Instant>,
        waiter: W,
    ) {
        self.start_call(now, key, message.for_stream(), deadline, waiter, Some(StreamFlow::new(options)));
    }

    fn start_call(
        &mut self,
        now: Instant,
        key: CallKey,
        message: EncodedMessage,
        deadline: Option<Instant>,
        waiter: W,
        stream: Option<StreamFlow>,
    ) {
        debug_assert!(!self.calls.contains_key(&key), "two open calls have the same key");
        self.last_input = Some(now);
        self.acknowledge_received(now, true);
        let queued = self.check_message(&message).and_then(|()| self.queue(QueuedMessage { call: Some(key), message }));
        match queued {
            Ok(position) => {
                let deadline =
                    deadline.map(|at| (at.saturating_duration_since(now), self.deadlines.insert(now, at, key)));
                self.calls.insert(key, OpenCall { waiter, deadline, stage: CallStage::Queued(position), stream });
            }
            Err(why) => self.outputs.push_back(Output::CallDone { waiter, result: CallResult::NotSent(why) }),
        }
    }

    /// Appends a message to the write queue.
    fn queue(&mut self, mut queued: QueuedMessage) -> Result<WritePosition, NotSent> {
        let is_open = matches!(self.phase, ConnectionPhase::AwaitingWelcome { .. } | ConnectionPhase::Open { .. });
        let is_full = self.written.len() + self.write_queue.len() >= self.call_limit();
        let must_wait = self.blocked || self.login.is_resuming() || self.awaits_terms() || self.is_log_full();
        if !is_open || is_full || must_wait {
            queued.message.detach();
        }
        self.write_queue.push(queued, &self.config)
    }

    /// Cancels a call: it ends without an output, and a v1 server is notified. Does nothing if the call is over.
    pub fn cancel(&mut self, now: Instant, key: CallKey) {
        self.abort_call(now, key);
    }

    /// Grants the server credit for the items of a stream: `items` in total, from its start. Does nothing if the credit
    /// is not larger than before, or if the stream is over.
    pub fn grant_credit(&mut self, key: CallKey, items: u64) {
        let Some(OpenCall { stage, stream: Some(stream), .. }) = self.calls.get_mut(&key) else { return };
        let Some(granted) = stream.grant(items) else { return };
        // A queued call states its credit when it is written. A classic server has no credit.
        if let CallStage::Written { id, event_json, .. } = stage
            && !matches!(self.phase, ConnectionPhase::Open { dialect: Dialect::Classic, .. })
        {
            let credit = control_frame(event_json, &granted.to_string(), *id, Kind::Credit);
            self.send_frame(credit);
        }
    }

    /// Writes an item of a call's upload at once. Call it only while [`can_upload`](Self::can_upload) returns `true`.
    /// The item must have the same event as its call.
    ///
    /// # Errors
    /// [`NotSent::TooLarge`] if the item exceeds the message limit; the upload may continue. [`NotSent::UploadClosed`]
    /// if the call is over or not written, has no upload or has ended it, or the server granted no
    /// [credit](Output::UploadCredit) for the item.
    pub fn upload_item(&mut self, key: CallKey, item: EncodedMessage) -> Result<(), NotSent> {
        let (size, limit) = (item.item_size(), self.message_limit());
        let open = self.calls.get_mut(&key).ok_or(NotSent::UploadClosed)?;
        let upload = open.stream.as_mut().and_then(|stream| stream.upload.as_mut()).ok_or(NotSent::UploadClosed)?;
        let CallStage::Written { id, .. } = open.stage else { return Err(NotSent::UploadClosed) };
        if size > limit {
            return Err(NotSent::TooLarge { size, limit });
        }
        if !upload.send_item() {
            return Err(NotSent::UploadClosed);
        }
        self.send_frame(item.into_item(id));
        Ok(())
    }

    /// Ends the upload of a call. The server is notified once the call is written. Does nothing if the upload has ended
    /// or the call is over.
    pub fn upload_end(&mut self, key: CallKey) {
        let Some(open) = self.calls.get_mut(&key) else { return };
        let Some(upload) = open.stream.as_mut().and_then(|stream| stream.upload.as_mut()) else { return };
        if !std::mem::replace(&mut upload.ended, true)
            && let CallStage::Written { id, event_json, .. } = &open.stage
        {
            let end = control_frame(event_json, "null", *id, Kind::End);
            self.send_frame(end);
        }
    }

    /// Returns whether an upload item would be written next. Upload items bypass the write queue: calls that wait there
    /// for other calls to end would block the items that those calls need.
    pub fn can_upload(&self) -> bool {
        !self.blocked
            && self.outputs.is_empty()
            && !self.awaits_terms()
            && !self.is_log_full()
            && !matches!(self.phase, ConnectionPhase::Connecting | ConnectionPhase::Reconnecting { .. })
    }

    /// Makes a one-way send. It is written now or on the next connection; if the client is closed before there is one,
    /// the event is lost.
    ///
    /// # Errors
    /// [`NotSent::TooLarge`], [`NotSent::QueueFull`], or [`NotSent::Closed`].
    pub fn send(&mut self, message: EncodedMessage) -> Result<(), NotSent> {
        self.check_message(&message)?;
        self.queue(QueuedMessage { call: None, message }).map(|_| ())
    }

    /// Returns whether the connection is slower than the application. The application should then hold messages back,
    /// since the write queue rejects what exceeds its limit.
    pub fn is_congested(&self) -> bool {
        /// Enough to keep a socket busy until the application passes in more.
        const HIGH_WATER_MARK: usize = 64 << 10;
        matches!(self.phase, ConnectionPhase::AwaitingWelcome { .. } | ConnectionPhase::Open { .. })
            && self.write_queue.bytes() >= HIGH_WATER_MARK
    }

    /// Returns the number of calls that are written and have no response.
    pub fn in_flight(&self) -> usize {
        self.written.len()
    }

    // --- Input -------------------------------------------------------------------------------------------------------

    /// The connection attempt succeeded. Ignored unless an attempt was requested.
    pub fn handle_connected(&mut self, now: Instant, dialect: Dialect) {
        if !matches!(self.phase, ConnectionPhase::Connecting) {
            return;
        }
        self.blocked = false;
        self.echoes_ids = false;
        self.last_input = Some(now);
        self.waits_since = Some(now);
        // An interval of zero would give the server no time to respond to a ping.
        let interval = self.config.heartbeat_interval.filter(|interval| !interval.is_zero());
        self.heartbeat = interval.map(|interval| Heartbeat::new(interval, MAX_MISSED_HEARTBEATS, now));
        match dialect {
            Dialect::V1 => {
                let resumption = self.request_resumption();
                if !self.is_resumable() {
                    self.next_id = 1;
                }
                self.phase = ConnectionPhase::AwaitingWelcome { since: now };
                let asks = resumption.is_some();
                let hello = codec::message(hello::HELLO, &Hello { resumption });
                self.outputs.push_back(Output::Send(hello.into()));
                // Otherwise it follows the welcome, if the session is not a part of a state that goes on.
                if !asks {
                    self.send_resume(now, dialect);
                }
            }
            Dialect::Classic => {
                if self.is_resumable() {
                    self.end_state(DisconnectReason::StateLost);
                }
                self.resumption = None;
                self.next_id = 1;
                self.phase = ConnectionPhase::Open { dialect, since: now };
                self.send_resume(now, dialect);
                self.set_ready(None);
            }
        }
    }

    /// The connection attempt failed. Ignored unless an attempt was requested. The `hint` decides how long the client
    /// waits before the next one.
    pub fn handle_connect_failed(&mut self, now: Instant, hint: RetryHint) {
        if matches!(self.phase, ConnectionPhase::Connecting) {
            self.set_reconnecting(now, hint);
        }
    }

    fn set_reconnecting(&mut self, now: Instant, hint: RetryHint) {
        self.phase = ConnectionPhase::Reconnecting { until: after(now, self.reconnect_delays.next_delay(hint)) };
    }

    /// The connection was lost.
    pub fn handle_disconnected(&mut self, now: Instant, why: DisconnectReason) {
        if self.is_closing() {
            return self.finish_closing();
        }
        match self.phase {
            ConnectionPhase::AwaitingWelcome { since } | ConnectionPhase::Open { since, .. } => {
                self.reconnect_delays.handle_connection_ended(now, since);
                // These outputs belong to the lost connection. What is counted of them is kept elsewhere.
                self.outputs.retain(|output| !matches!(output, Output::Send(_) | Output::Ping));
                let is_repeated = self
                    .resumption
                    .as_ref()
                    .is_some_and(|resumption| resumption.interrupted.is_some() || resumption.is_unproven);
                if self.interrupt(now, &why) {
                    if is_repeated {
                        self.set_reconnecting(now, why.retry_hint());
                    } else {
                        // At once: it is most likely the network of this client that has changed.
                        self.phase = ConnectionPhase::Reconnecting { until: now };
                    }
                    self.heartbeat = None;
                    return;
                }
                self.set_reconnecting(now, why.retry_hint());
                self.end_state(why);
            }
            _ => {}
        }
    }

    /// The socket accepts no more data. Until [`handle_writable`](Self::handle_writable), messages stay in the write
    /// queue. Only control frames, such as cancels, and responses to client calls are still returned.
    pub fn handle_blocked(&mut self) {
        self.blocked = true;
    }

    /// The socket accepts data again.
    pub fn handle_writable(&mut self) {
        self.blocked = false;
    }

    /// The server sent anything at all, including pongs and parts of messages. Call it in addition to the method for the
    /// message itself.
    pub fn handle_sign_of_life(&mut self, now: Instant) {
        self.note_sign_of_life(now);
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.handle_sign_of_life(now);
        }
    }

    /// Handles a text message.
    pub fn handle_text(&mut self, now: Instant, text: &str) {
        let Some(dialect) = self.dialect() else { return };
        self.last_input = Some(now);
        let mut decoded = codec::decode(text);
        if decoded.as_mut().map_or(true, |frame| hello::is_counted(frame, text)) {
            self.count_received(now, text.len());
        }
        let handled = decoded.and_then(|mut frame| {
            // Responses and items are checked where they are parsed, all others here.
            let is_response = match (dialect, frame.kind) {
                (Dialect::V1, Kind::Unmarked | Kind::Item) => matches!(frame.v1_id(), Ok(Some(1..))),
                (Dialect::V1, _) => false,
                (Dialect::Classic, kind) => kind == Kind::Unmarked && frame.id.is_some(),
            };
            if !is_response {
                frame.check(text)?;
            }
            match dialect {
                Dialect::V1 => self.handle_v1(now, &frame),
                Dialect::Classic => self.handle_classic(now, &frame),
            }
        });
        if let Err(bad) = handled {
            self.outputs.push_back(Output::Warning(ProtocolWarning::BadFrame(bad)));
        }
        self.acknowledge_received(now, false);
    }

    /// Handles a binary message of this length, which the protocol does not have.
    pub fn handle_binary(&mut self, now: Instant, len: usize) {
        if self.dialect().is_some() {
            self.count_received(now, len);
            self.outputs.push_back(Output::Warning(ProtocolWarning::BadFrame(BadFrame::Binary)));
        }
    }

    /// Handles the passing of time: expires calls, pings a silent server, reconnects. Does nothing before
    /// [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.deadlines.poll_expired(now) {
            if let Some(AbortedCall { waiter, sent, taken }) = self.abort_call(now, key) {
                self.outputs.push_back(Output::CallDone { waiter, result: CallResult::TimedOut { sent, taken } });
            }
        }
        self.last_input = Some(now);
        if !self.is_interrupted() {
            self.expire_resume(now);
        }
        self.expire_interruption(now);
        self.acknowledge_received(now, false);
        self.probe(now);
        self.expire_closing(now);
        match self.phase {
            ConnectionPhase::Reconnecting { until } if until <= now => {
                self.phase = ConnectionPhase::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            ConnectionPhase::AwaitingWelcome { since } if after(since, self.config.welcome_timeout) <= now => {
                self.abort_connection(now, DisconnectReason::NoWelcome);
            }
            ConnectionPhase::AwaitingWelcome { .. } | ConnectionPhase::Open { .. } => {
                let Some(heartbeat) = &mut self.heartbeat else { return };
                match heartbeat.handle_timeout(now) {
                    HeartbeatAction::Wait => {}
                    HeartbeatAction::Ping => self.outputs.push_back(Output::Ping),
                    HeartbeatAction::Close => self.abort_connection(now, DisconnectReason::Silent),
                }
            }
            _ => {}
        }
    }

    // --- Output ------------------------------------------------------------------------------------------------------

    /// Returns when to call [`handle_timeout`](Self::handle_timeout), or `None` if there is nothing to wait for. The
    /// deadline of a call is rounded up to a millisecond, and one that is more than a few milliseconds ahead is approached in
    /// steps: it may take several calls until it passes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::poll_timeout);
        let phase = match self.phase {
            ConnectionPhase::AwaitingWelcome { since } => {
                let welcome = after(since, self.config.welcome_timeout);
                heartbeat.into_iter().chain([welcome]).min()
            }
            ConnectionPhase::Open { .. } => heartbeat,
            ConnectionPhase::Reconnecting { until } => Some(until),
            _ => None,
        };
        let others =
            [self.deadlines.poll_timeout(), self.login.resume_deadline(), self.resumption_due(), self.closing_due()];
        phase.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Returns the next output, or `None` if there is none.
    ///
    /// A call counts as written, and gets its id, when its [`Output::Send`] is returned here. A call whose frame was
    /// never returned therefore never ends as [`CallResult::Unknown`].
    pub fn poll_output(&mut self) -> Option<Output<W>> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if !self.write_next() {
                /// The outputs whose memory is kept when there are none.
                const KEPT: usize = 1024;
                self.outputs.shrink_to(KEPT);
                return None;
            }
        }
    }

    // --- Writing -----------------------------------------------------------------------------------------------------

    /// Rejects a message that cannot be written, before it is queued.
    fn check_message(&self, message: &EncodedMessage) -> Result<(), NotSent> {
        let limit = match self.phase {
            _ if self.is_closing() => return Err(NotSent::Closed),
            ConnectionPhase::Open { .. } => self.message_limit(),
            // The next welcome may allow more than the last.
            _ => self.config.max_message_bytes,
        };
        let size = message.size();
        if size > limit { Err(NotSent::TooLarge { size, limit }) } else { Ok(()) }
    }

    /// Returns the maximum size of a message on this connection, in bytes. A classic server announces no limit.
    pub fn message_limit(&self) -> usize {
        match self.phase {
            ConnectionPhase::Open { dialect: Dialect::Classic, .. } => self.config.max_message_bytes,
            _ => self.config.max_message_bytes.min(self.server_limits.message as usize),
        }
    }

    fn call_limit(&self) -> usize {
        let server = match self.phase {
            ConnectionPhase::Open { dialect: Dialect::Classic, .. } => u32::MAX,
            // At least one: with a limit of 0 every call would wait indefinitely.
            _ => self.server_limits.calls.max(1),
        };
        self.config.max_in_flight.max(1).min(server) as usize
    }

    /// Moves the first message of the write queue to the outputs. Returns `false` if it cannot be written now.
    fn write_next(&mut self) -> bool {
        let dialect = match self.phase {
            ConnectionPhase::AwaitingWelcome { .. } => Dialect::V1,
            ConnectionPhase::Open { dialect, .. } => dialect,
            _ => return false,
        };
        let Some(first) = self.write_queue.first() else { return false };
        if self.awaits_terms() || self.is_log_full() {
            return false;
        }
        let (size, limit) = (first.message.size(), self.message_limit());
        if self.blocked || self.login.is_resuming() || (first.call.is_some() && self.written.len() >= self.call_limit())
        {
            return false;
        }
        if size > limit && matches!(self.phase, ConnectionPhase::AwaitingWelcome { .. }) {
            // The welcome may announce a higher limit.
            return false;
        }
        let Some(QueuedMessage { call, message }) = self.write_queue.pop() else { return false };
        match call {
            None if size > limit => self.report_lost_event(size, limit),
            None => self.send_frame(message.into_one_way()),
            Some(key) if size > limit => {
                self.complete_call(key, CallResult::NotSent(NotSent::TooLarge { size, limit }));
            }
            Some(key) => self.write_call(key, message, dialect),
        }
        true
    }

    fn write_call(&mut self, key: CallKey, message: EncodedMessage, dialect: Dialect) {
        // A call that is over has left the queue, so it is always found.
        let Some(open) = self.calls.get_mut(&key) else { return };
        let upload = open.stream.as_ref().and_then(|stream| stream.upload.as_ref());
        if dialect == Dialect::Classic && upload.is_some() {
            return self.complete_call(key, CallResult::NotSent(NotSent::NoUploads));
        }
        let upload_ended = upload.is_some_and(|upload| upload.ended);
        let id = self.next_id;
        self.next_id += 1;
        let event_json = self.event_names.get(message.event_json());
        let frame = match &open.stream {
            Some(stream) if dialect == Dialect::V1 => message.into_stream(id, stream.credit(), upload.is_some()),
            _ => message.into_call(id),
        };
        if dialect == Dialect::Classic && !self.echoes_ids {
            self.fifo_matcher.add(&event_json, id);
        }
        self.send_frame(frame);
        let number = self.last_sent();
        if upload_ended {
            self.send_frame(control_frame(&event_json, "null", id, Kind::End));
        }
        let is_waiting = self.is_waiting();
        if let Some(open) = self.calls.get_mut(&key) {
            if open.stream.is_none() {
                if !is_waiting {
                    self.waits_since = self.last_input;
                }
                self.written_unary += 1;
                self.written_at = self.last_input;
            }
            open.stage = CallStage::Written { id, event_json, number };
        }
        self.written.insert(id, key);
    }

    pub(super) fn report_lost_event(&mut self, size: usize, limit: usize) {
        let why = NotSent::TooLarge { size, limit };
        self.outputs.push_back(Output::Warning(ProtocolWarning::SendLost(why)));
    }

    // --- Reading -----------------------------------------------------------------------------------------------------

    fn handle_v1(&mut self, now: Instant, frame: &Frame<'_>) -> Result<(), BadFrame> {
        match (frame.v1_id()?, frame.kind) {
            (None, Kind::Unmarked) if is_reserved(&frame.event) => self.handle_reserved(now, frame),
            (None, Kind::Unmarked) => {
                self.emit_push(frame);
                Ok(())
            }
            (Some(id), Kind::Unmarked) if id > 0 => match self.written.get(&id) {
                // The protocol does not allow a plain response to a stream, but its meaning is clear: one item, if
                // there is credit for it.
                Some(&key) if self.is_stream(key) => {
                    self.handle_item(now, id, frame.data)?;
                    self.complete_call(key, CallResult::StreamEnded);
                    Ok(())
                }
                _ => self.handle_response(id, CallResult::Response(frame.data.into())),
            },
            (Some(id), Kind::Error) if id > 0 => {
                let failure = serde_json::from_str(frame.data).unwrap_or_else(|error| {
                    Failure::new(Code::BAD_FRAME, format!("the call failed with a malformed error: {error}"))
                });
                self.handle_response(id, CallResult::Failed(failure))
            }
            (Some(id), Kind::Item) if id > 0 => self.handle_item(now, id, frame.data),
            (Some(id), Kind::End) if id > 0 => match self.open_stream(id, Kind::End)? {
                Some((key, _)) => {
                    self.complete_call(key, CallResult::StreamEnded);
                    Ok(())
                }
                None => Ok(()),
            },
            (Some(id), Kind::Credit) if id > 0 => self.handle_upload_credit(id, frame.credit()?),
            // The close frame is sent, so no response can follow.
            (Some(id), _) if id < 0 && matches!(self.phase, ConnectionPhase::Closing { .. }) => Ok(()),
            (Some(id), Kind::Unmarked | Kind::Call) if id < 0 => self.handle_client_call(id, frame),
            (Some(id), Kind::Cancel) if id < 0 => self.handle_client_call_cancel(id),
            (_, kind) => Err(unexpected_kind(kind)),
        }
    }

    /// Handles an item of a stream.
    fn handle_item(&mut self, now: Instant, id: i64, data: &str) -> Result<(), BadFrame> {
        let Some((key, stream)) = self.open_stream(id, Kind::Item)? else { return Ok(()) };
        if stream.receive_item() {
            self.outputs.push_back(Output::Item { key, data: data.into() });
            return Ok(());
        }
        let credit = stream.credit();
        if let Some(AbortedCall { waiter, .. }) = self.abort_call(now, key) {
            let text = format!("the server sent more items than the credit of {credit}");
            let result = CallResult::Failed(Failure::new(Code::BAD_FRAME, text));
            self.outputs.push_back(Output::CallDone { waiter, result });
        }
        Ok(())
    }

    /// Handles the server's credit for the upload of a call.
    fn handle_upload_credit(&mut self, id: i64, credit: u64) -> Result<(), BadFrame> {
        let Some((key, stream)) = self.open_stream(id, Kind::Credit)? else { return Ok(()) };
        let upload = stream.upload.as_mut().ok_or_else(|| unexpected_kind(Kind::Credit))?;
        // Credit that crossed with the end of the upload is ignored.
        if let Some(items) = upload.grant(credit)
            && !upload.ended
        {
            self.outputs.push_back(Output::UploadCredit { key, items });
        }
        Ok(())
    }

    fn is_stream(&self, key: CallKey) -> bool {
        self.calls.get(&key).is_some_and(|open| open.stream.is_some())
    }

    /// Returns the open stream that a frame of this kind belongs to, or `None` if the call is over.
    fn open_stream(&mut self, id: i64, kind: Kind) -> Result<Option<(CallKey, &mut StreamFlow)>, BadFrame> {
        match self.written.get(&id) {
            Some(key) => {
                let stream = self.calls.get_mut(key).and_then(|open| open.stream.as_mut());
                stream.map(|stream| Some((*key, stream))).ok_or_else(|| unexpected_kind(kind))
            }
            None if id < self.next_id => Ok(None),
            None => Err(unknown_call(id)),
        }
    }

    /// Handles a reserved event. Unknown ones are ignored, because a newer server may send more of them.
    fn handle_reserved(&mut self, now: Instant, frame: &Frame<'_>) -> Result<(), BadFrame> {
        match &*frame.event {
            hello::ACK => self.handle_acknowledgement(frame)?,
            hello::GAP => self.handle_gap(now, frame)?,
            hello::WELCOME => {
                let welcome: Welcome = serde_json::from_str(frame.data)
                    .map_err(|error| BadFrame::Unexpected(format!("a malformed aaw/welcome: {error}")))?;
                self.server_limits = welcome.limits;
                if let ConnectionPhase::AwaitingWelcome { since } = self.phase {
                    let asked = self.resumption.is_some();
                    self.phase = ConnectionPhase::Open { dialect: Dialect::V1, since };
                    let goes_on = self.handle_terms(now, welcome.resumed, welcome.resumption);
                    if self.close_after_welcome(now) {
                        return Ok(());
                    }
                    if !goes_on {
                        if asked {
                            self.send_resume(now, Dialect::V1);
                        }
                        self.set_ready(Some(welcome.connection.into()));
                    }
                }
            }
            hello::SESSION_ENDED => self.handle_session_ended(frame)?,
            hello::MEMBER_JOINED | hello::MEMBER_LEFT => self.emit_push(frame),
            hello::ERROR => {
                let failure: Failure = serde_json::from_str(frame.data)
                    .map_err(|error| BadFrame::Unexpected(format!("a malformed aaw/error: {error}")))?;
                let refusal = (failure.code == Code::BAD_FRAME).then(|| failure.error.to_string());
                self.outputs.push_back(Output::Warning(ProtocolWarning::Reported(failure)));
                if let Some(text) = refusal {
                    self.handle_refused_hello(text);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_classic(&mut self, now: Instant, frame: &Frame<'_>) -> Result<(), BadFrame> {
        if let Some(word) = frame.kind.word() {
            return Err(BadFrame::Unexpected(format!("kind {word:?} on a classic connection")));
        }
        match frame.id {
            Some(id) => {
                let id = id.parse().ok().filter(|id| (1..self.next_id).contains(id)).ok_or_else(|| {
                    BadFrame::BadId { expected: "the id of a call", found: Shortened(id).to_string() }
                })?;
                // From now on, a frame without an id is a push.
                self.echoes_ids = true;
                self.fifo_matcher.clear();
                self.handle_response(id, parse_classic_response(frame.data))
            }
            None => match self.fifo_matcher.take(now, &codec::event_json(&frame.event)) {
                Some(id) => self.handle_response(id, parse_classic_response(frame.data)),
                None => {
                    self.emit_push(frame);
                    Ok(())
                }
            },
        }
    }

    /// Returns the dialect of the connection, if there is one.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        match self.phase {
            ConnectionPhase::AwaitingWelcome { .. } => Some(Dialect::V1),
            ConnectionPhase::Open { dialect, .. } | ConnectionPhase::Closing { dialect, .. } => Some(dialect),
            ConnectionPhase::Connecting | ConnectionPhase::Reconnecting { .. } | ConnectionPhase::Closed => None,
        }
    }

    /// Reports the connection as open, as soon as the server has accepted the token.
    fn set_ready(&mut self, connection: Option<Box<str>>) {
        self.pending_open = Some(connection);
        if !self.login.is_resuming() {
            self.emit_opened();
        }
    }

    pub(super) fn emit_opened(&mut self) {
        if let Some(connection) = self.pending_open.take() {
            self.outputs.push_back(Output::Opened { connection });
        }
    }

    /// Returns the event of a written call, as JSON.
    pub(super) fn written_event(&self, key: CallKey) -> Option<&str> {
        match &self.calls.get(&key)?.stage {
            CallStage::Written { event_json, .. } => Some(event_json),
            CallStage::Queued(_) => None,
        }
    }

    fn emit_push(&mut self, frame: &Frame<'_>) {
        self.outputs.push_back(Output::Push { event: frame.event.as_ref().into(), data: frame.data.into() });
    }

    // --- Ends of calls -----------------------------------------------------------------------------------------------

    /// Handles the response to a written call. The response to a call that is over is ignored.
    fn handle_response(&mut self, id: i64, result: CallResult) -> Result<(), BadFrame> {
        if self.login.is_resume(id) {
            self.handle_resume_response(result);
            return Ok(());
        }
        match self.written.get(&id) {
            Some(&key) => match result {
                // The response of a classic server, which has no streams.
                CallResult::Response(data) if self.is_stream(key) => {
                    self.outputs.push_back(Output::Item { key, data });
                    self.complete_call(key, CallResult::StreamEnded);
                }
                result => {
                    if let CallResult::Response(data) = &result {
                        self.handle_session_response(key, data);
                    }
                    self.complete_call(key, result);
                }
            },
            None if id < self.next_id => {}
            None => return Err(unknown_call(id)),
        }
        Ok(())
    }

    /// Ends an open call with its result.
    pub(super) fn complete_call(&mut self, key: CallKey, result: CallResult) {
        if let Some(open) = self.remove_call(key) {
            self.outputs.push_back(Output::CallDone { waiter: open.waiter, result });
        }
    }

    /// Ends an open call without a result, and cancels it on the server.
    fn abort_call(&mut self, now: Instant, key: CallKey) -> Option<AbortedCall<W>> {
        let OpenCall { waiter, deadline, stage, stream } = self.remove_call(key)?;
        let (sent, taken) = match stage {
            CallStage::Queued(position) => {
                self.write_queue.remove(position);
                (false, false)
            }
            CallStage::Written { id, event_json, number } => {
                self.has_unanswered |= stream.is_none();
                let taken = self.is_taken(number);
                if matches!(self.phase, ConnectionPhase::Open { dialect: Dialect::Classic, .. }) {
                    /// For a call without a deadline: the default timeout of a call.
                    const KEEP: Duration = Duration::from_secs(3);
                    let keep = deadline.map_or(KEEP, |(timeout, _)| timeout);
                    self.fifo_matcher.abandon(now, &event_json, id, keep);
                } else {
                    self.send_frame(control_frame(&event_json, "null", id, Kind::Cancel));
                }
                (true, taken)
            }
        };
        Some(AbortedCall { waiter, sent, taken })
    }

    /// Removes a call from all collections except the write queue.
    fn remove_call(&mut self, key: CallKey) -> Option<OpenCall<W>> {
        let open = self.calls.remove(&key)?;
        if let Some((_, deadline)) = open.deadline {
            self.deadlines.remove(deadline);
        }
        if let CallStage::Written { id, .. } = open.stage {
            self.written.remove(&id);
            if open.stream.is_none() {
                self.written_unary -= 1;
            }
        }
        /// The calls whose memory is kept when fewer are open.
        const KEPT: usize = 1024;
        let many = KEPT.max(8 * self.calls.len());
        if self.calls.capacity() > many {
            self.calls.shrink_to(many / 2);
        }
        if self.written.capacity() > many {
            self.written.shrink_to(many / 2);
        }
        Some(open)
    }

    /// Ends the calls that were written on a lost connection, in their order.
    pub(super) fn complete_written_calls(&mut self, why: &DisconnectReason) {
        let mut written: Vec<_> = self.written.iter().map(|(id, key)| (*id, *key)).collect();
        written.sort_unstable();
        for (_, key) in written {
            self.complete_call(key, CallResult::Unknown(why.clone()));
        }
        self.fifo_matcher.clear();
    }

    pub(super) fn abort_connection(&mut self, now: Instant, why: DisconnectReason) {
        self.outputs.push_back(Output::Abort);
        self.handle_disconnected(now, why);
    }
}

/// Returns a frame of this kind for a written call.
fn control_frame(event_json: &str, data: &str, id: i64, kind: Kind) -> Bytes {
    let mut out = Vec::with_capacity(64);
    codec::begin(&mut out, event_json);
    out.extend_from_slice(data.as_bytes());
    codec::end_v1(&mut out, id, kind);
    out.into()
}

fn unexpected_kind(kind: Kind) -> BadFrame {
    BadFrame::Unexpected(match kind.word() {
        Some(word) => format!("unexpected kind {word:?}"),
        None => "an unexpected frame".into(),
    })
}

fn unknown_call(id: i64) -> BadFrame {
    BadFrame::Unexpected(format!("a response to call {id}, which was never made"))
}

/// Parses the response of a classic server, in which an object with `error` as its only key, and a string as its value,
/// is a failure. A response of exactly this form is indistinguishable from a failure, as in the JavaScript client.
fn parse_classic_response(data: &str) -> CallResult {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ClassicFailure {
        error: String,
    }
    // serde would also deserialize the struct from an array.
    if data.starts_with('{')
        && let Ok(ClassicFailure { error }) = serde_json::from_str(data)
    {
        return CallResult::Failed(Failure::new(Code::HANDLER, error));
    }
    CallResult::Response(data.into())
}
