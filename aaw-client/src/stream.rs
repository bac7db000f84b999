//! Calls that are read item by item, and calls that send items.

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aaw_protocol::client::{CallKey, DisconnectReason, EncodedMessage, StreamOptions};
use futures_util::future::{Either, select};
use futures_util::{Sink, Stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::coop;

use crate::download_queue::{DownloadQueue, DriverEnd, Next};
use crate::driver::{Command, Urgent};
use crate::error::parse;
use crate::upload_queue::{Tell, UploadQueue};
use crate::{CallError, Client, SendError, UploadError};

/// The items of a call, one after the other: a stream of `Result<T, CallError>`, from
/// [`Client::stream`](crate::Client::stream).
///
/// It ends with `None` after the last item, or with one error and then `None`: what failed, after the items that came
/// before. An item that is no `T` is such an end too, and cancels the call.
///
/// At most [`stream_window`](crate::Config::stream_window) items wait here to be taken. The server's handler is not
/// asked for more until half of them have been, so a reader that pauses lets its handler pause, and nothing else.
///
/// Dropping it cancels the call: the server is told, and drops the handler. The original server does not know how.
/// While it is there and not over, it keeps the connection as a [`Client`](crate::Client) does.
#[must_use = "dropping the stream cancels the call"]
pub struct ItemStream<T> {
    stage: Stage,
    items: PhantomData<fn() -> T>,
}

enum Stage {
    Reading(Reading),
    Failed(CallError),
    Over,
}

/// A stream that is not over. Dropped, it cancels the call.
struct Reading {
    client: Client,
    key: CallKey,
    inlet: Arc<DownloadQueue>,
    window: u64,
    /// Items that were taken, and the room in all that the server knows of.
    taken: u64,
    told: u64,
}

impl<T> ItemStream<T> {
    pub(crate) fn open(
        client: &Client,
        draft: Result<EncodedMessage, SendError>,
        window: u64,
        outlet: Option<Arc<UploadQueue>>,
        key: CallKey,
    ) -> Self {
        let inlet = Arc::new(DownloadQueue::default());
        let options = StreamOptions { window, upload: outlet.is_some() };
        let end = DriverEnd { inlet: inlet.clone(), outlet };
        let stage = match draft {
            Err(why) => Stage::Failed(why.into()),
            Ok(draft) => {
                order(client, inlet.clone(), Command::Stream { key, draft, options, end });
                Stage::Reading(Reading { client: client.clone(), key, inlet, window, taken: 0, told: window })
            }
        };
        Self { stage, items: PhantomData }
    }
}

/// Puts the call in line, in order with those before it. With the line full, that is left to a task, so that nobody must
/// poll for it; the task goes with the stream, so that there are never more of them than of those.
fn order(client: &Client, inlet: Arc<DownloadQueue>, command: Command) {
    match client.commands.try_send(command) {
        Ok(()) => ordered(client.commands.is_closed(), &inlet),
        Err(TrySendError::Closed(command)) => never_sent(command),
        Err(TrySendError::Full(command)) => {
            let commands = client.commands.clone();
            client.runtime.spawn(async move {
                let reader_gone = pin!(poll_fn(|cx| inlet.poll_reader_gone(cx)));
                match select(pin!(commands.reserve()), reader_gone).await {
                    Either::Left((Ok(place), _)) => {
                        place.send(command);
                        ordered(commands.is_closed(), &inlet);
                    }
                    Either::Left((Err(_), _)) => never_sent(command),
                    Either::Right(_) => {}
                }
            });
        }
    }
}

/// If the driver has ended just now, the command may lie where nobody looks any more.
fn ordered(driver_gone: bool, inlet: &DownloadQueue) {
    if driver_gone {
        inlet.end(Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs)));
    }
}

fn never_sent(command: Command) {
    if let Command::Stream { end, .. } = command {
        end.end(Err(SendError::Closed.into()));
    }
}

impl<T: DeserializeOwned> ItemStream<T> {
    /// The next item; `None` after the last, and after an error. It waits as long as it takes, a time-out of one's own
    /// goes around it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`CallError`]: how the stream ended, if not well. It may have done some of its work.
    pub async fn next(&mut self) -> Option<Result<T, CallError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T: DeserializeOwned> Stream for ItemStream<T> {
    type Item = Result<T, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // Items may come faster than they are read, and others want to run as well.
        let coop = ready!(coop::poll_proceed(cx));
        let next = this.stage.poll_next(cx);
        if next.is_ready() {
            coop.made_progress();
        }
        let item = match ready!(next) {
            Some(Ok(json)) => parse(&json).map_err(CallError::BadAnswer),
            Some(Err(error)) => Err(error),
            None => return Poll::Ready(None),
        };
        if item.is_err() {
            this.stage = Stage::Over;
        }
        Poll::Ready(Some(item))
    }
}

impl Stage {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Box<str>, CallError>>> {
        match self {
            Self::Reading(reading) => match ready!(reading.inlet.poll_next(cx)) {
                Next::Item(json) => {
                    reading.took_one();
                    Poll::Ready(Some(Ok(json)))
                }
                Next::End(how) => {
                    *self = Self::Over;
                    Poll::Ready(how.err().map(Err))
                }
            },
            Self::Failed(_) => {
                let Self::Failed(error) = std::mem::replace(self, Self::Over) else { return Poll::Ready(None) };
                Poll::Ready(Some(Err(error)))
            }
            Self::Over => Poll::Ready(None),
        }
    }
}

impl Reading {
    /// Says that there is room again, when half of it is free.
    fn took_one(&mut self) {
        self.taken += 1;
        let room = self.taken + self.window;
        if room - self.told >= (self.window / 2).max(1) {
            self.told = room;
            // If nobody takes it, the end is on its way here.
            let _ = self.client.urgent.send(Urgent::Room { key: self.key, items: room });
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // First this: if the driver has not taken the call yet, it will see that nobody waits, and the message below
        // may then come too early.
        if !self.inlet.leave() {
            let _ = self.client.urgent.send(Urgent::Cancel(self.key));
        }
    }
}

impl<T> fmt::Debug for ItemStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Reading(_) => "open",
            Stage::Failed(_) => "failed",
            Stage::Over => "over",
        };
        write!(f, "ItemStream({stage})")
    }
}

/// Where the items of a call go that sends a stream: from [`Client::duplex`](crate::Client::duplex). It is a
/// [`Sink`] too.
///
/// Dropping it tells the server that there are no more, as [`close`](Self::close) does. The call goes on until its
/// stream ends, or is dropped.
#[must_use = "dropping it ends the upload"]
pub struct UploadSender<T> {
    key: CallKey,
    event: Box<str>,
    outlet: Arc<UploadQueue>,
    /// Weak: it is the stream that keeps the connection.
    urgent: mpsc::WeakUnboundedSender<Urgent>,
    items: PhantomData<fn(T)>,
}

impl<T> UploadSender<T> {
    pub(crate) fn new(client: &Client, key: CallKey, event: &str, outlet: Arc<UploadQueue>) -> Self {
        Self { key, event: event.into(), outlet, urgent: client.urgent.downgrade(), items: PhantomData }
    }

    /// Tells the server that there are no more items, behind those that were sent. So does dropping it; this says it.
    pub fn close(self) {}

    fn tell(&self, tell: Tell) {
        if tell == Tell::Driver
            && let Some(urgent) = self.urgent.upgrade()
        {
            // If nobody takes it, the end is on its way here.
            let _ = urgent.send(Urgent::Upload(self.key));
        }
    }
}

impl<T: Serialize> UploadSender<T> {
    /// Sends an item, once the server has room for it and the connection can take it.
    ///
    /// `Ok` means that it will be written, in order with the items before it; not that the handler has seen it. What
    /// becomes of the call, its stream says.
    ///
    /// Dropping the future before it is done means that the item is not sent, and the next can be.
    ///
    /// # Errors
    /// [`UploadError::Over`] once the call is over, whatever ended it. The others are about this item alone; it is
    /// not sent, and further ones can be.
    pub async fn send(&mut self, item: T) -> Result<(), UploadError> {
        let item = self.draft(&item)?;
        poll_fn(|cx| self.outlet.poll_room(cx)).await?;
        self.put(item)
    }

    fn draft(&self, item: &T) -> Result<EncodedMessage, UploadError> {
        EncodedMessage::new(&self.event, item).map_err(|error| UploadError::Payload(error.to_string()))
    }

    fn put(&self, item: EncodedMessage) -> Result<(), UploadError> {
        let tell = self.outlet.put(item)?;
        self.tell(tell);
        Ok(())
    }
}

impl<T: Serialize> Sink<T> for UploadSender<T> {
    type Error = UploadError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        self.outlet.poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), UploadError> {
        self.put(self.draft(&item)?)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        self.outlet.poll_empty(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let tell = self.outlet.end();
        self.tell(tell);
        self.outlet.poll_empty(cx)
    }
}

impl<T> Drop for UploadSender<T> {
    fn drop(&mut self) {
        let tell = self.outlet.end();
        self.tell(tell);
    }
}

impl<T> fmt::Debug for UploadSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadSender({:?})", self.event)
    }
}
