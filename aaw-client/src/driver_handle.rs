//! The way from the handles to the driver, and back: the commands, the two queues that carry them, and the replies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aaw_protocol::client::{CallKey, CallResult, DisconnectReason, EncodedMessage, NotSent, StreamOptions};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::CallError;
use crate::download_queue::DownloadQueue;
use crate::replies::{Replies, ReplyKey};
use crate::upload_queue::UploadQueue;

/// A command that waits its turn, in order with the other calls and one-way sends of the client.
#[derive(Debug)]
pub(crate) enum DriverCommand {
    Call { key: CallKey, message: EncodedMessage, deadline: Instant, reply: ReplyKey },
    Stream { key: CallKey, message: EncodedMessage, options: StreamOptions, stream: DriverStream },
    Send { message: EncodedMessage, reply: ReplyKey },
}

/// A command that does not wait behind calls and one-way sends. Its queue has no bound of its own: apart from `Close`,
/// each command belongs to an open call, which has few of them at a time.
#[derive(Debug)]
pub(crate) enum UrgentCommand {
    /// The caller has dropped this call.
    Cancel(CallKey),
    /// The reader of this stream accepts `items` items in all. Sent again only after items of the last credit were
    /// read.
    Credit {
        key: CallKey,
        items: u64,
    },
    /// The upload queue of this call is not empty. Sent again only after the driver has found it empty.
    Upload(CallKey),
    Close,
}

/// The driver's end of an open stream. Dropping it ends the stream for its reader and for its upload's sender.
#[derive(Debug)]
pub(crate) struct DriverStream {
    download: Arc<DownloadQueue>,
    pub(crate) upload: Option<Arc<UploadQueue>>,
    /// Items that the reader was not given yet.
    received: Vec<Box<str>>,
}

impl DriverStream {
    pub(crate) fn new(download: Arc<DownloadQueue>, upload: Option<Arc<UploadQueue>>) -> Self {
        Self { download, upload, received: Vec::new() }
    }

    pub(crate) fn is_reader_dropped(&self) -> bool {
        self.download.is_reader_dropped()
    }

    /// Keeps an item until [`deliver`](Self::deliver). Returns whether it is the first.
    pub(crate) fn receive(&mut self, item: Box<str>) -> bool {
        self.received.push(item);
        self.received.len() == 1
    }

    /// Gives the reader the items that were received, and wakes it once for all of them.
    pub(crate) fn deliver(&mut self) {
        self.download.push(&mut self.received);
    }

    pub(crate) fn end(mut self, result: Result<(), CallError>) {
        self.deliver();
        self.download.end(result);
        // Dropping `self` ends the upload.
    }
}

impl Drop for DriverStream {
    fn drop(&mut self) {
        // Takes effect only if the stream has no result yet: the runtime was shut down with the driver on it.
        self.download.end(Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs)));
        if let Some(upload) = &self.upload {
            upload.end_call();
        }
    }
}

/// What a [`Client`](crate::Client) and its streams send commands by. The driver closes the connection once all of them
/// are dropped.
#[derive(Debug, Clone)]
pub(crate) struct DriverHandle {
    commands: mpsc::Sender<DriverCommand>,
    urgent: mpsc::UnboundedSender<UrgentCommand>,
    call_replies: Arc<Replies<CallResult>>,
    send_replies: Arc<Replies<Result<(), NotSent>>>,
    /// The runtime of the driver.
    runtime: Handle,
    next_key: Arc<AtomicU64>,
}

/// The driver's side: the receivers of both queues, and the replies that it sends.
pub(crate) struct DriverChannels {
    pub(crate) commands: mpsc::Receiver<DriverCommand>,
    pub(crate) urgent: mpsc::UnboundedReceiver<UrgentCommand>,
    pub(crate) call_replies: Arc<Replies<CallResult>>,
    pub(crate) send_replies: Arc<Replies<Result<(), NotSent>>>,
}

impl DriverHandle {
    /// Commands that may be queued: enough that callers rarely wait for the driver, and little memory when full.
    const QUEUE_CAPACITY: usize = 256;

    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn new() -> (Self, DriverChannels) {
        let (commands, command_receiver) = mpsc::channel(Self::QUEUE_CAPACITY);
        let (urgent, urgent_receiver) = mpsc::unbounded_channel();
        let receivers = DriverChannels {
            commands: command_receiver,
            urgent: urgent_receiver,
            call_replies: Arc::default(),
            send_replies: Arc::default(),
        };
        let (call_replies, send_replies) = (receivers.call_replies.clone(), receivers.send_replies.clone());
        let (runtime, next_key) = (Handle::current(), Arc::default());
        (Self { commands, urgent, call_replies, send_replies, runtime, next_key }, receivers)
    }

    /// The queue of commands.
    pub(crate) fn commands(&self) -> &mpsc::Sender<DriverCommand> {
        &self.commands
    }

    /// The results of unary calls.
    pub(crate) fn call_replies(&self) -> &Replies<CallResult> {
        &self.call_replies
    }

    /// Whether one-way sends were accepted.
    pub(crate) fn send_replies(&self) -> &Replies<Result<(), NotSent>> {
        &self.send_replies
    }

    /// The runtime of the driver.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// A key that no other call of this client has.
    pub(crate) fn next_key(&self) -> CallKey {
        CallKey(self.next_key.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a command past the queue. Has no effect once the driver has ended: every call has ended with it.
    pub(crate) fn send_urgent(&self, command: UrgentCommand) {
        let _ = self.urgent.send(command);
    }

    /// A sender of urgent commands that does not keep the connection open.
    pub(crate) fn downgrade_urgent(&self) -> mpsc::WeakUnboundedSender<UrgentCommand> {
        self.urgent.downgrade()
    }
}
