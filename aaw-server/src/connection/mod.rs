//! The one task that owns a connection's socket.
//!
//! Whatever goes out passes through here, in one line: answers of calls that were done at once, and what others put into
//! the outbox. So order, back-pressure and closing are decided in one place. In one turn the task reads what is there,
//! writes the answers into tungstenite's buffer and flushes once: a system call costs more than a call does.

mod closing;
mod feed;
mod progress;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use aaw_event::{CloseInfo, ClosedBy, OpenInfo};
use aaw_protocol::codec::{self, BadFrame};
use aaw_protocol::server::{
    Call, CallKey, ClientCallKey, Close, Completion, Input, Output, ResponseMode, ServerConnection,
};
use aaw_protocol::{Code, Dialect, Failure, clock, is_protected};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::auth::{Held, Session};
use crate::config::Config;
use crate::dispatch::{Ask, Begun, Dispatch, HandlerStream, Shape};
use crate::hub::client_calls::{self, Question};
use crate::hub::mailbox::Mail;
use crate::hub::table::Seat;
pub(crate) use feed::Batch;
use feed::{Feed, Gate};
use progress::Progress;
use upload::{Upload, Uploading};

/// Messages taken up in one turn, so that a client that never stops sending leaves room for the others.
const TURN: u32 = 128;

/// Bytes of frames that are gathered before the socket is written to in the middle of a turn.
const WRITE_BUFFER: usize = 16 << 10;

/// Bytes of pongs that may wait for the socket.
const PONGS: usize = 64 << 10;

/// Bytes that a client must take within the write time-out, or it counts as stopped.
const LEAST_PROGRESS: u64 = 16 << 10;

/// What a client that had a session is told when that is over.
const SESSION: &str = "aaw/session";

/// Why a connection ends.
#[derive(Debug)]
enum Ending {
    /// The client closed it, or hung up: what its close frame said, if there was one.
    ByPeer(Option<(u16, String)>),
    /// We close it.
    ByUs(Close),
    /// The socket broke, or the client broke the rules of RFC 6455.
    Broken(WsError),
}

/// A connection that has been upgraded.
pub(crate) struct Connection<S> {
    socket: WebSocketStream<Progress<S>>,
    session: ServerConnection,
    dialect: Dialect,
    seat: Seat,
    dispatch: Arc<Dispatch>,
    config: Arc<Config>,
    /// On their way out, in order: what the socket has not taken yet.
    frames: VecDeque<Outgoing>,
    mail: VecDeque<Mail>,
    /// Calls whose handlers run as tasks of their own.
    tasks: HashMap<CallKey, Task>,
    /// Who waits for what the client was asked.
    asks: HashMap<ClientCallKey, oneshot::Sender<Result<Box<str>, Failure>>>,
    /// Whether streams are held back, since too much waits for the socket.
    paused: bool,
    /// What `_open` is told, until it runs.
    arrival: Option<Box<OpenInfo>>,
    /// `_open`, from when it began.
    opening: Option<Opening>,
    /// What the client's close frame said.
    farewell: Option<(u16, String)>,
    timer: Pin<Box<Sleep>>,
    /// Since when next to nothing could be written, and how much had been written then.
    stalled: Option<(Instant, u64)>,
    /// Since when more pushes wait than may for long.
    crowded: Option<Instant>,
    /// What had been written at the last turn.
    written_before: u64,
    draining: bool,
    ending: Option<Close>,
    bad_frames: u32,
}

struct Task {
    handle: JoinHandle<()>,
    answers: bool,
    /// Of a handler that yields.
    gate: Option<Arc<Gate>>,
    /// What its caller streams to it.
    upload: Option<Uploading>,
    /// What let it be called, if it needs a session: it ends with that, whatever session the connection has by then.
    held: Option<Arc<Held>>,
}

/// `_open` of all modules.
struct Opening {
    task: JoinHandle<()>,
    /// The modules that have let the connection in.
    passed: Arc<AtomicUsize>,
}

enum Outgoing {
    Answer(Bytes),
    Push(Bytes),
    Ping,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Serves the connection until it ends. `read_ahead` was read from the socket with the request.
    pub(crate) async fn serve(
        socket: S,
        read_ahead: Bytes,
        dialect: Dialect,
        seat: Seat,
        arrival: OpenInfo,
        dispatch: Arc<Dispatch>,
        config: Arc<Config>,
    ) {
        let max_message = config.max_message_bytes;
        let limits = WebSocketConfig::default()
            .read_buffer_size(config.read_buffer_bytes)
            .write_buffer_size(WRITE_BUFFER)
            // Frames that wait for the socket wait here, counted; there it holds one message beyond the write buffer. The
            // rest is for pongs, which tungstenite adds by itself: past it, it keeps the newest alone.
            .max_write_buffer_size(max_message.saturating_add(WRITE_BUFFER + PONGS))
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        // A copy of the few bytes, mostly none: the buffer they lie in is hyper's, twice as large as ours, and would live
        // as long as the connection.
        let ahead = read_ahead.to_vec();
        drop(read_ahead);
        let socket = Progress::new(socket);
        let socket = WebSocketStream::from_partially_read(socket, ahead, Role::Server, Some(limits)).await;
        let now = now();
        let mut session = ServerConnection::new(dialect, seat.peer.id.to_string(), config.protocol(), now);
        let arrival = dispatch.has_hooks().then(|| {
            session.wait_for_open_hook();
            Box::new(arrival)
        });
        let timer = Box::pin(tokio::time::sleep_until(session.poll_timeout().into()));
        let mut connection = Self {
            socket,
            session,
            dialect,
            seat,
            dispatch,
            config,
            frames: VecDeque::new(),
            mail: VecDeque::new(),
            tasks: HashMap::new(),
            asks: HashMap::new(),
            paused: false,
            arrival,
            opening: None,
            farewell: None,
            timer,
            stalled: None,
            crowded: None,
            written_before: 0,
            draining: false,
            ending: None,
            bad_frames: 0,
        };
        let id = connection.seat.peer.id;
        let ending = poll_fn(|cx| connection.poll(cx)).await;
        match &ending {
            Ending::ByPeer(_) => tracing::debug!(connection = %id, "closed by the client"),
            Ending::ByUs(why) => tracing::debug!(connection = %id, "closed: {why}"),
            Ending::Broken(error) => tracing::debug!(connection = %id, "broken: {error}"),
        }
        // In a box, so that a connection that lives takes no room for its end.
        Box::pin(connection.end(ending)).await;
    }

    async fn end(self, ending: Ending) {
        let Self { socket, seat, frames, config, tasks, asks, mail, opening, dispatch, .. } = self;
        // Whoever waits for the client's answers learns of the end by this.
        drop((asks, mail));
        // Out of the table first: nothing more is sent to it while it closes. Its place it keeps to its very end, so that
        // connections that come and go leave no more behind than may be.
        let peer = Arc::clone(&seat.peer);
        let _place = seat.leave();
        let lingering = end_tasks(tasks);
        let why = closed(&ending);
        closing::close(socket, ending, frames, config.close_timeout).await;
        let let_in = let_in(opening).await;
        if let_in > 0 {
            let closed = dispatch.closed(&peer, &why, let_in);
            if tokio::time::timeout(config.linger_timeout, closed).await.is_err() {
                tracing::warn!(connection = %peer.id, "_close did not end in time and was dropped");
            }
        }
        linger(lingering, config.linger_timeout).await;
    }

    /// One turn: mail, frames in, frames out, time.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        self.seat.peer.outbox.register(cx.waker());
        let now = now();
        self.notice_progress(now);
        if self.timer.as_mut().poll(cx).is_ready() {
            self.session.handle_timeout(now);
            self.fail_late_questions(now);
            if self.is_stalled(now) {
                self.session.close(Close::Stalled);
            }
            if self.crowded.is_some_and(|since| now.duration_since(since) >= self.config.push_backlog_timeout) {
                self.session.close(Close::TooSlow);
            }
        }
        let mut left = TURN;
        loop {
            if let Poll::Ready(ending) = self.take_in(cx, now, &mut left) {
                return Poll::Ready(ending);
            }
            match self.socket.poll_flush_unpin(cx) {
                Poll::Ready(Ok(())) if self.frames.is_empty() => {
                    self.stalled = None;
                    break;
                }
                // The socket took what it had, and there is more.
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Ending::Broken(error)),
                Poll::Pending => {
                    let written = self.socket.get_ref().written();
                    match self.stalled {
                        Some((_, then)) if written < then + LEAST_PROGRESS => {}
                        _ => self.stalled = Some((now, written)),
                    }
                    break;
                }
            }
        }
        // Looked at after writing: only a client that takes less than it is sent has more waiting then.
        self.crowded = match self.crowded {
            _ if self.seat.peer.outbox.pushed() <= self.config.max_push_backlog_bytes => None,
            None => Some(now),
            since => since,
        };
        self.set_timer(cx);
        if left == 0 {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Reads and runs until there is nothing more to read, or the turn is over.
    fn take_in(&mut self, cx: &mut Context<'_>, now: Instant, left: &mut u32) -> Poll<Ending> {
        loop {
            if self.seat.peer.outbox.has_mail() {
                self.take_mail(now);
            }
            if let Err(error) = self.settle(cx, now, left) {
                return Poll::Ready(Ending::Broken(error));
            }
            if let Some(close) = self.ending.take() {
                return Poll::Ready(Ending::ByUs(close));
            }
            if *left == 0 || !self.session.wants_input() {
                return Poll::Pending;
            }
            match ready!(self.socket.poll_next_unpin(cx)) {
                None => return Poll::Ready(Ending::ByPeer(self.farewell.take())),
                Some(Err(error)) => return Poll::Ready(Ending::Broken(error)),
                Some(Ok(message)) => {
                    *left -= 1;
                    self.session.handle_sign_of_life(now);
                    match message {
                        Message::Text(text) => {
                            let input = self.session.handle_text(now, &text);
                            self.take_up(now, input);
                        }
                        Message::Binary(_) => {
                            let bad = self.session.handle_binary();
                            self.log_bad(&bad);
                        }
                        // tungstenite answers pings and closes.
                        Message::Close(frame) => {
                            self.farewell = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                        }
                        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                    }
                }
            }
        }
    }

    /// Does what the session wants done, starts what waited in line, and gives frames to the socket while it takes them.
    fn settle(&mut self, cx: &mut Context<'_>, now: Instant, left: &mut u32) -> Result<(), WsError> {
        loop {
            self.collect();
            // The welcome is out: what waited for it may follow.
            if !self.mail.is_empty() && self.session.is_open() {
                self.take_mail(now);
            }
            if let Poll::Ready(Err(error)) = self.write(cx) {
                return Err(error);
            }
            self.hold_streams_back();
            // What waited takes its share of the turn as what is read does.
            if *left == 0 {
                break;
            }
            match self.session.poll_queued() {
                Some(waiting) => {
                    *left -= 1;
                    let input = self.session.handle_queued(now, &waiting);
                    self.take_up(now, input);
                }
                None => break,
            }
        }
        if self.draining && self.session.is_idle() {
            self.session.close(Close::Stopping);
            self.collect();
        }
        Ok(())
    }

    /// What came in as a frame, or waited in line as one.
    fn take_up(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Call(call) => self.run(now, call),
            Input::Handled => {}
            Input::Refused { event, body, failure } => self.dispatch.refused(&event, body, &failure, &self.seat.peer),
            Input::BadFrame(bad) => self.log_bad(&bad),
            Input::UploadItem { key, data } => {
                if let Some(upload) = self.upload_of(key) {
                    upload.push(data);
                }
            }
            Input::UploadEnd { key } => {
                if let Some(upload) = self.upload_of(key) {
                    upload.end();
                }
            }
        }
    }

    fn upload_of(&self, key: CallKey) -> Option<&Upload> {
        self.tasks.get(&key)?.upload.as_ref().map(|upload| &**upload.incoming())
    }

    fn run(&mut self, now: Instant, call: Call<'_>) {
        let peer = &self.seat.peer;
        let shape = match call.response_mode() {
            ResponseMode::Single => Shape::Array,
            ResponseMode::Items | ResponseMode::Pushes => Shape::Items,
            ResponseMode::Nothing => Shape::Nothing,
        };
        let window = self.config.upload_window.into();
        let upload = call.upload.then(|| Uploading::new(Arc::clone(peer), window));
        let changes = peer.changes_so_far();
        // Taken before the call is judged: an end from here on is noticed.
        let held = is_protected(&call.event).then(|| peer.held()).flatten();
        let ask = Ask { name: &call.event, body: call.body, shape };
        match self.dispatch.begin(ask, call.begin_response(), peer, upload.as_ref().map(Uploading::incoming)) {
            Begun::Done(frame, outcome) => {
                // What the handler sent goes out before its answer.
                if peer.outbox.has_mail() {
                    self.take_mail(now);
                }
                self.session.complete_now(call, frame, outcome);
            }
            Begun::Pending(pending) => {
                let answers = call.answers;
                // Nothing overtakes a change of who the caller is, be it that a handler has begun one.
                let is_barrier = pending.is_barrier() || peer.changes_so_far() != changes;
                let key =
                    if is_barrier { self.session.add_pending_barrier(call) } else { self.session.add_pending(call) };
                let peer = Arc::clone(peer);
                let handle = tokio::spawn(async move {
                    let (frame, outcome) = pending.await;
                    peer.outbox.post(Mail::Completion(key, frame, outcome));
                });
                self.tasks.insert(key, Task { handle, answers, gate: None, upload, held });
                self.begin_upload(key);
            }
            Begun::Stream(stream) => self.feed(now, call, stream, upload, held),
            Begun::NotJson => {
                if let Err(bad) = call.check()
                    && let Input::BadFrame(bad) = self.session.reject(call, bad)
                {
                    self.log_bad(&bad);
                }
            }
        }
    }

    /// Runs a handler that yields: here for as long as its first items come at once, then as a task.
    fn feed(
        &mut self,
        now: Instant,
        call: Call<'_>,
        stream: HandlerStream,
        upload: Option<Uploading>,
        held: Option<Arc<Held>>,
    ) {
        let (answers, frame) = (call.answers, call.item_frame());
        let key = self.session.add_pending(call);
        let gate = Gate::new(self.session.credit(key));
        gate.pause(self.paused);
        let mut feed = Feed::new(stream, frame, Arc::clone(&gate), self.config.max_message_bytes);
        // Nothing is lost by a waker that wakes nobody: its task polls it again.
        if let Poll::Ready(batch) = feed.poll(&mut Context::from_waker(Waker::noop())) {
            // What the handler sent goes out before its items.
            if self.seat.peer.outbox.has_mail() {
                self.take_mail(now);
            }
            let is_over = batch.over.is_some();
            self.deliver(key, batch);
            if is_over {
                return;
            }
        }
        // Its own first items may have been what is too much. The others were told; it is not among them before now.
        gate.pause(self.paused);
        let handle = tokio::spawn(feed.run(key, Arc::clone(&self.seat.peer)));
        self.tasks.insert(key, Task { handle, answers, gate: Some(gate), upload, held });
        self.begin_upload(key);
    }

    /// From here on the caller may send.
    fn begin_upload(&mut self, key: CallKey) {
        if let Some(upload) = self.upload_of(key) {
            upload.begin(key);
            self.session.grant_upload_credit(key, self.config.upload_window.into());
            self.collect();
        }
    }

    /// What a stream has yielded.
    fn deliver(&mut self, key: CallKey, batch: Batch) {
        for frame in batch.frames {
            if !self.session.handle_item(key, frame) {
                break;
            }
        }
        if let Some((frame, outcome)) = batch.over {
            self.tasks.remove(&key);
            self.session.complete(key, frame, outcome);
        }
        self.collect();
        self.hold_streams_back();
        if let Some(Task { gate: Some(gate), .. }) = self.tasks.get(&key) {
            gate.taken();
        }
    }

    /// While too much waits for the socket, no stream is asked for more.
    fn hold_streams_back(&mut self) {
        let pause = !self.session.may_stream();
        if pause != self.paused {
            self.paused = pause;
            self.tasks.values().filter_map(|task| task.gate.as_ref()).for_each(|gate| gate.pause(pause));
        }
    }

    /// Runs `_open`, which the connection waits for.
    fn open(&mut self) {
        let Some(arrival) = self.arrival.take() else { return self.session.handle_open_hook_passed() };
        let (dispatch, peer) = (Arc::clone(&self.dispatch), Arc::clone(&self.seat.peer));
        let limit = self.config.handshake_timeout;
        let passed = Arc::<AtomicUsize>::default();
        let progress = Arc::clone(&passed);
        let task = tokio::spawn(async move {
            let opened = tokio::time::timeout(limit, dispatch.opened(&peer, &arrival, &progress)).await;
            let opened =
                opened.unwrap_or_else(|_| Err(Failure::new(Code::TIMEOUT, "The server took too long to open")));
            peer.outbox.post(Mail::OpenInfo(opened));
        });
        self.opening = Some(Opening { task, passed });
    }

    fn take_mail(&mut self, now: Instant) {
        // What the session has to say came before.
        self.collect();
        if self.seat.peer.outbox.take(&mut self.mail) {
            self.session.close(Close::TooSlow);
        }
        // What the connection waits for may stand behind what waits for the connection.
        if let Some(at) = self.mail.iter().position(|mail| matches!(mail, Mail::OpenInfo(_)))
            && let Some(Mail::OpenInfo(opened)) = self.mail.remove(at)
        {
            match opened {
                Ok(()) => self.session.handle_open_hook_passed(),
                Err(failure) => {
                    tracing::info!(connection = %self.seat.peer.id, "_open refused the connection: {failure}");
                    self.session.handle_open_hook_refused(failure);
                }
            }
            self.collect();
        }
        if !self.session.is_open() {
            // A client that has not said hello hears nothing but the welcome first; it need not be waited for.
            if self.mail.iter().any(|mail| matches!(mail, Mail::Drain | Mail::Stop)) {
                self.session.close(Close::Stopping);
            }
            return;
        }
        while let Some(mail) = self.mail.pop_front() {
            match mail {
                Mail::Push(frame) => self.frames.push_back(Outgoing::Push(frame)),
                Mail::Completion(key, frame, outcome) => {
                    self.tasks.remove(&key);
                    self.session.complete(key, frame, outcome);
                    self.collect();
                }
                Mail::Items(key, batch) => self.deliver(key, batch),
                Mail::Room(key, items) => {
                    self.session.grant_upload_credit(key, items);
                    self.collect();
                }
                Mail::Ask(question) => self.ask(now, *question),
                Mail::CancelAsk(key) => {
                    self.asks.remove(&key);
                    self.session.cancel_client_call(key);
                    self.collect();
                }
                // Taken out above.
                Mail::OpenInfo(_) => {}
                Mail::SessionEnded(session) => self.end_session(&session),
                Mail::Drain => {
                    self.draining = true;
                    self.session.drain();
                    self.collect();
                }
                Mail::Stop => self.session.close(Close::Stopping),
            }
        }
        // A burst leaves no memory behind.
        self.mail.shrink_to(64);
    }

    fn ask(&mut self, now: Instant, question: Question) {
        self.seat.peer.outbox.pushed_out(question.len());
        let Question { key, event, data, deadline, answer } = question;
        if answer.is_closed() {
            return;
        }
        match self.session.client_call(now, key, &event, &data, deadline) {
            Ok(()) => _ = self.asks.insert(key, answer),
            Err(failure) => _ = answer.send(Err(failure)),
        }
        self.collect();
    }

    /// What nobody could be asked in time, since the connection was not open yet.
    fn fail_late_questions(&mut self, now: Instant) {
        let late =
            |mail: &mut Mail| matches!(mail, Mail::Ask(question) if question.deadline.is_some_and(|at| at <= now));
        while let Some(at) = self.mail.iter_mut().position(late)
            && let Some(Mail::Ask(question)) = self.mail.remove(at)
        {
            self.seat.peer.outbox.pushed_out(question.len());
            // Whoever asked may have gone just now.
            let _ = question.answer.send(Err(client_calls::not_in_time()));
        }
    }

    /// A session is over: what it let be called ends, and a client that still has it learns of it.
    fn end_session(&mut self, session: &Arc<Session>) {
        let had_it = self.seat.peer.gives_up(session);
        // Who has given it up for nothing else has ended it, perhaps by a call that needs it, and is owed that call's answer.
        let ended_it = !had_it && self.seat.peer.held().is_none();
        let is_over =
            |task: &Task| task.held.as_ref().is_some_and(|held| held.is_over()) && (!ended_it || task.gate.is_some());
        let over: Vec<_> = self.tasks.iter().filter(|(_, task)| is_over(task)).map(|(key, _)| *key).collect();
        for key in over {
            if let Some(task) = self.tasks.remove(&key) {
                task.handle.abort();
            }
            let failure = Failure::new(Code::NOT_AUTHENTICATED, "Not authenticated");
            self.session.complete(key, Vec::new(), Completion::Failed(failure));
        }
        self.collect();
        let peer = &self.seat.peer;
        if had_it
            && self.dialect == Dialect::V1
            && let Some(how) = session.ended()
        {
            let told = codec::message(SESSION, &serde_json::json!({ "ended": how.as_str() }));
            // Who takes no more pushes is being closed for it.
            let _ = peer.outbox.push(told.into());
        }
    }

    /// Takes over what the session put out.
    fn collect(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(frame) => self.frames.push_back(Outgoing::Answer(frame)),
                Output::Ping => self.frames.push_back(Outgoing::Ping),
                Output::Drop(key) => {
                    if let Some(task) = self.tasks.remove(&key) {
                        task.handle.abort();
                    }
                }
                Output::Credit { key, items } => {
                    if let Some(Task { gate: Some(gate), .. }) = self.tasks.get(&key) {
                        gate.raise(items);
                    }
                }
                // Whoever asked may have gone just now.
                Output::ClientCallDone { key, outcome } => _ = self.asks.remove(&key).map(|asker| asker.send(outcome)),
                Output::RunOpenHook => self.open(),
                Output::Close(close) => self.ending = Some(close),
            }
        }
    }

    /// Gives frames to the socket while it takes them.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        while !self.frames.is_empty() {
            ready!(self.socket.poll_ready_unpin(cx))?;
            let Some(frame) = self.frames.pop_front() else { break };
            let message = match frame {
                Outgoing::Answer(frame) => {
                    self.session.handle_sent(frame.len());
                    text(frame)
                }
                Outgoing::Push(frame) => {
                    self.seat.peer.outbox.pushed_out(frame.len());
                    text(frame)
                }
                Outgoing::Ping => Message::Ping(Bytes::new()),
            };
            self.socket.start_send_unpin(message)?;
        }
        self.frames.shrink_to(64);
        Poll::Ready(Ok(()))
    }

    /// While nothing is read from a client that takes its answers slowly, pongs are not either: that it takes answers is
    /// then its sign of life.
    fn notice_progress(&mut self, now: Instant) {
        let written = self.socket.get_ref().written();
        if written > self.written_before && !self.session.wants_input() {
            self.session.handle_sign_of_life(now);
        }
        self.written_before = written;
    }

    fn is_stalled(&self, now: Instant) -> bool {
        self.stalled.is_some_and(|(since, then)| {
            self.socket.get_ref().written() < then + LEAST_PROGRESS
                && now.duration_since(since) >= self.config.write_timeout
        })
    }

    /// Sets the timer to the next thing that is due, or leaves it if it goes off before: then it is set anew. Most turns
    /// move a deadline further away, and need not touch it.
    fn set_timer(&mut self, cx: &mut Context<'_>) {
        let mut due = self.session.poll_timeout();
        if let Some((since, _)) = self.stalled {
            due = due.min(clock::after(since, self.config.write_timeout));
        }
        if let Some(since) = self.crowded {
            due = due.min(clock::after(since, self.config.push_backlog_timeout));
        }
        // Only while the connection is not open does mail stay.
        let questions =
            self.mail.iter().filter_map(|mail| if let Mail::Ask(question) = mail { question.deadline } else { None });
        due = questions.fold(due, Instant::min);
        let due = due.into();
        if due < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(due);
            // Registers the waker; if it is due already, the next turn comes at once.
            if self.timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// The first bad frame of a connection is worth a warning; a flood of them must not flood the log.
    fn log_bad(&mut self, bad: &BadFrame) {
        let connection = self.seat.peer.id;
        self.bad_frames = self.bad_frames.saturating_add(1);
        if self.bad_frames == 1 {
            tracing::warn!(%connection, client_key = self.seat.peer.client_key, "bad frame: {bad}");
        } else {
            tracing::debug!(%connection, "bad frame: {bad}");
        }
    }
}

/// What `_close` is told.
fn closed(ending: &Ending) -> CloseInfo {
    match ending {
        Ending::ByPeer(None) => CloseInfo::new(ClosedBy::Client, None, ""),
        Ending::ByPeer(Some((code, reason))) => CloseInfo::new(ClosedBy::Client, Some(*code), reason),
        Ending::ByUs(close) => CloseInfo::new(ClosedBy::Server, Some(close.code()), close.to_string()),
        Ending::Broken(error) => CloseInfo::new(ClosedBy::Broken, None, error.to_string()),
    }
}

/// How many modules have let the connection in. What is still undecided is dropped.
async fn let_in(opening: Option<Opening>) -> usize {
    let Some(Opening { task, passed }) = opening else { return 0 };
    task.abort();
    // Over or dropped, after this nothing of it runs.
    let _ = task.await;
    passed.load(Ordering::Acquire)
}

/// The caller has gone, so its handlers are dropped; what is left are those for which nobody waited.
fn end_tasks(tasks: HashMap<CallKey, Task>) -> Vec<JoinHandle<()>> {
    let (answering, sends): (Vec<_>, Vec<_>) = tasks.into_values().partition(|task| task.answers);
    answering.iter().for_each(|task| task.handle.abort());
    sends.into_iter().map(|task| task.handle).collect()
}

/// Waits for handlers to end, and drops those that do not in time.
async fn linger(mut handlers: Vec<JoinHandle<()>>, time: std::time::Duration) {
    let all = async {
        for handler in &mut handlers {
            // A panic of its task is logged where it happened.
            let _ = handler.await;
        }
    };
    if tokio::time::timeout(time, all).await.is_err() {
        handlers.iter().for_each(JoinHandle::abort);
    }
}

/// A text message of bytes that are JSON: what we and the handlers' serialisers wrote, so nobody checks it once more.
fn text(frame: Bytes) -> Message {
    Message::Frame(Frame::message(frame, OpCode::Data(Data::Text), true))
}

/// The time as tokio has it, so that tests can move it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
