//! The one task of a client: it owns the socket, feeds the session, and does what the session says.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use aaw_protocol::client::{
    CallKey, CallResult, ClientCallKey, ClientConnection, DisconnectReason, EncodedMessage, NotSent, Output,
    StreamOptions,
};
use aaw_protocol::{Code, Dialect, Failure};
use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant as TokioInstant, Sleep};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use crate::dial::{Socket, Target};
use crate::download_queue::DriverEnd;
use crate::error::ended;
use crate::handlers::{Handled, Handlers};
use crate::login::Login;
use crate::push::Listeners;
use crate::state::{ClientWarning, ConnectionEvent, State, Watched};
use crate::upload_queue::Found;
use crate::{CallError, ConnectError};

/// What a handle asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Call { key: CallKey, draft: EncodedMessage, deadline: Instant, reply: oneshot::Sender<CallResult> },
    Stream { key: CallKey, draft: EncodedMessage, options: StreamOptions, end: DriverEnd },
    Send { draft: EncodedMessage, reply: oneshot::Sender<Result<(), NotSent>> },
}

/// What a handle says without waiting in line.
#[derive(Debug)]
pub(crate) enum Urgent {
    /// Nobody waits for this call any more.
    Cancel(CallKey),
    /// The reader of this stream has room. Sent again only when items have come that the last one asked for.
    Room {
        key: CallKey,
        items: u64,
    },
    /// There is something to take out of this call's outlet. Not sent again before the driver has found it empty.
    Upload(CallKey),
    Close,
}

/// Who waits for a call.
#[derive(Debug)]
pub(crate) enum Waiter {
    Answer(oneshot::Sender<CallResult>),
    /// The one in [`Driver::streams`].
    Stream(CallKey),
}

/// What the driver shares with the handles.
pub(crate) struct Shared {
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) login: Arc<Login>,
    pub(crate) watched: Arc<Watched>,
}

/// Ends when the client was closed, or all its handles are gone.
///
/// A hand-written future rather than `select!`: each time it is woken it reads until nothing is ready, takes commands
/// until there are none, writes what has come of it, and flushes once. A flush a message is what costs most in a
/// WebSocket.
pub(crate) struct Driver {
    target: Target,
    session: ClientConnection<Waiter>,
    commands: mpsc::Receiver<Command>,
    handles_gone: bool,
    urgent: mpsc::UnboundedReceiver<Urgent>,
    streams: HashMap<CallKey, DriverEnd>,
    /// Streams whose upload has something to be written, in turn.
    uploads: VecDeque<CallKey>,
    /// Whether an upload had its turn last: then it is the others'.
    uploaded: bool,
    shared: Shared,
    /// What runs for the server's questions, and which question each task is for.
    asked: JoinSet<Handled>,
    tasks: HashMap<tokio::task::Id, ClientCallKey>,
    running: HashMap<ClientCallKey, AbortHandle>,
    /// Whoever waits for the first attempt, and gets the client only if it succeeds.
    first: Option<oneshot::Sender<Result<(), ConnectError>>>,
    link: Link,
    /// Whether the socket had nothing to read when it was last asked in this wake. It will wake this task when it has;
    /// to ask again before would only have tungstenite fill its buffer with zeros once more.
    read_pending: bool,
    /// Messages that the session has given out and the socket has not taken yet: one, and what is owed to the server.
    unsent: VecDeque<Message>,
    unflushed: bool,
    timer: Pin<Box<Sleep>>,
    /// When the timer goes off, if it is set. It may be too early, never too late: calls come and go, and moving the
    /// timer each time would cost more than waking up for nothing once in a while.
    timer_set: Option<Instant>,
    ended: bool,
}

type Dialing = Pin<Box<dyn Future<Output = Result<(Socket, Dialect), ConnectError>> + Send>>;

/// What there is of a connection.
enum Link {
    None,
    Dialing(Dialing),
    Up(Box<Socket>),
}

/// Whether a phase has changed anything: then the others have another look.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Progress {
    Made,
    None,
}

impl Driver {
    pub(crate) fn new(
        target: Target,
        session: ClientConnection<Waiter>,
        commands: mpsc::Receiver<Command>,
        urgent: mpsc::UnboundedReceiver<Urgent>,
        shared: Shared,
    ) -> Self {
        Self {
            target,
            session,
            commands,
            handles_gone: false,
            urgent,
            streams: HashMap::new(),
            uploads: VecDeque::new(),
            uploaded: false,
            shared,
            asked: JoinSet::new(),
            tasks: HashMap::new(),
            running: HashMap::new(),
            first: None,
            link: Link::None,
            read_pending: false,
            unsent: VecDeque::new(),
            unflushed: false,
            timer: Box::pin(tokio::time::sleep_until(TokioInstant::now())),
            timer_set: None,
            ended: false,
        }
    }

    pub(crate) fn url(&self) -> Arc<str> {
        self.target.url.clone()
    }

    /// Lets the driver end if the first attempt fails, and gives what hears how it went.
    pub(crate) fn first_attempt(&mut self) -> oneshot::Receiver<Result<(), ConnectError>> {
        let (first, outcome) = oneshot::channel();
        self.first = Some(first);
        outcome
    }

    /// Reads what has arrived, or brings the attempt to connect forward.
    fn poll_link(&mut self, cx: &mut Context<'_>, now: Instant) -> Progress {
        match &mut self.link {
            Link::None => Progress::None,
            Link::Dialing(dialing) => match dialing.as_mut().poll(cx) {
                Poll::Pending => Progress::None,
                Poll::Ready(Ok((socket, dialect))) => {
                    self.link = Link::Up(Box::new(socket));
                    self.read_pending = false;
                    self.session.handle_connected(now, dialect);
                    Progress::Made
                }
                Poll::Ready(Err(error)) => {
                    self.link = Link::None;
                    self.attempt_failed(now, error);
                    Progress::Made
                }
            },
            Link::Up(_) => self.poll_read(cx, now),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> Progress {
        /// Messages owed to a server that does not read them. Then it is not read either: what it says may be the
        /// reason for more. When the socket takes them, this task is woken.
        const MOST_UNSENT: usize = 4096;
        let mut progress = Progress::None;
        while !self.read_pending
            && self.unsent.len() < MOST_UNSENT
            && let Link::Up(socket) = &mut self.link
        {
            let Poll::Ready(message) = Pin::new(&mut **socket).poll_next(cx) else {
                self.read_pending = true;
                break;
            };
            progress = Progress::Made;
            if let Some(Ok(_)) = message {
                self.session.handle_sign_of_life(now);
            }
            match message {
                Some(Ok(Message::Text(text))) => self.session.handle_text(now, &text),
                Some(Ok(Message::Binary(_))) => self.session.handle_binary(),
                Some(Ok(Message::Close(frame))) => {
                    // tungstenite has its answer ready; without this it would stay there.
                    let _ = Pin::new(&mut **socket).poll_flush(cx);
                    self.lose(now, closed_by_server(frame));
                }
                // A ping, whose answer tungstenite has ready.
                Some(Ok(_)) => self.unflushed = true,
                Some(Err(error)) => {
                    if let Some(code) = close_code(&error) {
                        let frame = CloseFrame { code, reason: "".into() };
                        let _ = Pin::new(&mut **socket).start_send(Message::Close(Some(frame)));
                        let _ = Pin::new(&mut **socket).poll_flush(cx);
                    }
                    self.lose(now, broken(&error));
                }
                None => self.lose(now, broken(&WsError::ConnectionClosed)),
            }
        }
        progress
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>, now: Instant) -> Progress {
        let mut progress = Progress::None;
        while !self.handles_gone
            && let Poll::Ready(urgent) = self.urgent.poll_recv(cx)
        {
            progress = Progress::Made;
            match urgent {
                Some(Urgent::Cancel(key)) => {
                    self.session.cancel(now, key);
                    self.streams.remove(&key);
                }
                Some(Urgent::Room { key, items }) => self.session.grant_credit(key, items),
                // One whose call the driver has not seen yet has its turn with that.
                Some(Urgent::Upload(key)) if self.streams.contains_key(&key) => self.uploads.push_back(key),
                Some(Urgent::Upload(_)) => {}
                Some(Urgent::Close) => self.session.close(now),
                // The commands end now too. But those are not looked at while the server reads too slowly, and it may
                // never read again.
                None if self.session.is_congested() => {
                    self.handles_gone = true;
                    self.session.close(now);
                }
                None => break,
            }
        }
        // What is written leaves room, and this is looked at again.
        while !self.handles_gone && !self.session.is_congested() {
            let Poll::Ready(command) = self.commands.poll_recv(cx) else { break };
            progress = Progress::Made;
            match command {
                Some(Command::Call { key, draft, deadline, reply }) => {
                    if !reply.is_closed() {
                        self.session.call(now, key, draft, Some(deadline), Waiter::Answer(reply));
                    }
                }
                Some(Command::Stream { key, draft, options, end }) => {
                    if !end.inlet.reader_gone() {
                        if end.outlet.is_some() {
                            self.uploads.push_back(key);
                        }
                        self.streams.insert(key, end);
                        self.session.stream(now, key, draft, options, None, Waiter::Stream(key));
                    }
                }
                Some(Command::Send { draft, reply }) => {
                    // If nobody waits for the answer, it was to be sent or not.
                    let _ = reply.send(self.session.send(draft));
                }
                None => {
                    self.handles_gone = true;
                    self.session.close(now);
                }
            }
        }
        progress
    }

    /// Takes what handlers have answered.
    fn poll_asked(&mut self, cx: &mut Context<'_>) -> Progress {
        let mut progress = Progress::None;
        while let Poll::Ready(Some(ended)) = self.asked.poll_join_next_with_id(cx) {
            progress = Progress::Made;
            let (id, handled) = match ended {
                Ok(ended) => ended,
                // What it said is in the log: the panic hook's.
                Err(error) => (error.id(), Err(Failure::internal(Code::PANIC))),
            };
            // One that was dropped is in the table no more.
            if let Some(key) = self.tasks.remove(&id)
                && self.running.remove(&key).is_some()
            {
                self.session.respond(key, handled.as_deref().map(RawValue::get).map_err(Failure::clone));
            }
        }
        progress
    }

    fn ask(&mut self, key: ClientCallKey, event: &str, data: Box<str>) {
        match self.shared.handlers.find(event) {
            Some(handler) => {
                // The handler's own first words are the task's, too.
                let task = self.asked.spawn(async move { handler(data).await });
                self.tasks.insert(task.id(), key);
                self.running.insert(key, task);
            }
            None => self.session.respond(key, Err(Failure::unknown_event(event))),
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) -> Progress {
        let Some(at) = self.session.poll_timeout() else { return Progress::None };
        if self.timer_set.is_none_or(|set| at < set) {
            self.timer.as_mut().reset(TokioInstant::from_std(at));
            self.timer_set = Some(at);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Progress::None;
        }
        self.timer_set = None;
        self.session.handle_timeout(now);
        Progress::Made
    }

    /// Does what the session says.
    fn poll_outputs(&mut self, cx: &mut Context<'_>, now: Instant) -> Progress {
        let mut progress = Progress::None;
        loop {
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) => self.session.handle_writable(),
                Poll::Ready(Err(error)) => self.lose(now, broken(&error)),
                Poll::Pending => self.session.handle_blocked(),
            }
            // In turn with what waits in the session's line.
            self.uploaded = !self.uploaded && self.session.can_upload() && self.write_upload(now);
            let Some(output) = self.session.poll_output() else {
                if self.uploaded {
                    continue;
                }
                return progress;
            };
            progress = Progress::Made;
            self.act(now, output);
        }
    }

    /// Hands the session the next item of an upload, or an upload's end. Whether there was one.
    fn write_upload(&mut self, now: Instant) -> bool {
        while let Some(key) = self.uploads.pop_front() {
            let Some(outlet) = self.streams.get(&key).and_then(|end| end.outlet.clone()) else { continue };
            match outlet.take() {
                Found::Nothing => {}
                Found::End => {
                    self.session.upload_end(key);
                    return true;
                }
                Found::Item(item) => {
                    self.uploads.push_back(key);
                    match self.session.upload_item(key, item) {
                        // Its end is among the outputs.
                        Ok(()) | Err(NotSent::Over) => {}
                        // Its sender was told a limit that the server has lowered since.
                        Err(why) => {
                            self.session.cancel(now, key);
                            if let Some(end) = self.streams.remove(&key) {
                                let failure = Failure::new(Code::TOO_LARGE, format!("an item of the upload: {why}"));
                                end.end(Err(CallError::Failed(failure)));
                            }
                        }
                    }
                    return true;
                }
            }
        }
        false
    }

    fn act(&mut self, now: Instant, output: Output<Waiter>) {
        match output {
            Output::Connect => {
                self.shared.watched.set(State::Connecting);
                self.link = Link::Dialing(Box::pin(self.target.clone().dial()));
            }
            Output::Send(frame) => self.unsent.push_back(text(frame)),
            Output::Ping => self.unsent.push_back(Message::Ping(Bytes::new())),
            Output::Close => {
                self.unsent.push_back(Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })));
            }
            Output::Abort => self.drop_link(),
            Output::Item { key, data } => {
                if let Some(end) = self.streams.get(&key) {
                    end.inlet.put(data);
                }
            }
            Output::UploadCredit { key, items } => {
                if let Some(outlet) = self.streams.get(&key).and_then(|end| end.outlet.as_ref()) {
                    outlet.grant(items, self.session.message_limit());
                }
            }
            // Whoever waited may have gone just now.
            Output::CallDone { waiter: Waiter::Answer(reply), outcome } => drop(reply.send(outcome)),
            Output::CallDone { waiter: Waiter::Stream(key), outcome } => {
                if let Some(end) = self.streams.remove(&key) {
                    end.end(ended(outcome));
                }
            }
            Output::ClientCall { key, event, data } => self.ask(key, &event, data),
            Output::ClientCallCancelled { key } => {
                if let Some(task) = self.running.remove(&key) {
                    task.abort();
                }
            }
            Output::LoggedIn { token, user } => self.shared.login.enter(token, &user),
            Output::LoggedOut => self.shared.login.leave(),
            Output::Unauthorized(failure) => {
                tracing::info!(url = &*self.target.url, "the session is over: {failure}");
                self.shared.login.leave();
                self.shared.watched.tell(&ConnectionEvent::Unauthorized(failure));
            }
            Output::Push { event, data } => self.shared.listeners.deliver(&event, &data),
            Output::Opened { connection } => {
                let connection: Option<Arc<str>> = connection.map(Into::into);
                tracing::debug!(url = &*self.target.url, connection = connection.as_deref(), "open");
                self.shared.watched.set(State::Open { connection: connection.clone() });
                self.shared.watched.tell(&ConnectionEvent::Open { connection });
                if let Some(first) = self.first.take() {
                    // If nobody waits any more, the handle is gone too, and the end is near.
                    let _ = first.send(Ok(()));
                }
            }
            Output::Disconnected(why) => {
                tracing::debug!(url = &*self.target.url, %why, "close");
                self.shared.watched.set(State::Waiting);
                self.shared.watched.tell(&ConnectionEvent::Close(why.clone()));
                if let Some(first) = self.first.take() {
                    let _ = first.send(Err(ConnectError::DisconnectReason { url: self.target.url.to_string(), why }));
                    self.session.close(now);
                }
            }
            Output::Warning(problem) => {
                tracing::warn!(url = &*self.target.url, "{problem}");
                self.shared.watched.tell(&ConnectionEvent::Error(problem.into()));
            }
            Output::Closed => self.ended = true,
        }
    }

    /// Hands messages to the socket as long as it takes them.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        let Link::Up(socket) = &mut self.link else { return Poll::Ready(Ok(())) };
        let mut socket = Pin::new(&mut **socket);
        while !self.unsent.is_empty() {
            ready!(socket.as_mut().poll_ready(cx))?;
            if let Some(message) = self.unsent.pop_front() {
                socket.as_mut().start_send(message)?;
                self.unflushed = true;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Progress {
        if !self.unflushed {
            return Progress::None;
        }
        let Link::Up(socket) = &mut self.link else { return Progress::None };
        match Pin::new(&mut **socket).poll_flush(cx) {
            Poll::Pending => Progress::None,
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                Progress::None
            }
            Poll::Ready(Err(error)) => {
                self.lose(now, broken(&error));
                Progress::Made
            }
        }
    }

    fn attempt_failed(&mut self, now: Instant, error: ConnectError) {
        tracing::debug!("{error}");
        self.shared.watched.set(State::Waiting);
        self.shared.watched.tell(&ConnectionEvent::Error(ClientWarning::Connect(error.clone())));
        match self.first.take() {
            None => self.session.handle_connect_failed(now),
            Some(first) => {
                let _ = first.send(Err(error));
                self.session.close(now);
            }
        }
    }

    fn lose(&mut self, now: Instant, why: DisconnectReason) {
        self.drop_link();
        self.session.handle_disconnected(now, why);
    }

    fn drop_link(&mut self) {
        self.link = Link::None;
        self.unsent.clear();
        self.unflushed = false;
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.read_pending = false;
        loop {
            // tokio's clock, which tests can stop.
            let now = TokioInstant::now().into_std();
            let phases = [
                this.poll_link(cx, now),
                this.poll_commands(cx, now),
                this.poll_asked(cx),
                this.poll_timer(cx, now),
                this.poll_outputs(cx, now),
            ];
            if this.ended {
                return Poll::Ready(());
            }
            if phases.contains(&Progress::Made) {
                continue;
            }
            if this.poll_flush(cx, now) == Progress::None {
                return Poll::Pending;
            }
        }
    }
}

/// However it ends, by itself or with its runtime: nobody is left waiting.
impl Drop for Driver {
    fn drop(&mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Call { reply, .. } => drop(reply.send(CallResult::NotSent(NotSent::Closed))),
                Command::Stream { end, .. } => end.end(ended(CallResult::NotSent(NotSent::Closed))),
                Command::Send { reply, .. } => drop(reply.send(Err(NotSent::Closed))),
            }
        }
        self.shared.handlers.end();
        self.shared.listeners.end();
        self.shared.watched.end();
    }
}

/// A text message of bytes that are JSON: callers' serialisers wrote them, so nobody checks them once more.
fn text(frame: Bytes) -> Message {
    Message::Frame(Frame::message(frame, OpCode::Data(Data::Text), true))
}

fn closed_by_server(frame: Option<CloseFrame>) -> DisconnectReason {
    match frame {
        Some(frame) => DisconnectReason::ClosedByServer { code: frame.code.into(), reason: frame.reason.to_string() },
        // RFC 6455, 7.1.5.
        None => DisconnectReason::ClosedByServer { code: 1005, reason: String::new() },
    }
}

fn broken(error: &WsError) -> DisconnectReason {
    DisconnectReason::Broken(match error {
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "the server ended the connection without a close frame".into()
        }
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            format!("the server sent a message of {size} bytes; at most {max_size} are taken (Config::max_message)")
        }
        WsError::Io(error) => error.to_string(),
        error => error.to_string(),
    })
}

/// What to tell the server when it broke the rules (RFC 6455, 7.4.1).
fn close_code(error: &WsError) -> Option<CloseCode> {
    match error {
        WsError::Capacity(_) => Some(CloseCode::Size),
        WsError::Utf8(_) => Some(CloseCode::Invalid),
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        WsError::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}
