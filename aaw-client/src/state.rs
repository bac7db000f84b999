//! How the connection is doing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use aaw_protocol::Failure;
use aaw_protocol::client::{DisconnectReason, ProtocolWarning};
use futures_util::Stream;
use tokio::sync::watch;

use crate::inbox::Inbox;
use crate::{ConnectError, SendError};

/// How the connection is doing now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It is being made.
    Connecting,
    /// It can be used.
    Open {
        /// The server's id of this connection, as its handlers and its log have it. The original server tells none.
        connection: Option<Arc<str>>,
    },
    /// There is none, and the next attempt will be made soon.
    Waiting,
    /// The client was closed, by [`Client::close`](crate::Client::close) or by dropping it. It stays so.
    Closed,
}

/// Something that happened to the connection: what the JavaScript client calls `open`, `close`, `unauthorized` and `error`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// It can be used, for the first time or again.
    Open {
        /// The server's id of this connection. The original server tells none.
        connection: Option<Arc<str>>,
    },
    /// It is gone. Another attempt follows, unless the client itself was closed.
    Close(DisconnectReason),
    /// The server does not know this client's session any more, for this reason: its token was not taken on a new
    /// connection, or the session was ended elsewhere. The token is forgotten; protected events want a new
    /// [`login`](crate::Client::login).
    Unauthorized(Failure),
    /// Something went wrong that ends neither a call nor the connection.
    Error(ClientWarning),
}

/// What a [`ConnectionEvent::Error`] is about.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientWarning {
    /// An attempt to connect failed. Another follows.
    #[error(transparent)]
    Connect(ConnectError),
    /// The server could not take something which nobody waits for: a send to an event that is not there, mostly.
    #[error("the server says: {0}")]
    Reported(Failure),
    /// The server sent something that makes no sense. It was ignored.
    #[error("{0}")]
    Nonsense(String),
    /// Something sent while there was no connection cannot be sent on this one.
    #[error("something sent while there was no connection is lost: {0}")]
    SendLost(SendError),
}

impl From<ProtocolWarning> for ClientWarning {
    fn from(problem: ProtocolWarning) -> Self {
        match problem {
            ProtocolWarning::Reported(failure) => Self::Reported(failure),
            ProtocolWarning::SendLost(why) => Self::SendLost(why.into()),
            other => Self::Nonsense(other.to_string()),
        }
    }
}

/// What happens to the connection from now on: a stream of [`ConnectionEvent`]s, from
/// [`Client::connection_events`](crate::Client::connection_events).
///
/// It ends with the client, and holds at most [`push_buffer`](crate::Config::push_buffer) changes that were not read
/// yet; of more, the oldest are [lost](Self::lost).
#[derive(Debug)]
pub struct ConnectionEvents(Arc<Inbox<ConnectionEvent>>);

impl ConnectionEvents {
    /// How many changes were lost so far, because they came faster than they were read.
    pub fn lost(&self) -> u64 {
        self.0.lost()
    }

    /// The next change, `None` when the client has ended. Dropping the future loses nothing.
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

/// The state, and who watches it.
#[derive(Debug)]
pub(crate) struct Watched {
    state: watch::Sender<State>,
    /// `None` once the client has ended.
    watchers: Mutex<Option<Vec<Arc<Inbox<ConnectionEvent>>>>>,
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self { state: watch::Sender::new(State::Connecting), watchers: Mutex::new(Some(Vec::new())) }
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    pub(crate) async fn closed(&self) {
        // An error would mean that the sender is gone, and it is `self`.
        let _ = self.state.subscribe().wait_for(|state| *state == State::Closed).await;
    }

    pub(crate) fn watch(&self, capacity: usize) -> ConnectionEvents {
        let inbox = Inbox::new(capacity);
        match &mut *self.watchers.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(watchers) => watchers.push(inbox.clone()),
            None => inbox.end(),
        }
        ConnectionEvents(inbox)
    }

    pub(crate) fn tell(&self, change: &ConnectionEvent) {
        if let Some(watchers) = &mut *self.watchers.lock().unwrap_or_else(PoisonError::into_inner) {
            // One that was dropped is seen here at the latest: changes are rare, and so are watchers.
            watchers.retain(|watcher| Arc::strong_count(watcher) > 1);
            watchers.iter().for_each(|watcher| watcher.put(change.clone()));
        }
    }

    pub(crate) fn end(&self) {
        self.set(State::Closed);
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner).take();
        watchers.into_iter().flatten().for_each(|watcher| watcher.end());
    }
}
