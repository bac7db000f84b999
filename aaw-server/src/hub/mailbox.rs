//! The mailbox of a connection: the commands for the one task that owns its socket, and the log of what it has to send.
//!
//! Any thread may post a command; the connection's task takes them all at once. Everything in a mailbox is bounded:
//! pushes in bytes, from their posting until they have been written to the socket, together with client calls until the
//! connection has started them; completions and items by the calls that are running.
//!
//! # The outgoing log
//!
//! The log contains the frames that the socket has not accepted. During its turn the connection's task appends to a
//! buffer of its own, and moves it to the end of the log when the turn ends. Another thread may append a push to the log
//! directly, without waking that task, if and only if nothing can be overtaken: the connection is open, its task has no
//! turn, and no command waits. Whoever appends so has it flushed by the [flusher](super::flusher). Otherwise the push is
//! a command like any other.
//!
//! Whoever writes takes the log out, marks the mailbox as `writing`, and puts back what the socket has not accepted. So
//! no lock is held during a system call, one thread writes at a time, and it also writes what others append meanwhile.
//! When the socket accepts no more, the log is `blocked`, and the connection's task waits until it does.
//!
//! A socket that cannot be written to from outside, such as one of the program's own axum server, has no direct pushes.
//!
//! # Readers that are behind
//!
//! While more than the *mark* of pushes waits, half of the sustained limit, the reader is behind until half of that waits, see
//! [`reader_pace`](super::reader_pace). The mailbox of a sender has its [hold](super::sender_hold). A reader for which more than the
//! sustained limit waits, or more than half of the burst limit, is *overrun*, see [`client_holds`](super::client_holds).
//!
//! # Resumption
//!
//! The mailbox of a resumable connection also retains a copy of each message that enters the log, until the client acknowledges
//! it. When the socket breaks, the connection goes *away*: the log is dropped, and messages are only retained, pushes up to a
//! limit. A new socket begins with a log of all that is retained.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use aaw_protocol::server::{CallKey, ClientCallKey, Completion};
use aaw_protocol::websocket::{FrameBuffer, NeverSent, RetainedLog, SharedFrame};
use aaw_protocol::{Code, Dialect, Failure};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::oneshot;
use tracing::level_filters::LevelFilter;

use crate::auth::Session;
use crate::hub::reader_pace::{HoldScope, PaceCheck, ReaderPace, WaitingSenders};
use crate::hub::resume_request::{ResumeRefusal, ResumeRequest};
use crate::hub::sender_hold::{HeldSender, SenderHold};
use crate::memory_budget::CallBudget;

/// A command for the connection's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send this frame: an event, a broadcast, a room's message.
    Push(SharedFrame),
    /// A call that ran as a task has completed: its frame, how it completed, and what counts the frame's memory.
    Complete(CallKey, Vec<u8>, Completion, CallBudget),
    /// A stream that runs as a task has items.
    StreamItems(CallKey, Box<ItemBatch>),
    /// A handler accepts its caller's upload up to this number of items.
    UploadCredit(CallKey, u64),
    /// Call the client. Boxed, because it is larger than the other commands and rarer.
    ClientCall(Box<ClientCallRequest>),
    /// The future that awaits this client call was dropped.
    CancelClientCall(ClientCallKey),
    /// The `_open` hook has completed.
    OpenHookDone(Result<(), Failure>),
    /// A new socket of the client asks to continue this connection.
    Resume(Box<ResumeRequest>),
    /// The new socket, after its request was granted.
    TakeSocket(Box<dyn Any + Send>),
    /// The new socket does not come: it has ended after its request was granted with this number.
    GrantLost(u64),
    /// The `_away` or `_back` hooks have ended.
    AwayHooksDone,
    /// The state of the connection is to be dropped, if it is away: others need the memory.
    DropAway,
    /// A session has ended that the connection has, or had when it started a call that still runs.
    SessionEnded(Arc<Session>),
    /// Close, since the client has not responded to a ping, and another connection of its address needs the place.
    GiveUpPlace,
    /// End the calls of generations of events that have ended.
    EndReplaced,
    /// Accept no new calls, and close when the running ones have completed.
    Drain,
    /// End the streams that still run.
    EndStreams,
    /// Close now.
    Stop,
}

impl Command {
    /// Returns the bytes that the command costs until it is carried out, if these are limited.
    fn cost(&self) -> usize {
        match self {
            Self::Push(frame) => frame.frame_len(),
            Self::ClientCall(request) => request.len(),
            _ => 0,
        }
    }
}

/// A call to the client, on its way to the connection's task.
#[derive(Debug)]
pub(crate) struct ClientCallRequest {
    pub(crate) key: ClientCallKey,
    pub(crate) event: Arc<str>,
    /// One JSON value.
    pub(crate) data: Arc<str>,
    pub(crate) deadline: Option<Instant>,
    /// Receives the response. Dropped when the connection ends.
    pub(crate) response: oneshot::Sender<Result<Box<str>, Failure>>,
}

impl ClientCallRequest {
    /// Returns the bytes that the request occupies, besides its place in the queue.
    pub(crate) fn len(&self) -> usize {
        size_of::<Self>() + self.event.len() + self.data.len()
    }
}

/// Items of a stream as whole frames; and if the stream has ended, how.
#[derive(Debug, Default)]
pub(crate) struct ItemBatch {
    pub(crate) frames: FrameBuffer,
    /// The number of frames.
    pub(crate) items: u64,
    /// The length of the longest frame, without its header.
    pub(crate) largest: usize,
    pub(crate) end: Option<Completion>,
}

/// Why a push was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushError {
    /// The connection has ended.
    Ended,
    /// A v1 client has not sent its hello, before which it receives nothing.
    NotOpen,
    /// The queued pushes exceed their bound, and the connection is being closed for it.
    Overflow,
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Ended => connection_ended(),
            PushError::NotOpen => Failure::new(Code::NO_CONNECTION, "The connection is not open yet"),
            PushError::Overflow => {
                let error = "The connection is being closed: its client reads too slowly";
                Self::new(Code::NO_CONNECTION, error)
            }
        }
    }
}

/// The failure of every operation on a connection that has ended.
pub(crate) fn connection_ended() -> Failure {
    Failure::new(Code::NO_CONNECTION, "The connection is closed")
}

/// The failure of a client call whose deadline has passed.
pub(crate) fn client_call_timed_out() -> Failure {
    Failure::new(Code::TIMEOUT, "The client did not respond in time")
}

/// The socket as others than the connection's task write to it.
pub(crate) type SharedSocket = Arc<OwnedWriteHalf>;

/// What must happen after a push was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Nothing: the connection's task, or who writes now, will send it.
    Posted,
    /// It was appended to the log, and [`Mailbox::flush`] is to be called.
    Unflushed,
}

/// How far the opening of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Opening {
    /// A v1 client has not sent its hello.
    #[default]
    BeforeHello,
    /// The `_open` hook runs, or the connection's task has not begun. Pushes wait.
    Hook,
    /// Pushes are sent.
    Open,
}

impl Opening {
    /// Returns the opening of a connection whose handshake has completed. A classic client says no hello.
    pub(crate) fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::V1 => Self::BeforeHello,
            Dialect::Classic => Self::Hook,
        }
    }
}

/// What the connection's task learns when its turn begins.
#[derive(Debug)]
pub(crate) struct LogState {
    /// The bytes that wait for the socket, other than pushes.
    pub(crate) unsent: usize,
    /// The bytes of pushes that were posted and are not written.
    pub(crate) pushed: usize,
    /// The memory of the log beyond its bytes.
    pub(crate) overhead: usize,
    /// The bytes written so far, in all.
    pub(crate) written: u64,
    /// The socket accepts nothing at present.
    pub(crate) blocked: bool,
    /// The bytes of messages that are retained until the client acknowledges them.
    pub(crate) unacknowledged: usize,
    /// The memory that they take, in bytes.
    pub(crate) retained: usize,
    /// The number of these messages.
    pub(crate) unacknowledged_messages: usize,
    /// The number of the last message.
    pub(crate) last: u64,
    /// The number of the last message that the client has acknowledged.
    pub(crate) acknowledged: u64,
    /// The reader is behind: [`Mailbox::check_pace`] is to be called at the end of the turn.
    pub(crate) is_behind: bool,
    /// Why the socket has failed, found by another thread.
    pub(crate) error: Option<io::Error>,
}

/// The frames of a turn that are not counted, on a resumable connection.
#[derive(Debug, Default)]
pub(crate) struct UncountedFrames {
    pub(crate) frames: FrameBuffer,
    /// Written before the counted frames, for the welcome. Otherwise after them, which avoids moving the turn's buffer.
    pub(crate) are_first: bool,
}

/// What the connection's task does at the end of its turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TurnEnd {
    /// Commands have arrived: the turn is not over.
    Commands,
    /// Write the buffer, then call [`Mailbox::finish_write`].
    Write,
    /// Another thread writes, or the socket is blocked.
    Waits,
    /// Everything is written.
    Written,
}

/// The result of [`Mailbox::finish_write`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WriteEnd {
    /// The buffer contains more to write.
    More,
    /// There is more to write, but this was the [last write](MAX_WRITES). Whoever has written must see to the rest.
    Rest,
    /// There is nothing to write, or the socket is blocked.
    Done {
        /// The connection's task must have a turn: to wait for the socket, or since it waits for this write.
        task_waits: bool,
    },
}

/// The result of [`Mailbox::flush`].
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    /// In bytes.
    pub(crate) written: usize,
    /// There is more to write: the mailbox is to be flushed again, after others.
    pub(crate) has_rest: bool,
}

/// How often a log is written in a row, when others append to it meanwhile: they may do so as fast as it is written.
pub(crate) const MAX_WRITES: u32 = 4;

/// The bytes of pushes to a blocked socket that are not counted in the connection's memory budget yet: after as many its
/// task is woken, which counts them. A wake-up takes a microsecond, so this costs less than a tenth of a small push.
const UNCOUNTED_PUSHES: usize = 16 << 10;

/// The bytes that are retained until they are acknowledged, after as many of which the connection's task is woken, which counts
/// them. A client acknowledges half of that at once.
const UNCOUNTED_UNACKNOWLEDGED: usize = 128 << 10;

/// The bytes of pushes that are retained for a client that is away. The client learns of the others by a gap.
const MAX_PUSHES_AWAY: usize = 64 << 10;

/// The command queue and the outgoing log of one connection.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<MailboxState>,
    /// Whether there may be commands, so that the hot path of the connection's task takes no lock when there are none.
    has_commands: AtomicBool,
    /// Whether senders wait for this reader, so that a push takes no lock to find out. Changed under the lock.
    holds_senders: AtomicBool,
    /// Whether this connection may have a hold as a sender. Changed under the lock.
    may_be_held: AtomicBool,
    waker: AtomicWaker,
    /// Smaller than [`PushLimits`], since each connection has them.
    limits: SmallLimits,
}

/// [`PushLimits`] of less than 4 GiB each; `u32::MAX` is no limit.
#[derive(Debug, Clone, Copy)]
struct SmallLimits {
    burst: u32,
    sustained: u32,
}

impl From<PushLimits> for SmallLimits {
    fn from(limits: PushLimits) -> Self {
        let small = |limit| u32::try_from(limit).unwrap_or(u32::MAX);
        Self { burst: small(limits.burst), sustained: small(limits.sustained) }
    }
}

impl SmallLimits {
    fn burst(self) -> usize {
        if self.burst == u32::MAX { usize::MAX } else { self.burst as usize }
    }

    fn sustained(self) -> usize {
        if self.sustained == u32::MAX { usize::MAX } else { self.sustained as usize }
    }

    /// Beyond it the reader is behind.
    fn mark(self) -> usize {
        let limit = self.sustained.min(self.burst);
        if limit == u32::MAX { usize::MAX } else { limit as usize / 2 }
    }

    /// Beyond it the reader is overrun.
    fn overrun(self) -> usize {
        self.sustained().min(self.burst() / 2)
    }

    /// Down to it a reader that is behind catches up.
    fn low_mark(self) -> usize {
        self.mark() / 2
    }
}

/// The limits of the bytes that are pushed and not written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PushLimits {
    /// The burst limit: beyond it the connection is closed.
    pub(crate) burst: usize,
    /// The sustained limit. It is enforced by the connection's task, which is woken when it is exceeded.
    pub(crate) sustained: usize,
}

#[derive(Debug, Default)]
struct MailboxState {
    commands: VecDeque<Command>,
    log: FrameBuffer,
    /// The cost of the pushes that have not been written to the socket and of the client calls that have not been
    /// started.
    pushed: usize,
    /// The number of pushes and client calls among the commands. Their places are bounded too.
    bounded: usize,
    /// The bytes of the log, other than pushes, that whoever writes has taken out.
    taken: usize,
    written: u64,
    socket: Option<SharedSocket>,
    error: Option<io::Error>,
    opening: Opening,
    /// The connection's task has a turn.
    in_turn: bool,
    /// The log is being written.
    writing: bool,
    /// The socket accepts nothing at present.
    blocked: bool,
    /// The connection's task waits until less is unsent.
    waits_for_space: bool,
    /// The flusher has this mailbox in its queue.
    flush_queued: bool,
    /// The task knows that the sustained limit is exceeded, or was woken because it is.
    over_sustained: bool,
    /// No push and no client call is accepted any more.
    closed: bool,
    /// It was closed because the burst limit was exceeded; the connection's task still receives other commands.
    overflowed: bool,
    /// The reader is behind.
    pace: Option<Box<ReaderPace>>,
    /// The connection is held up as a sender.
    hold: Option<Arc<SenderHold>>,
    /// It is not held up any more.
    is_never_held: bool,
    /// What the client of a resumable connection has not acknowledged.
    retained: Option<RetainedLog>,
    /// The connection has no socket, and waits for its client to resume it.
    away: bool,
    /// A push was lost since.
    loses_pushes: bool,
    /// The bytes of pushes that were left when some were dropped.
    pushes_kept: usize,
}

impl MailboxState {
    /// Adds to the bytes that wait. `false` if they then exceed the burst limit.
    fn add_cost(&mut self, cost: usize, burst: usize) -> bool {
        let queued = self.pushed + self.bounded * size_of::<Command>();
        // What was written is retained until it is acknowledged.
        let queued = queued.max(self.retained.as_ref().map_or(0, RetainedLog::memory));
        // One frame always fits, so that a bound below the message limit does not make messages impossible.
        if queued > 0 && queued + cost > burst {
            return false;
        }
        self.pushed += cost;
        true
    }

    /// As [`add_cost`](Self::add_cost), for a sender that waits for the reader, if that reads.
    #[cold]
    fn add_cost_in_flight(&mut self, cost: usize, burst: usize, in_flight: usize) -> bool {
        self.pace.as_ref().is_some_and(|pace| pace.holds_senders())
            && self.add_cost(cost, burst.saturating_add(in_flight))
    }

    fn log_state(&mut self) -> LogState {
        let retained = self.retained.as_ref();
        LogState {
            unsent: self.unsent(),
            pushed: self.pushed,
            overhead: self.log.memory().saturating_sub(self.log.len()),
            written: self.written,
            blocked: self.blocked,
            unacknowledged: retained.map_or(0, RetainedLog::bytes),
            retained: retained.map_or(0, RetainedLog::memory),
            unacknowledged_messages: retained.map_or(0, RetainedLog::messages),
            last: retained.map_or(0, RetainedLog::last),
            acknowledged: retained.map_or(0, RetainedLog::acknowledged),
            is_behind: self.pace.is_some(),
            error: None,
        }
    }

    /// Retains a push for a client that is away, or a gap in its place.
    fn retain_away(&mut self, frame: &SharedFrame) {
        let Some(retained) = &mut self.retained else { return };
        // After the first that is lost all are, so that there is one gap.
        if self.loses_pushes || retained.pushed() + frame.frame_len() > MAX_PUSHES_AWAY {
            self.loses_pushes = true;
            retained.lose(frame.messages());
        } else {
            retained.push(frame);
        }
    }

    fn unsent(&self) -> usize {
        self.taken + self.log.len() - self.log.pushed()
    }

    /// Takes the log out, to write it.
    fn begin_write(&mut self, buffer: &FrameBuffer) {
        self.writing = true;
        self.blocked = false;
        self.taken = buffer.len() - buffer.pushed();
    }
}

impl Mailbox {
    pub(crate) fn new(limits: PushLimits, opening: Opening) -> Self {
        let state = MailboxState { opening, ..MailboxState::default() };
        Self {
            state: Mutex::new(state),
            has_commands: AtomicBool::new(false),
            holds_senders: AtomicBool::new(false),
            may_be_held: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            limits: limits.into(),
        }
    }

    /// Creates the mailbox of a connection that is open.
    #[cfg(test)]
    pub(crate) fn for_test(burst: usize) -> Self {
        Self::new(PushLimits { burst, sustained: burst }, Opening::Open)
    }

    /// Sends a push without a sender that waits for the reader.
    #[cfg(test)]
    pub(crate) fn push(&self, frame: &SharedFrame) -> Result<Pushed, PushError> {
        self.push_in_flight(frame, 0)
    }

    /// Sends a push without waiting. If the pushes then exceed their bound, the mailbox overflows: the connection is
    /// closed, because a client that missed one push must not receive the next.
    ///
    /// If the reader reads, and its senders wait for it, they may exceed the burst limit by `in_flight` bytes: what the handlers that
    /// run at the same time push before they are held up.
    pub(crate) fn push_in_flight(&self, frame: &SharedFrame, in_flight: usize) -> Result<Pushed, PushError> {
        let mut state = self.lock();
        if state.closed {
            return Err(if state.overflowed { PushError::Overflow } else { PushError::Ended });
        }
        if state.opening == Opening::BeforeHello {
            return Err(PushError::NotOpen);
        }
        if state.away && !state.in_turn && state.commands.is_empty() {
            state.retain_away(frame);
            return Ok(Pushed::Posted);
        }
        if !state.add_cost(frame.frame_len(), self.limits.burst())
            && !state.add_cost_in_flight(frame.frame_len(), self.limits.burst(), in_flight)
        {
            state.closed = true;
            state.overflowed = true;
            let pace = self.end_pace(&mut state);
            self.wake_for_commands(state);
            drop(pace);
            return Err(PushError::Overflow);
        }
        // Without a socket there is no reader that would catch up.
        let falls_behind = state.pushed > self.limits.mark() && state.pace.is_none() && !state.away;
        if falls_behind {
            self.begin_pace(&mut state);
        }
        let is_direct = state.opening == Opening::Open
            && !state.in_turn
            && state.commands.is_empty()
            && state.socket.is_some()
            // The connection's task logs each frame within its span.
            && LevelFilter::current() < LevelFilter::TRACE;
        if !is_direct {
            state.commands.push_back(Command::Push(frame.clone()));
            state.bounded += 1;
            self.wake_for_commands(state);
            return Ok(Pushed::Posted);
        }
        state.log.push(frame);
        let mut is_unacknowledged = false;
        if let Some(retained) = &mut state.retained {
            let before = retained.bytes();
            retained.push(frame);
            is_unacknowledged = retained.bytes() / UNCOUNTED_UNACKNOWLEDGED != before / UNCOUNTED_UNACKNOWLEDGED;
        }
        let exceeds = state.pushed > self.limits.sustained() && !std::mem::replace(&mut state.over_sustained, true);
        // The task of a blocked socket has no turns otherwise.
        let is_uncounted =
            state.blocked && state.pushed / UNCOUNTED_PUSHES != (state.pushed - frame.frame_len()) / UNCOUNTED_PUSHES;
        let needs_task = exceeds || falls_behind || is_uncounted || is_unacknowledged;
        let needs_flush = !state.writing && !state.blocked && !std::mem::replace(&mut state.flush_queued, true);
        drop(state);
        if needs_task {
            self.waker.wake();
        }
        Ok(if needs_flush { Pushed::Unflushed } else { Pushed::Posted })
    }

    /// Posts a client call without waiting. Unlike a push, one that does not fit fails alone and does not close the
    /// connection.
    pub(crate) fn client_call(&self, request: Box<ClientCallRequest>) -> Result<(), Failure> {
        let mut state = self.lock();
        if state.closed {
            return Err(connection_ended());
        }
        if !state.add_cost(request.len(), self.limits.burst()) {
            return Err(Failure::new(Code::BUSY, "The client reads too slowly"));
        }
        state.commands.push_back(Command::ClientCall(request));
        state.bounded += 1;
        self.wake_for_commands(state);
        Ok(())
    }

    /// Posts any other command. It is dropped if the connection has ended.
    pub(crate) fn post(&self, command: Command) {
        let mut state = self.lock();
        if state.closed && !state.overflowed {
            return;
        }
        state.commands.push_back(command);
        self.wake_for_commands(state);
    }

    /// Writes the log, until it is empty or the socket accepts no more. Called by the flusher.
    pub(crate) fn flush(&self) -> Flushed {
        let mut flushed = Flushed::default();
        let (socket, mut buffer) = {
            let mut state = self.lock();
            state.flush_queued = false;
            let Some(socket) = state.socket.clone() else { return flushed };
            if state.writing || state.blocked || state.log.is_empty() {
                return flushed;
            }
            let buffer = std::mem::take(&mut state.log);
            state.begin_write(&buffer);
            (socket, buffer)
        };
        for write in 1.. {
            let mut progress = WriteProgress::of(&buffer);
            if let Err(error) = write_now(&socket, &mut buffer) {
                self.fail_write(Some(error));
                self.waker.wake();
                break;
            }
            progress.finish(&buffer);
            flushed.written += progress.written;
            match self.finish_write(&mut buffer, progress, write) {
                WriteEnd::More => {}
                WriteEnd::Rest => {
                    flushed.has_rest = true;
                    break;
                }
                WriteEnd::Done { task_waits } => {
                    if task_waits {
                        self.waker.wake();
                    }
                    break;
                }
            }
        }
        flushed
    }

    /// Registers the waker of the connection's task. To be called before [`begin_turn`](Self::begin_turn).
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Begins a turn of the connection's task: pushes are commands until it ends.
    pub(crate) fn begin_turn(&self) -> LogState {
        let mut state = self.lock();
        state.in_turn = true;
        LogState { error: state.error.take(), ..state.log_state() }
    }

    /// Tells how far the opening of the connection is.
    pub(crate) fn set_opening(&self, opening: Opening) {
        self.lock().opening = opening;
    }

    /// Lets others write to the socket.
    pub(crate) fn share_socket(&self, socket: SharedSocket) {
        self.lock().socket = Some(socket);
    }

    /// Ends a turn, unless there are commands. `buffer` is moved behind the log; or, if it is to be written now, the log
    /// is moved into it. What is `uncounted` is written with it, and not retained.
    ///
    /// With `waits_for_space` the task is woken when another thread has written the log. A turn that is used up ends in
    /// any case: others may post commands as fast as the task takes them. The task must then have another turn.
    pub(crate) fn end_turn(
        &self,
        uncounted: Option<&mut UncountedFrames>,
        buffer: &mut FrameBuffer,
        waits_for_space: bool,
        is_used_up: bool,
    ) -> TurnEnd {
        let mut guard = self.lock();
        let state = &mut *guard;
        if !state.commands.is_empty() && !is_used_up {
            return TurnEnd::Commands;
        }
        state.in_turn = false;
        if let Some(retained) = &mut state.retained {
            retained.append(buffer);
            if state.away {
                state.pushed = state.pushed.saturating_sub(buffer.pushed());
                *buffer = FrameBuffer::default();
                // Not at each turn, since it takes time.
                if retained.pushed() > state.pushes_kept + 2 * MAX_PUSHES_AWAY {
                    retained.drop_pushes(MAX_PUSHES_AWAY);
                    state.loses_pushes = true;
                    state.pushes_kept = retained.pushed();
                }
                return TurnEnd::Written;
            }
        }
        if let Some(uncounted) = uncounted
            && !uncounted.frames.is_empty()
        {
            let UncountedFrames { mut frames, are_first } = std::mem::take(uncounted);
            if are_first {
                frames.append(buffer);
                *buffer = frames;
            } else {
                buffer.append(&mut frames);
            }
        }
        if state.writing || state.blocked {
            state.log.append(buffer);
            state.waits_for_space = waits_for_space;
            return TurnEnd::Waits;
        }
        if !state.log.is_empty() {
            // Not swapped: the log is left without memory.
            let mut log = std::mem::take(&mut state.log);
            log.append(buffer);
            *buffer = log;
        }
        if buffer.is_empty() {
            return TurnEnd::Written;
        }
        state.begin_write(buffer);
        TurnEnd::Write
    }

    /// Takes the log of a blocked socket, which accepts bytes again. `false` if there is nothing to write, or others write.
    pub(crate) fn resume_write(&self, buffer: &mut FrameBuffer) -> bool {
        let mut state = self.lock();
        state.blocked = false;
        if state.writing || state.log.is_empty() {
            return false;
        }
        debug_assert!(buffer.is_empty(), "the log leaves before what the turn has appended");
        *buffer = std::mem::take(&mut state.log);
        state.begin_write(buffer);
        true
    }

    /// Ends a write, the first, second, or so, in a row. What `buffer` still contains stays in the log, and the socket
    /// counts as blocked. Otherwise what was appended meanwhile is moved into `buffer`, to be written next.
    pub(crate) fn finish_write(&self, buffer: &mut FrameBuffer, progress: WriteProgress, write: u32) -> WriteEnd {
        // Dropped after the lock.
        let _released;
        let mut state = self.lock();
        if state.away {
            // Another thread has written to a socket that is gone. All that counts is retained.
            *buffer = FrameBuffer::default();
            state.writing = false;
            return WriteEnd::Done { task_waits: true };
        }
        state.written += progress.written as u64;
        state.pushed = state.pushed.saturating_sub(progress.pushed);
        state.taken = 0;
        if state.pushed <= self.limits.sustained() {
            state.over_sustained = false;
        }
        _released = self.count_written(&mut state, progress.pushed);
        if !buffer.is_empty() {
            let mut log = FrameBuffer::default();
            log.append(buffer);
            log.append(&mut state.log);
            state.log = log;
            state.writing = false;
            state.blocked = true;
            return WriteEnd::Done { task_waits: true };
        }
        if state.log.is_empty() || state.closed {
            state.writing = false;
            // A task whose mailbox is closed waits for the end of the write.
            return WriteEnd::Done { task_waits: state.closed || std::mem::take(&mut state.waits_for_space) };
        }
        if write >= MAX_WRITES {
            state.writing = false;
            return WriteEnd::Rest;
        }
        *buffer = std::mem::take(&mut state.log);
        state.begin_write(buffer);
        WriteEnd::More
    }

    /// Ends a write that has failed. Nothing is written any more: a part of a frame may be missing. `error` is for the
    /// connection's task, which must then have a turn.
    pub(crate) fn fail_write(&self, error: Option<io::Error>) {
        let mut state = self.lock();
        if state.away {
            state.writing = false;
            return;
        }
        state.error = error;
        state.socket = None;
        state.taken = 0;
        state.writing = false;
        state.blocked = true;
        let log = std::mem::take(&mut state.log);
        let pace = self.end_pace(&mut state);
        drop(state);
        drop((log, pace));
    }

    /// Returns the bytes that were pushed and are not written, and the other bytes that wait for the socket. The task learns
    /// so whether the sustained limit is exceeded, and is woken when that changes.
    pub(crate) fn log_state(&self) -> LogState {
        let mut state = self.lock();
        state.over_sustained = state.pushed > self.limits.sustained();
        state.log_state()
    }

    // --- Resumption --------------------------------------------------------------------------------------------------

    /// Retains all messages from now on until they are acknowledged.
    pub(crate) fn retain(&self) {
        self.lock().retained = Some(RetainedLog::default());
    }

    /// Forgets the messages up to this one. Returns the bytes of those that remain.
    pub(crate) fn acknowledge(&self, number: u64) -> Result<usize, NeverSent> {
        let mut state = self.lock();
        let Some(retained) = &mut state.retained else { return Ok(0) };
        retained.acknowledge(number)?;
        Ok(retained.bytes())
    }

    /// Checks the number of messages that a client says it has received. Changes nothing: the request may be refused yet.
    pub(crate) fn check_received(&self, received: u64) -> Result<(), ResumeRefusal> {
        let state = self.lock();
        let Some(retained) = &state.retained else { return Ok(()) };
        let acknowledged = retained.acknowledged();
        if received < acknowledged {
            return Err(ResumeRefusal::Forgotten { received });
        }
        retained.check_sent(received).map_err(ResumeRefusal::NeverSent)
    }

    /// Returns the number of the last message that was retained.
    pub(crate) fn last_retained(&self) -> u64 {
        self.lock().retained.as_ref().map_or(0, |retained| retained.last())
    }

    /// The socket is gone: retains what the turn has appended to `buffer`, and drops the log. Returns whether all of it was
    /// written.
    pub(crate) fn go_away(&self, buffer: &mut FrameBuffer) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(retained) = &mut state.retained else { return false };
        retained.append(buffer);
        let was_written = state.log.is_empty() && !state.writing;
        let log = std::mem::take(&mut state.log);
        // What remains are commands. Another thread that writes at this moment does not count what it has written.
        state.pushed = state.commands.iter().map(Command::cost).sum();
        state.away = true;
        state.in_turn = false;
        (state.taken, state.blocked, state.over_sustained, state.waits_for_space) = (0, false, false, false);
        (state.socket, state.error) = (None, None);
        let pace = self.end_pace(state);
        drop(guard);
        drop((log, pace));
        *buffer = FrameBuffer::default();
        was_written
    }

    /// Puts gaps in the place of the pushes that are retained. Returns whether there were any.
    pub(crate) fn drop_retained_pushes(&self) -> bool {
        let mut state = self.lock();
        let Some(retained) = &mut state.retained else { return false };
        retained.drop_pushes(0)
    }

    /// Returns whether there is a socket, as far as is known: the connection is neither over nor away.
    pub(crate) fn is_connected(&self) -> bool {
        let state = self.lock();
        !state.closed && !state.away
    }

    /// Returns whether the old socket has no writer left. A writer that is still busy wakes the connection's task when it ends.
    pub(crate) fn may_come_back(&self) -> bool {
        !self.lock().writing
    }

    /// Continues on a new socket, for which `log` waits already. `welcome` follows, and then all that is retained.
    pub(crate) fn come_back(&self, mut log: FrameBuffer, welcome: Bytes, socket: Option<SharedSocket>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        log.text(welcome);
        if let Some(retained) = &state.retained {
            log.append(&mut retained.frames());
        }
        state.pushed += log.pushed();
        (state.log, state.socket) = (log, socket);
        (state.away, state.loses_pushes, state.pushes_kept) = (false, false, 0);
    }

    /// Closes the log and takes its content, once nobody else writes. The mailbox accepts nothing from then on.
    pub(crate) fn poll_take_log(&self, cx: &mut Context<'_>) -> Poll<FrameBuffer> {
        self.waker.register(cx.waker());
        // Dropped after the lock.
        let _pace;
        let mut state = self.lock();
        state.closed = true;
        state.overflowed = false;
        _pace = self.end_pace(&mut state);
        if state.writing {
            return Poll::Pending;
        }
        state.socket = None;
        Poll::Ready(std::mem::take(&mut state.log))
    }

    /// Returns whether [`take`](Self::take) may return commands.
    pub(crate) fn has_commands(&self) -> bool {
        self.has_commands.load(Ordering::Acquire)
    }

    /// Appends all commands to `into`, in order. Returns whether the mailbox has overflowed.
    pub(crate) fn take(&self, into: &mut VecDeque<Command>) -> bool {
        let mut state = self.lock();
        self.has_commands.store(false, Ordering::Release);
        state.bounded = 0;
        if into.is_empty() {
            std::mem::swap(into, &mut state.commands);
        } else {
            into.append(&mut state.commands);
        }
        state.overflowed
    }

    /// Releases the cost of a client call that was started.
    pub(crate) fn release_client_call(&self, request: &ClientCallRequest) {
        // Dropped after the lock.
        let _released;
        let mut state = self.lock();
        state.pushed = state.pushed.saturating_sub(request.len());
        _released = self.count_written(&mut state, request.len());
    }

    /// Closes the mailbox for good and drops its commands: the connection has ended.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.overflowed = false;
        let commands = std::mem::take(&mut state.commands);
        let log = std::mem::take(&mut state.log);
        let pace = self.end_pace(&mut state);
        state.socket = None;
        drop(state);
        // Dropping a client call wakes the handler that awaits it, which may run code of a module: not under the lock.
        drop((commands, log, pace));
    }

    // --- Readers that are behind, and their senders ------------------------------------------------------------------

    /// Returns whether senders wait for this reader: it is behind, and reads.
    #[inline]
    pub(crate) fn holds_senders(&self) -> bool {
        self.holds_senders.load(Ordering::Relaxed)
    }

    /// Returns the bytes of pushes that wait.
    pub(crate) fn pushed(&self) -> usize {
        self.lock().pushed
    }

    /// Returns whether the reader is overrun if so many bytes of pushes wait.
    pub(crate) fn is_overrun_by(&self, pushed: usize) -> bool {
        pushed > self.limits.overrun()
    }

    /// Lets a sender that has pushed `own` bytes wait for its part of what waits now, whatever others push meanwhile. A client waits
    /// at most until the reader is hardly behind, so less than its connection that has pushed, which waits until it has caught up.
    pub(crate) fn hold_sender(&self, own: usize, scope: HoldScope, sender: &HeldSender) {
        let mut state = self.lock();
        let rest = match scope {
            HoldScope::Caller => self.limits.low_mark(),
            HoldScope::Client => self.limits.mark(),
        };
        let behind = state.pushed.saturating_sub(rest);
        if let Some(pace) = &mut state.pace
            && behind > 0
        {
            pace.hold(behind, own, scope, sender);
        }
    }

    /// Decides whether the client reads, and lets the senders go on if it does not, see [`ReaderPace::check`]. `None` if it is not
    /// behind.
    pub(crate) fn check_pace(&self, now: Instant, timeout: Duration) -> Option<PaceCheck> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let pace = state.pace.as_mut()?;
        let (mut check, released) = pace.check(now, state.written, self.limits.low_mark(), timeout);
        // Pushes also wait for the connection to open, which is not its client's fault. And where the system buffers megabytes, it may
        // take no more for a while although its client reads.
        check.is_stalled &= state.blocked && state.pushed > self.limits.sustained();
        self.holds_senders.store(pace.holds_senders(), Ordering::Relaxed);
        drop(guard);
        drop(released);
        Some(check)
    }

    #[cold]
    fn begin_pace(&self, state: &mut MailboxState) {
        state.pace = Some(Box::default());
        self.holds_senders.store(true, Ordering::Relaxed);
    }

    /// The reader has caught up, or has ended. The result is to be dropped without the lock.
    fn end_pace(&self, state: &mut MailboxState) -> Option<Box<ReaderPace>> {
        let pace = state.pace.take()?;
        self.holds_senders.store(false, Ordering::Relaxed);
        Some(pace)
    }

    /// Counts pushes that were written, if the reader is behind. The result is to be dropped without the lock.
    #[inline]
    fn count_written(&self, state: &mut MailboxState, pushed: usize) -> (WaitingSenders, Option<Box<ReaderPace>>) {
        let Some(pace) = &mut state.pace else { return (WaitingSenders::new(), None) };
        let released = pace.count_written(pushed);
        let ended = if state.pushed <= self.limits.low_mark() { self.end_pace(state) } else { None };
        (released, ended)
    }

    /// Begins a hold of this connection as a sender, or returns another part of the one that it has. `None` after
    /// [`end_holds`](Self::end_holds).
    pub(crate) fn begin_hold(&self) -> Option<HeldSender> {
        let mut state = self.lock();
        if state.is_never_held {
            return None;
        }
        if let Some(part) = state.hold.as_ref().and_then(SenderHold::part) {
            return Some(part);
        }
        let (hold, begun) = SenderHold::begin();
        state.hold = Some(hold);
        self.may_be_held.store(true, Ordering::Relaxed);
        Some(begun)
    }

    /// Lets this connection go on as a sender, for good: a shutdown waits for its calls.
    pub(crate) fn end_holds(&self) {
        let mut state = self.lock();
        state.is_never_held = true;
        let hold = state.hold.take();
        self.may_be_held.store(false, Ordering::Relaxed);
        drop(state);
        if let Some(hold) = hold {
            hold.wake_waiting();
        }
    }

    /// Returns whether this connection is held up as a sender: its calls do not start.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.may_be_held.load(Ordering::Relaxed) && self.poll_hold(None).is_pending()
    }

    /// Completes when this connection is not held up as a sender.
    #[inline]
    pub(crate) fn poll_held(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.may_be_held.load(Ordering::Relaxed) { self.poll_hold(Some(cx)) } else { Poll::Ready(()) }
    }

    #[cold]
    fn poll_hold(&self, cx: Option<&mut Context<'_>>) -> Poll<()> {
        let mut state = self.lock();
        let has_ended = state.hold.as_ref().is_none_or(|hold| match cx {
            None => hold.has_ended(),
            Some(cx) => hold.poll_ended(cx).is_ready(),
        });
        if !has_ended {
            return Poll::Pending;
        }
        let hold = state.hold.take();
        self.may_be_held.store(false, Ordering::Relaxed);
        drop(state);
        drop(hold);
        Poll::Ready(())
    }

    /// Only the first command since the task last took them wakes it: a burst costs one wake-up.
    fn wake_for_commands(&self, state: MutexGuard<'_, MailboxState>) {
        // Set under the lock: a task that finds a command at the end of its turn also finds this, and takes the command.
        let is_first = !self.has_commands.swap(true, Ordering::AcqRel);
        drop(state);
        if is_first {
            self.waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, MailboxState> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mailbox {
    /// Drops the tasks that wait: the sender is gone, and its readers may keep its hold for seconds.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(hold) = &state.hold {
            hold.forget_waiting();
        }
    }
}

/// What one or several writes have written of a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteProgress {
    /// In bytes.
    written: usize,
    /// The part that belongs to pushes.
    pushed: usize,
}

impl WriteProgress {
    /// Begins before the writes.
    pub(crate) fn of(buffer: &FrameBuffer) -> Self {
        Self { written: buffer.len(), pushed: buffer.pushed() }
    }

    /// Ends after them.
    pub(crate) fn finish(&mut self, buffer: &FrameBuffer) {
        self.written -= buffer.len();
        self.pushed -= buffer.pushed();
    }
}

/// Writes until the buffer is empty or the socket accepts no more.
fn write_now(socket: &OwnedWriteHalf, buffer: &mut FrameBuffer) -> io::Result<()> {
    while !buffer.is_empty() {
        match try_write(socket, buffer) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => buffer.advance(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One write, with one system call.
pub(crate) fn try_write(socket: &OwnedWriteHalf, buffer: &FrameBuffer) -> io::Result<usize> {
    if let Some(bytes) = buffer.as_one_slice() {
        return socket.try_write(bytes);
    }
    let mut slices = [io::IoSlice::new(&[]); MAX_SLICES];
    let count = buffer.slices(&mut slices);
    socket.try_write_vectored(&slices[..count])
}

/// The parts that one write takes.
pub(crate) const MAX_SLICES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn take_pushes(mailbox: &Mailbox) -> Vec<SharedFrame> {
        let mut commands = VecDeque::new();
        mailbox.take(&mut commands);
        let frame = |command| if let Command::Push(frame) = command { Some(frame) } else { None };
        commands.into_iter().filter_map(frame).collect()
    }

    /// Writes a push, as the connection's task does.
    fn write(mailbox: &Mailbox, frame: &SharedFrame) {
        let mut buffer = FrameBuffer::default();
        buffer.push(frame);
        let mut progress = WriteProgress::of(&buffer);
        let len = buffer.len();
        buffer.advance(len);
        progress.finish(&buffer);
        assert!(matches!(mailbox.finish_write(&mut buffer, progress, 1), WriteEnd::Done { .. }));
    }

    /// Returns a waker that counts how often it is woken.
    fn counting_waker() -> (Waker, Arc<std::sync::atomic::AtomicUsize>) {
        struct Count(Arc<std::sync::atomic::AtomicUsize>);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::default();
        (Waker::from(Arc::new(Count(Arc::clone(&count)))), count)
    }

    fn text(text: &str) -> SharedFrame {
        SharedFrame::text(text.as_bytes())
    }

    #[test]
    fn commands_are_taken_in_order() {
        let mailbox = Mailbox::for_test(1000);
        assert!(!mailbox.has_commands());
        mailbox.push(&text("a")).unwrap();
        mailbox.push(&text("b")).unwrap();
        assert!(mailbox.has_commands());
        assert_eq!(take_pushes(&mailbox), [text("a"), text("b")]);
        assert!(!mailbox.has_commands());
    }

    #[test]
    fn a_push_counts_until_it_is_written_and_an_overflow_is_final() {
        let mailbox = Mailbox::for_test(10);
        mailbox.push(&text("123456")).unwrap();
        assert_eq!(take_pushes(&mailbox).len(), 1);
        write(&mailbox, &text("123456"));
        mailbox.push(&text("123456")).unwrap();
        assert_eq!(take_pushes(&mailbox).len(), 1);
        assert_eq!(mailbox.push(&text("12345")), Err(PushError::Overflow));
        assert!(mailbox.take(&mut VecDeque::new()), "the connection's task sees the overflow");
        write(&mailbox, &text("123456"));
        let missing = "one push is missing, so no other may follow";
        assert_eq!(mailbox.push(&text("1")), Err(PushError::Overflow), "{missing}");
    }

    #[test]
    fn pushes_in_flight_may_exceed_the_burst_limit_of_a_reader_that_reads() {
        let mailbox = Mailbox::for_test(1000);
        let push = |in_flight| mailbox.push_in_flight(&text(&"x".repeat(400)), in_flight);
        push(0).unwrap();
        push(0).unwrap();
        assert!(mailbox.holds_senders() && mailbox.is_overrun_by(mailbox.pushed()));
        push(1000).unwrap();
        let start = Instant::now();
        mailbox.check_pace(start, Duration::from_secs(9));
        mailbox.check_pace(start + Duration::from_secs(9), Duration::from_secs(9));
        assert_eq!(push(1000), Err(PushError::Overflow), "it does not read");
    }

    #[test]
    fn a_queued_push_costs_its_place_too() {
        let mailbox = Mailbox::for_test(1000);
        let accepted = (0..1000).take_while(|_| mailbox.push(&text("1")).is_ok()).count();
        assert!((5..50).contains(&accepted), "{accepted}");
    }

    #[test]
    fn a_single_push_may_exceed_the_bound() {
        assert_eq!(Mailbox::for_test(1).push(&text("12345")), Ok(Pushed::Posted));
    }

    #[test]
    fn nothing_is_pushed_before_the_hello() {
        let mailbox = Mailbox::new(PushLimits { burst: 10, sustained: 10 }, Opening::BeforeHello);
        assert_eq!(mailbox.push(&text("1")), Err(PushError::NotOpen));
        mailbox.set_opening(Opening::Hook);
        assert_eq!(mailbox.push(&text("1")), Ok(Pushed::Posted));
    }

    #[test]
    fn the_holds_of_a_sender_can_be_ended_for_good() {
        let mailbox = Mailbox::for_test(10);
        let part = mailbox.begin_hold();
        let (waker, count) = counting_waker();
        assert!(part.is_some() && mailbox.poll_held(&mut Context::from_waker(&waker)).is_pending());
        mailbox.end_holds();
        assert_eq!(count.load(Ordering::Relaxed), 1, "what waits is woken");
        assert!(!mailbox.is_held() && mailbox.begin_hold().is_none());
    }

    #[test]
    fn a_log_that_others_fill_as_fast_as_it_is_written_is_left_to_a_later_write() {
        let mailbox = Mailbox::for_test(1000);
        let mut buffer = FrameBuffer::default();
        buffer.push(&text("a"));
        let mut writes = 0;
        let end = loop {
            writes += 1;
            mailbox.lock().log.push(&text("another"));
            let mut progress = WriteProgress::of(&buffer);
            let len = buffer.len();
            buffer.advance(len);
            progress.finish(&buffer);
            match mailbox.finish_write(&mut buffer, progress, writes) {
                WriteEnd::More => {}
                end => break end,
            }
        };
        assert_eq!((end, writes), (WriteEnd::Rest, MAX_WRITES));
        assert!(!mailbox.lock().writing && !mailbox.lock().log.is_empty());
    }

    #[test]
    fn after_a_failed_write_nothing_more_is_written() {
        let mailbox = Mailbox::for_test(1000);
        let mut buffer = FrameBuffer::default();
        buffer.push(&text("a"));
        assert_eq!(mailbox.end_turn(None, &mut buffer, false, false), TurnEnd::Write);
        mailbox.fail_write(Some(io::ErrorKind::BrokenPipe.into()));
        mailbox.lock().log.push(&text("b"));
        assert_eq!(mailbox.flush().written, 0);
        assert_eq!(mailbox.begin_turn().error.map(|error| error.kind()), Some(io::ErrorKind::BrokenPipe));
        let mut buffer = FrameBuffer::default();
        buffer.push(&text("c"));
        assert_eq!(mailbox.end_turn(None, &mut buffer, false, false), TurnEnd::Waits);
        // Nobody writes, so the task may end the connection.
        assert!(mailbox.poll_take_log(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    #[test]
    fn an_empty_log_has_no_memory() {
        let mailbox = Mailbox::for_test(1000);
        let log_capacity = || mailbox.lock().log.capacity();
        // The buffer of the task, which has memory that it keeps.
        let mut buffer = FrameBuffer::default();
        let write = |buffer: &mut FrameBuffer| {
            let mut progress = WriteProgress::of(buffer);
            let len = buffer.len();
            buffer.advance(len);
            progress.finish(buffer);
            mailbox.finish_write(buffer, progress, 1)
        };
        mailbox.begin_turn();
        buffer.push(&text("a response"));
        mailbox.lock().log.push(&text("a push before the turn"));
        assert_eq!(mailbox.end_turn(None, &mut buffer, false, false), TurnEnd::Write);
        assert_eq!(log_capacity(), 0);
        mailbox.lock().log.push(&text("a push during the write"));
        assert_eq!(write(&mut buffer), WriteEnd::More);
        assert_eq!(log_capacity(), 0);
        assert_ne!(write(&mut buffer), WriteEnd::More);
        mailbox.lock().log.push(&text("what a blocked socket did not accept"));
        assert!(mailbox.resume_write(&mut buffer));
        assert_eq!(log_capacity(), 0);
    }

    #[test]
    fn a_closed_mailbox_accepts_nothing() {
        let mailbox = Mailbox::for_test(10);
        mailbox.push(&text("a")).unwrap();
        mailbox.close();
        assert_eq!(mailbox.push(&text("b")), Err(PushError::Ended));
        mailbox.post(Command::Stop);
        assert!(take_pushes(&mailbox).is_empty());
    }
}
