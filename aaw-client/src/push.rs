//! What the server sends unasked, and who listens to it.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;

use crate::DecodeError;
use crate::error::parse;
use crate::inbox::Inbox;

/// Something that the server sent without having been asked: an event and its data. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Push {
    event: Arc<str>,
    data: Arc<str>,
}

impl Push {
    /// The event's name.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The data, as JSON.
    pub fn json(&self) -> &str {
        &self.data
    }

    /// The data as a `T`; as a [`serde_json::Value`] it always fits.
    ///
    /// # Errors
    /// [`DecodeError`] names the field that does not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        parse(&self.data)
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Push({:?}, {})", self.event, self.data)
    }
}

/// The pushes of one event, of several, or of all, in the order in which they came: a stream, from
/// [`Client::on`](crate::Client::on).
///
/// It goes on over reconnects and ends with the client. It holds at most
/// [`push_buffer`](crate::Config::push_buffer) pushes that were not read yet; of more, the oldest are
/// [lost](Self::lost). Dropping it stops listening.
#[derive(Debug)]
pub struct Pushes {
    interest: Interest,
    inbox: Arc<Inbox<Push>>,
    listeners: Arc<Listeners>,
}

impl Pushes {
    /// How many pushes were lost so far, because they came faster than they were read.
    pub fn lost(&self) -> u64 {
        self.inbox.lost()
    }

    /// The next push, `None` when the client has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Push> {
        std::future::poll_fn(|cx| self.inbox.poll_next(cx)).await
    }

    /// The same as a stream of `T`s, each with its own error if it does not fit.
    ///
    /// ```no_run
    /// # use futures_util::StreamExt as _;
    /// # async fn run(client: aaw_client::Client) -> Result<(), aaw_client::DecodeError> {
    /// #[derive(serde::Deserialize)]
    /// struct Price { cents: u64 }
    ///
    /// let mut prices = client.on("price").parsed::<Price>();
    /// while let Some(price) = prices.next().await {
    ///     println!("{}", price?.cents);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn parsed<T: DeserializeOwned>(self) -> impl Stream<Item = Result<T, DecodeError>> + Send + Unpin {
        self.map(|push| push.parse())
    }
}

impl Stream for Pushes {
    type Item = Push;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Push>> {
        self.inbox.poll_next(cx)
    }
}

impl Drop for Pushes {
    fn drop(&mut self) {
        self.listeners.remove(&self.interest, &self.inbox);
    }
}

/// A callback that is called for each push, from [`Client::on_each`](crate::Client::on_each). Dropping it ends that; a
/// call that is under way is finished.
#[derive(Debug)]
#[must_use = "dropping the subscription ends it at once"]
pub struct Subscription(AbortHandle);

impl Subscription {
    pub(crate) fn new(mut pushes: Pushes, mut callback: impl FnMut(Push) + Send + 'static) -> Self {
        let task = tokio::spawn(async move {
            while let Some(push) = pushes.next().await {
                callback(push);
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What one listener listens to.
#[derive(Debug)]
pub(crate) enum Interest {
    Events(Box<[Box<str>]>),
    All,
}

impl Interest {
    pub(crate) fn events<'a>(events: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Events(events.into_iter().map(Into::into).collect())
    }
}

/// Who listens to what.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<Lists>);

#[derive(Debug, Default)]
struct Lists {
    by_event: HashMap<Box<str>, Vec<Arc<Inbox<Push>>>>,
    to_all: Vec<Arc<Inbox<Push>>>,
    ended: bool,
}

impl Listeners {
    pub(crate) fn add(self: &Arc<Self>, interest: Interest, capacity: usize) -> Pushes {
        let inbox = Inbox::new(capacity);
        let mut lists = self.lock();
        match &interest {
            _ if lists.ended => inbox.end(),
            Interest::Events(events) => {
                for event in events {
                    let inboxes = lists.by_event.entry(event.clone()).or_default();
                    // An event that was named twice is heard once.
                    if inboxes.last().is_none_or(|last| !Arc::ptr_eq(last, &inbox)) {
                        inboxes.push(inbox.clone());
                    }
                }
            }
            Interest::All => lists.to_all.push(inbox.clone()),
        }
        Pushes { interest, inbox, listeners: self.clone() }
    }

    fn remove(&self, interest: &Interest, inbox: &Arc<Inbox<Push>>) {
        let mut lists = self.lock();
        match interest {
            Interest::All => lists.to_all.retain(|other| !Arc::ptr_eq(other, inbox)),
            Interest::Events(events) => {
                for event in events {
                    if let Some(inboxes) = lists.by_event.get_mut(event) {
                        inboxes.retain(|other| !Arc::ptr_eq(other, inbox));
                        if inboxes.is_empty() {
                            lists.by_event.remove(event);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn deliver(&self, event: &str, data: &str) {
        let lists = self.lock();
        let of_event = lists.by_event.get(event).map(Vec::as_slice).unwrap_or_default();
        if of_event.is_empty() && lists.to_all.is_empty() {
            return;
        }
        let push = Push { event: event.into(), data: data.into() };
        for inbox in of_event.iter().chain(&lists.to_all) {
            inbox.put(push.clone());
        }
    }

    pub(crate) fn end(&self) {
        let mut lists = self.lock();
        lists.ended = true;
        let Lists { by_event, to_all, .. } = &mut *lists;
        for inbox in by_event.drain().flat_map(|(_, inboxes)| inboxes).chain(to_all.drain(..)) {
            inbox.end();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        // No user code runs with the lock held; a waker that panics leaves whole lists behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
