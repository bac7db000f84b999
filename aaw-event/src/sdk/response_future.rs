//! The future of a host operation that a handler awaits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::error::{Error, Result};
use crate::handles::PendingHostOp;

/// The future of a client call or another host operation, as returned by [`Ws::send_async`](crate::Ws::send_async).
///
/// The operation begins when the future is first polled, so `.await` it or spawn it. **Dropping the future cancels the
/// operation**: a client that was called receives a cancellation. Polled after it was ready, it stays pending.
#[must_use = "nothing is sent until this is awaited"]
pub struct ResponseFuture<T> {
    state: ResponseState,
    parse: fn(&[u8]) -> Result<T>,
    is_client_call: bool,
}

enum ResponseState {
    Pending(PendingHostOp),
    /// The operation could not begin.
    Failed(Error),
    Done,
}

impl<T> ResponseFuture<T> {
    pub(super) fn new(op: PendingHostOp, parse: fn(&[u8]) -> Result<T>) -> Self {
        Self { state: ResponseState::Pending(op), parse, is_client_call: false }
    }

    pub(super) fn failed(error: Error, parse: fn(&[u8]) -> Result<T>) -> Self {
        Self { state: ResponseState::Failed(error), parse, is_client_call: false }
    }

    /// Marks the operation as a client call, whose failure is not the caller's.
    pub(super) fn of_client_call(self) -> Self {
        Self { is_client_call: true, ..self }
    }

    fn convert(&self, result: Result<T>) -> Result<T> {
        if self.is_client_call { result.map_err(Error::into_client_call_error) } else { result }
    }
}

impl<T> Future for ResponseFuture<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.state, ResponseState::Done) {
            ResponseState::Pending(mut op) => match op.poll(cx) {
                Poll::Ready(result) => {
                    let result = result.map_err(Error::from_failure).and_then(|json| (self.parse)(&json));
                    Poll::Ready(self.convert(result))
                }
                Poll::Pending => {
                    self.state = ResponseState::Pending(op);
                    Poll::Pending
                }
            },
            ResponseState::Failed(error) => Poll::Ready(self.convert(Err(error))),
            ResponseState::Done => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for ResponseFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
