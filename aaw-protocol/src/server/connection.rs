//! The state machine of a connection on the server.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::call::{Call, RequestedDeadline};
use super::close::Close;
use super::config::ServerConfig;
use super::keys::CallKey;
use super::output::{Input, Output};
use super::pending_client_calls::PendingClientCalls;
use super::response::{Completion, ResponseFormat};
use super::resumption_state::Resumption;
use super::running_call::{RunningCall, UploadWindow};
use super::running_calls::RunningCalls;
use super::wait_queue::{QueuedCall, QueuedInput, WaitQueue};
use crate::clock;
use crate::codec::{self, BadFrame, Frame, Kind};
use crate::dialect::Dialect;
use crate::failure::{Code, Failure};
use crate::heartbeat::{Heartbeat, HeartbeatAction};
use crate::hello::{self, Hello};
use crate::name::MAX_NAME_LEN;
use crate::text::Shortened;
use crate::timer_wheel::TimerWheel;
use crate::websocket::frame_len;

/// The maximum length of the id of a classic call, in bytes of JSON; several UUIDs fit. The id is stored while the call
/// runs, so without a limit each open call could hold the size of a message.
const MAX_CLASSIC_ID: usize = 200;

/// The state of one connection on the server. See the [module's documentation](super).
///
/// `T` is a value that the owner of the socket stores for each open call, such as the handle of the handler's task.
#[derive(Debug)]
pub struct ServerConnection<T = ()> {
    pub(super) config: Arc<ServerConfig>,
    pub(super) dialect: Dialect,
    /// Its id, until the welcome has it.
    pub(super) connection: Box<str>,
    /// When the hello of a v1 client is due. `None` once it has arrived, and for classic clients.
    pub(super) hello_deadline: Option<Box<Instant>>,
    /// It was extended, which happens once.
    pub(super) hello_extended: bool,
    /// Whether an open hook has not decided about the connection yet.
    pub(super) open_hook_pending: bool,
    /// The last v1 id that the client used.
    last_id: i64,
    pub(super) running: RunningCalls<T>,
    pub(super) running_bytes: usize,
    /// The part of `running_bytes` that belongs to deferred responses.
    pub(super) deferred_bytes: usize,
    /// The deadlines of running calls, once one of them had any.
    deadlines: Option<Box<TimerWheel<CallKey>>>,
    /// The call that no later call may overtake.
    barrier: Option<CallKey>,
    /// A log-in or log-out of the server's own has ended since this was last asked for.
    login_ended: bool,
    pub(super) wait_queue: WaitQueue,
    /// Running calls whose uploads ended in the wait queue, and whose handlers are not notified yet.
    #[expect(clippy::box_collection, reason = "one pointer instead of four, and rarely used")]
    early_upload_ends: Option<Box<VecDeque<CallKey>>>,
    /// The cost of the upload items that handlers have not taken.
    pub(super) upload_bytes: usize,
    /// The client calls in flight.
    pub(super) client_calls: PendingClientCalls,
    pub(super) heartbeat: Heartbeat,
    /// What is counted for resumption, from the hello on that asked for it.
    pub(super) resumption: Option<Box<Resumption>>,
    pub(super) outputs: VecDeque<Output<T>>,
    pub(super) unsent_bytes: usize,
    over_budget: bool,
    held_up: bool,
    draining: bool,
    pub(super) closed: bool,
}

impl ServerConnection {
    /// Creates the state of a connection that was established at `now`. `connection` is the id that the welcome
    /// announces. All connections of a server can share one configuration, in an `Arc`.
    pub fn new(dialect: Dialect, connection: String, config: impl Into<Arc<ServerConfig>>, now: Instant) -> Self {
        Self::with_tasks(dialect, connection, config, now)
    }
}

impl<T> ServerConnection<T> {
    /// As [`new`](ServerConnection::new), for an owner of the socket that stores a `T` for each open call with
    /// [`set_task`](Self::set_task). It needs no second table of calls.
    pub fn with_tasks(
        dialect: Dialect,
        connection: String,
        config: impl Into<Arc<ServerConfig>>,
        now: Instant,
    ) -> Self {
        let config = config.into();
        Self {
            hello_extended: false,
            hello_deadline: (dialect == Dialect::V1).then(|| Box::new(clock::after(now, config.hello_timeout))),
            heartbeat: new_heartbeat(&config, now),
            wait_queue: WaitQueue::default(),
            dialect,
            connection: connection.into(),
            open_hook_pending: false,
            last_id: 0,
            running: RunningCalls::default(),
            running_bytes: 0,
            deferred_bytes: 0,
            deadlines: None,
            barrier: None,
            login_ended: false,
            client_calls: PendingClientCalls::default(),
            early_upload_ends: None,
            upload_bytes: 0,
            resumption: None,
            outputs: VecDeque::new(),
            unsent_bytes: 0,
            over_budget: false,
            held_up: false,
            draining: false,
            closed: false,
            config,
        }
    }

    // --- Input
    // --------------------------------------------------------------------------------------------------------

    /// The client sent anything at all, including pongs.
    pub fn handle_sign_of_life(&mut self, now: Instant) {
        self.heartbeat.handle_sign_of_life(now);
    }

    /// Returns whether a ping was put out since the last sign of life of the client.
    pub fn has_unanswered_ping(&self) -> bool {
        self.heartbeat.has_unanswered_ping()
    }

    /// Handles a text message. Returns the call to run, if the message is one. After [`Output::Close`] messages are
    /// ignored.
    pub fn handle_text<'a>(&mut self, now: Instant, text: &'a str) -> Input<'a> {
        if self.closed {
            return Input::Handled;
        }
        let mut decoded = codec::decode(text);
        if let Some(resumption) = &mut self.resumption
            && decoded.as_mut().map_or(true, |frame| hello::is_counted(frame, text))
        {
            resumption.received.receive(now, text.len());
        }
        let handled = match decoded {
            Ok(frame) => match self.dialect {
                Dialect::Classic => self.handle_classic_frame(now, text, frame),
                Dialect::V1 => self.handle_v1_frame(now, text, frame),
            },
            Err(bad) => Err(bad),
        };
        handled.unwrap_or_else(|bad| self.report_bad_frame(bad))
    }

    /// Handles a binary message, which the protocol does not have. Returns the error for the log; a v1 client is
    /// notified.
    pub fn handle_binary(&mut self, now: Instant, len: usize) -> BadFrame {
        if let Some(resumption) = &mut self.resumption {
            resumption.received.receive(now, len);
        }
        let bad = BadFrame::Binary;
        self.send_bad_frame_error(&bad);
        bad
    }

    fn handle_classic_frame<'a>(
        &mut self,
        now: Instant,
        text: &'a str,
        mut frame: Frame<'a>,
    ) -> Result<Input<'a>, BadFrame> {
        if frame.kind != Kind::Unmarked || frame.meta.is_some() {
            frame.check(text)?;
            return Err(BadFrame::Unexpected(
                "more than 3 elements; without aaw.v1 a frame is [event, body, id]".into(),
            ));
        }
        if let Some(id) = frame.id.filter(|id| id.len() > MAX_CLASSIC_ID) {
            frame.check(text)?;
            let found = Shortened(id).to_string();
            return Err(BadFrame::BadId { expected: "a string or a number of at most 200 bytes", found });
        }
        let id = frame.id.map(Cow::Borrowed);
        let request = CallRequest { format: ResponseFormat::Classic { id }, deadline: None, upload: false };
        self.admit_call(now, text, frame, request)
    }

    fn handle_v1_frame<'a>(
        &mut self,
        now: Instant,
        text: &'a str,
        mut frame: Frame<'a>,
    ) -> Result<Input<'a>, BadFrame> {
        let id = frame.v1_id();
        // The bodies of calls are checked where they are parsed, all others here. That a text is not a frame takes
        // precedence over what else is wrong with it.
        let is_call = self.hello_deadline.is_none()
            && match (&id, frame.kind) {
                (Ok(None), Kind::Unmarked) => !matches!(&*frame.event, hello::PING | hello::ACK | hello::HELLO),
                (Ok(Some(id)), Kind::Unmarked | Kind::Call) => *id > 0,
                _ => false,
            };
        if !is_call {
            frame.check(text)?;
        }
        let id = id?;
        if self.hello_deadline.is_some() {
            return self.handle_hello(&frame, id);
        }
        match (id, frame.kind) {
            (None, Kind::Unmarked) => match frame.event.as_ref() {
                hello::PING => {
                    self.send_pong();
                    Ok(Input::Handled)
                }
                hello::ACK => self.handle_acknowledgement(&frame),
                hello::HELLO => Err(BadFrame::Unexpected("a second aaw/hello".into())),
                _ => {
                    let request = CallRequest { format: ResponseFormat::Nothing, deadline: None, upload: false };
                    self.admit_call(now, text, frame, request)
                }
            },
            (None, kind) => Err(BadFrame::Unexpected(format!(
                "kind {:?} without an id (element 3)",
                kind.word().unwrap_or_default()
            ))),
            (Some(id), Kind::Unmarked | Kind::Call) if id > 0 => {
                if id != self.last_id + 1 {
                    frame.check(text)?;
                    let next = self.last_id + 1;
                    return Err(BadFrame::Unexpected(format!("id {id} for a call; the next is {next}")));
                }
                let meta = frame.parse_meta();
                if meta.is_err() {
                    frame.check(text)?;
                }
                self.last_id = id;
                match meta {
                    Ok(meta) => {
                        let deadline = meta.timeout.and_then(|ms| now.checked_add(Duration::from_millis(ms)));
                        let format = ResponseFormat::v1(id, meta.credit);
                        self.admit_call(now, text, frame, CallRequest { format, deadline, upload: meta.upload })
                    }
                    // The call has used its id, so the error is its response.
                    Err(bad) => {
                        let failure = Failure::new(Code::BAD_FRAME, bad.to_string());
                        Ok(self.refuse(&ResponseFormat::Single { id }, frame, failure))
                    }
                }
            }
            (Some(id), Kind::Cancel) if self.is_used_id(id) => {
                self.cancel(id);
                Ok(Input::Handled)
            }
            (Some(id), Kind::Credit) if self.is_used_id(id) => self.handle_credit(id, &frame),
            (Some(id), Kind::Item | Kind::End) if self.is_used_id(id) => self.handle_upload_frame(id, &frame),
            (Some(id), Kind::Cancel | Kind::Credit | Kind::Item | Kind::End) => {
                Err(BadFrame::Unexpected(format!("id {id} belongs to no call; the last id was {}", self.last_id)))
            }
            (Some(id), Kind::Call) => {
                Err(BadFrame::Unexpected(format!("id {id} for a call; a client's ids are 1, 2, 3 and so on")))
            }
            (Some(id), Kind::Unmarked | Kind::Error) if id < 0 => self.handle_client_response(id, &frame),
            (Some(id), Kind::Unmarked | Kind::Error) => {
                Err(BadFrame::Unexpected(format!("a response with id {id} to a client call that was never made")))
            }
        }
    }

    fn handle_hello<'a>(&mut self, frame: &Frame<'a>, id: Option<i64>) -> Result<Input<'a>, BadFrame> {
        if frame.event != hello::HELLO || id.is_some() || frame.kind != Kind::Unmarked {
            return Err(BadFrame::Unexpected("the first frame must be [\"aaw/hello\", {…}]".into()));
        }
        if !frame.data.starts_with('{') {
            return Err(BadFrame::Unexpected("the body of aaw/hello must be an object".into()));
        }
        let hello: Hello = serde_json::from_str(frame.data).map_err(|error| {
            BadFrame::Unexpected(format!("the body of aaw/hello: {}", Shortened(&error.to_string())))
        })?;
        match hello.resumption {
            Some(request) if !self.config.resumption_window.is_zero() => Ok(Input::Hello(request)),
            _ => {
                self.begin(false);
                Ok(Input::Handled)
            }
        }
    }

    /// Runs, queues or refuses a call.
    fn admit_call<'a>(
        &mut self,
        now: Instant,
        text: &'a str,
        mut frame: Frame<'a>,
        request: CallRequest<'a>,
    ) -> Result<Input<'a>, BadFrame> {
        let CallRequest { format, deadline, upload } = request;
        // No event has a longer name, and open or queued calls must not hold one.
        let nameable = frame.event.len() <= MAX_NAME_LEN;
        if nameable && !self.draining && self.wait_queue.is_empty() && self.can_start_call() {
            return Ok(Input::Call(Call {
                expects_response: format.expects_response(),
                body: frame.data,
                event: frame.event,
                upload,
                upload_ended: false,
                text,
                event_json: frame.event_json,
                checked: frame.checked,
                format,
                deadline: deadline.map(|at| Box::new(RequestedDeadline { now, at })),
            }));
        }
        // The body is not parsed soon, so it is checked now, while its id can still be released.
        if let Err(bad) = frame.check(text) {
            self.release_id(format.v1_id());
            return Err(bad);
        }
        if !nameable {
            let failure = Failure::unknown_event(&frame.event);
            return Ok(self.refuse(&format, frame, failure));
        }
        if self.draining {
            return Ok(self.refuse(&format, frame, stopping()));
        }
        let numbered = matches!(format, ResponseFormat::Single { .. } | ResponseFormat::Items { .. });
        // While the sender is held up, each call fits that is read: the client has done nothing wrong.
        let always_fits = self.held_up && !self.is_held_up_and_full();
        let max_bytes = if always_fits { usize::MAX } else { self.config.limits.line as usize };
        match self.wait_queue.push(max_bytes, text, now, self.last_id, numbered, upload) {
            Ok(()) => Ok(Input::Handled),
            Err(_) => {
                let error = format!("Too many calls: {} run and the wait queue is full", self.running.len());
                Ok(self.refuse(&format, frame, Failure::new(Code::BUSY, error)))
            }
        }
    }

    /// Sends the refusal of a call.
    pub(super) fn refuse<'a>(&mut self, format: &ResponseFormat<'_>, frame: Frame<'a>, failure: Failure) -> Input<'a> {
        let mut prefix = Vec::with_capacity(128);
        let mut event = frame.event;
        if event.len() > MAX_NAME_LEN {
            // The response could exceed the message limit, although the call fitted. Its id identifies the call.
            event = Cow::Owned(Shortened(&event).to_string());
            codec::begin(&mut prefix, &codec::event_json(&event));
        } else {
            codec::begin(&mut prefix, frame.event_json);
        }
        let prefix_len = prefix.len();
        self.send_response(format, prefix, prefix_len, &Completion::Refused(failure.clone()));
        Input::Refused { event, body: frame.data, failure }
    }

    fn cancel(&mut self, id: i64) {
        let Some(key) = self.running.key_of(id) else {
            self.wait_queue.remove(id);
            return;
        };
        // Otherwise the handler is done.
        if let Some(running) = self.remove_running(key)
            && running.deferred_response.is_none()
        {
            self.outputs.push_back(Output::Drop { key, task: running.task });
        }
    }

    pub(super) fn new_heartbeat(&self, now: Instant) -> Heartbeat {
        new_heartbeat(&self.config, now)
    }

    pub(super) fn report_bad_frame<'a>(&mut self, bad: BadFrame) -> Input<'a> {
        self.send_bad_frame_error(&bad);
        Input::BadFrame(bad)
    }

    fn send_bad_frame_error(&mut self, bad: &BadFrame) {
        if self.dialect == Dialect::V1 {
            self.send(codec::message(hello::ERROR, &Failure::new(Code::BAD_FRAME, bad.to_string())).into());
        }
    }

    // --- Results of calls
    // ---------------------------------------------------------------------------------------------

    /// Completes a call that finished at once. `frame` is the buffer from [`Call::begin_response`]; it may be empty
    /// unless the completion is [`Responded`](Completion::Responded).
    ///
    /// If the caller reads items and has not granted credit, the response is stored until it does.
    pub fn complete_now(&mut self, call: Call<'_>, mut frame: Vec<u8>, mut completion: Completion) {
        if self.must_defer(&call.format, &mut frame, &mut completion) {
            let key = self.add_pending(call);
            self.defer_response(key, frame);
            return;
        }
        if frame.len() < call.prefix_len() {
            frame = call.begin_response();
        }
        self.send_response(&call.format, frame, call.prefix_len(), &completion);
    }

    /// Completes a call that has responded at once, in the buffer in which its frame is sent. The frame begins at `start`
    /// of `out` with [`Call::begin_response_in`], followed by the response as JSON. All outputs must have been taken.
    ///
    /// Returns `false`, and does nothing, if the call does not simply have one response: pass what follows `start` to
    /// [`complete_now`](Self::complete_now) then. This is the path of nearly all calls, and needs no memory.
    pub fn complete_in_place(
        &mut self,
        call: &Call<'_>,
        out: &mut Vec<u8>,
        start: usize,
        completion: &Completion,
    ) -> bool {
        debug_assert!(self.outputs.is_empty(), "an output would be sent after this response");
        let is_ended = call.format.end_response(out, start, self.config.limits.message as usize, completion);
        if is_ended {
            self.unsent_bytes += frame_len(out.len() - start);
        }
        is_ended
    }

    /// Rejects a call that was just returned, because its body turned out to be invalid ([`Call::check`]). The frame
    /// was not a call, and its id is free again.
    pub fn reject<'a>(&mut self, call: Call<'_>, bad: BadFrame) -> Input<'a> {
        self.release_id(call.id());
        self.report_bad_frame(bad)
    }

    /// Registers a call whose handler has not finished. It stays open until [`complete`](Self::complete) or
    /// [`Output::Drop`]. Calls must be registered in the order in which they were returned: each one before the next input.
    ///
    /// # Panics
    /// In debug builds, if a call of a v1 client that was returned later is open.
    pub fn add_pending(&mut self, mut call: Call<'_>) -> CallKey {
        let upload_ended = call.upload_ended;
        let deadline = call.deadline.take();
        let running = RunningCall {
            bytes: call.text.len(),
            prefix_len: call.prefix_len(),
            format: call.format.into_owned(),
            deadline: None,
            event_json: call.event_json.into(),
            items: 0,
            deferred_response: None,
            task: None,
            upload: call.upload.then(|| Box::new(UploadWindow::new(call.upload_ended))),
        };
        self.running_bytes += running.bytes;
        let key = self.running.insert(running);
        if upload_ended {
            self.early_upload_ends.get_or_insert_default().push_back(key);
        }
        if let Some(deadline) = deadline
            && let Some(running) = self.running.get_mut(key)
        {
            let RequestedDeadline { now, at } = *deadline;
            running.deadline = Some(self.deadlines.get_or_insert_default().insert(now, at, key));
        }
        key
    }

    /// Stores `task` for a pending call until the call is [complete](Self::complete), which drops it, or
    /// [dropped](Output::Drop). Returns `task` if the call is over, and otherwise the task that was stored before, if there was
    /// one.
    pub fn set_task(&mut self, key: CallKey, task: T) -> Option<T> {
        match self.running.get_mut(key) {
            Some(running) if running.deferred_response.is_none() => running.task.replace(task),
            _ => Some(task),
        }
    }

    /// Returns what was stored for a call.
    pub fn task(&self, key: CallKey) -> Option<&T> {
        self.running.get(key)?.task.as_ref()
    }

    /// Removes what was stored for a call, and returns it.
    pub fn take_task(&mut self, key: CallKey) -> Option<T> {
        self.running.get_mut(key)?.task.take()
    }

    /// Ends the connection, and returns the stored tasks in no particular order.
    pub fn into_tasks(self) -> impl Iterator<Item = T> {
        self.running.into_calls().filter_map(|running| running.task)
    }

    /// Returns the stored tasks in no particular order.
    pub fn tasks(&self) -> impl Iterator<Item = (CallKey, &T)> {
        self.running.iter().filter_map(|(key, running)| Some((key, running.task.as_ref()?)))
    }

    /// Like [`add_pending`](Self::add_pending), for a call that changes the state that later calls depend on, such as
    /// the session. Until it is complete, cancelled or timed out, later calls stay in the wait queue. Everything else
    /// continues: running calls, cancels, credit, upload items, and responses to [client calls](Self::client_call).
    ///
    /// The handler of such a call must not make a client call whose response depends on another call of the client:
    /// that call waits for the handler, so both would wait forever.
    pub fn add_pending_barrier(&mut self, call: Call<'_>) -> CallKey {
        let key = self.add_pending(call);
        debug_assert!(self.barrier.is_none(), "no call starts behind a barrier");
        self.barrier = Some(key);
        key
    }

    /// Completes a pending call, and drops its [stored task](Self::set_task). Returns `false` if the call was over already. `frame` is the buffer from
    /// [`Call::begin_response`]; it may be empty unless the completion is [`Responded`](Completion::Responded).
    ///
    /// If the caller reads items and has not granted credit, the response is stored until it does.
    pub fn complete(&mut self, key: CallKey, mut frame: Vec<u8>, mut completion: Completion) -> bool {
        let Some(running) = self.running.get(key).filter(|running| running.deferred_response.is_none()) else {
            return false;
        };
        if self.must_defer(&running.format, &mut frame, &mut completion) {
            self.defer_response(key, frame);
            return true;
        }
        let Some(running) = self.remove_running(key) else { return false };
        if frame.len() < running.prefix_len {
            frame.clear();
            codec::begin(&mut frame, &running.event_json);
        }
        self.send_response(&running.format, frame, running.prefix_len, &completion);
        true
    }

    /// As [`complete`](Self::complete) for a call that simply has one response, which is copied to the buffer in which it is
    /// sent: at `start` of `out`, the frame begins as in [`complete_in_place`](Self::complete_in_place). All outputs must
    /// have been taken.
    ///
    /// Returns `false`, and does nothing, if the call is over or must be passed to [`complete`](Self::complete): its response is
    /// an item, a failure, or too long.
    pub fn complete_pending_in_place(
        &mut self,
        key: CallKey,
        out: &mut Vec<u8>,
        start: usize,
        completion: &Completion,
    ) -> bool {
        debug_assert!(self.outputs.is_empty(), "an output would be sent after this response");
        let Some(running) = self.running.get(key) else { return false };
        let is_ended = running.format.end_response(out, start, self.config.limits.message as usize, completion);
        if is_ended {
            self.unsent_bytes += frame_len(out.len() - start);
            self.remove_running(key);
        }
        is_ended
    }

    /// Takes the next call from the wait queue, if it may run; pass it to [`handle_queued`](Self::handle_queued).
    ///
    /// Must be drained after every input that can make a queued call runnable: [`complete`](Self::complete),
    /// [`set_unsent_bytes`](Self::set_unsent_bytes), [`handle_text`](Self::handle_text) (a cancel, for example),
    /// [`handle_timeout`](Self::handle_timeout) and [`drain`](Self::drain). Otherwise calls may stay in the queue
    /// forever.
    ///
    /// The result can also be the end of an upload, for a call that was taken from the queue just before.
    pub fn poll_queued(&mut self) -> Option<QueuedCall> {
        while let Some(key) = self.early_upload_ends.as_mut().and_then(|ends| ends.pop_front()) {
            if self.running.get(key).is_some_and(|running| running.upload.is_some()) {
                return Some(QueuedCall(QueuedInput::UploadEnd(key)));
            }
        }
        // While draining all queued calls are refused, for which the limits do not matter.
        if self.draining || self.can_start_call() {
            self.wait_queue.pop().map(|frame| QueuedCall(QueuedInput::Call(frame)))
        } else {
            None
        }
    }

    /// Returns the call from the wait queue to run now. If its timeout has expired or the connection drains, the caller
    /// is notified and the refusal is returned instead.
    pub fn handle_queued<'a>(&mut self, now: Instant, queued: &'a QueuedCall) -> Input<'a> {
        let queued = match &queued.0 {
            QueuedInput::Call(frame) => frame,
            QueuedInput::UploadEnd(key) => return Input::UploadEnd { key: *key },
        };
        let text: &str = &queued.text;
        let frame = match codec::decode(text) {
            Ok(frame) => frame,
            // Unreachable: it was decoded before it was queued.
            Err(bad) => return self.report_bad_frame(bad),
        };
        let (format, deadline) = match (self.dialect, frame.v1_id()) {
            (Dialect::V1, Ok(Some(id))) => {
                let meta = frame.parse_meta().unwrap_or_default();
                let timeout = meta.timeout.map(Duration::from_millis);
                // More credit may have arrived while the call waited.
                let format = ResponseFormat::v1(id, meta.credit.map(|credit| credit.max(queued.credit)));
                (format, timeout.and_then(|timeout| queued.received.checked_add(timeout)))
            }
            (Dialect::V1, _) => (ResponseFormat::Nothing, None),
            (Dialect::Classic, _) => (ResponseFormat::Classic { id: frame.id.map(Cow::Borrowed) }, None),
        };
        if self.draining {
            return self.refuse(&format, frame, stopping());
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return self.refuse(&format, frame, call_timed_out());
        }
        Input::Call(Call {
            expects_response: format.expects_response(),
            body: frame.data,
            event: frame.event,
            upload: queued.upload,
            upload_ended: queued.upload_ended,
            text,
            event_json: frame.event_json,
            checked: true,
            format,
            deadline: deadline.map(|at| Box::new(RequestedDeadline { now, at })),
        })
    }

    /// Sends the response of a call, if one is due. `frame` starts with the `prefix_len` bytes from
    /// [`Call::begin_response`], followed by the response if there is one.
    ///
    /// A response that exceeds the message limit becomes a failure. A refusal that could exceed it is shortened: the
    /// code must reach the caller, because it tells that the call has not run.
    pub(super) fn send_response(
        &mut self,
        format: &ResponseFormat<'_>,
        frame: Vec<u8>,
        prefix_len: usize,
        completion: &Completion,
    ) {
        let max_bytes = self.config.limits.message as usize;
        let shorter;
        let completion = match completion {
            Completion::Refused(failure) if max_encoded_len(failure) + 2 * prefix_len > max_bytes => {
                shorter = Completion::Refused(shortened(failure));
                &shorter
            }
            completion => completion,
        };
        let mut end = format.end_frame(&frame[..prefix_len], completion);
        let Some(mut frame) = format.frame(frame, prefix_len, completion) else { return };
        if frame.len() > max_bytes && matches!(completion, Completion::Responded | Completion::Failed(_)) {
            let error = format!("The response exceeds the message limit of {max_bytes} bytes");
            frame.truncate(prefix_len);
            // Frees the large response now, not when the client has read the small failure.
            frame.shrink_to(0);
            end = None;
            match format.frame(frame, prefix_len, &Completion::Failed(Failure::new(Code::TOO_LARGE, error))) {
                Some(failed) => frame = failed,
                None => return,
            }
        }
        self.send(frame.into());
        if let Some(end) = end {
            self.send(end.into());
        }
    }

    /// Fails an open call, and drops its handler if it still runs.
    pub(super) fn abort_call(&mut self, key: CallKey, failure: Failure) {
        let Some(mut running) = self.remove_running(key) else { return };
        if running.deferred_response.is_none() {
            self.outputs.push_back(Output::Drop { key, task: running.task.take() });
        }
        let mut prefix = Vec::with_capacity(128);
        codec::begin(&mut prefix, &running.event_json);
        self.send_response(&running.format, prefix, running.prefix_len, &Completion::Failed(failure));
    }

    // --- Output and time
    // ----------------------------------------------------------------------------------------------

    /// Returns the next instruction for the owner of the socket, or `None` if there is none.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }

    /// Frees the memory of queues that are empty. To be called before the connection waits for its next input: it keeps
    /// them while it has more to do.
    pub fn release_memory(&mut self) {
        if self.outputs.is_empty() {
            self.outputs = VecDeque::new();
        }
        self.early_upload_ends.take_if(|ends| ends.is_empty());
        self.wait_queue.release_memory();
        self.running.release_memory();
        self.deadlines.take_if(|deadlines| deadlines.is_empty());
    }

    /// Tells how many bytes of frames with their headers, other than pushes, wait for the socket now: of the messages
    /// from [`Output::Send`] and [`complete_in_place`](Self::complete_in_place), and pongs. To be called after each
    /// write, when all outputs have been taken. What is sent later is added.
    pub fn set_unsent_bytes(&mut self, bytes: usize) {
        self.unsent_bytes = bytes;
    }

    /// Tells whether the connection holds too much memory for further calls to start. They wait in the wait queue until
    /// this is `false` again.
    pub fn set_over_budget(&mut self, over_budget: bool) {
        self.over_budget = over_budget;
    }

    /// Tells whether calls wait in the wait queue, as in [`set_over_budget`](Self::set_over_budget), because earlier ones have
    /// pushed more than their recipients read. Input is still [read](Self::wants_input) until half of the wait queue is full, so
    /// also pings, responses and the client's close. No call is refused because of that: the last one that is read fits in any case.
    pub fn set_held_up(&mut self, held_up: bool) {
        self.held_up = held_up;
    }

    /// Returns whether calls wait because of [`set_held_up`](Self::set_held_up).
    pub fn is_held_up(&self) -> bool {
        self.held_up
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout). After [`Output::Close`] only the deadlines of
    /// open calls count. They are rounded up to milliseconds, and approached in steps: it may take several calls until one
    /// has passed.
    pub fn poll_timeout(&self) -> Instant {
        let mut soonest = self.heartbeat.poll_timeout();
        if let Some(deadline) = self.deadlines.as_ref().and_then(|deadlines| deadlines.poll_timeout()) {
            soonest = soonest.min(deadline);
        }
        if let Some((deadline, _)) = self.client_calls.next_deadline()
            && !self.closed
        {
            soonest = soonest.min(deadline);
        }
        if let Some(due) = &self.hello_deadline
            && !self.closed
        {
            soonest = soonest.min(**due);
        }
        if let Some(due) = self.acknowledgement_due() {
            soonest = soonest.min(due);
        }
        soonest
    }

    /// Handles the passing of time: expires calls, client calls and the hello, and pings a silent peer. Does nothing
    /// before [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.deadlines.as_mut().and_then(|deadlines| deadlines.poll_expired(now)) {
            self.abort_call(key, call_timed_out());
        }
        if !self.closed {
            self.expire_client_calls(now);
        }
        if self.hello_deadline.as_ref().is_some_and(|due| **due <= now) {
            self.close(Close::NoHello);
        }
        match self.heartbeat.handle_timeout(now) {
            HeartbeatAction::Wait => {}
            HeartbeatAction::Ping => self.outputs.push_back(Output::Ping),
            HeartbeatAction::Close => self.lose_socket(Close::Silent),
        }
    }

    /// Starts a graceful shutdown: new calls are refused, queued calls are refused when they are taken from the wait
    /// queue, and running calls may finish.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Closes the connection. Only the first call has an effect.
    pub fn close(&mut self, close: Close) {
        if !std::mem::replace(&mut self.closed, true) {
            self.heartbeat.stop();
            self.outputs.push_back(Output::Close(close));
        }
    }

    /// Returns whether pushes may be sent: the hello of a v1 client has arrived, and no
    /// [open hook](Self::wait_for_open_hook) is pending.
    pub fn is_open(&self) -> bool {
        self.hello_deadline.is_none() && !self.open_hook_pending
    }

    /// Returns whether the client has said hello, or needs not to, since it speaks classic.
    pub fn has_hello(&self) -> bool {
        self.hello_deadline.is_none()
    }

    /// Returns whether calls are in the wait queue.
    pub fn has_queued_calls(&self) -> bool {
        !self.wait_queue.is_empty()
    }

    /// Returns whether no call is open or in the wait queue.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.wait_queue.is_empty()
    }

    /// Returns whether to read from the client. It becomes `false` only if the client sends calls without reading the
    /// refusals, or while it is [held up](Self::set_held_up) and half of the wait queue is full.
    pub fn wants_input(&self) -> bool {
        self.unsent_bytes < 2 * self.config.max_unsent_bytes && !self.is_held_up_and_full()
    }

    /// Returns the number of open calls: their handlers run, or their responses wait for credit.
    pub fn open_calls(&self) -> usize {
        self.running.len()
    }

    /// Returns the bytes that are held for open calls and for calls in the wait queue: what the client has sent for them, upload
    /// items included, responses that wait for credit, and their places. The tasks and handlers of the owner are not known here.
    pub fn held_bytes(&self) -> usize {
        self.running.len() * size_of::<RunningCall<T>>()
            + self.running_bytes
            + self.wait_queue.bytes()
            + self.upload_bytes
    }

    // --- Internals
    // ----------------------------------------------------------------------------------------------------

    /// Whether the limits allow another call to start.
    fn can_start_call(&self) -> bool {
        !self.closed
            && !self.open_hook_pending
            && self.barrier.is_none()
            && self.running.len() < self.config.limits.calls as usize
            && self.running_bytes < self.config.max_running_bytes
            && self.unsent_bytes < self.config.max_unsent_bytes
            && !self.has_unacknowledged()
            && !self.over_budget
            && !self.held_up
    }

    /// Whether calls wait because of a hold, and no more of them are to be read.
    fn is_held_up_and_full(&self) -> bool {
        self.held_up && self.wait_queue.bytes() >= (self.config.limits.line as usize / 2).max(1)
    }

    fn is_used_id(&self, id: i64) -> bool {
        (1..=self.last_id).contains(&id)
    }

    /// Makes an id available again, because the frame that used it was invalid.
    fn release_id(&mut self, id: Option<i64>) {
        if id == Some(self.last_id) {
            self.last_id -= 1;
        }
    }

    pub(super) fn remove_running(&mut self, key: CallKey) -> Option<RunningCall<T>> {
        let running = self.running.remove(key)?;
        self.login_ended |= running.event_json.starts_with("\"aaw/");
        self.release_barrier(key);
        self.running_bytes -= running.bytes;
        if running.deferred_response.is_some() {
            self.deferred_bytes -= running.bytes;
        }
        if let Some(upload) = &running.upload {
            self.upload_bytes -= upload.cost();
        }
        if let Some(deadline) = running.deadline
            && let Some(deadlines) = &mut self.deadlines
        {
            deadlines.remove(deadline);
        }
        Some(running)
    }

    /// Returns whether a call of one of the server's own events, such as `aaw/login`, has ended since this was last called. The
    /// client learns the token of its session from their responses.
    pub fn take_login_ended(&mut self) -> bool {
        std::mem::take(&mut self.login_ended)
    }

    /// Lets later calls start if this call is the barrier.
    pub(super) fn release_barrier(&mut self, key: CallKey) {
        if self.barrier == Some(key) {
            self.barrier = None;
        }
    }

    pub(super) fn send(&mut self, frame: Bytes) {
        self.unsent_bytes += frame_len(frame.len());
        self.outputs.push_back(Output::Send(frame));
    }
}

fn new_heartbeat(config: &ServerConfig, now: Instant) -> Heartbeat {
    Heartbeat::new(config.heartbeat_interval, config.max_missed_heartbeats, now)
}

/// The parameters of a call from its frame.
struct CallRequest<'a> {
    format: ResponseFormat<'a>,
    deadline: Option<Instant>,
    upload: bool,
}

/// Returns a failure with the same code, a short text and no data, which fits any message.
pub(super) fn shortened(failure: &Failure) -> Failure {
    Failure::new(failure.code.clone(), Shortened(&failure.error).to_string())
}

/// Returns an upper bound of a failure's length as JSON: each byte of its text may need an escape of six bytes.
pub(super) fn max_encoded_len(failure: &Failure) -> usize {
    6 * (failure.error.len() + failure.code.as_str().len())
        + failure.data.as_ref().map_or(0, |data| data.get().len())
        + 100
}

fn stopping() -> Failure {
    Failure::new(Code::BUSY, "The server is stopping")
}

fn call_timed_out() -> Failure {
    Failure::new(Code::TIMEOUT, "The call did not complete within its timeout")
}
