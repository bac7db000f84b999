//! The task that owns a connection's socket.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use aaw_event::OpenInfo;
use aaw_protocol::codec::{self, BadFrame};
use aaw_protocol::hello::SESSION_ENDED;
use aaw_protocol::server::{Call, CallKey, ClientCallKey, Close, Completion, Input, Output, ServerConnection};
use aaw_protocol::{Code, Dialect, Failure, clock, is_protected};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::call_tasks::{CallTask, abort_expecting_response, linger};
use super::closing::close;
use super::end::ConnectionEnd;
use super::frame_log;
use super::open_hook::OpenHook;
use super::outgoing::{OutgoingFrame, text_message};
use super::progress::CountedSocket;
use super::stream_pump::{StreamCredit, StreamPump};
use super::upload::UploadWriter;
use crate::auth::identity_change::IdentityChange;
use crate::auth::{Session, SessionGuard};
use crate::config::Config;
use crate::dispatch::{CallSource, Dispatch, DispatchRequest, Dispatched, HandlerStream, PendingCall};
use crate::hub::{ClientCallRequest, Command, ConnectionGuard, EventCaller, ItemBatch, Peer, client_call_timed_out};

/// The messages and queued calls handled in one turn, so that a client that never stops sending lets other tasks run.
const MESSAGES_PER_TURN: u32 = 128;

/// How long a `_close` hook may take after the deadline of a shutdown.
const STOPPED_HOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// The bytes of frames that are gathered before the socket is written to in the middle of a turn.
const WRITE_BUFFER: usize = 16 << 10;

/// The bytes of pongs that may wait for the socket.
const PONG_BUFFER: usize = 64 << 10;

/// The bytes that a client must accept within the write timeout; with fewer it counts as stalled.
const MIN_PROGRESS: u64 = 16 << 10;

/// A connection whose handshake has been accepted, before its task has the socket.
pub(crate) struct NewConnection {
    pub(crate) dialect: Dialect,
    pub(crate) guard: ConnectionGuard,
    pub(crate) caller: Arc<EventCaller>,
    /// What the `_open` hook receives.
    pub(crate) open_info: OpenInfo,
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) config: Arc<Config>,
}

/// The state of the connection's task.
struct Connection<S> {
    socket: WebSocketStream<CountedSocket<S>>,
    protocol: ServerConnection,
    dialect: Dialect,
    guard: ConnectionGuard,
    caller: Arc<EventCaller>,
    dispatch: Arc<Dispatch>,
    config: Arc<Config>,
    /// The output queue: frames that the socket has not accepted yet.
    frames: VecDeque<OutgoingFrame>,
    /// Commands that were taken from the mailbox and not handled yet: they remain here only while the connection opens.
    commands: VecDeque<Command>,
    /// The calls whose handlers run as tasks of their own.
    calls: HashMap<CallKey, CallTask>,
    /// The client calls in flight, and where to send their responses.
    client_calls: HashMap<ClientCallKey, oneshot::Sender<Result<Box<str>, Failure>>>,
    /// Whether streams are paused, since too much waits for the socket.
    streams_paused: bool,
    /// What the `_open` hook receives, until it runs.
    open_info: Option<Box<OpenInfo>>,
    /// The `_open` hook, from its start on.
    open_hook: Option<OpenHook>,
    /// The code and reason of the client's close frame.
    peer_close: Option<(u16, String)>,
    timer: Pin<Box<Sleep>>,
    /// Since when fewer than [`MIN_PROGRESS`] bytes could be written, and how many had been written by then.
    stalled: Option<(Instant, u64)>,
    /// Since when the queued pushes exceed their sustained limit.
    over_push_limit_since: Option<Instant>,
    /// The bytes that had been written by the last turn.
    written_before: u64,
    draining: bool,
    closing: Option<Close>,
    bad_frames: u32,
}

impl NewConnection {
    /// Serves the connection until it ends. `read_ahead` was read from the socket together with the request.
    pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, socket: S, read_ahead: Bytes) {
        let mut connection = Connection::start(self, socket, read_ahead).await;
        let end = poll_fn(|cx| connection.poll(cx)).await;
        end.log();
        // Boxed, so that a connection that is open does not reserve the memory for its end.
        Box::pin(connection.finish(end)).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn start(new: NewConnection, socket: S, read_ahead: Bytes) -> Self {
        let NewConnection { dialect, guard, caller, open_info, dispatch, config } = new;
        let max_message = config.max_message_bytes;
        let limits = WebSocketConfig::default()
            .read_buffer_size(config.read_buffer_bytes)
            .write_buffer_size(WRITE_BUFFER)
            // Frames wait for the socket in `frames`, where they are counted; tungstenite holds one message beyond its
            // write buffer. The rest is for the pongs that tungstenite adds; beyond that size tungstenite keeps only
            // the newest pong.
            .max_write_buffer_size(max_message.saturating_add(WRITE_BUFFER + PONG_BUFFER))
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        // A copy of these few bytes, mostly none: they lie in hyper's buffer, which is twice as large as tungstenite's
        // and would live as long as the connection.
        let ahead = read_ahead.to_vec();
        drop(read_ahead);
        let socket = CountedSocket::new(socket);
        let socket = WebSocketStream::from_partially_read(socket, ahead, Role::Server, Some(limits)).await;
        let mut protocol = ServerConnection::new(dialect, guard.peer.id().to_string(), config.protocol(), now());
        let open_info = dispatch.has_hooks().then(|| {
            protocol.wait_for_open_hook();
            Box::new(open_info)
        });
        let timer = Box::pin(tokio::time::sleep_until(protocol.poll_timeout().into()));
        Self {
            socket,
            protocol,
            dialect,
            guard,
            caller,
            dispatch,
            config,
            frames: VecDeque::new(),
            commands: VecDeque::new(),
            calls: HashMap::new(),
            client_calls: HashMap::new(),
            streams_paused: false,
            open_info,
            open_hook: None,
            peer_close: None,
            timer,
            stalled: None,
            over_push_limit_since: None,
            written_before: 0,
            draining: false,
            closing: None,
            bad_frames: 0,
        }
    }

    /// Closes the socket, runs the `_close` hooks, and waits for handlers of one-way sends.
    async fn finish(self, end: ConnectionEnd) {
        let Self { socket, guard, caller, frames, config, calls, client_calls, commands, open_hook, dispatch, .. } =
            self;
        // Fails the client calls that are queued or in flight.
        drop((client_calls, commands));
        // Removed from the table first, so that nothing more is pushed to it. Its permit is kept to the very end, so
        // that connections that are opened and closed quickly leave no more behind than the limit on connections
        // allows.
        let id = guard.peer.id();
        let permit = guard.leave();
        let lingering = abort_expecting_response(calls);
        let info = end.close_info();
        close(socket, end, frames, config.close_timeout).await;
        // What the deadline of a shutdown finds still running is dropped.
        let stopped = async {
            match &permit {
                Some(permit) => permit.stopped().await,
                None => std::future::pending().await,
            }
        };
        let mut stopped = std::pin::pin!(stopped);
        let passed = match open_hook {
            Some(hook) => hook.finish().await,
            None => 0,
        };
        if passed > 0 {
            let closed = dispatch.run_close_hooks(&caller, &info, passed);
            let closed = tokio::time::timeout(config.linger_timeout, closed);
            let has_ended = tokio::select! {
                biased;
                closed = closed => closed.is_ok(),
                // A hook that a stop has begun gets a moment.
                () = async { stopped.as_mut().await; tokio::time::sleep(STOPPED_HOOK_TIMEOUT).await } => false,
            };
            if !has_ended {
                tracing::warn!(connection = %id, "_close did not end in time and was dropped");
            }
        }
        linger(lingering, config.linger_timeout, stopped).await;
    }

    fn peer(&self) -> &Arc<Peer> {
        &self.guard.peer
    }

    /// One turn of the task: timers, commands, frames in, frames out.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        self.peer().mailbox.register(cx.waker());
        let now = now();
        self.note_write_progress(now);
        if self.timer.as_mut().poll(cx).is_ready() {
            self.handle_timeout(now);
        }
        let mut left = MESSAGES_PER_TURN;
        loop {
            if let Poll::Ready(end) = self.poll_read(cx, now, &mut left) {
                return Poll::Ready(end);
            }
            match self.socket.poll_flush_unpin(cx) {
                Poll::Ready(Ok(())) if self.frames.is_empty() => {
                    self.stalled = None;
                    break;
                }
                // tungstenite's buffer is empty, and more frames are queued.
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(ConnectionEnd::Broken(error)),
                Poll::Pending => {
                    let written = self.socket.get_ref().written();
                    match self.stalled {
                        Some((_, then)) if written < then + MIN_PROGRESS => {}
                        _ => self.stalled = Some((now, written)),
                    }
                    break;
                }
            }
        }
        // Checked after writing: pushes that are still queued now are those that the client does not accept fast
        // enough.
        self.over_push_limit_since = match self.over_push_limit_since {
            _ if self.peer().mailbox.pushed() <= self.config.max_push_backlog_bytes => None,
            None => Some(now),
            since => since,
        };
        self.set_timer(cx);
        if left == 0 {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.protocol.handle_timeout(now);
        self.fail_expired_client_calls(now);
        if self.is_stalled(now) {
            self.protocol.close(Close::Stalled);
        }
        if self.over_push_limit_since.is_some_and(|since| now.duration_since(since) >= self.config.push_backlog_timeout)
        {
            self.protocol.close(Close::TooSlow);
        }
    }

    /// Reads and runs calls until there is nothing more to read, or the turn is used up.
    fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant, left: &mut u32) -> Poll<ConnectionEnd> {
        loop {
            if self.peer().mailbox.has_commands() {
                self.handle_commands(now);
            }
            if let Err(error) = self.pump(cx, now, left) {
                return Poll::Ready(ConnectionEnd::Broken(error));
            }
            if let Some(close) = self.closing.take() {
                return Poll::Ready(ConnectionEnd::ByServer(close));
            }
            if *left == 0 || !self.protocol.wants_input() {
                return Poll::Pending;
            }
            match ready!(self.socket.poll_next_unpin(cx)) {
                None => return Poll::Ready(ConnectionEnd::ByClient(self.peer_close.take())),
                Some(Err(error)) => return Poll::Ready(ConnectionEnd::Broken(error)),
                Some(Ok(message)) => {
                    frame_log::received(&message);
                    *left -= 1;
                    self.protocol.handle_sign_of_life(now);
                    match message {
                        Message::Text(text) => {
                            let input = self.protocol.handle_text(now, &text);
                            self.handle_input(now, input);
                        }
                        Message::Binary(_) => {
                            let bad = self.protocol.handle_binary();
                            self.log_bad_frame(&bad);
                        }
                        // tungstenite replies to pings and close frames.
                        Message::Close(frame) => {
                            self.peer_close = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                        }
                        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                    }
                }
            }
        }
    }

    /// Moves the protocol's outputs to the socket while it accepts them, and starts queued calls.
    fn pump(&mut self, cx: &mut Context<'_>, now: Instant, left: &mut u32) -> Result<(), WsError> {
        loop {
            self.drain_outputs();
            // Commands that had to wait for the welcome may follow it now.
            if !self.commands.is_empty() && self.protocol.is_open() {
                self.handle_commands(now);
            }
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                return Err(error);
            }
            self.update_stream_pause();
            // Queued calls use up the turn as calls that are read do.
            if *left == 0 {
                break;
            }
            match self.protocol.poll_queued() {
                Some(queued) => {
                    *left -= 1;
                    let input = self.protocol.handle_queued(now, &queued);
                    self.handle_input(now, input);
                }
                None => break,
            }
        }
        if self.draining && self.protocol.is_idle() {
            self.protocol.close(Close::Stopping);
            self.drain_outputs();
        }
        Ok(())
    }

    /// Handles a frame that was read, or a call that was queued.
    fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Call(call) => self.handle_call(now, call),
            Input::Handled => {}
            Input::Refused { event, body, failure } => {
                let source = CallSource::WebSocket { id: None };
                self.dispatch.record_refused(&event, source, body, &failure, &self.peer().context);
            }
            Input::BadFrame(bad) => self.log_bad_frame(&bad),
            Input::UploadItem { key, data } => {
                if let Some(upload) = self.upload(key) {
                    upload.push(data);
                }
            }
            Input::UploadEnd { key } => {
                if let Some(upload) = self.upload(key) {
                    upload.end();
                }
            }
        }
    }

    fn upload(&self, key: CallKey) -> Option<&UploadWriter> {
        self.calls.get(&key)?.upload.as_ref()
    }

    fn handle_call(&mut self, now: Instant, call: Call<'_>) {
        let window = self.config.upload_window.into();
        let upload = call.upload.then(|| UploadWriter::new(Arc::clone(self.peer()), window));
        // Read once: the session that authorizes the call is the one whose end aborts it.
        let session = is_protected(&call.event).then(|| self.peer().context.session.current()).flatten();
        let request = DispatchRequest {
            event: &call.event,
            source: CallSource::WebSocket { id: call.id() },
            body: call.body,
            mode: call.response_mode(),
            session: session.as_deref(),
        };
        let buffer = upload.as_ref().map(UploadWriter::buffer);
        match self.dispatch.begin(request, call.begin_response(), &self.caller, buffer) {
            Dispatched::Done(frame, completion) => {
                // What the handler has pushed is sent before its response.
                if self.peer().mailbox.has_commands() {
                    self.handle_commands(now);
                }
                self.protocol.complete_now(call, frame, completion);
            }
            Dispatched::Pending(pending) => self.spawn_pending(call, pending, upload, session),
            Dispatched::Stream(stream) => self.start_stream(now, call, stream, upload, session),
            Dispatched::NotJson => {
                if let Err(bad) = call.check()
                    && let Input::BadFrame(bad) = self.protocol.reject(call, bad)
                {
                    self.log_bad_frame(&bad);
                }
            }
        }
    }

    /// Continues a call as a task.
    fn spawn_pending(
        &mut self,
        call: Call<'_>,
        pending: PendingCall,
        upload: Option<UploadWriter>,
        session: Option<Arc<SessionGuard>>,
    ) {
        let expects_response = call.expects_response;
        let key = if pending.is_barrier() {
            self.protocol.add_pending_barrier(call)
        } else {
            self.protocol.add_pending(call)
        };
        let peer = Arc::clone(self.peer());
        let identity_change = Some(pending.identity_change());
        let task = tokio::spawn(async move {
            let (frame, completion) = pending.await;
            peer.mailbox.post(Command::Complete(key, frame, completion));
        });
        self.calls.insert(key, CallTask { task, expects_response, credit: None, upload, session, identity_change });
        self.start_upload(key);
    }

    /// Runs a streaming handler: in place for its first items, then as a task.
    fn start_stream(
        &mut self,
        now: Instant,
        call: Call<'_>,
        stream: HandlerStream,
        upload: Option<UploadWriter>,
        session: Option<Arc<SessionGuard>>,
    ) {
        let (expects_response, frame) = (call.expects_response, call.item_frame());
        let key = self.protocol.add_pending(call);
        let credit = StreamCredit::new(self.protocol.credit(key));
        credit.set_paused(self.streams_paused);
        let mut pump = StreamPump::new(stream, frame, Arc::clone(&credit), self.config.max_message_bytes);
        // A waker that does nothing suffices: the task polls the stream again.
        if let Poll::Ready(batch) = pump.poll(&mut Context::from_waker(Waker::noop())) {
            // What the handler has pushed is sent before its items.
            if self.peer().mailbox.has_commands() {
                self.handle_commands(now);
            }
            let has_ended = batch.end.is_some();
            self.handle_items(key, batch);
            if has_ended {
                return;
            }
        }
        // Again, because its first items may have filled the output queue, and `calls` does not contain it yet.
        credit.set_paused(self.streams_paused);
        let session_ended = session.as_ref().is_some_and(|guard| guard.is_over());
        let task = tokio::spawn(pump.run(key, Arc::clone(self.peer())));
        self.calls.insert(
            key,
            CallTask { task, expects_response, credit: Some(credit), upload, session, identity_change: None },
        );
        if session_ended {
            // The command that reports this end may have been handled above, before `calls` contained the stream.
            self.abort_unauthenticated(key);
            self.drain_outputs();
            return;
        }
        self.start_upload(key);
    }

    /// Grants the caller its first credit, if the call has an upload.
    fn start_upload(&mut self, key: CallKey) {
        if let Some(upload) = self.upload(key) {
            upload.start(key);
            self.protocol.grant_upload_credit(key, self.config.upload_window.into());
            self.drain_outputs();
        }
    }

    fn handle_items(&mut self, key: CallKey, batch: ItemBatch) {
        for frame in batch.frames {
            if !self.protocol.handle_item(key, frame) {
                break;
            }
        }
        if let Some((frame, completion)) = batch.end {
            self.calls.remove(&key);
            self.protocol.complete(key, frame, completion);
        }
        self.drain_outputs();
        self.update_stream_pause();
        if let Some(CallTask { credit: Some(credit), .. }) = self.calls.get(&key) {
            credit.batch_taken();
        }
    }

    /// Pauses all streams while too much waits for the socket.
    fn update_stream_pause(&mut self) {
        let paused = !self.protocol.may_stream();
        if paused != self.streams_paused {
            self.streams_paused = paused;
            let credits = self.calls.values().filter_map(|call| call.credit.as_ref());
            credits.for_each(|credit| credit.set_paused(paused));
        }
    }

    /// Starts the `_open` hook.
    fn run_open_hook(&mut self) {
        let Some(info) = self.open_info.take() else { return self.protocol.handle_open_hook_passed() };
        let (dispatch, caller, peer) = (Arc::clone(&self.dispatch), Arc::clone(&self.caller), Arc::clone(self.peer()));
        self.open_hook = Some(OpenHook::spawn(dispatch, caller, peer, *info, self.config.handshake_timeout));
    }

    fn handle_commands(&mut self, now: Instant) {
        // Outputs that the protocol has produced so far precede the commands.
        self.drain_outputs();
        if self.guard.peer.mailbox.take(&mut self.commands) {
            self.protocol.close(Close::TooSlow);
        }
        // The result of the `_open` hook may be queued behind commands that have to wait for the connection to open.
        if let Some(at) = self.commands.iter().position(|command| matches!(command, Command::OpenHookDone(_)))
            && let Some(Command::OpenHookDone(result)) = self.commands.remove(at)
        {
            self.handle_open_hook_done(result);
        }
        if !self.protocol.is_open() {
            // A v1 client receives nothing before its welcome. A shutdown does not wait for its hello.
            if self.commands.iter().any(|command| matches!(command, Command::Drain | Command::Stop)) {
                self.protocol.close(Close::Stopping);
            }
            return;
        }
        while let Some(command) = self.commands.pop_front() {
            self.handle_command(now, command);
        }
        // Releases the memory of a burst.
        self.commands.shrink_to(64);
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Push(frame) => self.frames.push_back(OutgoingFrame::Push(frame)),
            Command::Complete(key, frame, completion) => {
                self.calls.remove(&key);
                self.protocol.complete(key, frame, completion);
                self.drain_outputs();
            }
            Command::StreamItems(key, batch) => self.handle_items(key, batch),
            Command::UploadCredit(key, items) => {
                self.protocol.grant_upload_credit(key, items);
                self.drain_outputs();
            }
            Command::ClientCall(request) => self.start_client_call(now, *request),
            Command::CancelClientCall(key) => {
                self.client_calls.remove(&key);
                self.protocol.cancel_client_call(key);
                self.drain_outputs();
            }
            // `handle_commands` removes it from the queue before any other command.
            Command::OpenHookDone(_) => {}
            Command::SessionEnded(session) => self.end_session(&session),
            Command::Drain => {
                self.draining = true;
                self.protocol.drain();
                self.drain_outputs();
            }
            Command::EndStreams => self.end_streams(),
            Command::Stop => self.protocol.close(Close::Stopping),
        }
    }

    fn handle_open_hook_done(&mut self, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.protocol.handle_open_hook_passed(),
            Err(failure) => {
                tracing::info!(connection = %self.peer().id(), "_open refused the connection: {failure}");
                self.protocol.handle_open_hook_refused(failure);
            }
        }
        self.drain_outputs();
    }

    fn start_client_call(&mut self, now: Instant, request: ClientCallRequest) {
        self.peer().mailbox.release(request.len());
        let ClientCallRequest { key, event, data, deadline, response } = request;
        if response.is_closed() {
            return;
        }
        match self.protocol.client_call(now, key, &event, &data, deadline) {
            Ok(()) => _ = self.client_calls.insert(key, response),
            // The call's future may have been dropped meanwhile.
            Err(failure) => _ = response.send(Err(failure)),
        }
        self.drain_outputs();
    }

    /// Fails client calls whose deadline passed before the connection was open.
    fn fail_expired_client_calls(&mut self, now: Instant) {
        let is_expired = |command: &Command| match command {
            Command::ClientCall(request) => request.deadline.is_some_and(|deadline| deadline <= now),
            _ => false,
        };
        while let Some(at) = self.commands.iter().position(is_expired)
            && let Some(Command::ClientCall(request)) = self.commands.remove(at)
        {
            self.peer().mailbox.release(request.len());
            // The call's future may have been dropped meanwhile.
            let _ = request.response.send(Err(client_call_timed_out()));
        }
    }

    /// Aborts the calls that an ended session has authorized, and notifies the client if the connection had that
    /// session.
    fn end_session(&mut self, session: &Arc<Session>) {
        let slot = &self.peer().context.session;
        let had_session = slot.release(session).is_some();
        // A call that has ended its own session must still be responded to.
        let is_affected = |call: &CallTask| {
            call.session.as_ref().is_some_and(|guard| guard.is_over())
                && !call.identity_change.as_ref().is_some_and(IdentityChange::has_begun)
        };
        let affected: Vec<_> = self.calls.iter().filter(|(_, call)| is_affected(call)).map(|(key, _)| *key).collect();
        for key in affected {
            self.abort_unauthenticated(key);
        }
        self.drain_outputs();
        if had_session
            && self.dialect == Dialect::V1
            && let Some(reason) = session.ended()
        {
            let frame = codec::message(SESSION_ENDED, &serde_json::json!({ "ended": reason.as_str() }));
            // If the mailbox has overflowed, the connection is being closed.
            let _ = self.peer().mailbox.push(frame.into());
        }
    }

    /// Aborts a call whose session has ended.
    fn abort_unauthenticated(&mut self, key: CallKey) {
        self.abort(key, Failure::new(Code::NOT_AUTHENTICATED, "Not authenticated"));
    }

    /// Drops the handler of a call, and completes the call with this failure.
    fn abort(&mut self, key: CallKey, failure: Failure) {
        if let Some(call) = self.calls.remove(&key) {
            call.task.abort();
        }
        self.protocol.complete(key, Vec::new(), Completion::Failed(failure));
    }

    /// Ends the streams that still run, because the server is stopping.
    fn end_streams(&mut self) {
        let streams: Vec<_> =
            self.calls.iter().filter(|(_, call)| call.credit.is_some()).map(|(key, _)| *key).collect();
        for key in streams {
            self.abort(key, Failure::new(Code::STOPPING, "The server is stopping"));
        }
        self.drain_outputs();
    }

    /// Handles everything that the protocol has to put out.
    fn drain_outputs(&mut self) {
        while let Some(output) = self.protocol.poll_output() {
            match output {
                Output::Send(frame) => self.frames.push_back(OutgoingFrame::Response(frame)),
                Output::Ping => self.frames.push_back(OutgoingFrame::Ping),
                Output::Drop(key) => {
                    if let Some(call) = self.calls.remove(&key) {
                        call.task.abort();
                    }
                }
                Output::Credit { key, items } => {
                    if let Some(CallTask { credit: Some(credit), .. }) = self.calls.get(&key) {
                        credit.grant(items);
                    }
                }
                Output::ClientCallDone { key, result } => {
                    if let Some(response) = self.client_calls.remove(&key) {
                        // The call's future may have been dropped meanwhile.
                        let _ = response.send(result);
                    }
                }
                Output::RunOpenHook => self.run_open_hook(),
                Output::Close(close) => self.closing = Some(close),
            }
        }
    }

    /// Writes queued frames while the socket accepts them.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        while !self.frames.is_empty() {
            ready!(self.socket.poll_ready_unpin(cx))?;
            let Some(frame) = self.frames.pop_front() else { break };
            let message = match frame {
                OutgoingFrame::Response(frame) => {
                    self.protocol.handle_sent(frame.len());
                    text_message(frame)
                }
                OutgoingFrame::Push(frame) => {
                    self.peer().mailbox.release(frame.len());
                    text_message(frame)
                }
                OutgoingFrame::Ping => Message::Ping(Bytes::new()),
            };
            frame_log::sent(&message);
            self.socket.start_send_unpin(message)?;
        }
        // Releases the memory of a burst.
        self.frames.shrink_to(64);
        Poll::Ready(Ok(()))
    }

    /// While reading is paused because the client reads its responses slowly, its pongs are not read either, so write
    /// progress counts as a sign of life.
    fn note_write_progress(&mut self, now: Instant) {
        let written = self.socket.get_ref().written();
        if written > self.written_before && !self.protocol.wants_input() {
            self.protocol.handle_sign_of_life(now);
        }
        self.written_before = written;
    }

    fn is_stalled(&self, now: Instant) -> bool {
        self.stalled.is_some_and(|(since, then)| {
            self.socket.get_ref().written() < then + MIN_PROGRESS
                && now.duration_since(since) >= self.config.write_timeout
        })
    }

    /// Sets the timer to the next deadline. A timer that fires earlier is left as it is and set again then: most turns
    /// move a deadline further away, and need not touch it.
    fn set_timer(&mut self, cx: &mut Context<'_>) {
        let mut due = self.protocol.poll_timeout();
        if let Some((since, _)) = self.stalled {
            due = due.min(clock::after(since, self.config.write_timeout));
        }
        if let Some(since) = self.over_push_limit_since {
            due = due.min(clock::after(since, self.config.push_backlog_timeout));
        }
        // Commands remain here only while the connection is not open.
        let deadlines = self.commands.iter().filter_map(|command| match command {
            Command::ClientCall(request) => request.deadline,
            _ => None,
        });
        due = deadlines.fold(due, Instant::min);
        let due = due.into();
        if due < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(due);
            // Registers the waker. If it is due already, the next turn follows at once.
            if self.timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// Warns of the first bad frame of a connection only, so that a flood of them does not flood the log.
    fn log_bad_frame(&mut self, bad: &BadFrame) {
        let connection = self.peer().id();
        self.bad_frames = self.bad_frames.saturating_add(1);
        let bad = bad.without_values();
        if self.bad_frames == 1 {
            tracing::warn!(%connection, client_key = self.peer().context.client_key, "bad frame: {bad}");
        } else {
            tracing::debug!("bad frame: {bad}");
        }
    }
}

/// Returns the time of tokio's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
