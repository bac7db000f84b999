//! The task that owns a connection's socket: reads, lets [`ConnectionState`] handle what arrives, writes, keeps time.

use std::any::Any;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aaw_event::OpenInfo;
use aaw_protocol::Dialect;
use aaw_protocol::server::{Close, ServerConfig, ServerConnection};
use aaw_protocol::sparse_map::SparseMap;
use aaw_protocol::websocket::{Decoded, FrameBuffer, MessageDecoder};
use bytes::Bytes;
use tokio::time::Sleep;

use super::busy_connection::BusyConnection;
use super::call_tasks::{abort_expecting_response, linger};
use super::closing::{Remains, close};
use super::end::ConnectionEnd;
use super::frame_log;
use super::push_backlog::PushBacklog;
use super::resumption_state::{NewSocket, UnacknowledgedStage};
use super::scratch::Scratch;
use super::socket::{ClientSocket, MAX_UNFLUSHED_BYTES, Socket as _};
use super::state::{ConnectionInput, ConnectionState};
use super::waiting_commands::WaitingCommands;
use crate::address_limits::AddressMeter;
use crate::auth::IdentifiedCaller as _;
use crate::client_turns::client;
use crate::config::Config;
use crate::dispatch::Dispatch;
use crate::hub::{
    AwayLimits, Command, ConnectionGuard, EventCaller, Opening, Peer, TurnEnd, UncountedFrames, WriteEnd, WriteProgress,
};
use crate::memory_budget::{ConnectionHeld, RUNNING_CALL, STEP};
use crate::write_stall::WriteStall;

/// The bytes of frames in one turn, after which they are written and other tasks run.
const OUTPUT_PER_TURN: usize = 64 << 10;

/// The bytes that are read in one turn.
pub(super) const INPUT_PER_TURN: usize = 256 << 10;

/// The messages whose calls enter the runtimes of loaded modules together. They share a cooperative budget of tokio, of 128
/// operations.
const MESSAGES_PER_BATCH: usize = 64;

/// How long a turn handles messages and queued calls, so that a client that never stops sending lets other tasks run. The
/// first of many turns that are due at the same moment are that long; what surrounds a turn takes some percent of it.
const TIME_PER_TURN: Duration = Duration::from_micros(250);

/// The number of inputs between two looks at the clock.
const INPUTS_PER_LOOK: u32 = 16;

/// How long a `_close` hook may take after the deadline of a shutdown.
const STOPPED_HOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// A connection whose handshake has been accepted, before its task has the socket.
pub(crate) struct NewConnection {
    pub(crate) dialect: Dialect,
    pub(crate) guard: ConnectionGuard,
    pub(crate) caller: Arc<EventCaller>,
    /// The `Origin` of the handshake.
    pub(crate) origin: Option<Arc<str>>,
    /// What the `_open` hook receives.
    pub(crate) open_info: OpenInfo,
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) config: Arc<Config>,
    /// The part of it that the protocol applies.
    pub(crate) protocol: Arc<ServerConfig>,
}

/// The connection's task.
struct SocketTask {
    /// `None` while the client is away.
    socket: Option<ClientSocket>,
    decoder: MessageDecoder,
    /// What was read and not decoded yet, because the turn was used up or the client does not read its responses.
    #[expect(clippy::box_collection, reason = "one pointer instead of three: mostly there is nothing")]
    unread: Option<Box<Vec<u8>>>,
    state: ConnectionState,
    timer: Pin<Box<Sleep>>,
    /// Of a socket that accepts nothing. Boxed, since most sockets accept everything.
    stall: Option<Box<WriteStall>>,
    /// The socket accepts nothing at present.
    blocked: bool,
    /// The stream has accepted bytes that it has not passed on, as TLS does while the socket beneath accepts nothing.
    is_unflushed: bool,
    /// Everything that has arrived was read.
    waits_for_client: bool,
    /// The queued pushes exceed their sustained limit.
    over_push_limit: Option<Box<PushBacklog>>,
    /// The bytes that had been written by the last turn.
    written_before: u64,
    /// The last poll did nothing but let other tasks run.
    has_yielded: bool,
    /// A turn was used up not long ago.
    busy: Option<Box<BusyConnection>>,
}

/// How much of a turn is left.
struct TurnBudget {
    started: Option<Instant>,
    inputs: u32,
    read: usize,
    part: u32,
    is_used_up: bool,
}

impl TurnBudget {
    /// `part` is 2 for half of a turn, and so on.
    fn new(part: u32) -> Self {
        Self { started: None, inputs: 0, read: 0, part, is_used_up: false }
    }

    /// Counts an input. The clock is read for none of the first inputs, since most turns have one.
    fn count_input(&mut self, output: usize) {
        self.count_inputs(1);
        self.is_used_up |= output >= OUTPUT_PER_TURN;
    }

    fn count_inputs(&mut self, count: u32) {
        let looks = self.inputs / INPUTS_PER_LOOK;
        self.inputs += count;
        if self.inputs / INPUTS_PER_LOOK > looks {
            let now = Instant::now();
            let started = *self.started.get_or_insert(now);
            self.is_used_up |= now.duration_since(started) >= TIME_PER_TURN / self.part;
        }
    }

    /// Returns how much of `len` to read at once: in a shorter turn less, since what remains is copied, and stays in memory.
    fn read_len(&self, len: usize) -> usize {
        len / self.part as usize
    }

    fn count_read(&mut self, len: usize) {
        self.read += len;
        self.is_used_up |= self.read >= INPUT_PER_TURN;
    }
}

impl NewConnection {
    /// Serves the connection until it ends. `read_ahead` was read from the socket together with the request.
    ///
    /// To be called within the connection's span: what it begins before its first poll belongs to it.
    pub(crate) fn serve(self, socket: ClientSocket, read_ahead: Bytes) -> impl Future<Output = ()> + Send {
        // Started here, and not in the future, which would reserve the memory of `self` as long as it lives.
        let mut task = SocketTask::start(self, socket, read_ahead);
        async move {
            let end = poll_fn(|cx| task.poll(cx)).await;
            end.log();
            // Boxed, so that a connection that is open does not reserve the memory for its end.
            match end {
                ConnectionEnd::HandedOver(peer, grant_number) => Box::pin(task.hand_over(peer, grant_number)).await,
                end => Box::pin(task.finish(end)).await,
            }
        }
    }
}

impl SocketTask {
    fn start(new: NewConnection, socket: ClientSocket, read_ahead: Bytes) -> Self {
        let NewConnection { dialect, guard, caller, origin, open_info, dispatch, config, protocol } = new;
        if let Some(shared) = socket.shared() {
            guard.peer.mailbox.share_socket(shared);
        }
        let mut protocol = ServerConnection::with_tasks(dialect, guard.peer.id().to_string(), protocol, now());
        let open_info = dispatch.has_hooks().then(|| {
            protocol.wait_for_open_hook();
            Box::new(open_info)
        });
        let timer = Box::pin(tokio::time::sleep_until(protocol.poll_timeout().into()));
        let held = ConnectionHeld::new(&guard.memory_budget());
        let meter = AddressMeter::new(guard.address().cloned());
        let mut state = ConnectionState {
            protocol,
            dialect,
            guard,
            caller,
            dispatch,
            config: Arc::clone(&config),
            output: FrameBuffer::default(),
            commands: WaitingCommands::default(),
            held,
            meter,
            pending_calls: 0,
            client_calls: SparseMap::default(),
            streams_paused: false,
            open_info,
            open_hook: None,
            opening: Opening::of(dialect),
            draining: false,
            end: None,
            bad_frames: 0,
            origin: origin.map(Box::new),
            resumption: None,
            resuming: None,
            resumption_hooks: None,
        };
        // The `_open` hook of a classic client starts at once.
        state.collect_outputs();
        Self {
            socket: Some(socket),
            decoder: decoder(&config),
            // A copy of these few bytes, mostly none: they lie in a buffer of hyper that would live as long as they do.
            unread: (!read_ahead.is_empty()).then(|| Box::new(read_ahead.to_vec())),
            state,
            timer,
            stall: None,
            blocked: false,
            is_unflushed: false,
            waits_for_client: false,
            over_push_limit: None,
            written_before: 0,
            has_yielded: false,
            busy: None,
        }
    }

    /// Closes the socket, runs the `_close` hooks, and waits for handlers of one-way sends.
    async fn finish(self, end: ConnectionEnd) {
        let Self { socket, decoder, unread, state, .. } = self;
        let ConnectionState {
            guard,
            caller,
            config,
            protocol,
            client_calls,
            commands,
            open_hook,
            dispatch,
            output,
            resumption,
            mut resumption_hooks,
            held,
            meter,
            ..
        } = state;
        // With the place that it has offered.
        drop(meter);
        // From now on, a client that asks to resume the connection gets a new one, and so does one that has asked.
        drop(resumption);
        if let Some(hooks) = &mut resumption_hooks {
            hooks.resume.abort();
        }
        // Fails the client calls that are queued or in flight.
        drop((client_calls, commands));
        let mut log = poll_fn(|cx| guard.peer.mailbox.poll_take_log(cx)).await;
        let mut output = output;
        log.append(&mut output);
        // Removed from the table first, so that nothing more is pushed to it. Its permit is kept to the very end, so
        // that connections that are opened and closed quickly leave no more behind than the limit on connections
        // allows.
        let id = guard.peer.id();
        let permit = guard.leave();
        let lingering = abort_expecting_response(protocol.into_tasks(), config.max_linger_poll_time);
        let info = end.close_info();
        // What calls hold is counted as long as some of them linger.
        let mut held_by_calls = held;
        let held = held_by_calls.take_limited();
        let held_by_calls = (!lingering.is_empty()).then_some(held_by_calls);
        if let Some(socket) = socket {
            close(
                Remains { socket, decoder, unread: unread.map(|unread| *unread).unwrap_or_default(), log, held },
                end,
                config.close_timeout,
            )
            .await;
        }
        // What the deadline of a shutdown finds still running is dropped.
        let stopped = async {
            match &permit {
                Some(permit) => permit.stopped().await,
                None => std::future::pending().await,
            }
        };
        let mut stopped = pin!(stopped);
        let passed = match open_hook {
            Some(hook) => hook.finish().await,
            None => 0,
        };
        if passed > 0 {
            let closed = async {
                if let Some(hooks) = resumption_hooks {
                    hooks.finish().await;
                }
                let closed = dispatch.run_close_hooks(&caller, &info, passed);
                tokio::time::timeout(config.linger_timeout, closed).await
            };
            let has_ended = tokio::select! {
                biased;
                closed = closed => closed.is_ok(),
                // A hook that a stop has begun gets a moment.
                () = async { stopped.as_mut().await; tokio::time::sleep(STOPPED_HOOK_TIMEOUT).await } => false,
            };
            if !has_ended && let Some(suppressed) = dispatch.throttles.hook_timeouts.pass() {
                tracing::warn!(connection = %id, suppressed, "_close did not end in time and was dropped");
            }
        }
        linger(lingering, config.linger_timeout, stopped).await;
        drop(held_by_calls);
    }

    /// One turn of the task: timers, commands, frames in, frames out.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        if self.should_yield() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // What has happened meanwhile is handled in its turn.
        if self.busy.as_mut().is_some_and(|busy| busy.poll_turn(cx).is_pending()) {
            return Poll::Pending;
        }
        let mut scratch = Scratch::take();
        std::mem::swap(&mut scratch.output, &mut self.state.output);
        let mut end = self.turn(cx, &mut scratch.input);
        if let Poll::Ready(why) = end {
            end = match self.state.survives(&why) {
                true => self.go_away(cx, why),
                false => Poll::Ready(why),
            };
        }
        if end.is_ready() {
            self.busy = None;
        }
        if end.is_ready() && !self.state.output.is_empty() {
            // `finish` writes it.
            let mut output = FrameBuffer::default();
            output.append(&mut self.state.output);
            std::mem::swap(&mut scratch.output, &mut self.state.output);
            self.state.output = output;
        } else {
            std::mem::swap(&mut scratch.output, &mut self.state.output);
        }
        scratch.put_back();
        end
    }

    /// Decides whether other tasks are to run before the turn begins: never twice in a row.
    ///
    /// A call that completes wakes this task, which the runtime then runs next, before other calls of the connection that
    /// are ready too. A task that wakes itself while it is polled goes to the end of the runtime's queue, so they run first,
    /// and the responses of all are written at once: a write costs more than all the rest of a call.
    fn should_yield(&mut self) -> bool {
        let state = &self.state;
        self.has_yielded = !self.has_yielded && state.protocol.open_calls() > 1 && state.peer().mailbox.has_commands();
        self.has_yielded
    }

    fn turn(&mut self, cx: &mut Context<'_>, input: &mut [u8]) -> Poll<ConnectionEnd> {
        self.state.guard.peer.mailbox.register(cx.waker());
        let now = now();
        let mut unsent = match self.begin_turn(now) {
            Ok(unsent) => unsent,
            Err(error) => return Poll::Ready(ConnectionEnd::Broken(error)),
        };
        let mut budget = TurnBudget::new(self.state.dispatch.busy_turns.turn_part());
        if let Err(error) = self.resume_write(cx, now, &mut budget) {
            return Poll::Ready(ConnectionEnd::Broken(error));
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            self.handle_timeout(now);
        }
        let mut logged = 0;
        loop {
            if let Poll::Ready(end) = self.poll_inputs(cx, now, input, &mut budget) {
                frame_log::sent(&self.state.output, logged);
                return Poll::Ready(end);
            }
            // Before they are moved to the log.
            logged = frame_log::sent(&self.state.output, logged);
            let waits_for_space = !self.waits_for_client || self.state.waits_for_space();
            self.state.end_counting(now);
            let ConnectionState { guard, resumption, output, .. } = &mut self.state;
            let uncounted = resumption.as_mut().map(|resumption| &mut resumption.uncounted);
            match guard.peer.mailbox.end_turn(uncounted, output, waits_for_space, budget.is_used_up) {
                // Another thread has posted them since the mailbox was emptied.
                TurnEnd::Commands => continue,
                TurnEnd::Waits => break,
                // Another thread has written the rest since the turn began, and did not know that this task waits for it.
                TurnEnd::Written if unsent > 0 && waits_for_space && !budget.is_used_up => {}
                TurnEnd::Written => break,
                TurnEnd::Write => {
                    if let Err(error) = self.write(cx, now, &mut budget) {
                        return Poll::Ready(ConnectionEnd::Broken(error));
                    }
                    // More may be read, and queued calls may start, now that the frames have left.
                    let waits_for_space = !self.waits_for_client || self.state.waits_for_space();
                    if self.blocked || budget.is_used_up || !waits_for_space {
                        break;
                    }
                }
            }
            logged = 0;
            unsent = match self.begin_turn(now) {
                Ok(unsent) => unsent,
                Err(error) => return Poll::Ready(ConnectionEnd::Broken(error)),
            };
        }
        self.note_turn(now, budget.is_used_up);
        self.state.offer_place(now);
        let is_behind = self.note_held(cx, now);
        let pace_due = self.check_pace(cx, now, is_behind);
        self.set_timer(cx, pace_due);
        self.state.protocol.release_memory();
        if budget.is_used_up {
            // Unlike a task that wakes itself, this lets the runtime look for new events of sockets.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        Poll::Pending
    }

    /// Notes whether the turn was used up, so that the connection could continue at once.
    fn note_turn(&mut self, now: Instant, is_used_up: bool) {
        match &mut self.busy {
            Some(busy) if is_used_up => busy.use_up(now),
            Some(busy) if busy.due() <= now => self.busy = None,
            Some(_) => {}
            None if is_used_up => {
                let client = client(self.state.caller.context().address);
                self.busy = Some(Box::new(BusyConnection::new(&self.state.dispatch.busy_turns, client, now)));
            }
            None => {}
        }
    }

    /// Begins a turn, or its continuation after a write. Returns the bytes that wait for the socket, other than pushes.
    fn begin_turn(&mut self, now: Instant) -> std::io::Result<usize> {
        let log = self.state.guard.peer.mailbox.begin_turn();
        if let Some(error) = log.error {
            return Err(error);
        }
        self.blocked = log.blocked;
        self.state.protocol.set_unsent_bytes(log.unsent);
        self.state.protocol.set_unacknowledged_bytes(log.unacknowledged);
        self.state.update_stream_pause();
        self.note_write_progress(now, log.written);
        Ok(log.unsent)
    }

    fn handle_timeout(&mut self, now: Instant) {
        let protocol = &self.state.protocol;
        if self.state.meter.due().is_some() || (protocol.is_held_up() && !protocol.wants_input()) {
            // What the client sends is not read, its pongs neither.
            self.state.protocol.handle_sign_of_life(now);
            self.state.meter.end_pause(now);
        }
        self.state.handle(now, ConnectionInput::Timeout);
        if self.stall.as_ref().is_some_and(|stall| stall.is_stalled(now)) {
            self.state.protocol.lose_socket(Close::Stalled);
        }
        let timeout = self.state.config.push_backlog_timeout;
        if self.over_push_limit.as_ref().is_some_and(|backlog| backlog.due(timeout) <= now) {
            self.state.protocol.close(Close::TooSlow);
        }
        self.state.collect_outputs();
    }

    /// Handles commands, queued calls and messages until there are no more, or the turn is used up.
    fn poll_inputs(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        input: &mut [u8],
        budget: &mut TurnBudget,
    ) -> Poll<ConnectionEnd> {
        self.waits_for_client = false;
        loop {
            // First: when it begins a new state or refuses the hello, the queues are handled with the result.
            if let Some((peer, grant_number)) = self.state.poll_resuming(cx) {
                return Poll::Ready(ConnectionEnd::HandedOver(peer, grant_number));
            }
            if let Some(end) = self.handle_queues(now, budget) {
                return Poll::Ready(end);
            }
            if self.state.has_next_socket() && self.come_back(now) {
                continue;
            }
            if budget.is_used_up || !self.state.wants_input() {
                return Poll::Pending;
            }
            let Some(socket) = &mut self.socket else {
                self.waits_for_client = true;
                return Poll::Pending;
            };
            let Some(read_len) = self.state.meter.before_read(now, budget.read_len(input.len())) else {
                // It goes on when the timer expires.
                self.waits_for_client = true;
                return Poll::Pending;
            };
            let mut unread = self.unread.take();
            let bytes = if let Some(unread) = &mut unread {
                &mut unread[..]
            } else {
                match socket.poll_read(cx, &mut input[..read_len]) {
                    Poll::Pending => {
                        self.waits_for_client = true;
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(0)) => return Poll::Ready(ConnectionEnd::Disconnected),
                    Poll::Ready(Ok(len)) => {
                        budget.count_read(len);
                        self.state.meter.count_bytes(len);
                        &mut input[..len]
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(ConnectionEnd::Broken(error)),
                }
            };
            let mut decoded = 0;
            let end = self.decode_all(now, bytes, &mut decoded, budget);
            if decoded < bytes.len() {
                self.unread = Some(Box::new(bytes[decoded..].to_vec()));
            }
            if let Some(end) = end {
                return Poll::Ready(end);
            }
        }
    }

    /// Handles the messages in `bytes`, and counts what it has `decoded`.
    fn decode_all(
        &mut self,
        now: Instant,
        bytes: &mut [u8],
        decoded: &mut usize,
        budget: &mut TurnBudget,
    ) -> Option<ConnectionEnd> {
        while self.decoder.has_several(&bytes[*decoded..]) {
            let before = *decoded;
            let registry = self.state.dispatch.registry.load();
            let end = registry.within_runtimes(|| self.decode(now, bytes, decoded, budget, MESSAGES_PER_BATCH));
            if end.is_some() {
                return end;
            }
            if *decoded == before || budget.is_used_up || !self.state.wants_input() {
                return None;
            }
        }
        self.decode(now, bytes, decoded, budget, usize::MAX)
    }

    /// As [`decode_all`](Self::decode_all), for up to `max_messages`.
    fn decode(
        &mut self,
        now: Instant,
        bytes: &mut [u8],
        decoded: &mut usize,
        budget: &mut TurnBudget,
        max_messages: usize,
    ) -> Option<ConnectionEnd> {
        for _ in 0..max_messages {
            if *decoded == bytes.len() {
                break;
            }
            let Decoded { consumed, message, frames } = match self.decoder.decode(&mut bytes[*decoded..]) {
                Ok(decoded) => decoded,
                Err(violation) => return Some(ConnectionEnd::Violation(violation)),
            };
            *decoded += consumed;
            self.state.meter.count_frames(frames);
            // The message is not complete yet.
            let Some(message) = message else {
                budget.count_inputs(frames);
                if budget.is_used_up {
                    break;
                }
                continue;
            };
            self.state.handle(now, ConnectionInput::Message(message));
            budget.count_input(self.state.output.len());
            if let Some(end) = self.handle_queues(now, budget) {
                return Some(end);
            }
            if budget.is_used_up || !self.state.wants_input() {
                break;
            }
        }
        None
    }

    /// Handles the commands that have been posted, and the calls that may run now. Returns the end of the connection if
    /// it is reached.
    fn handle_queues(&mut self, now: Instant, budget: &mut TurnBudget) -> Option<ConnectionEnd> {
        let state = &mut self.state;
        state.update_budget();
        if state.peer().mailbox.has_commands() {
            state.handle_commands(now);
            budget.count_input(state.output.len());
        }
        // Commands that had to wait for the welcome may follow it now.
        if !state.commands.is_empty() && state.protocol.is_open() {
            state.handle_waiting_commands(now);
        }
        while !budget.is_used_up
            && let Some(queued) = state.next_queued()
        {
            state.handle(now, ConnectionInput::Queued(queued));
            budget.count_input(state.output.len());
        }
        if state.draining && (state.protocol.is_idle() || state.protocol.is_away()) {
            state.protocol.close(Close::Stopping);
            state.collect_outputs();
        }
        state.end.take().map(|end| *end)
    }

    /// Continues to write, or to pass on what was written, when a blocked socket accepts bytes again.
    fn resume_write(&mut self, cx: &mut Context<'_>, now: Instant, budget: &mut TurnBudget) -> std::io::Result<()> {
        if self.blocked
            && let Some(socket) = &mut self.socket
            && socket.poll_writable(cx)?.is_ready()
        {
            self.blocked = false;
            if self.state.guard.peer.mailbox.resume_write(&mut self.state.output) {
                return self.write(cx, now, budget);
            }
        }
        if self.is_unflushed {
            self.flush(cx)?;
        }
        Ok(())
    }

    /// Writes the output, and what others append to the log meanwhile, until the socket accepts no more. If there is too
    /// much of it, the turn is used up.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant, budget: &mut TurnBudget) -> std::io::Result<()> {
        for write in 1.. {
            let mut progress = WriteProgress::of(&self.state.output);
            if let Err(error) = self.write_output(cx) {
                self.state.peer().mailbox.fail_write(None);
                // What counts of it is retained.
                self.state.output = FrameBuffer::default();
                return Err(error);
            }
            progress.finish(&self.state.output);
            self.blocked = !self.state.output.is_empty();
            let mailbox = &self.state.guard.peer.mailbox;
            match mailbox.finish_write(&mut self.state.output, progress, write) {
                WriteEnd::More => {}
                WriteEnd::Rest => {
                    budget.is_used_up = true;
                    break;
                }
                WriteEnd::Done { .. } => break,
            }
        }
        let log = self.state.peer().mailbox.log_state();
        self.state.protocol.set_unsent_bytes(log.unsent);
        self.state.update_stream_pause();
        self.note_write_progress(now, log.written);
        Ok(())
    }

    /// Writes as much of the output as the socket accepts.
    fn write_output(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        let output = &mut self.state.output;
        let Some(socket) = &mut self.socket else { return Ok(()) };
        while !output.is_empty() {
            match socket.poll_write(cx, output) {
                Poll::Ready(written) => written?,
                Poll::Pending => break,
            }
        }
        self.flush(cx)
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> std::io::Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        self.is_unflushed = socket.poll_flush(cx)?.is_pending();
        Ok(())
    }

    /// Notes what was written. While reading is paused because the client reads its responses slowly, its pongs are not
    /// read either, so write progress counts as a sign of life. Progress of output that the socket did not accept before begins
    /// the time again after which the client's place may go to another connection: its responses to pings come after what it
    /// has to read before them.
    fn note_write_progress(&mut self, now: Instant, written: u64) {
        if written > self.written_before && self.stall.is_some() {
            self.state.meter.keep_place();
        }
        if written > self.written_before && !self.state.protocol.wants_input() {
            self.state.protocol.handle_sign_of_life(now);
        }
        self.written_before = written;
        if self.blocked {
            let timeout = self.state.config.write_timeout;
            self.stall.get_or_insert_with(|| Box::new(WriteStall::new(timeout))).note_blocked(now, written);
        } else {
            self.stall = None;
        }
    }

    /// Counts what the connection holds between its turns, and notes since when pushes exceed their sustained limit. After
    /// writing: pushes that still wait now are those that the client does not accept fast enough. Returns whether the client is
    /// behind with them.
    fn note_held(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let log = self.state.peer().mailbox.log_state();
        let unflushed = if self.is_unflushed { MAX_UNFLUSHED_BYTES } else { 0 };
        let held = log.unsent
            + log.pushed
            + log.overhead
            + log.retained
            + self.unread.as_ref().map_or(0, |unread| unread.capacity())
            + self.decoder.stored()
            + unflushed;
        let held = held + self.state.peer().context.handshake_bytes();
        let of_calls = self.state.protocol.held_bytes() + self.state.protocol.open_calls() * RUNNING_CALL;
        self.state.held.set(held, of_calls);
        let held = held + of_calls;
        self.state.held.budget().set_slow_client(log.unsent >= self.state.config.max_unsent_response_bytes);
        self.state.held.budget().wake_if_refused(held, cx.waker());
        if self.state.protocol.has_queued_calls() && self.state.held.budget().is_used_up() {
            self.state.held.budget().wake_on_change(cx.waker());
            // Checked again, since it may have been freed before the waker was registered.
            if !self.state.held.budget().is_used_up() {
                cx.waker().wake_by_ref();
            }
        }
        if held >= STEP && self.state.held.budget().is_refused() {
            // Pushes that are retained become a gap first, which the client learns of only if the socket breaks before it has
            // received them. Nothing else may be lost.
            let is_relieved = log.retained > 0 && self.state.peer().mailbox.drop_retained_pushes();
            match (is_relieved, self.state.protocol.is_away()) {
                (true, _) => {}
                (false, true) => self.state.drop_away(),
                (false, false) => {
                    self.state.protocol.close(Close::TooSlow);
                    self.state.collect_outputs();
                }
            }
            cx.waker().wake_by_ref();
        }
        if self.state.check_unacknowledged(now, &log) {
            cx.waker().wake_by_ref();
        }
        PushBacklog::note(&mut self.over_push_limit, now, log.pushed, self.state.config.max_push_backlog_bytes);
        log.is_behind
    }

    /// Waits as a sender for those that read, if the connection is held up. As a reader that is behind: closes the connection if
    /// its socket accepts nothing for too long. Returns when to check that again. After writing, like
    /// [`note_held`](Self::note_held).
    fn check_pace(&mut self, cx: &mut Context<'_>, now: Instant, is_behind: bool) -> Option<Instant> {
        let mailbox = &self.state.guard.peer.mailbox;
        if self.state.protocol.is_held_up() && self.state.caller.poll_held(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        if !is_behind {
            return None;
        }
        let check = mailbox.check_pace(now, self.state.config.reader_stall_timeout)?;
        if check.is_stalled {
            self.state.protocol.close(Close::TooSlow);
            self.state.collect_outputs();
            cx.waker().wake_by_ref();
        }
        Some(check.due)
    }

    // --- Resumption --------------------------------------------------------------------------------------------------

    /// Goes on without the socket, until the client resumes the connection or has been away for too long.
    #[cold]
    fn go_away(&mut self, cx: &mut Context<'_>, why: ConnectionEnd) -> Poll<ConnectionEnd> {
        let now = now();
        why.log();
        let state = &mut self.state;
        let log_was_empty = state.guard.peer.mailbox.go_away(&mut state.output);
        state.protocol.suspend();
        state.update_stream_pause();
        let Some(resumption) = &mut state.resumption else { return Poll::Ready(why) };
        resumption.guard.go_away(AwayLimits {
            total: state.config.max_away_connections,
            per_network: state.config.max_away_connections_per_address,
        });
        resumption.uncounted = UncountedFrames::default();
        self.unread = None;
        self.decoder = decoder(&state.config);
        // It belongs to the socket, and so does the place among the connections of the address.
        state.meter = AddressMeter::default();
        state.guard.leave_address();
        (self.blocked, self.is_unflushed, self.waits_for_client) = (false, false, true);
        self.stall = None;
        self.over_push_limit = None;
        if let Some(socket) = self.socket.take() {
            // A frame whose beginning was written cannot be followed by a close frame.
            if log_was_empty {
                self.spawn_close(socket, &why);
            }
            self.state.note_socket_lost(now, why);
        }
        self.state.answer_granted(now);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Closes the socket in a task of its own, if the client still reads it.
    fn spawn_close(&self, socket: ClientSocket, why: &ConnectionEnd) {
        let end = match why {
            ConnectionEnd::Superseded => ConnectionEnd::Superseded,
            ConnectionEnd::ByClient(close) => ConnectionEnd::ByClient(close.clone()),
            _ => return,
        };
        let ConnectionState { held, config, guard, .. } = &self.state;
        let remains = Remains::of_socket(socket, held.budget(), config.max_message_bytes);
        let (timeout, permit) = (config.close_timeout, guard.closing_permit());
        tokio::spawn(async move {
            close(remains, end, timeout).await;
            drop(permit);
        });
    }

    /// Continues on a new socket. `false` if another thread still writes to the old one.
    #[cold]
    fn come_back(&mut self, now: Instant) -> bool {
        let state = &mut self.state;
        if self.socket.is_some() || !state.guard.peer.mailbox.may_come_back() {
            return false;
        }
        let Some(resumption) = &mut state.resumption else { return false };
        let Some(next) = resumption.next_socket.take() else { return false };
        let NewSocket { socket, decoder, unread, unsent, permit, meter, .. } = *next;
        state.meter = meter;
        // It counts for this connection again, and for the address of its new socket.
        state.guard.take_address(permit);
        resumption.away = None;
        if let Some(unacknowledged) = &mut resumption.unacknowledged {
            // What has arrived is known from the hello. The rest is sent again, which takes its time.
            unacknowledged.stage = UnacknowledgedStage::Waits;
        }
        resumption.guard.come_back();
        let welcome = state.protocol.resume(now, state.guard.peer.id().to_string());
        state.guard.peer.mailbox.come_back(unsent, welcome.into(), socket.shared());
        (self.socket, self.decoder, self.unread) = (Some(socket), decoder, unread);
        tracing::debug!("resumed");
        state.note_back(now);
        true
    }

    /// Passes the socket to the connection that its client continues.
    async fn hand_over(self, peer: Arc<Peer>, grant_number: u64) {
        let Self { socket: Some(socket), decoder, unread, state, .. } = self else { return };
        let ConnectionState { guard, output: mut rest, mut meter, .. } = state;
        meter.keep_place();
        let mut unsent = poll_fn(|cx| guard.peer.mailbox.poll_take_log(cx)).await;
        unsent.append(&mut rest);
        let permit = guard.leave();
        let socket: Box<dyn Any + Send> =
            Box::new(NewSocket { grant_number, socket, decoder, unread, unsent, permit, meter });
        peer.mailbox.post(Command::TakeSocket(socket));
    }

    /// Sets the timer to the next deadline. A timer that fires earlier is left as it is and set again then: most turns
    /// move a deadline further away, and need not touch it.
    fn set_timer(&mut self, cx: &mut Context<'_>, pace_due: Option<Instant>) {
        let mut due = self.state.protocol.poll_timeout();
        if let Some(pace) = pace_due {
            due = due.min(pace);
        }
        if let Some(stalled) = self.stall.as_ref().and_then(|stall| stall.due()) {
            due = due.min(stalled);
        }
        if let Some(resumed) = self.state.meter.due() {
            due = due.min(resumed);
        }
        if let Some(busy) = &self.busy {
            due = due.min(busy.due());
        }
        if let Some(resumption) = self.state.resumption_due() {
            due = due.min(resumption);
        }
        if let Some(backlog) = &self.over_push_limit {
            due = due.min(backlog.due(self.state.config.push_backlog_timeout));
        }
        // Commands remain here only while the connection is not open.
        let deadlines = self.state.commands.iter().filter_map(|command| match command {
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
}

fn decoder(config: &Config) -> MessageDecoder {
    MessageDecoder::new(config.max_message_bytes).with_max_frames(config.max_message_frames)
}

/// Returns the time of tokio's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::SocketTask;

    /// Each open connection has one. A field that is rarely used belongs in a box or a
    /// [`SparseMap`](aaw_protocol::sparse_map::SparseMap).
    #[test]
    fn the_task_of_a_connection_is_small() {
        assert!(size_of::<SocketTask>() <= 576, "{} bytes", size_of::<SocketTask>());
    }
}
