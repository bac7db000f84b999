//! The mailbox of a connection: the commands for the one task that owns its socket.
//!
//! Any thread may post a command; the connection's task takes them all at once. Everything in a mailbox is bounded:
//! pushes in bytes, from their posting until they have been written to the socket, together with client calls until the
//! connection has started them; completions and items by the calls that are running.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use aaw_protocol::server::{CallKey, ClientCallKey, Completion};
use aaw_protocol::{Code, Failure};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use crate::auth::Session;

/// A command for the connection's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send this whole frame: an event, a broadcast, a room's message.
    Push(Bytes),
    /// A call that ran as a task has completed: its frame, and how it completed.
    Complete(CallKey, Vec<u8>, Completion),
    /// A stream that runs as a task has items.
    StreamItems(CallKey, ItemBatch),
    /// A handler accepts its caller's upload up to this number of items.
    UploadCredit(CallKey, u64),
    /// Call the client. Boxed, because it is larger than the other commands and rarer.
    ClientCall(Box<ClientCallRequest>),
    /// The future that awaits this client call was dropped.
    CancelClientCall(ClientCallKey),
    /// The `_open` hook has completed.
    OpenHookDone(Result<(), Failure>),
    /// A session has ended that the connection has, or had when it started a call that still runs.
    SessionEnded(Arc<Session>),
    /// Accept no new calls, and close when the running ones have completed.
    Drain,
    /// End the streams that still run.
    EndStreams,
    /// Close now.
    Stop,
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

/// Items of a stream as whole frames; and if the stream has ended, the beginning of its last frame and how it ended.
#[derive(Debug, Default)]
pub(crate) struct ItemBatch {
    pub(crate) frames: Vec<Bytes>,
    pub(crate) end: Option<(Vec<u8>, Completion)>,
}

/// Why a push was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushError {
    /// The connection has ended.
    Ended,
    /// The queued pushes exceed their bound, and the connection is being closed for it.
    Overflow,
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Ended => connection_ended(),
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

/// The command queue of one connection.
#[derive(Debug)]
pub(crate) struct Mailbox {
    queue: Mutex<CommandQueue>,
    /// Whether there may be commands, so that the hot path of the connection's task takes no lock when there are none.
    has_commands: AtomicBool,
    waker: AtomicWaker,
    /// The cost of the pushes that have not been written to the socket and of the client calls that have not been
    /// started, see [`cost`].
    pushed: AtomicUsize,
    /// The burst limit of `pushed`. The sustained limit is enforced by the connection's task, which can tell a client
    /// that reads too slowly from a task that has not had its turn yet.
    max_pushed: usize,
}

#[derive(Debug, Default)]
struct CommandQueue {
    commands: VecDeque<Command>,
    /// No push and no client call is accepted any more.
    closed: bool,
    /// It was closed because `max_pushed` was exceeded; the connection's task still receives other commands.
    overflowed: bool,
}

impl Mailbox {
    pub(crate) fn new(max_pushed: usize) -> Self {
        Self {
            queue: Mutex::default(),
            has_commands: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            pushed: AtomicUsize::new(0),
            max_pushed,
        }
    }

    /// Posts a push without waiting. If the pushes then exceed their bound, the mailbox overflows: the connection is
    /// closed, because a client that missed one push must not receive the next.
    pub(crate) fn push(&self, frame: Bytes) -> Result<(), PushError> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(if queue.overflowed { PushError::Overflow } else { PushError::Ended });
        }
        let cost = cost(frame.len());
        let queued = self.pushed.fetch_add(cost, Ordering::Relaxed);
        // One frame always fits, so that a bound below the message limit does not make messages impossible.
        if queued > 0 && queued + cost > self.max_pushed {
            queue.closed = true;
            queue.overflowed = true;
        } else {
            queue.commands.push_back(Command::Push(frame));
        }
        let overflowed = queue.overflowed;
        drop(queue);
        self.wake();
        if overflowed { Err(PushError::Overflow) } else { Ok(()) }
    }

    /// Posts a client call without waiting. Unlike a push, one that does not fit fails alone and does not close the
    /// connection.
    pub(crate) fn client_call(&self, request: Box<ClientCallRequest>) -> Result<(), Failure> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(connection_ended());
        }
        let cost = cost(request.len());
        let queued = self.pushed.fetch_add(cost, Ordering::Relaxed);
        if queued > 0 && queued + cost > self.max_pushed {
            self.pushed.fetch_sub(cost, Ordering::Relaxed);
            return Err(Failure::new(Code::BUSY, "The client reads too slowly"));
        }
        queue.commands.push_back(Command::ClientCall(request));
        drop(queue);
        self.wake();
        Ok(())
    }

    /// Posts any other command. It is dropped if the connection has ended.
    pub(crate) fn post(&self, command: Command) {
        let mut queue = self.lock();
        if queue.closed && !queue.overflowed {
            return;
        }
        queue.commands.push_back(command);
        drop(queue);
        self.wake();
    }

    /// Registers the waker of the connection's task. To be called before [`has_commands`](Self::has_commands).
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Returns whether [`take`](Self::take) may return commands.
    pub(crate) fn has_commands(&self) -> bool {
        self.has_commands.load(Ordering::Acquire)
    }

    /// Appends all commands to `into`, in order. Returns whether the mailbox has overflowed.
    pub(crate) fn take(&self, into: &mut VecDeque<Command>) -> bool {
        let mut queue = self.lock();
        self.has_commands.store(false, Ordering::Release);
        if into.is_empty() {
            std::mem::swap(into, &mut queue.commands);
        } else {
            into.append(&mut queue.commands);
        }
        queue.overflowed
    }

    /// Returns the bytes of the pushes that wait for the socket, including the overhead of each.
    pub(crate) fn pushed(&self) -> usize {
        self.pushed.load(Ordering::Relaxed)
    }

    /// Releases the cost of a push of `len` bytes that was written to the socket, or of a client call that was started.
    pub(crate) fn release(&self, len: usize) {
        self.pushed.fetch_sub(cost(len), Ordering::Relaxed);
    }

    /// Closes the mailbox for good and drops its commands: the connection has ended.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.overflowed = false;
        let commands = std::mem::take(&mut queue.commands);
        drop(queue);
        // Dropping a client call wakes the handler that awaits it, which may run code of a module: not under the lock.
        drop(commands);
    }

    fn wake(&self) {
        // Only the first command since the task last took them wakes it: a burst costs one wake-up.
        if !self.has_commands.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, CommandQueue> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what a queued push of `len` bytes costs: its text, and its place in the queue, so that many small pushes are
/// bounded too.
fn cost(len: usize) -> usize {
    len + size_of::<Command>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_pushes(mailbox: &Mailbox) -> Vec<Bytes> {
        let mut commands = VecDeque::new();
        mailbox.take(&mut commands);
        let frame = |command| if let Command::Push(frame) = command { Some(frame) } else { None };
        commands.into_iter().filter_map(frame).collect()
    }

    #[test]
    fn commands_are_taken_in_order() {
        let mailbox = Mailbox::new(1000);
        assert!(!mailbox.has_commands());
        mailbox.push("a".into()).unwrap();
        mailbox.push("b".into()).unwrap();
        assert!(mailbox.has_commands());
        assert_eq!(take_pushes(&mailbox), ["a", "b"]);
        assert!(!mailbox.has_commands());
    }

    #[test]
    fn a_push_counts_until_it_is_released_and_an_overflow_is_final() {
        let mailbox = Mailbox::new(cost(10));
        mailbox.push("123456".into()).unwrap();
        assert_eq!(take_pushes(&mailbox).len(), 1);
        mailbox.release(6);
        mailbox.push("123456".into()).unwrap();
        assert_eq!(take_pushes(&mailbox).len(), 1);
        assert_eq!(mailbox.push("12345".into()), Err(PushError::Overflow));
        assert!(mailbox.take(&mut VecDeque::new()), "the connection's task sees the overflow");
        mailbox.release(6);
        assert_eq!(mailbox.push("1".into()), Err(PushError::Overflow), "one push is missing, so no other may follow");
    }

    #[test]
    fn a_single_push_may_exceed_the_bound() {
        assert_eq!(Mailbox::new(1).push("12345".into()), Ok(()));
    }

    #[test]
    fn a_closed_mailbox_accepts_nothing() {
        let mailbox = Mailbox::new(10);
        mailbox.push("a".into()).unwrap();
        mailbox.close();
        assert_eq!(mailbox.push("b".into()), Err(PushError::Ended));
        mailbox.post(Command::Stop);
        assert!(take_pushes(&mailbox).is_empty());
    }
}
