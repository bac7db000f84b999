//! What a caller streams to its handler, between the connection's task and the handler's.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aaw_event::host::{UploadSource, UploadStep};
use aaw_protocol::server::CallKey;
use aaw_protocol::{Code, Failure};
use futures_util::task::AtomicWaker;

use crate::hub::mailbox::Mail;
use crate::hub::table::Peer;

/// While more bytes of one upload wait than this, its caller is given no more room.
const PATIENT: usize = 1 << 20;

/// A caller's stream: filled by the connection's task, emptied by the handler. How much may wait, the session says: it
/// takes no item that was given no room.
pub(super) struct Upload {
    peer: Arc<Peer>,
    /// Items that the handler has room for at a time.
    window: u64,
    queue: Mutex<Queue>,
    waker: AtomicWaker,
}

/// The connection's end of an upload, held for as long as its call is open. Dropped, it tells whoever has taken the
/// stream out of the call, into a task of its own, that nothing more comes: nobody else would ever wake that task.
pub(super) struct Uploading(Arc<Upload>);

#[derive(Default)]
struct Queue {
    /// The call, once it goes on past its first poll.
    key: Option<CallKey>,
    items: VecDeque<Box<str>>,
    bytes: usize,
    /// Items that the handler has taken.
    taken: u64,
    /// Items that the caller was given room for in all.
    granted: u64,
    ended: bool,
    /// The call is over, with or without that.
    call_over: bool,
}

impl Uploading {
    pub(super) fn new(peer: Arc<Peer>, window: u64) -> Self {
        let queue = Mutex::new(Queue { granted: window, ..Queue::default() });
        Self(Arc::new(Upload { peer, window, queue, waker: AtomicWaker::new() }))
    }

    /// The handler's end.
    pub(super) fn incoming(&self) -> &Arc<Upload> {
        &self.0
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.lock().call_over = true;
        self.0.waker.wake();
    }
}

impl Upload {
    /// The caller is given room for a window of items.
    pub(super) fn begin(&self, key: CallKey) {
        self.lock().key = Some(key);
    }

    /// The caller's next item.
    pub(super) fn push(&self, item: &str) {
        let mut queue = self.lock();
        queue.bytes += item.len();
        queue.items.push_back(item.into());
        drop(queue);
        self.waker.wake();
    }

    /// The caller has ended its stream.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UploadSource for Upload {
    fn poll_next(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<UploadStep> {
        self.waker.register(cx.waker());
        let mut queue = self.lock();
        let Some(item) = queue.items.pop_front() else {
            return match *queue {
                Queue { ended: true, .. } => Poll::Ready(UploadStep::End),
                Queue { call_over: true, .. } => {
                    let error = "The call is over, and its caller sends no more";
                    Poll::Ready(UploadStep::Failed(Failure::new(Code::CANCELLED, error)))
                }
                _ => Poll::Pending,
            };
        };
        queue.bytes -= item.len();
        queue.taken += 1;
        let is_due = queue.granted - queue.taken <= self.window / 2 && queue.bytes < PATIENT;
        let granted = queue.taken + self.window;
        if is_due {
            queue.granted = granted;
        }
        let key = queue.key.filter(|_| is_due);
        if queue.items.is_empty() {
            // A burst leaves no memory behind.
            queue.items.shrink_to(16);
        }
        drop(queue);
        if let Some(key) = key {
            self.peer.outbox.post(Mail::Room(key, granted));
        }
        out.extend_from_slice(item.as_bytes());
        Poll::Ready(UploadStep::Item)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").finish_non_exhaustive()
    }
}
