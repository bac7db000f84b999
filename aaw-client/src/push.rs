//! Pushes, and the listeners that receive them.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use aaw_protocol::hello::GAP;
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;

use crate::DecodeError;
use crate::error::parse;
use crate::lossy_queue::LossyQueue;
use crate::sync::lock;

/// An event that the server sent unasked, with its data. Cheap to clone.
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

    /// Returns how many pushes were lost, if this item stands for such a *gap*: the server keeps a limited number of pushes for a
    /// client whose connection is interrupted, and drops the others. The listeners of all events receive it, since the events
    /// of what was lost are not known.
    pub fn lost(&self) -> Option<u64> {
        #[derive(serde::Deserialize)]
        struct Gap {
            lost: u64,
        }
        if &*self.event != GAP {
            return None;
        }
        self.parse::<Gap>().ok().map(|gap| gap.lost)
    }

    /// Deserializes the data. A [`serde_json::Value`] always fits.
    ///
    /// # Errors
    ///
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

/// The pushes of one event, of several, or of all, in the order in which the server sent them: a stream, from
/// [`Client::on`](crate::Client::on), [`on_any_of`](crate::Client::on_any_of) and [`on_any`](crate::Client::on_any).
///
/// It continues across reconnects and ends when the client has ended. It buffers at most
/// [`push_buffer`](crate::Config::push_buffer) unread pushes (256 by default); beyond that the oldest are
/// [dropped](Self::dropped). Dropping the stream unsubscribes.
#[derive(Debug)]
pub struct Pushes {
    filter: PushFilter,
    queue: Arc<LossyQueue<Push>>,
    listeners: Arc<Listeners>,
}

impl Pushes {
    /// The number of pushes dropped so far because the buffer was full.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Waits for the next push. Returns `None` when the client has ended.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: dropping the future loses no push.
    pub async fn next(&mut self) -> Option<Push> {
        std::future::poll_fn(|cx| self.queue.poll_next(cx)).await
    }

    /// Turns this into a stream of deserialized data. Data that does not fit `T` is an item with an error, and the
    /// stream continues.
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
        self.queue.poll_next(cx)
    }
}

impl Drop for Pushes {
    fn drop(&mut self) {
        self.listeners.remove(&self.filter, &self.queue);
    }
}

/// A callback that is called for each push, from [`Client::on_each`](crate::Client::on_each).
///
/// Dropping it unsubscribes. A callback that is running is finished.
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

/// The events that a listener receives.
#[derive(Debug)]
pub(crate) enum PushFilter {
    Events(Box<[Box<str>]>),
    All,
}

impl PushFilter {
    pub(crate) fn events<'a>(events: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Events(events.into_iter().map(Into::into).collect())
    }
}

/// The queues of all listeners, by the events that they receive.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<ListenerTable>);

#[derive(Debug, Default)]
struct ListenerTable {
    by_event: HashMap<Box<str>, Vec<Arc<LossyQueue<Push>>>>,
    of_all: Vec<Arc<LossyQueue<Push>>>,
    closed: bool,
}

impl Listeners {
    pub(crate) fn add(self: &Arc<Self>, filter: PushFilter, capacity: usize) -> Pushes {
        let queue = LossyQueue::new(capacity);
        let mut table = lock(&self.0);
        match &filter {
            _ if table.closed => queue.close(),
            PushFilter::Events(events) => {
                for event in events {
                    let queues = table.by_event.entry(event.clone()).or_default();
                    // An event that the filter contains twice is received once.
                    if queues.last().is_none_or(|last| !Arc::ptr_eq(last, &queue)) {
                        queues.push(queue.clone());
                    }
                }
            }
            PushFilter::All => table.of_all.push(queue.clone()),
        }
        Pushes { filter, queue, listeners: self.clone() }
    }

    fn remove(&self, filter: &PushFilter, queue: &Arc<LossyQueue<Push>>) {
        let mut table = lock(&self.0);
        match filter {
            PushFilter::All => table.of_all.retain(|other| !Arc::ptr_eq(other, queue)),
            PushFilter::Events(events) => {
                for event in events {
                    if let Some(queues) = table.by_event.get_mut(event) {
                        queues.retain(|other| !Arc::ptr_eq(other, queue));
                        if queues.is_empty() {
                            table.by_event.remove(event);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn deliver(&self, event: &str, data: &str) {
        let table = lock(&self.0);
        let of_event = table.by_event.get(event).map(Vec::as_slice).unwrap_or_default();
        if of_event.is_empty() && table.of_all.is_empty() {
            return;
        }
        let push = Push { event: event.into(), data: data.into() };
        for queue in of_event.iter().chain(&table.of_all) {
            queue.push(push.clone());
        }
    }

    /// Tells all listeners that pushes were lost, whatever their events.
    pub(crate) fn deliver_gap(&self, lost: u64) {
        let table = lock(&self.0);
        let push = Push { event: GAP.into(), data: format!("{{\"lost\":{lost}}}").into() };
        let mut told = Vec::new();
        for queue in table.by_event.values().flatten().chain(&table.of_all) {
            // A listener of several events has its queue in several places.
            if !told.contains(&Arc::as_ptr(queue)) {
                told.push(Arc::as_ptr(queue));
                queue.push(push.clone());
            }
        }
    }

    /// Ends the streams of all listeners, and of those added later.
    pub(crate) fn close(&self) {
        let mut table = lock(&self.0);
        table.closed = true;
        let ListenerTable { by_event, of_all, .. } = &mut *table;
        for queue in by_event.drain().flat_map(|(_, queues)| queues).chain(of_all.drain(..)) {
            queue.close();
        }
    }
}
