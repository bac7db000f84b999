//! An upload: the items that a caller streams to its handler, between the connection's task and the handler's.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aaw_event::host::{UploadSource, UploadStep};
use aaw_protocol::server::CallKey;
use aaw_protocol::{Code, Failure};
use futures_util::task::AtomicWaker;

use crate::hub::{Command, Peer};

/// The bytes that one upload may buffer before its caller is granted no more credit.
const MAX_BUFFERED: usize = 1 << 20;

/// The buffered items of an upload: filled by the connection's task, emptied by the handler. It is bounded by the
/// credit that is granted to the caller; `ServerConnection` rejects items beyond it.
pub(super) struct UploadBuffer {
    peer: Arc<Peer>,
    /// The number of items that the caller may be ahead of the handler.
    window: u64,
    state: Mutex<UploadState>,
    waker: AtomicWaker,
}

/// The connection's end of an upload, kept while its call runs. Dropping it ends the upload for a handler that has
/// moved it into a task of its own: nothing else would wake that task.
pub(super) struct UploadWriter(Arc<UploadBuffer>);

#[derive(Default)]
struct UploadState {
    /// The call's key, once the call is pending. Before, no credit can be granted.
    key: Option<CallKey>,
    items: VecDeque<Box<str>>,
    bytes: usize,
    /// The number of items that the handler has taken.
    taken: u64,
    /// The number of items that the caller was granted in all.
    granted: u64,
    /// The caller has ended the upload.
    ended: bool,
    /// The call has completed, whether or not the upload has ended.
    call_completed: bool,
}

impl UploadWriter {
    pub(super) fn new(peer: Arc<Peer>, window: u64) -> Self {
        let state = Mutex::new(UploadState { granted: window, ..UploadState::default() });
        Self(Arc::new(UploadBuffer { peer, window, state, waker: AtomicWaker::new() }))
    }

    /// Returns the handler's end.
    pub(super) fn buffer(&self) -> &Arc<UploadBuffer> {
        &self.0
    }

    /// Starts to grant credit for the call with this key.
    pub(super) fn start(&self, key: CallKey) {
        self.0.lock().key = Some(key);
    }

    /// Buffers the caller's next item.
    pub(super) fn push(&self, item: &str) {
        let mut state = self.0.lock();
        state.bytes += item.len();
        state.items.push_back(item.into());
        drop(state);
        self.0.waker.wake();
    }

    /// Ends the upload, as its caller has done.
    pub(super) fn end(&self) {
        self.0.lock().ended = true;
        self.0.waker.wake();
    }
}

impl Drop for UploadWriter {
    fn drop(&mut self) {
        self.0.lock().call_completed = true;
        self.0.waker.wake();
    }
}

impl UploadBuffer {
    fn lock(&self) -> MutexGuard<'_, UploadState> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UploadSource for UploadBuffer {
    fn poll_next(&self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Poll<UploadStep> {
        self.waker.register(cx.waker());
        let mut state = self.lock();
        let Some(item) = state.items.pop_front() else {
            return match *state {
                UploadState { ended: true, .. } => Poll::Ready(UploadStep::End),
                UploadState { call_completed: true, .. } => {
                    let error = "The call has completed, so its caller sends no more items";
                    Poll::Ready(UploadStep::Failed(Failure::new(Code::CANCELLED, error)))
                }
                _ => Poll::Pending,
            };
        };
        state.bytes -= item.len();
        state.taken += 1;
        // Credit is granted when half of the window is used up: one command for many items.
        let is_due = state.granted - state.taken <= self.window / 2 && state.bytes < MAX_BUFFERED;
        let granted = state.taken + self.window;
        if is_due {
            state.granted = granted;
        }
        let key = state.key.filter(|_| is_due);
        if state.items.is_empty() {
            // Releases the memory of a burst.
            state.items.shrink_to(16);
        }
        drop(state);
        if let Some(key) = key {
            self.peer.mailbox.post(Command::UploadCredit(key, granted));
        }
        out.extend_from_slice(item.as_bytes());
        Poll::Ready(UploadStep::Item)
    }
}

impl fmt::Debug for UploadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadBuffer").finish_non_exhaustive()
    }
}
