//! What a connection does with its inputs: messages, commands, queued calls and the time.

use std::sync::Arc;
use std::time::Instant;

use aaw_event::OpenInfo;
use aaw_protocol::codec::BadFrame;
use aaw_protocol::server::{ClientCallKey, Close, Input, Output, QueuedCall, ServerConnection};
use aaw_protocol::sparse_map::SparseMap;
use aaw_protocol::websocket::{FrameBuffer, Message};
use aaw_protocol::{Dialect, Failure, clock};
use tokio::sync::oneshot;

use super::call_tasks::CallTask;
use super::end::ConnectionEnd;
use super::frame_log;
use super::open_hook::OpenHook;
use super::resumption_state::{Resuming, Resumption, ResumptionHooks};
use super::waiting_commands::WaitingCommands;
use crate::address_limits::AddressMeter;
use crate::config::Config;
use crate::dispatch::{CallSource, Dispatch};
use crate::hub::{ClientCallRequest, Command, ConnectionGuard, EventCaller, Opening, Peer, client_call_timed_out};
use crate::memory_budget::ConnectionHeld;

/// The part of the heartbeat's interval that a client has to respond to a ping before its place may go to a new connection of
/// its address: 5 s of 20 s.
const RESPONSE_PART: u32 = 4;

/// The state of a connection, apart from its socket.
///
/// Everything passes through [`handle`](Self::handle), which appends what is to be sent to `output`, in the order in which
/// it happened.
pub(super) struct ConnectionState {
    /// Also stores the tasks of pending calls.
    pub(super) protocol: ServerConnection<CallTask>,
    pub(super) dialect: Dialect,
    pub(super) guard: ConnectionGuard,
    pub(super) caller: Arc<EventCaller>,
    pub(super) dispatch: Arc<Dispatch>,
    pub(super) config: Arc<Config>,
    /// The frames of this turn. Between turns it is empty and has no memory.
    pub(super) output: FrameBuffer,
    /// Commands that were taken from the mailbox and not handled yet: they remain here only while the connection opens.
    pub(super) commands: WaitingCommands,
    /// Counts the outgoing log, what has arrived of messages that are not complete, and what calls hold that run or wait.
    pub(super) held: ConnectionHeld,
    /// What its socket has used of the rates of its client's address.
    pub(super) meter: AddressMeter,
    /// The number of calls so far that did not complete at once.
    pub(super) pending_calls: u64,
    /// The client calls in flight, and where to send their responses.
    pub(super) client_calls: SparseMap<ClientCallKey, oneshot::Sender<Result<Box<str>, Failure>>>,
    /// Whether streams are paused, since too much waits for the socket.
    pub(super) streams_paused: bool,
    /// What the `_open` hook receives, until it runs.
    pub(super) open_info: Option<Box<OpenInfo>>,
    /// The `_open` hook, from its start on.
    pub(super) open_hook: Option<Box<OpenHook>>,
    /// How far the opening is, as the mailbox knows it.
    pub(super) opening: Opening,
    pub(super) draining: bool,
    /// Why the connection ends, once it does: the client's close frame, or the server's decision.
    pub(super) end: Option<Box<ConnectionEnd>>,
    pub(super) bad_frames: u32,
    /// The `Origin` of the handshake, until the connection is resumable. Boxed, since only pages have one.
    pub(super) origin: Option<Box<Arc<str>>>,
    /// What a connection stores that its client can resume.
    pub(super) resumption: Option<Box<Resumption>>,
    /// The client wants to continue another connection on this socket.
    pub(super) resuming: Option<Box<Resuming>>,
    /// `_away`, `_back` and `_resume`, from the first of them that runs on.
    pub(super) resumption_hooks: Option<Box<ResumptionHooks>>,
}

/// An input of a connection.
pub(super) enum ConnectionInput<'a> {
    /// A message of the client.
    Message(Message<'a>),
    /// A command from the mailbox.
    Command(Command),
    /// A call that waited, and may run now.
    Queued(QueuedCall),
    /// Time has passed.
    Timeout,
}

impl ConnectionState {
    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.guard.peer
    }

    /// Handles one input, and collects what the protocol puts out for it.
    pub(super) fn handle(&mut self, now: Instant, input: ConnectionInput<'_>) {
        match input {
            ConnectionInput::Message(message) => self.handle_message(now, message),
            ConnectionInput::Command(command) => self.handle_command(now, command),
            ConnectionInput::Queued(queued) => {
                let input = self.protocol.handle_queued(now, &queued);
                self.handle_protocol_input(now, input);
            }
            ConnectionInput::Timeout => {
                self.protocol.handle_timeout(now);
                self.check_away(now);
                self.fail_expired_client_calls(now);
            }
        }
        self.collect_outputs();
        self.update_stream_pause();
        self.update_budget();
    }

    /// Lets calls start, or not, by what the connection holds, and by whether it is held up as a sender.
    pub(super) fn update_budget(&mut self) {
        self.protocol.set_over_budget(self.held.budget().is_used_up());
        self.protocol.set_held_up(self.caller.is_held());
    }

    /// Offers the place of the socket while the client has not responded to a ping, so that a client which connects again is not
    /// refused because of its own broken connection. Not while input is not read: the response may be in it.
    pub(super) fn offer_place(&mut self, now: Instant) {
        if self.config.max_connections_per_address.is_none() {
            return;
        }
        if !self.protocol.has_unanswered_ping() || !self.protocol.is_open() || !self.wants_input() {
            return self.meter.keep_place();
        }
        let due = clock::after(now, self.config.heartbeat_interval / RESPONSE_PART);
        let peer = &self.guard.peer;
        self.meter.offer_place(peer.id(), due, || Arc::<Peer>::clone(peer));
    }

    /// Closes the socket as one whose client does not respond.
    fn give_up_place(&mut self) {
        if !self.protocol.is_away() {
            self.protocol.lose_socket(Close::Silent);
        }
    }

    /// Returns whether something waits until the client has read its responses: queued calls, or streams.
    pub(super) fn waits_for_space(&self) -> bool {
        self.streams_paused || self.protocol.has_queued_calls()
    }

    /// Returns the next call that waited and may run now.
    pub(super) fn next_queued(&mut self) -> Option<QueuedCall> {
        self.protocol.poll_queued()
    }

    fn handle_message(&mut self, now: Instant, message: Message<'_>) {
        frame_log::received(&message, |event| self.dispatch.has_event(event));
        self.protocol.handle_sign_of_life(now);
        match message {
            Message::Text(text) => {
                let input = self.protocol.handle_text(now, &text);
                match (self.meter.refuse_call(), input) {
                    (Some(failure), Input::Call(call)) => self.refuse_call(call, failure),
                    (_, input) => self.handle_protocol_input(now, input),
                }
            }
            Message::Binary(data) => {
                let bad = self.protocol.handle_binary(now, data.len());
                self.log_bad_frame(&bad);
            }
            Message::Ping(body) => self.uncounted().pong(&body),
            Message::Pong(_) => self.handle_pong(now),
            // Takes precedence: the client sends nothing any more.
            Message::Close(frame) => self.end = Some(Box::new(ConnectionEnd::ByClient(frame))),
        }
    }

    /// Handles a frame that was read, or a call that was queued.
    fn handle_protocol_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Call(call) => self.handle_call(now, call),
            input => self.handle_protocol_input_without_call(input),
        }
    }

    /// As [`handle_protocol_input`](Self::handle_protocol_input), for what is not a call.
    pub(super) fn handle_protocol_input_without_call(&mut self, input: Input<'_>) {
        match input {
            Input::Call(_) | Input::Handled => {}
            Input::Hello(request) => self.handle_hello(*request),
            Input::Acknowledged(number) => self.handle_acknowledgement(number),
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

    /// Takes all commands from the mailbox and handles those that the connection is open for.
    pub(super) fn handle_commands(&mut self, now: Instant) {
        // Outputs that the protocol has produced so far precede the commands.
        self.collect_outputs();
        if self.guard.peer.mailbox.take(&mut self.commands) {
            self.protocol.close(Close::TooSlow);
            self.collect_outputs();
        }
        // The result of the `_open` hook may be queued behind commands that have to wait for the connection to open.
        if let Some(at) = self.commands.iter().position(|command| matches!(command, Command::OpenHookDone(_)))
            && let Some(command) = self.commands.remove(at)
        {
            self.handle(now, ConnectionInput::Command(command));
        }
        self.handle_waiting_commands(now);
    }

    /// Handles the commands that were taken, if the connection is open.
    pub(super) fn handle_waiting_commands(&mut self, now: Instant) {
        if !self.protocol.is_open() {
            // A v1 client receives nothing before its welcome. A shutdown does not wait for its hello.
            if self.commands.iter().any(|command| matches!(command, Command::Drain | Command::Stop)) {
                self.protocol.close(Close::Stopping);
                self.collect_outputs();
            }
            return;
        }
        while !self.commands.is_empty()
            && let Some(command) = self.commands.pop_front()
        {
            self.handle(now, ConnectionInput::Command(command));
        }
        // Releases the memory of a burst.
        self.commands = WaitingCommands::default();
    }

    fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Push(frame) => self.output.push(&frame),
            // The budget counts the frame until it is in the output.
            Command::Complete(key, frame, completion, _budget) => self.complete_pending(key, frame, completion),
            Command::StreamItems(key, batch) => self.handle_items(key, *batch),
            Command::UploadCredit(key, items) => self.protocol.grant_upload_credit(key, items),
            Command::ClientCall(request) => self.start_client_call(now, *request),
            Command::CancelClientCall(key) => {
                self.client_calls.remove(&key);
                self.protocol.cancel_client_call(key);
            }
            Command::Resume(request) => self.handle_resume_request(now, request),
            Command::TakeSocket(socket) => {
                if let Ok(socket) = socket.downcast() {
                    self.handle_new_socket(socket);
                }
            }
            Command::GrantLost(grant_number) => self.handle_grant_lost(now, grant_number),
            Command::AwayHooksDone => self.handle_away_hooks_done(),
            Command::DropAway => self.drop_away(),
            Command::OpenHookDone(result) => self.handle_open_hook_done(result),
            Command::SessionEnded(session) => self.end_session(&session),
            Command::GiveUpPlace => self.give_up_place(),
            Command::EndReplaced => self.end_replaced(),
            Command::Drain => {
                self.draining = true;
                self.protocol.drain();
                self.guard.peer.mailbox.end_holds();
            }
            Command::EndStreams => self.end_streams(),
            Command::Stop => self.protocol.close(Close::Stopping),
        }
    }

    /// Starts the `_open` hook.
    fn run_open_hook(&mut self) {
        let Some(info) = self.open_info.take() else { return self.protocol.handle_open_hook_passed() };
        let (dispatch, caller, peer) = (Arc::clone(&self.dispatch), self.caller.opening(), Arc::clone(self.peer()));
        self.open_hook = Some(Box::new(OpenHook::spawn(dispatch, caller, peer, *info, self.config.handshake_timeout)));
    }

    fn handle_open_hook_done(&mut self, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.protocol.handle_open_hook_passed(),
            Err(failure) => {
                if let Some(suppressed) = self.dispatch.throttles.open_refusals.pass() {
                    let connection = self.peer().id();
                    tracing::info!(%connection, suppressed, "_open refused the connection: {failure}");
                }
                self.protocol.handle_open_hook_refused(failure);
            }
        }
    }

    fn start_client_call(&mut self, now: Instant, request: ClientCallRequest) {
        self.peer().mailbox.release_client_call(&request);
        let ClientCallRequest { key, event, data, deadline, response } = request;
        if response.is_closed() {
            return;
        }
        match self.protocol.client_call(now, key, &event, &data, deadline) {
            Ok(()) => _ = self.client_calls.insert(key, response),
            // The call's future may have been dropped meanwhile.
            Err(failure) => _ = response.send(Err(failure)),
        }
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
            self.peer().mailbox.release_client_call(&request);
            // The call's future may have been dropped meanwhile.
            let _ = request.response.send(Err(client_call_timed_out()));
        }
    }

    /// Handles everything that the protocol puts out. Until then nothing else may be appended to the output.
    pub(super) fn collect_outputs(&mut self) {
        // Before the `_open` hook runs, which may push to its connection.
        self.update_opening();
        while let Some(output) = self.protocol.poll_output() {
            match output {
                Output::Send(frame) => self.output.text(frame),
                Output::SendUncounted(frame) => self.uncounted().text(frame),
                Output::Welcome(frame) => self.send_welcome(frame),
                Output::Ping => self.uncounted().ping(),
                Output::Drop { task, .. } => {
                    if let Some(call) = task {
                        call.task.abort();
                    }
                }
                Output::Credit { key, items } => {
                    if let Some(CallTask { credit: Some(credit), .. }) = self.protocol.task(key) {
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
                Output::Close(close) => {
                    self.end.get_or_insert_with(|| Box::new(ConnectionEnd::ByServer(close)));
                }
            }
        }
        // Without a hook the connection is open at once.
        self.update_opening();
    }

    /// Tells the mailbox how far the opening is, if that has changed. Within the turn: a call that follows the hello may
    /// push to its connection. Until the turn ends, pushes are commands.
    fn update_opening(&mut self) {
        if self.opening == Opening::Open {
            return;
        }
        let opening = match (self.protocol.is_open(), self.protocol.has_hello()) {
            (true, _) => Opening::Open,
            (false, true) => Opening::Hook,
            (false, false) => Opening::BeforeHello,
        };
        if opening != self.opening {
            self.opening = opening;
            self.peer().mailbox.set_opening(opening);
        }
    }

    /// Warns of the first bad frame of a connection only, and of some connections in a second, so that a flood of either
    /// does not flood the log.
    pub(super) fn log_bad_frame(&mut self, bad: &BadFrame) {
        let connection = self.peer().id();
        self.bad_frames = self.bad_frames.saturating_add(1);
        let bad = bad.without_values();
        let throttle = &self.dispatch.throttles.bad_frames;
        if self.bad_frames == 1
            && let Some(suppressed) = throttle.pass()
        {
            let client_key = self.peer().context.client_key.as_deref();
            tracing::warn!(%connection, client_key, suppressed, "bad frame: {bad}");
        } else {
            tracing::debug!("bad frame: {bad}");
        }
    }
}
