//! Runs a future in the server's runtime, whichever thread polls it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// A future that enters the server's runtime whenever it is polled and when it is dropped. A loaded module does both on
/// threads of its own, where tokio's timers and `spawn` would not find the runtime.
pub(super) struct InRuntime<F> {
    runtime: Option<Handle>,
    /// `None` once completed. An `Option`, so that the future can be dropped while the runtime is entered.
    future: Option<F>,
}

impl<F> InRuntime<F> {
    pub(super) fn new(runtime: Option<Handle>, future: F) -> Self {
        Self { runtime, future: Some(future) }
    }
}

impl<F: Future + Unpin> Future for InRuntime<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { runtime, future } = &mut *self;
        let _entered = runtime.as_ref().map(Handle::enter);
        let Some(running) = future else { return Poll::Pending };
        let polled = Pin::new(running).poll(cx);
        if polled.is_ready() {
            *future = None;
        }
        polled
    }
}

impl<F> Drop for InRuntime<F> {
    fn drop(&mut self) {
        let _entered = self.runtime.as_ref().map(Handle::enter);
        self.future = None;
    }
}
