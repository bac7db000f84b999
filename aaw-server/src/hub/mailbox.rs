//! What waits for a connection's task: pushes, outcomes of calls that ran elsewhere, the order to stop.
//!
//! Anyone may put something in, from any thread; the one task that owns the socket takes it out. Pushes are bounded in
//! bytes, from being put in until they have left for the socket, and so are questions, until the session has them;
//! outcomes are bounded by the calls that run.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use aaw_protocol::server::{CallKey, ClientCallKey, Completion};
use aaw_protocol::{Code, Failure};
use bytes::Bytes;
use futures_util::task::AtomicWaker;

use crate::auth::Session;
use crate::connection::Batch;
use crate::hub::client_calls::{self, Question};

/// Something for the connection's task.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A whole frame that nobody asked for: an event, a broadcast.
    Push(Bytes),
    /// A call that ran elsewhere is done.
    Completion(CallKey, Vec<u8>, Completion),
    /// A stream that runs elsewhere has yielded.
    Items(CallKey, Batch),
    /// A handler has room for its caller's items up to this one.
    Room(CallKey, u64),
    /// Something to ask the client. In a box: it is larger than the others, and rarer.
    Ask(Box<Question>),
    /// Nobody waits for the answer any more.
    CancelAsk(ClientCallKey),
    /// `_open` has run.
    OpenInfo(Result<(), Failure>),
    /// A session that the connection has, or had, is over.
    #[cfg_attr(not(feature = "auth"), expect(dead_code, reason = "there are none"))]
    SessionEnded(Arc<Session>),
    /// No new calls; end when those that run are done.
    Drain,
    /// End now.
    Stop,
}

/// Why a push was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The connection has ended.
    Gone,
    /// Too many bytes wait: the connection is being closed for it.
    Full,
}

/// One connection's incoming mail.
#[derive(Debug)]
pub(crate) struct Outbox {
    mail: Mutex<Queue>,
    /// Whether there may be mail, so that the task's hot path takes no lock to find out that there is none.
    any: AtomicBool,
    waker: AtomicWaker,
    /// Bytes of pushes that were put in and have not left for the socket.
    pushed: AtomicUsize,
    /// What they may be at all. What they may be for long, the connection's task watches: it knows whether they wait for
    /// the client or for the task's own turn.
    most_pushed: usize,
}

#[derive(Debug, Default)]
struct Queue {
    mail: VecDeque<Mail>,
    /// Nothing is taken any more.
    closed: bool,
    overflown: bool,
}

impl Outbox {
    pub(crate) fn new(most_pushed: usize) -> Self {
        Self {
            mail: Mutex::default(),
            any: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            pushed: AtomicUsize::new(0),
            most_pushed,
        }
    }

    /// Puts in a frame that nobody asked for. Never waits.
    pub(crate) fn push(&self, frame: Bytes) -> Result<(), NotTaken> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(if queue.overflown { NotTaken::Full } else { NotTaken::Gone });
        }
        let cost = cost(frame.len());
        let waiting = self.pushed.fetch_add(cost, Ordering::Relaxed);
        // One frame always fits, so that a bound below the message limit does not make messages impossible.
        if waiting > 0 && waiting + cost > self.most_pushed {
            queue.closed = true;
            queue.overflown = true;
        } else {
            queue.mail.push_back(Mail::Push(frame));
        }
        let overflown = queue.overflown;
        drop(queue);
        self.wake();
        if overflown { Err(NotTaken::Full) } else { Ok(()) }
    }

    /// Puts in something to ask the client. Never waits. Unlike a push it costs nobody the connection when there is no
    /// room: whoever asks hears that.
    pub(crate) fn ask(&self, question: Box<Question>) -> Result<(), Failure> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(client_calls::ended());
        }
        let cost = cost(question.len());
        let waiting = self.pushed.fetch_add(cost, Ordering::Relaxed);
        if waiting > 0 && waiting + cost > self.most_pushed {
            self.pushed.fetch_sub(cost, Ordering::Relaxed);
            return Err(Failure::new(Code::BUSY, "The client does not read what it is sent"));
        }
        queue.mail.push_back(Mail::Ask(question));
        drop(queue);
        self.wake();
        Ok(())
    }

    /// Puts in whatever is not a push. Once the connection has ended it is dropped.
    pub(crate) fn post(&self, mail: Mail) {
        let mut queue = self.lock();
        if queue.closed && !queue.overflown {
            return;
        }
        queue.mail.push_back(mail);
        drop(queue);
        self.wake();
    }

    /// Wakes this when there is mail. To be called before looking for mail.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Whether [`take`](Self::take) may find something.
    pub(crate) fn has_mail(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Moves all mail into `into`, in order. True if pushes have overflown.
    pub(crate) fn take(&self, into: &mut VecDeque<Mail>) -> bool {
        let mut queue = self.lock();
        self.any.store(false, Ordering::Release);
        if into.is_empty() {
            std::mem::swap(into, &mut queue.mail);
        } else {
            into.append(&mut queue.mail);
        }
        queue.overflown
    }

    /// Bytes of pushes that wait, with what each takes besides its text.
    pub(crate) fn pushed(&self) -> usize {
        self.pushed.load(Ordering::Relaxed)
    }

    /// A push of so many bytes has left for the socket.
    pub(crate) fn pushed_out(&self, len: usize) {
        self.pushed.fetch_sub(cost(len), Ordering::Relaxed);
    }

    /// Takes nothing from now on, and forgets what is in.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.overflown = false;
        queue.mail = VecDeque::new();
    }

    fn wake(&self) {
        // Only the first since the task last looked wakes it: a burst costs one wake-up.
        if !self.any.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a push takes while it waits: its text, and its places in queues, so that many small ones are bounded too.
fn cost(len: usize) -> usize {
    len + size_of::<Mail>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(outbox: &Outbox) -> Vec<Bytes> {
        let mut mail = VecDeque::new();
        outbox.take(&mut mail);
        mail.into_iter().filter_map(|mail| if let Mail::Push(frame) = mail { Some(frame) } else { None }).collect()
    }

    #[test]
    fn mail_is_taken_in_order() {
        let outbox = Outbox::new(1000);
        assert!(!outbox.has_mail());
        outbox.push("a".into()).unwrap();
        outbox.push("b".into()).unwrap();
        assert!(outbox.has_mail());
        assert_eq!(frames(&outbox), ["a", "b"]);
        assert!(!outbox.has_mail());
    }

    #[test]
    fn what_has_been_taken_counts_until_it_has_left() {
        let outbox = Outbox::new(cost(10));
        outbox.push("123456".into()).unwrap();
        assert_eq!(frames(&outbox).len(), 1);
        outbox.pushed_out(6);
        outbox.push("123456".into()).unwrap();
        assert_eq!(frames(&outbox).len(), 1);
        assert_eq!(outbox.push("12345".into()), Err(NotTaken::Full));
        assert!(outbox.take(&mut VecDeque::new()), "the task learns that it has overflown");
        outbox.pushed_out(6);
        assert_eq!(outbox.push("1".into()), Err(NotTaken::Full), "there is a gap now, so nothing more goes out");
    }

    #[test]
    fn one_frame_of_any_size_fits() {
        assert_eq!(Outbox::new(1).push("12345".into()), Ok(()));
    }

    #[test]
    fn an_ended_connection_takes_nothing() {
        let outbox = Outbox::new(10);
        outbox.push("a".into()).unwrap();
        outbox.close();
        assert_eq!(outbox.push("b".into()), Err(NotTaken::Gone));
        outbox.post(Mail::Stop);
        assert!(frames(&outbox).is_empty());
    }
}
