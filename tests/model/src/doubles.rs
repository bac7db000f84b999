//! What stands for locks, the runtime and a socket.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};

use shuttle::sync::Condvar;

use sync::{Arc, Mutex};

pub(crate) mod sync {
    //! The names that the code imports from `std::sync`.

    pub(crate) use std::sync::{Arc, OnceLock, PoisonError};

    pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic};
}

/// The runtime.
#[derive(Debug)]
pub(crate) struct Handle;

impl Handle {
    pub(crate) fn current() -> Self {
        Self
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(shuttle::future::spawn(future));
    }
}

/// The server's end of a socket, whose buffer has few bytes, and the client's.
#[derive(Debug)]
pub(crate) struct OwnedWriteHalf {
    state: Mutex<SocketState>,
    arrived: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct SocketState {
    buffer: VecDeque<u8>,
    /// The task that waits until the buffer has space.
    waker: Option<Waker>,
    closed: bool,
}

impl OwnedWriteHalf {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(SocketState::default()), arrived: Condvar::new(), capacity })
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock().expect("no panic");
        assert!(!state.closed, "a write after the end");
        let len = bytes.len().min(self.capacity - state.buffer.len());
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.buffer.extend(&bytes[..len]);
        self.arrived.notify_one();
        Ok(len)
    }

    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write(slices.first().map_or(&[], |slice| slice))
    }

    pub(crate) fn poll_write_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock().expect("no panic");
        if state.buffer.len() < self.capacity {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn close(&self) {
        self.state.lock().expect("no panic").closed = true;
        self.arrived.notify_one();
    }

    /// Waits for bytes and takes all that are there; none at the end.
    pub(crate) fn read(&self) -> Vec<u8> {
        let mut state = self.state.lock().expect("no panic");
        while state.buffer.is_empty() && !state.closed {
            state = self.arrived.wait(state).expect("no panic");
        }
        let bytes = state.buffer.drain(..).collect();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        bytes
    }
}
