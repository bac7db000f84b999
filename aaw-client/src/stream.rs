//! The handles of a streaming call: its items, and its upload.

use std::collections::VecDeque;
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

use crate::download_queue::{DownloadQueue, NextDownload};
use crate::driver_handle::{DriverCommand, DriverHandle, DriverStream, UrgentCommand};
use crate::error::parse;
use crate::tracing_output::CallLog;
use crate::upload_queue::{NotifyDriver, UploadQueue};
use crate::{CallError, SendError, UploadError};

/// The items of a streaming call: a stream of `Result<T, CallError>`, from [`Client::stream`](crate::Client::stream)
/// and [`Client::duplex`](crate::Client::duplex).
///
/// It ends with `None` after the last item, or with one error and then `None`. An error comes after all items that
/// arrived before it. An item that does not fit `T` is such an error too, and cancels the call.
///
/// At most [`stream_window`](crate::Config::stream_window) items (64 by default) are buffered. The server gets further
/// credit when half of them were read, so a reader that pauses pauses the handler, and nothing else.
///
/// Dropping the stream cancels the call, and the server drops the handler. The original server does not support
/// cancellation and runs the handler to its end. An open stream keeps the connection open, as a
/// [`Client`](crate::Client) does.
#[must_use = "dropping the stream cancels the call"]
pub struct ItemStream<T> {
    state: ItemStreamState,
    log: CallLog,
    items: PhantomData<fn() -> T>,
}

enum ItemStreamState {
    Reading(ItemReader),
    Failed(CallError),
    Ended,
}

/// The reader of a stream that has not ended. Dropping it cancels the call.
struct ItemReader {
    driver: DriverHandle,
    key: CallKey,
    download: Arc<DownloadQueue>,
    /// Items that were taken out of the queue and not read yet.
    taken: VecDeque<Box<str>>,
    window: u64,
    /// Items read so far.
    read: u64,
    /// The credit that the server was granted, in items since the start.
    credit: u64,
}

impl<T> ItemStream<T> {
    /// Opens a stream whose call is `message`, with an upload if there is a queue for it.
    pub(crate) fn open(
        driver: &DriverHandle,
        key: CallKey,
        event: &str,
        message: Result<EncodedMessage, SendError>,
        window: u64,
        upload: Option<Arc<UploadQueue>>,
    ) -> Self {
        let download = Arc::new(DownloadQueue::default());
        let options = StreamOptions { window, upload: upload.is_some() };
        let stream = DriverStream::new(download.clone(), upload);
        let state = match message {
            Err(error) => ItemStreamState::Failed(error.into()),
            Ok(message) => {
                enqueue(driver, download.clone(), DriverCommand::Stream { key, message, options, stream });
                let (driver, taken) = (driver.clone(), VecDeque::new());
                ItemStreamState::Reading(ItemReader { driver, key, download, taken, window, read: 0, credit: window })
            }
        };
        Self { state, log: CallLog::start(event), items: PhantomData }
    }
}

/// Queues the call for the driver, in order with those before it. If the queue is full, a task waits for space, because
/// the caller need not poll the stream. The task ends with the stream, so there are never more tasks than streams.
fn enqueue(driver: &DriverHandle, download: Arc<DownloadQueue>, command: DriverCommand) {
    match driver.commands().try_send(command) {
        Ok(()) => end_if_driver_ended(driver.commands(), &download),
        Err(TrySendError::Closed(command)) => end_unsent(command),
        Err(TrySendError::Full(command)) => {
            let commands = driver.commands().clone();
            driver.runtime().spawn(async move {
                let reader_dropped = pin!(poll_fn(|cx| download.poll_reader_dropped(cx)));
                match select(pin!(commands.reserve()), reader_dropped).await {
                    Either::Left((Ok(permit), _)) => {
                        permit.send(command);
                        end_if_driver_ended(&commands, &download);
                    }
                    Either::Left((Err(_), _)) => end_unsent(command),
                    Either::Right(_) => {}
                }
            });
        }
    }
}

/// Ends the stream if the driver has ended: it may have ended between the check and the push, and then never reads the
/// command.
fn end_if_driver_ended(commands: &mpsc::Sender<DriverCommand>, download: &DownloadQueue) {
    if commands.is_closed() {
        download.end(Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs)));
    }
}

fn end_unsent(command: DriverCommand) {
    if let DriverCommand::Stream { stream, .. } = command {
        stream.end(Err(SendError::Closed.into()));
    }
}

impl<T: DeserializeOwned> ItemStream<T> {
    /// Waits for the next item. Returns `None` after the last one, and after an error.
    ///
    /// There is no timeout; use [`tokio::time::timeout`] for one.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: dropping the future loses no item.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the stream ended otherwise than after its last item. The handler may have run in part.
    pub async fn next(&mut self) -> Option<Result<T, CallError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T: DeserializeOwned> Stream for ItemStream<T> {
    type Item = Result<T, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // Takes part in tokio's cooperative scheduling: items may arrive faster than they are read.
        let coop = ready!(coop::poll_proceed(cx));
        let next = this.state.poll_next(cx);
        if next.is_ready() {
            coop.made_progress();
        }
        let item = match ready!(next) {
            Some(Ok(json)) => parse(&json).map_err(CallError::BadResponse),
            Some(Err(error)) => Err(error),
            None => {
                this.log.finish(&Ok(()));
                return Poll::Ready(None);
            }
        };
        if item.is_err() {
            this.log.finish(&item);
            this.state = ItemStreamState::Ended;
        }
        Poll::Ready(Some(item))
    }
}

impl ItemStreamState {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Box<str>, CallError>>> {
        match self {
            Self::Reading(reader) => match ready!(reader.download.poll_next(cx, &mut reader.taken)) {
                NextDownload::Item(json) => {
                    reader.renew_credit();
                    Poll::Ready(Some(Ok(json)))
                }
                NextDownload::End(result) => {
                    *self = Self::Ended;
                    Poll::Ready(result.err().map(Err))
                }
            },
            Self::Failed(_) => {
                let Self::Failed(error) = std::mem::replace(self, Self::Ended) else { return Poll::Ready(None) };
                Poll::Ready(Some(Err(error)))
            }
            Self::Ended => Poll::Ready(None),
        }
    }
}

impl ItemReader {
    /// Counts a read item, and grants credit for a full window again when half of it was read.
    fn renew_credit(&mut self) {
        self.read += 1;
        let credit = self.read + self.window;
        if credit - self.credit >= (self.window / 2).max(1) {
            self.credit = credit;
            self.driver.send_urgent(UrgentCommand::Credit { key: self.key, items: credit });
        }
    }
}

impl Drop for ItemReader {
    fn drop(&mut self) {
        // Mark the queue before the cancellation is sent: if the driver has not read the call's command yet, the
        // cancellation has no effect, and the mark keeps the driver from sending the call.
        if !self.download.drop_reader() {
            self.driver.send_urgent(UrgentCommand::Cancel(self.key));
        }
    }
}

impl<T> fmt::Debug for ItemStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            ItemStreamState::Reading(_) => "open",
            ItemStreamState::Failed(_) => "failed",
            ItemStreamState::Ended => "ended",
        };
        write!(f, "ItemStream({state})")
    }
}

/// The sender of a call's upload, from [`Client::duplex`](crate::Client::duplex). It is a [`Sink`] too.
///
/// Dropping it ends the upload, as [`close`](Self::close) does. The call continues until its [`ItemStream`] ends or is
/// dropped. It does not keep the connection open; the stream does.
#[must_use = "dropping it ends the upload"]
pub struct UploadSender<T> {
    key: CallKey,
    event: Box<str>,
    upload: Arc<UploadQueue>,
    urgent: mpsc::WeakUnboundedSender<UrgentCommand>,
    items: PhantomData<fn(T)>,
}

impl<T> UploadSender<T> {
    pub(crate) fn new(driver: &DriverHandle, key: CallKey, event: &str, upload: Arc<UploadQueue>) -> Self {
        Self { key, event: event.into(), upload, urgent: driver.downgrade_urgent(), items: PhantomData }
    }

    /// Ends the upload, behind the items that were sent. Dropping the sender does the same.
    pub fn close(self) {}

    fn notify(&self, notify: NotifyDriver) {
        if notify == NotifyDriver::Yes
            && let Some(urgent) = self.urgent.upgrade()
        {
            // An error means that the driver has ended, and the call with it.
            let _ = urgent.send(UrgentCommand::Upload(self.key));
        }
    }
}

impl<T: Serialize> UploadSender<T> {
    /// Sends an item. Waits until the server has granted credit for it and the connection accepts it.
    ///
    /// `Ok` means that the item will be written, in order with the items before it; not that the handler has received
    /// it. The result of the call is the end of its [`ItemStream`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the item is not sent, and further items can be.
    ///
    /// # Errors
    ///
    /// - [`UploadError::CallEnded`] once the call has ended for any reason.
    /// - [`UploadError::TooLarge`] and [`UploadError::Payload`] concern this item alone: it is not sent, and further
    ///   items can be.
    pub async fn send(&mut self, item: T) -> Result<(), UploadError> {
        let item = self.encode(&item)?;
        poll_fn(|cx| self.upload.poll_ready(cx)).await?;
        self.push(item)
    }

    fn encode(&self, item: &T) -> Result<EncodedMessage, UploadError> {
        EncodedMessage::new(&self.event, item).map_err(|error| UploadError::Payload(error.to_string()))
    }

    fn push(&self, item: EncodedMessage) -> Result<(), UploadError> {
        let notify = self.upload.push(item)?;
        self.notify(notify);
        Ok(())
    }
}

impl<T: Serialize> Sink<T> for UploadSender<T> {
    type Error = UploadError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        self.upload.poll_ready(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), UploadError> {
        self.push(self.encode(&item)?)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        self.upload.poll_empty(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        self.notify(self.upload.end());
        self.upload.poll_empty(cx)
    }
}

impl<T> Drop for UploadSender<T> {
    fn drop(&mut self) {
        self.notify(self.upload.end());
    }
}

impl<T> fmt::Debug for UploadSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadSender({:?})", self.event)
    }
}
