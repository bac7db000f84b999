//! The state of the connection, and the events that change it.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use aaw_protocol::Failure;
use aaw_protocol::client::{DisconnectReason, ProtocolWarning};
use futures_util::Stream;
use tokio::sync::watch;

use crate::lossy_queue::LossyQueue;
use crate::sync::lock;
use crate::{ConnectError, NoConnection, SendError};

/// The state of a client's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// An attempt to connect is under way.
    Connecting,
    /// The connection is open.
    Open {
        /// The server's id of this connection, as in its log and its handlers. `None` with the original server, which
        /// sends none.
        connection: Option<Arc<str>>,
    },
    /// The socket is gone, and the client is about to resume the connection on another one: calls, streams and the session go
    /// on. If that does not succeed in time, the state is [`Disconnected`](Self::Disconnected).
    Interrupted,
    /// There is no connection. The next attempt follows after the [backoff](crate::Config::backoff).
    /// [`Client::no_connection`](crate::Client::no_connection) returns the reason.
    Disconnected,
    /// The client was closed, by [`Client::close`](crate::Client::close) or because its last handle was dropped. This
    /// state is final.
    Closed,
}

/// An event of the connection. The JavaScript client has the same: `open`, `close`, `interrupted`, `resumed`, `gap`,
/// `unauthorized` and `error`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// The connection is open, for the first time or after a reconnect.
    Open {
        /// The server's id of this connection. `None` with the original server, which sends none.
        connection: Option<Arc<str>>,
    },
    /// The connection has ended. The client reconnects, unless it was closed.
    Close(DisconnectReason),
    /// The socket is gone, and the connection is not: [`Resumed`](Self::Resumed) follows, or [`Close`](Self::Close) if the
    /// connection could not be resumed in time.
    Interrupted(DisconnectReason),
    /// The connection goes on over another socket. Open calls, streams and the session have noticed nothing.
    Resumed,
    /// The server has dropped pushes while the client was away.
    Gap {
        /// The number of pushes.
        lost: u64,
    },
    /// The session has ended, for this reason: the server did not accept the token on a new connection, or the session
    /// was ended elsewhere. The client has forgotten the token; protected events need a new
    /// [`login`](crate::Client::login).
    Unauthorized(Failure),
    /// A problem that ends neither a call nor the connection.
    Error(ClientWarning),
}

/// The problem of a [`ConnectionEvent::Error`].
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientWarning {
    /// An attempt to connect failed. Another follows.
    #[error(transparent)]
    Connect(ConnectError),
    /// The server reported an error for a message that has no response, usually a one-way send of an unknown name.
    #[error("the server reported: {0}")]
    Reported(Failure),
    /// The server sent a message that violates the protocol. It was ignored.
    #[error("{0}")]
    BadMessage(String),
    /// A one-way send that was queued while there was no connection cannot be sent on this one, and was dropped.
    #[error("a one-way send that waited for the connection was dropped: {0}")]
    SendLost(SendError),
}

impl From<ProtocolWarning> for ClientWarning {
    fn from(warning: ProtocolWarning) -> Self {
        match warning {
            ProtocolWarning::Reported(failure) => Self::Reported(failure),
            ProtocolWarning::SendLost(reason) => Self::SendLost(SendError::new(reason, None)),
            other => Self::BadMessage(other.to_string()),
        }
    }
}

/// The events of the connection from the subscription on: a stream of [`ConnectionEvent`]s, from
/// [`Client::connection_events`](crate::Client::connection_events).
///
/// It ends when the client has ended. It buffers at most [`push_buffer`](crate::Config::push_buffer) unread events (256
/// by default); beyond that the oldest are [dropped](Self::dropped).
#[derive(Debug)]
pub struct ConnectionEvents(Arc<LossyQueue<ConnectionEvent>>);

impl ConnectionEvents {
    /// The number of events dropped so far because the buffer was full.
    pub fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// Waits for the next event. Returns `None` when the client has ended.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: dropping the future loses no event.
    pub async fn next(&mut self) -> Option<ConnectionEvent> {
        std::future::poll_fn(|cx| self.0.poll_next(cx)).await
    }
}

impl Stream for ConnectionEvents {
    type Item = ConnectionEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        self.0.poll_next(cx)
    }
}

/// The current state, and the subscribers to events. Written by the driver, read by the handles.
#[derive(Debug)]
pub(crate) struct ConnectionStatus {
    state: watch::Sender<ConnectionState>,
    /// What is known about the last connection and the attempts since. Read only while none is open.
    no_connection: Mutex<Arc<NoConnection>>,
    /// `None` once the client has ended.
    subscribers: Mutex<Option<Vec<Arc<LossyQueue<ConnectionEvent>>>>>,
}

impl ConnectionStatus {
    pub(crate) fn new() -> Self {
        Self {
            state: watch::Sender::new(ConnectionState::Connecting),
            no_connection: Mutex::default(),
            subscribers: Mutex::new(Some(Vec::new())),
        }
    }

    pub(crate) fn state(&self) -> ConnectionState {
        self.state.borrow().clone()
    }

    pub(crate) fn set_state(&self, state: ConnectionState) {
        self.state.send_replace(state);
    }

    /// Why there is no connection. `None` while one is open.
    pub(crate) fn no_connection(&self) -> Option<Arc<NoConnection>> {
        match &*self.state.borrow() {
            ConnectionState::Open { .. } => None,
            _ => Some(lock(&self.no_connection).clone()),
        }
    }

    /// The open connection was lost.
    pub(crate) fn set_lost(&self, reason: DisconnectReason) {
        *lock(&self.no_connection) = Arc::new(NoConnection { lost: Some(reason), last_attempt: None });
    }

    /// An attempt to connect failed. Returns whether the one before it failed with another error, or not at all.
    pub(crate) fn set_attempt_failed(&self, error: ConnectError) -> bool {
        let mut no_connection = lock(&self.no_connection);
        let is_new = no_connection.last_attempt.as_ref() != Some(&error);
        let lost = no_connection.lost.clone();
        *no_connection = Arc::new(NoConnection { lost, last_attempt: Some(error) });
        is_new
    }

    /// Waits until the client has ended.
    pub(crate) async fn closed(&self) {
        // An error would mean that the sender was dropped, but `self` owns it.
        let _ = self.state.subscribe().wait_for(|state| *state == ConnectionState::Closed).await;
    }

    pub(crate) fn subscribe(&self, capacity: usize) -> ConnectionEvents {
        let queue = LossyQueue::new(capacity);
        match &mut *lock(&self.subscribers) {
            Some(subscribers) => subscribers.push(queue.clone()),
            None => queue.close(),
        }
        ConnectionEvents(queue)
    }

    pub(crate) fn emit(&self, event: &ConnectionEvent) {
        if let Some(subscribers) = &mut *lock(&self.subscribers) {
            // Dropped subscribers are removed here and not in a `Drop`: events and subscribers are few.
            subscribers.retain(|subscriber| Arc::strong_count(subscriber) > 1);
            subscribers.iter().for_each(|subscriber| subscriber.push(event.clone()));
        }
    }

    /// Sets the final state and ends all subscriptions.
    pub(crate) fn close(&self) {
        self.set_state(ConnectionState::Closed);
        let subscribers = lock(&self.subscribers).take();
        subscribers.into_iter().flatten().for_each(|subscriber| subscriber.close());
    }
}
