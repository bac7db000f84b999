//! The task of a client: it owns the socket, feeds the pure [`ClientConnection`], and carries out its outputs.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use aaw_protocol::client::{CallKey, CallResult, ClientCallKey, ClientConnection, DisconnectReason, NotSent, Output};
use aaw_protocol::resumption::ResumptionKey;
use aaw_protocol::sparse_map::SparseMap;
use aaw_protocol::{Code, Dialect, Failure};
use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::{Instant as TokioInstant, Sleep};
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::connection_status::{ClientWarning, ConnectionEvent, ConnectionState};
use crate::dial::{ClientSocket, Endpoint};
use crate::driver_handle::{DriverChannels, DriverCommand, DriverStream, UrgentCommand};
use crate::error::stream_result;
use crate::handler_tasks::HandlerTasks;
use crate::replies::ReplyKey;
use crate::shared::SharedState;
use crate::socket_error::{broken, close_code, closed_by_server};
use crate::tracing_output;
use crate::upload_queue::NextUpload;
use crate::{CallError, ConnectError};

/// What the [`ClientConnection`] stores for each call, and returns with its result.
#[derive(Debug)]
pub(crate) enum CallWaiter {
    Unary(ReplyKey),
    /// The stream of this key in [`Driver::streams`].
    Stream(CallKey),
}

/// The future of the driver. It completes when the client was closed, or all its handles were dropped and the
/// connection was closed for that reason.
///
/// A hand-written future, not a `select!` loop: each time it is woken, it runs [its phases](Self::poll_phases) until
/// none makes progress, and flushes the socket once. A flush for each message would be the largest cost of a WebSocket.
pub(crate) struct Driver {
    endpoint: Endpoint,
    connection: ClientConnection<CallWaiter>,
    channels: DriverChannels,
    /// All handles were dropped, or the queues are no longer read for that reason.
    handles_dropped: bool,
    shared: SharedState,
    streams: SparseMap<CallKey, DriverStream>,
    /// Streams that have received items which their readers were not given yet.
    receiving: Vec<CallKey>,
    /// Streams whose upload has something to send, in round-robin order.
    ready_uploads: VecDeque<CallKey>,
    /// The last message was an upload's, so that the next is not.
    last_was_upload: bool,
    handler_tasks: HandlerTasks,
    /// Present until the first attempt to connect has a result. If it fails, the driver ends.
    first_attempt: Option<oneshot::Sender<Result<(), ConnectError>>>,
    socket: SocketState,
    /// The connection of the socket has opened.
    opened: bool,
    /// The server's id of the connection, once it has opened.
    connection_id: Option<Arc<str>>,
    /// The span of the connection, from the attempt to connect on.
    span: Span,
    /// The socket was polled after the last wake-up and had nothing to read; it will wake this task. Polling it before
    /// that would only make tungstenite zero its read buffer again.
    read_pending: bool,
    /// Messages that the connection has put out and the socket has not accepted yet: one, and those that respond to the
    /// server.
    unsent: VecDeque<Message>,
    needs_flush: bool,
    /// The last poll did nothing but let other tasks run.
    has_yielded: bool,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires, if it is set. It may be earlier than necessary, never later: deadlines come and go with
    /// each call, and resetting the timer each time costs more than an occasional wake-up in vain.
    timer_set: Option<Instant>,
    ended: bool,
}

type Dialing = Pin<Box<dyn Future<Output = Result<(ClientSocket, Dialect), ConnectError>> + Send>>;

enum SocketState {
    None,
    Dialing(Dialing),
    Open(Box<ClientSocket>),
}

/// Whether a phase has changed anything that other phases depend on. They then run again.
#[derive(PartialEq, Eq, Clone, Copy)]
enum PhaseProgress {
    Made,
    None,
}

impl Driver {
    pub(crate) fn new(
        endpoint: Endpoint,
        connection: ClientConnection<CallWaiter>,
        channels: DriverChannels,
        shared: SharedState,
    ) -> Self {
        Self {
            endpoint,
            connection,
            channels,
            handles_dropped: false,
            shared,
            streams: SparseMap::default(),
            receiving: Vec::new(),
            ready_uploads: VecDeque::new(),
            last_was_upload: false,
            handler_tasks: HandlerTasks::default(),
            first_attempt: None,
            socket: SocketState::None,
            opened: false,
            connection_id: None,
            span: Span::none(),
            read_pending: false,
            unsent: VecDeque::new(),
            needs_flush: false,
            has_yielded: false,
            timer: Box::pin(tokio::time::sleep_until(TokioInstant::now())),
            timer_set: None,
            ended: false,
        }
    }

    pub(crate) fn url(&self) -> Arc<str> {
        self.endpoint.shown_url.clone()
    }

    /// Makes the driver end if the first attempt to connect fails. Returns the receiver of that attempt's result.
    pub(crate) fn watch_first_attempt(&mut self) -> oneshot::Receiver<Result<(), ConnectError>> {
        let (sender, receiver) = oneshot::channel();
        self.first_attempt = Some(sender);
        receiver
    }

    /// Decides whether other tasks are to run before the commands are taken: never twice in a row.
    ///
    /// A caller that sends a command wakes this task, which the runtime then runs next, before other callers that are ready. A
    /// task that wakes itself while it is polled goes to the end of the runtime's queue, so they run first, and the commands
    /// of all are written at once: a write costs more than all the rest of a call.
    fn should_yield(&mut self) -> bool {
        self.has_yielded = !self.has_yielded && !self.channels.commands.is_empty();
        self.has_yielded
    }

    /// One round of all phases but the flush.
    ///
    /// Reading comes first, so that a response that has arrived wins over the timeout of its call. Output comes last,
    /// so that everything that the other phases caused is written with one flush.
    fn poll_phases(&mut self, cx: &mut Context<'_>, now: Instant) -> PhaseProgress {
        let phases = [
            self.poll_socket(cx, now),
            self.poll_urgent_commands(cx, now),
            self.poll_commands(cx, now),
            self.poll_handlers(cx),
            self.poll_timer(cx, now),
            self.poll_outputs(cx, now),
        ];
        if phases.contains(&PhaseProgress::Made) { PhaseProgress::Made } else { PhaseProgress::None }
    }

    // --- Phase: the socket -------------------------------------------------------------------------------------------

    /// Drives the attempt to connect, or reads what has arrived.
    fn poll_socket(&mut self, cx: &mut Context<'_>, now: Instant) -> PhaseProgress {
        match &mut self.socket {
            SocketState::None => PhaseProgress::None,
            SocketState::Dialing(dialing) => match dialing.as_mut().poll(cx) {
                Poll::Pending => PhaseProgress::None,
                Poll::Ready(Ok((socket, dialect))) => {
                    self.socket = SocketState::Open(Box::new(socket));
                    self.read_pending = false;
                    if self.endpoint.config.resumption {
                        // From the system's source of random numbers.
                        let key = ResumptionKey::from_random(Uuid::new_v4().into_bytes());
                        self.connection.offer_resumption(key);
                    }
                    self.connection.handle_connected(now, dialect);
                    PhaseProgress::Made
                }
                Poll::Ready(Err(error)) => {
                    self.socket = SocketState::None;
                    self.handle_connect_failed(now, error);
                    PhaseProgress::Made
                }
            },
            SocketState::Open(_) => self.poll_read(cx, now),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> PhaseProgress {
        /// Responses that a server may leave unread. Beyond it the server is not read either, because each of its
        /// messages may cause a further response. The socket wakes this task when it accepts messages again.
        const MAX_UNSENT: usize = 4096;
        let mut progress = PhaseProgress::None;
        while !self.read_pending
            && self.unsent.len() < MAX_UNSENT
            && let SocketState::Open(socket) = &mut self.socket
        {
            let before = socket.get_ref().bytes_read();
            let Poll::Ready(message) = Pin::new(&mut **socket).poll_next(cx) else {
                self.read_pending = true;
                if socket.get_ref().bytes_read() > before {
                    // A part of a message.
                    self.connection.handle_sign_of_life(now);
                }
                break;
            };
            progress = PhaseProgress::Made;
            if let Some(Ok(message)) = &message {
                tracing_output::received(&self.span, message);
                self.connection.handle_sign_of_life(now);
            }
            match message {
                Some(Ok(Message::Text(text))) => self.connection.handle_text(now, &text),
                Some(Ok(Message::Binary(data))) => self.connection.handle_binary(now, data.len()),
                Some(Ok(Message::Close(frame))) => {
                    // Writes the close frame that tungstenite has queued in response.
                    let _ = Pin::new(&mut **socket).poll_flush(cx);
                    self.disconnect(now, closed_by_server(frame));
                }
                // tungstenite has queued the pong for a ping.
                Some(Ok(_)) => self.needs_flush = true,
                Some(Err(error)) => {
                    if let Some(code) = close_code(&error) {
                        let frame = CloseFrame { code, reason: "".into() };
                        let _ = Pin::new(&mut **socket).start_send(Message::Close(Some(frame)));
                        let _ = Pin::new(&mut **socket).poll_flush(cx);
                    }
                    self.disconnect(now, broken(&error));
                }
                None => self.disconnect(now, broken(&WsError::ConnectionClosed)),
            }
        }
        progress
    }

    // --- Phase: commands ---------------------------------------------------------------------------------------------

    fn poll_urgent_commands(&mut self, cx: &mut Context<'_>, now: Instant) -> PhaseProgress {
        let mut progress = PhaseProgress::None;
        while !self.handles_dropped
            && let Poll::Ready(command) = self.channels.urgent.poll_recv(cx)
        {
            progress = PhaseProgress::Made;
            match command {
                Some(UrgentCommand::Cancel(key)) => {
                    self.connection.cancel(now, key);
                    self.streams.remove(&key);
                }
                Some(UrgentCommand::Credit { key, items }) => self.connection.grant_credit(key, items),
                Some(UrgentCommand::Upload(key)) => {
                    // A stream whose command is still queued becomes ready with that command.
                    if self.streams.get(&key).is_some() {
                        self.ready_uploads.push_back(key);
                    }
                }
                Some(UrgentCommand::Close) => self.connection.close(now),
                // All handles were dropped. `poll_commands` would detect it too, but it does not read its queue while
                // the connection is congested, and a server that has stopped reading may never read again.
                None if self.connection.is_congested() => {
                    self.handles_dropped = true;
                    self.connection.close(now);
                }
                None => break,
            }
        }
        progress
    }

    /// Takes commands while the connection is not congested: handles wait for space in the queue, and so for the
    /// server.
    fn poll_commands(&mut self, cx: &mut Context<'_>, now: Instant) -> PhaseProgress {
        let mut progress = PhaseProgress::None;
        while !self.handles_dropped && !self.connection.is_congested() {
            let Poll::Ready(command) = self.channels.commands.poll_recv(cx) else { break };
            progress = PhaseProgress::Made;
            match command {
                Some(DriverCommand::Call { key, message, deadline, reply }) => {
                    // A call that was dropped meanwhile is not sent.
                    if self.channels.call_replies.is_awaited(reply) {
                        self.connection.call(now, key, message, Some(deadline), CallWaiter::Unary(reply));
                    }
                }
                Some(DriverCommand::Stream { key, message, options, stream }) => {
                    if !stream.is_reader_dropped() {
                        if stream.upload.is_some() {
                            self.ready_uploads.push_back(key);
                        }
                        self.streams.insert(key, stream);
                        self.connection.stream(now, key, message, options, None, CallWaiter::Stream(key));
                    }
                }
                Some(DriverCommand::Send { message, reply }) => {
                    // `send_event` may have been dropped meanwhile, and leaves open whether the event is sent then.
                    self.channels.send_replies.send(reply, self.connection.send(message));
                }
                None => {
                    self.handles_dropped = true;
                    self.connection.close(now);
                }
            }
        }
        progress
    }

    // --- Phase: handlers of client calls -----------------------------------------------------------------------------

    fn poll_handlers(&mut self, cx: &mut Context<'_>) -> PhaseProgress {
        let mut progress = PhaseProgress::None;
        while let Poll::Ready((key, result)) = self.handler_tasks.poll_next(cx) {
            progress = PhaseProgress::Made;
            self.connection.respond(key, result.as_deref().map(RawValue::get).map_err(Failure::clone));
        }
        progress
    }

    fn handle_client_call(&mut self, key: ClientCallKey, event: &str, data: Box<str>) {
        match self.shared.handlers.find(event) {
            Some(handler) => {
                let span = tracing_output::client_call_span(&self.span, event);
                self.handler_tasks.spawn(key, handler, data, span);
            }
            None => self.connection.respond(key, Err(Failure::unknown_event(event))),
        }
    }

    // --- Phase: the timer --------------------------------------------------------------------------------------------

    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> PhaseProgress {
        let Some(due) = self.connection.poll_timeout() else { return PhaseProgress::None };
        if self.timer_set.is_none_or(|set| due < set) {
            self.timer.as_mut().reset(TokioInstant::from_std(due));
            self.timer_set = Some(due);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return PhaseProgress::None;
        }
        self.timer_set = None;
        self.connection.handle_timeout(now);
        PhaseProgress::Made
    }

    // --- Phase: output -----------------------------------------------------------------------------------------------

    /// Carries out what the connection has decided, and passes its messages to the socket.
    fn poll_outputs(&mut self, cx: &mut Context<'_>, now: Instant) -> PhaseProgress {
        let mut progress = PhaseProgress::None;
        loop {
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) => self.connection.handle_writable(),
                Poll::Ready(Err(error)) => self.disconnect(now, broken(&error)),
                Poll::Pending => self.connection.handle_blocked(),
            }
            // Uploads alternate with the queued calls and one-way sends.
            self.last_was_upload = !self.last_was_upload && self.connection.can_upload() && self.write_upload(now);
            let Some(output) = self.connection.poll_output() else {
                if self.last_was_upload {
                    continue;
                }
                return progress;
            };
            progress = PhaseProgress::Made;
            self.handle_output(now, output);
        }
    }

    /// Passes the next item of an upload, or the end of one, to the connection. Returns whether there was any.
    fn write_upload(&mut self, now: Instant) -> bool {
        while let Some(key) = self.ready_uploads.pop_front() {
            let Some(upload) = self.streams.get(&key).and_then(|stream| stream.upload.clone()) else { continue };
            match upload.take() {
                NextUpload::Empty => {}
                NextUpload::End => {
                    self.connection.upload_end(key);
                    return true;
                }
                NextUpload::Item(item) => {
                    self.ready_uploads.push_back(key);
                    match self.connection.upload_item(key, item) {
                        // For a call that has ended, its `CallDone` is among the outputs.
                        Ok(()) | Err(NotSent::UploadClosed) => {}
                        // The server has lowered its message limit since the item was checked against it.
                        Err(reason) => {
                            self.connection.cancel(now, key);
                            if let Some(stream) = self.streams.remove(&key) {
                                let failure = Failure::new(Code::TOO_LARGE, format!("an item of the upload: {reason}"));
                                stream.end(Err(CallError::Failed(failure)));
                            }
                        }
                    }
                    return true;
                }
            }
        }
        false
    }

    fn handle_output(&mut self, now: Instant, output: Output<CallWaiter>) {
        match output {
            Output::Connect => {
                if !self.connection.is_interrupted() {
                    self.shared.status.set_state(ConnectionState::Connecting);
                }
                self.span = tracing_output::connection_span(&self.endpoint.host, self.endpoint.port);
                let dialing = self.endpoint.clone().dial().instrument(self.span.clone());
                self.socket = SocketState::Dialing(Box::pin(dialing));
            }
            Output::Send(frame) => self.unsent.push_back(text_message(frame)),
            Output::Ping => self.unsent.push_back(Message::Ping(Bytes::new())),
            Output::Close => {
                self.unsent.push_back(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })));
            }
            Output::Abort => self.drop_socket(),
            Output::Item { key, data } => {
                if let Some(stream) = self.streams.get_mut(&key)
                    && stream.receive(data)
                {
                    self.receiving.push(key);
                }
            }
            Output::UploadCredit { key, items } => {
                if let Some(upload) = self.streams.get(&key).and_then(|stream| stream.upload.as_ref()) {
                    upload.set_credit(items, self.connection.message_limit());
                }
            }
            Output::CallDone { waiter: CallWaiter::Unary(reply), result } => {
                self.channels.call_replies.send(reply, result);
            }
            Output::CallDone { waiter: CallWaiter::Stream(key), result } => {
                if let Some(stream) = self.streams.remove(&key) {
                    stream.end(stream_result(result, || self.shared.status.no_connection()));
                }
            }
            Output::ClientCall { key, event, data } => self.handle_client_call(key, &event, data),
            Output::ClientCallCancelled { key } => self.handler_tasks.cancel(key),
            Output::LoggedIn { token, user } => self.shared.session.log_in(token, &user),
            Output::LoggedOut => self.shared.session.log_out(),
            Output::Unauthorized(failure) => {
                tracing::info!(parent: &self.span, url = &*self.endpoint.shown_url, "the session has ended: {failure}");
                self.shared.session.log_out();
                self.shared.status.emit(&ConnectionEvent::Unauthorized(failure));
            }
            Output::Push { event, data } => self.shared.listeners.deliver(&event, &data),
            Output::Opened { connection } => self.handle_opened(connection.map(Into::into)),
            Output::Interrupted(reason) => self.handle_interrupted(reason),
            Output::Resumed => self.handle_resumed(),
            Output::Gap { lost } => {
                self.shared.listeners.deliver_gap(lost);
                self.shared.status.emit(&ConnectionEvent::Gap { lost });
            }
            Output::Disconnected(reason) => self.handle_disconnected(now, reason),
            Output::Warning(warning) => {
                tracing::warn!(parent: &self.span, url = &*self.endpoint.shown_url, "{warning}");
                self.shared.status.emit(&ConnectionEvent::Error(warning.into()));
            }
            Output::Closed => self.ended = true,
        }
    }

    /// Passes messages to the socket while it accepts them. They are not flushed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        let SocketState::Open(socket) = &mut self.socket else { return Poll::Ready(Ok(())) };
        let mut socket = Pin::new(&mut **socket);
        while !self.unsent.is_empty() {
            ready!(socket.as_mut().poll_ready(cx))?;
            if let Some(message) = self.unsent.pop_front() {
                tracing_output::sent(&self.span, &message);
                socket.as_mut().start_send(message)?;
                self.needs_flush = true;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the readers of streams what has been received, all at once: a reader on another thread would otherwise be woken
    /// for each item.
    fn deliver_items(&mut self) {
        for key in self.receiving.drain(..) {
            if let Some(stream) = self.streams.get_mut(&key) {
                stream.deliver();
            }
        }
    }

    // --- Phase: flush ------------------------------------------------------------------------------------------------

    fn poll_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> PhaseProgress {
        if !self.needs_flush {
            return PhaseProgress::None;
        }
        let SocketState::Open(socket) = &mut self.socket else { return PhaseProgress::None };
        match Pin::new(&mut **socket).poll_flush(cx) {
            Poll::Pending => PhaseProgress::None,
            Poll::Ready(Ok(())) => {
                self.needs_flush = false;
                PhaseProgress::None
            }
            Poll::Ready(Err(error)) => {
                self.disconnect(now, broken(&error));
                PhaseProgress::Made
            }
        }
    }

    // --- The connection opens and ends -------------------------------------------------------------------------------

    fn handle_opened(&mut self, connection: Option<Arc<str>>) {
        tracing_output::record_connection_id(&self.span, connection.as_deref());
        tracing::debug!(parent: &self.span, url = &*self.endpoint.shown_url, "open");
        self.opened = true;
        self.connection_id.clone_from(&connection);
        self.shared.status.set_state(ConnectionState::Open { connection: connection.clone() });
        self.shared.status.emit(&ConnectionEvent::Open { connection });
        if let Some(first_attempt) = self.first_attempt.take() {
            // An error means that `connect` was dropped, and its client with it: the driver is about to close.
            let _ = first_attempt.send(Ok(()));
        }
    }

    /// The socket is gone. Calls wait until the connection is resumed.
    fn handle_interrupted(&mut self, reason: DisconnectReason) {
        tracing::debug!(parent: &self.span, url = &*self.endpoint.shown_url, %reason, "interrupted");
        self.shared.status.set_lost(reason.clone());
        self.shared.status.set_state(ConnectionState::Interrupted);
        self.shared.status.emit(&ConnectionEvent::Interrupted(reason));
    }

    fn handle_resumed(&mut self) {
        tracing_output::record_connection_id(&self.span, self.connection_id.as_deref());
        tracing::debug!(parent: &self.span, url = &*self.endpoint.shown_url, "resumed");
        self.shared.status.set_state(ConnectionState::Open { connection: self.connection_id.clone() });
        self.shared.status.emit(&ConnectionEvent::Resumed);
    }

    fn handle_disconnected(&mut self, now: Instant, reason: DisconnectReason) {
        let url = &self.endpoint.shown_url;
        tracing::debug!(parent: &self.span, url = &**url, %reason, "close");
        if std::mem::take(&mut self.opened) {
            self.shared.status.set_lost(reason.clone());
        } else if reason != DisconnectReason::ClosedByUs {
            self.attempt_failed(&ConnectError::Disconnected { url: url.to_string(), reason: reason.clone() });
        }
        // If the state is gone, and a new one begins on the same socket, the span is that of the next connection.
        if matches!(self.socket, SocketState::None) {
            self.span = Span::none();
        }
        self.shared.status.set_state(ConnectionState::Disconnected);
        self.shared.status.emit(&ConnectionEvent::Close(reason.clone()));
        if let Some(first_attempt) = self.first_attempt.take() {
            let url = self.endpoint.shown_url.to_string();
            let _ = first_attempt.send(Err(ConnectError::Disconnected { url, reason }));
            self.connection.close(now);
        }
    }

    fn handle_connect_failed(&mut self, now: Instant, error: ConnectError) {
        self.attempt_failed(&error);
        self.span = Span::none();
        if !self.connection.is_interrupted() {
            self.shared.status.set_state(ConnectionState::Disconnected);
        }
        self.shared.status.emit(&ConnectionEvent::Error(ClientWarning::Connect(error.clone())));
        match self.first_attempt.take() {
            None => self.connection.handle_connect_failed(now, error.retry_hint()),
            Some(first_attempt) => {
                let _ = first_attempt.send(Err(error));
                self.connection.close(now);
            }
        }
    }

    /// Remembers the reason for the errors of calls that wait for a connection, and logs it.
    fn attempt_failed(&self, error: &ConnectError) {
        let is_new = self.shared.status.set_attempt_failed(error.clone());
        // `connect` returns the error of the first attempt. The errors of others may be reported nowhere else; one line
        // is enough for attempts that fail alike.
        if is_new && self.first_attempt.is_none() {
            tracing::warn!(parent: &self.span, "{error}");
        } else {
            tracing::debug!(parent: &self.span, "{error}");
        }
    }

    /// Drops the socket, and passes the reason to the connection.
    fn disconnect(&mut self, now: Instant, reason: DisconnectReason) {
        self.drop_socket();
        self.connection.handle_disconnected(now, reason);
    }

    fn drop_socket(&mut self) {
        self.socket = SocketState::None;
        self.unsent.clear();
        self.needs_flush = false;
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.should_yield() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.read_pending = false;
        loop {
            // tokio's clock, because tests can pause it.
            let now = TokioInstant::now().into_std();
            let progress = this.poll_phases(cx, now);
            this.deliver_items();
            if this.ended {
                return Poll::Ready(());
            }
            if progress == PhaseProgress::None && this.poll_flush(cx, now) == PhaseProgress::None {
                return Poll::Pending;
            }
        }
    }
}

/// Ends everything that waits for the driver, also when the runtime drops it.
impl Drop for Driver {
    fn drop(&mut self) {
        self.channels.commands.close();
        while let Ok(command) = self.channels.commands.try_recv() {
            match command {
                DriverCommand::Call { reply, .. } => {
                    self.channels.call_replies.send(reply, CallResult::NotSent(NotSent::Closed));
                }
                DriverCommand::Stream { stream, .. } => {
                    stream.end(stream_result(CallResult::NotSent(NotSent::Closed), || None));
                }
                DriverCommand::Send { reply, .. } => self.channels.send_replies.send(reply, Err(NotSent::Closed)),
            }
        }
        self.channels.call_replies.close();
        self.channels.send_replies.close();
        self.shared.handlers.close();
        self.shared.listeners.close();
        self.shared.status.close();
    }
}

/// A text message without the check that it is UTF-8: a JSON serializer has written it.
fn text_message(frame: Bytes) -> Message {
    Message::Frame(Frame::message(frame, OpCode::Data(Data::Text), true))
}
