//! Calls that the server makes to a client: from the caller to the task of the client's connection, and the response
//! back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aaw_protocol::server::ClientCallKey;
use aaw_protocol::{Failure, clock};
use tokio::sync::oneshot;

use crate::hub::mailbox::{ClientCallRequest, Command, connection_ended};
use crate::hub::peer::Peer;

/// Why a client call returned no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientCallError {
    /// The data cannot be serialized as JSON, for example because a number is NaN. The call was not sent.
    #[error("cannot serialize the data as JSON: {0}")]
    Serialize(#[source] serde_json::Error),
    /// The client's handler failed, or the call was not sent or not responded to; the failure's code tells which.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The response does not have the expected type.
    #[error("the response does not have the expected type: {0}")]
    BadResponse(#[source] serde_json::Error),
}

impl Peer {
    /// Calls the client's handler of `event` with `data`, one JSON value, and waits up to `timeout` for its response;
    /// `Duration::MAX` waits without a limit. The call is queued when this returns, behind everything that was pushed
    /// to the client before. Calls of several clients can share the texts.
    ///
    /// Dropping the future cancels the call, and the client's handler with it.
    ///
    /// # Errors
    /// The failure of the client's handler. `timeout`. `no_connection`, also when the connection ends before the
    /// response. `unreachable` for a client of the classic dialect. `busy` if too many client calls are in flight, or
    /// the client does not read. `too_large`.
    pub(crate) fn client_call(
        self: &Arc<Self>,
        event: impl Into<Arc<str>>,
        data: impl Into<Arc<str>>,
        timeout: Duration,
    ) -> ClientCallFuture {
        /// Counts all connections' calls; a key needs to be unique within its connection only.
        static NEXT_KEY: AtomicU64 = AtomicU64::new(0);
        let key = ClientCallKey(NEXT_KEY.fetch_add(1, Ordering::Relaxed));
        // tokio's clock, which tests can pause.
        let now = tokio::time::Instant::now().into_std();
        let deadline = (timeout != Duration::MAX).then(|| clock::after(now, timeout));
        let (sender, response) = oneshot::channel();
        let request = ClientCallRequest { key, event: event.into(), data: data.into(), deadline, response: sender };
        let refused = self.mailbox.client_call(Box::new(request)).err();
        ClientCallFuture { peer: Arc::clone(self), key, response, refused, completed: false }
    }
}

/// A call to a client, see [`Peer::client_call`]. Dropping it cancels the call.
#[derive(Debug)]
#[must_use = "dropping the future cancels the call"]
pub(crate) struct ClientCallFuture {
    peer: Arc<Peer>,
    key: ClientCallKey,
    response: oneshot::Receiver<Result<Box<str>, Failure>>,
    /// Why the call was not queued.
    refused: Option<Failure>,
    completed: bool,
}

impl Future for ClientCallFuture {
    type Output = Result<Box<str>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(failure) = self.refused.take() {
            self.completed = true;
            return Poll::Ready(Err(failure));
        }
        let response = ready!(Pin::new(&mut self.response).poll(cx));
        self.completed = true;
        Poll::Ready(response.unwrap_or_else(|_| Err(connection_ended())))
    }
}

impl Drop for ClientCallFuture {
    fn drop(&mut self) {
        if !self.completed && self.refused.is_none() {
            // Closed before the command is posted: a call that the connection's task has not started yet is not sent.
            self.response.close();
            self.peer.mailbox.post(Command::CancelClientCall(self.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use aaw_protocol::Code;
    use futures_util::FutureExt as _;

    use super::*;
    use crate::hub::mailbox::Mailbox;

    fn peer() -> Arc<Peer> {
        Peer::new(None, None, Mailbox::for_test(10_000))
    }

    fn take_commands(peer: &Peer) -> VecDeque<Command> {
        let mut commands = VecDeque::new();
        peer.mailbox.take(&mut commands);
        commands
    }

    fn take_call(peer: &Peer) -> Box<ClientCallRequest> {
        match take_commands(peer).pop_front() {
            Some(Command::ClientCall(request)) => request,
            other => panic!("expected a client call, found {other:?}"),
        }
    }

    #[test]
    fn a_call_is_queued_at_once_and_cancelled_when_its_future_is_dropped() {
        let peer = peer();
        let call = peer.client_call("confirm", "1", Duration::MAX);
        let request = take_call(&peer);
        assert_eq!((&*request.event, &*request.data, request.deadline), ("confirm", "1", None));
        drop(call);
        assert!(request.response.is_closed());
        let command = take_commands(&peer).pop_front();
        assert!(matches!(command, Some(Command::CancelClientCall(key)) if key == request.key));
    }

    #[test]
    fn a_completed_call_is_not_cancelled() {
        let peer = peer();
        let mut call = peer.client_call("confirm", "1", Duration::from_secs(1));
        take_call(&peer).response.send(Ok("true".into())).unwrap();
        assert_eq!((&mut call).now_or_never(), Some(Ok("true".into())));
        drop(call);
        assert!(take_commands(&peer).is_empty());
    }

    #[test]
    fn calls_fail_when_the_connection_ends() {
        let peer = peer();
        let before = peer.client_call("confirm", "1", Duration::MAX);
        peer.mailbox.close();
        let after = peer.client_call("confirm", "1", Duration::MAX);
        for call in [before, after] {
            let failure = call.now_or_never().expect("it has completed").unwrap_err();
            assert_eq!(failure.code, Code::NO_CONNECTION);
        }
    }

    #[test]
    fn queued_calls_are_bounded_in_bytes_and_do_not_close_the_connection() {
        let peer = peer();
        let text: Arc<str> = "x".repeat(3000).into();
        let calls: Vec<_> = (0..5).map(|_| peer.client_call("confirm", Arc::clone(&text), Duration::MAX)).collect();
        let completed = calls.into_iter().filter_map(|call| call.now_or_never());
        let codes: Vec<_> = completed.map(|response| response.unwrap_err().code).collect();
        assert_eq!(codes, [Code::BUSY, Code::BUSY]);
        assert!(peer.mailbox.push(&aaw_protocol::websocket::SharedFrame::text(b"news")).is_ok(), "a push still fits");
    }
}
