//! What a handler awaits of the server.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::error::{Error, Result};
use crate::module::Asking;

/// Something that was asked for, to be awaited: what [`Ws::send_async`](crate::Ws::send_async) and its like give.
///
/// It begins when it is first polled, so `.await` it or spawn it. **Dropping it gives it up**: a client that was asked is
/// told to stop. Polled after its end it stays pending.
#[must_use = "nothing is asked until this is awaited"]
pub struct ResponseFuture<T> {
    state: State,
    read: fn(&[u8]) -> Result<T>,
}

enum State {
    Host(Asking),
    /// Known already.
    Done(Result<Vec<u8>>),
    Over,
}

impl<T> ResponseFuture<T> {
    pub(super) fn by_host(asking: Asking, read: fn(&[u8]) -> Result<T>) -> Self {
        Self { state: State::Host(asking), read }
    }

    /// `said` is JSON.
    pub(super) fn done(said: Result<Vec<u8>>, read: fn(&[u8]) -> Result<T>) -> Self {
        Self { state: State::Done(said), read }
    }
}

impl<T> Future for ResponseFuture<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let said = match std::mem::replace(&mut self.state, State::Over) {
            State::Host(mut asking) => match asking.poll(cx) {
                Poll::Ready(said) => said.map_err(Error::told),
                Poll::Pending => {
                    self.state = State::Host(asking);
                    return Poll::Pending;
                }
            },
            State::Done(said) => said,
            State::Over => return Poll::Pending,
        };
        Poll::Ready(said.and_then(|said| (self.read)(&said)))
    }
}

impl<T> fmt::Debug for ResponseFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
