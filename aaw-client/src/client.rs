//! The handle of a connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::client::{CallKey, CallResult, DisconnectReason, EncodedMessage};
use aaw_protocol::{clock, hello};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::client_session::ClientSession;
use crate::driver_handle::{DriverCommand, DriverHandle, UrgentCommand};
use crate::error::parse;
use crate::handlers::erase;
use crate::push::PushFilter;
use crate::replies::ReplyFuture;
use crate::shared::SharedState;
use crate::tracing_output::{CallLog, one_way_sent};
use crate::upload_queue::UploadQueue;
use crate::{
    CallError, Config, ConnectionEvents, ConnectionState, HandlerError, HandlerRegistration, ItemStream, NoConnection,
    Push, Pushes, SendError, Subscription, UploadSender,
};

/// The usual timeout of a call, 3 s, which is the default of the JavaScript client.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(3000);

/// A connection to a server, across reconnects. Cloning is cheap, and all clones share the connection.
///
/// When the last clone and the last open [`ItemStream`] are dropped, the client closes the connection gracefully in a
/// background task. [`close`](Self::close) does the same and waits for it.
#[derive(Debug, Clone)]
pub struct Client {
    driver: DriverHandle,
    shared: SharedState,
    auth_timeout: Duration,
    push_buffer: usize,
    stream_window: u64,
}

impl Client {
    pub(crate) fn new(driver: DriverHandle, shared: SharedState, config: &Config) -> Self {
        Self {
            driver,
            shared,
            auth_timeout: config.auth_timeout,
            push_buffer: config.push_buffer,
            stream_window: u64::from(config.stream_window.max(1)),
        }
    }

    pub(crate) fn session(&self) -> &ClientSession {
        &self.shared.session
    }

    pub(crate) fn auth_timeout(&self) -> Duration {
        self.auth_timeout
    }

    // --- Calls -------------------------------------------------------------------------------------------------------

    /// Calls an event and returns its response, within `timeout`.
    ///
    /// The timeout includes the wait for a connection. `Duration::MAX` disables it; with zero it elapses at once, and
    /// the call may be sent or not. [`DEFAULT_TIMEOUT`] is 3 s.
    ///
    /// Any number of calls can be open at once, also of the same event; each gets its own response. Calls made one
    /// after the other reach the server in that order.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use serde_json::json;
    ///
    /// # async fn run(client: aaw_client::Client) -> Result<(), aaw_client::CallError> {
    /// #[derive(serde::Deserialize)]
    /// struct User { name: String }
    ///
    /// let user: User = client.send_async("users/get", json!({ "id": 1 }), Duration::from_secs(3)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A streaming event responds with all its items in one array (a `Vec`). If that exceeds the size of a message, the
    /// call fails with the code `too_large`; [`stream`](Self::stream) reads it item by item.
    ///
    /// A one-way event responds with `null` once it has run, which deserializes as `()`. On the original server it does
    /// not respond, and the call times out. There, too, a response that is an object with the only key `error` and a
    /// string as its value is a failure, because that server has no other way to report one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call, and the server drops the handler. A call that was not sent yet never is.
    /// The original server does not support cancellation and runs the handler to its end.
    ///
    /// # Errors
    ///
    /// - [`CallError::NotSent`]: the server has not seen the call.
    /// - [`CallError::Failed`]: the server refused the call, or the handler failed.
    /// - [`CallError::TimedOut`]: there was no response within `timeout`; its field `sent` states whether the call was
    ///   sent, and if it was not, `no_connection` why, for example that the server has refused the connection with 403;
    ///   `taken` states whether the server has it.
    /// - [`CallError::OutcomeUnknown`]: the call was sent, and the connection ended before its response and could not be
    ///   resumed.
    /// - [`CallError::BadResponse`]: the response does not fit `T`.
    pub async fn send_async<T: DeserializeOwned>(
        &self,
        event: &str,
        payload: impl Serialize,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let mut log = CallLog::start(event);
        let called = match encode(event, &payload) {
            Ok(message) => self.call(message, timeout).await,
            Err(error) => Err(error.into()),
        };
        let response = called.and_then(|json| parse(&json).map_err(CallError::BadResponse));
        log.finish(&response);
        response
    }

    /// The part of [`send_async`](Self::send_async) without type parameters, so that it is compiled once.
    async fn call(&self, message: EncodedMessage, timeout: Duration) -> Result<Box<str>, CallError> {
        // tokio's clock, because tests can pause it.
        let deadline = clock::after(Instant::now().into_std(), timeout);
        let no_connection = || self.shared.status.no_connection();
        let timed_out = |sent: bool, taken: bool| {
            let no_connection = if sent { None } else { no_connection() };
            CallError::TimedOut { after: timeout, sent, taken, no_connection }
        };
        let permit = tokio::time::timeout_at(deadline.into(), self.driver.commands().reserve()).await;
        let permit = permit.map_err(|_| timed_out(false, false))?.map_err(|_| SendError::Closed)?;
        let key = self.driver.next_key();
        // Created before the command is sent: at no point does dropping this future leave the call running.
        let mut guard = ResponseGuard { driver: &self.driver, key, result: self.driver.call_replies().wait() };
        permit.send(DriverCommand::Call { key, message, deadline, reply: guard.result.key() });
        match (&mut guard.result).await {
            Some(CallResult::Response(json)) => Ok(json),
            // Only streams end like this.
            Some(CallResult::StreamEnded) => Ok("null".into()),
            Some(CallResult::Failed(failure)) => Err(CallError::Failed(failure)),
            Some(CallResult::TimedOut { sent, taken }) => Err(timed_out(sent, taken)),
            Some(CallResult::Unknown(reason)) => Err(CallError::OutcomeUnknown(reason)),
            Some(CallResult::NotSent(reason)) => Err(SendError::new(reason, no_connection()).into()),
            // The driver was dropped before it had a result: its runtime was shut down.
            None => Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs)),
        }
    }

    /// Calls an event and returns a stream of its items, which arrive as the handler yields them.
    ///
    /// A unary event yields its response as one item, a one-way event yields none.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) -> Result<(), aaw_client::CallError> {
    /// #[derive(Debug, serde::Deserialize)]
    /// struct User { name: String }
    ///
    /// let mut users = client.stream::<User>("users/all", ());
    /// while let Some(user) = users.next().await {
    ///     println!("{}", user?.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The result is a [`Stream`](futures_util::Stream), for use with `StreamExt` and `TryStreamExt`.
    ///
    /// The call is made at once, also before the stream is polled, in order with the calls and one-way sends before it.
    /// It waits for a connection if there is none. There is no timeout, neither for the call nor for an item. An open
    /// stream counts as a call in flight: with as many of them as the server allows a connection (256 by default),
    /// further calls wait until one ends. Use a client of its own for hundreds of open streams.
    ///
    /// When the connection ends, the items that have arrived can be read, followed by [`CallError::OutcomeUnknown`];
    /// the call is not repeated. The original server has no streams and yields one item, its response.
    ///
    /// Dropping the stream cancels the call.
    ///
    /// # Errors
    ///
    /// This method does not fail. An error of the call is the last item of the stream.
    pub fn stream<T: DeserializeOwned>(&self, event: &str, payload: impl Serialize) -> ItemStream<T> {
        let (key, message) = (self.driver.next_key(), encode(event, &payload));
        ItemStream::open(&self.driver, key, event, message, self.stream_window, None)
    }

    /// Calls an event with an upload: returns a sender of the items for the handler, and a stream of the items from it.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// // The orders of a category, which can be changed while the call runs.
    /// let (mut categories, mut orders) = client.duplex::<&str, serde_json::Value>("orders/watch", "books");
    /// println!("{:?}", orders.next().await);
    /// categories.send("music").await?;
    /// println!("{:?}", orders.next().await);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The stream behaves as that of [`stream`](Self::stream). [`UploadSender::send`] waits until the server has
    /// granted credit, which it does as the handler reads. Dropping the stream cancels the call, and the sender fails
    /// from then on; dropping the sender ends the upload. The two can be used by different tasks. Using them
    /// alternately in one task can deadlock, when each side waits for the other to read.
    ///
    /// An event that takes no upload fails with the code `bad_body`; with the original server the call fails with
    /// [`SendError::NoUploads`].
    ///
    /// # Errors
    ///
    /// This method does not fail. An error of the call is the last item of the stream.
    pub fn duplex<Up: Serialize, Down: DeserializeOwned>(
        &self,
        event: &str,
        payload: impl Serialize,
    ) -> (UploadSender<Up>, ItemStream<Down>) {
        let (key, upload) = (self.driver.next_key(), Arc::new(UploadQueue::default()));
        let sender = UploadSender::new(&self.driver, key, event, upload.clone());
        let message = encode(event, &payload);
        (sender, ItemStream::open(&self.driver, key, event, message, self.stream_window, Some(upload)))
    }

    /// Sends an event without a response.
    ///
    /// `Ok` means that the event will be written, on this connection or the next, in order with the calls and one-way
    /// events of this client; not that the server has received it. It is lost if the client is closed while there is no
    /// connection, or if the socket breaks at that moment and the connection cannot be resumed. Use a call for what must
    /// arrive.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) -> Result<(), aaw_client::SendError> {
    /// client.send_event("announce", "happy birthday").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Waits while the connection is slower than its senders. Does not wait for a connection: without one the event is
    /// queued, and fails if the queue is full.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the event may or may not be sent.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the event will not be sent:
    ///
    /// - [`SendError::Payload`], [`SendError::ReservedName`] and [`SendError::TooLarge`] for an event that cannot be
    ///   sent.
    /// - [`SendError::QueueFull`] if there is no connection and the queue is full.
    /// - [`SendError::Closed`] if the client is closed.
    pub async fn send_event(&self, event: &str, payload: impl Serialize) -> Result<(), SendError> {
        let message = encode(event, &payload)?;
        let accepted = self.driver.send_replies().wait();
        let command = DriverCommand::Send { message, reply: accepted.key() };
        self.driver.commands().send(command).await.map_err(|_| SendError::Closed)?;
        let accepted = accepted.await.ok_or(SendError::Closed)?;
        accepted.map_err(|reason| SendError::new(reason, self.shared.status.no_connection()))?;
        one_way_sent(event);
        Ok(())
    }

    // --- Pushes and client calls -------------------------------------------------------------------------------------

    /// Listens to the pushes of an event, from now on. An event can have several listeners.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) {
    /// let mut news = client.on("broadcast");
    /// while let Some(push) = news.next().await {
    ///     println!("{}", push.json());
    /// }
    /// # }
    /// ```
    pub fn on(&self, event: &str) -> Pushes {
        self.shared.listeners.add(PushFilter::events([event]), self.push_buffer)
    }

    /// Listens to the pushes of several events in one stream, in the order in which the server sent them.
    ///
    /// Separate streams would not preserve the order between the events. Without any event the stream stays empty until
    /// the client ends.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) {
    /// let mut rooms = client.on_any_of(["room/enter", "room/leave"]);
    /// while let Some(push) = rooms.next().await {
    ///     println!("{}: {}", push.event(), push.json());
    /// }
    /// # }
    /// ```
    pub fn on_any_of<'a>(&self, events: impl IntoIterator<Item = &'a str>) -> Pushes {
        self.shared.listeners.add(PushFilter::events(events), self.push_buffer)
    }

    /// Listens to all pushes, from now on, for example to log them.
    ///
    /// All events share the buffer of this stream: a frequent event can cause pushes of others to be dropped.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) {
    /// let mut all = client.on_any();
    /// while let Some(push) = all.next().await {
    ///     println!("{} {}", push.event(), push.json());
    /// }
    /// # }
    /// ```
    pub fn on_any(&self) -> Pushes {
        self.shared.listeners.add(PushFilter::All, self.push_buffer)
    }

    /// Calls `callback` for each push of an event, one after the other, in a task of its own, until the subscription is
    /// dropped.
    ///
    /// A slow callback delays nothing else; if pushes arrive faster than it returns, the oldest are dropped, as with
    /// [`on`](Self::on). It must not block its thread. A callback that panics is not called again.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) {
    /// let subscription = client.on_each("broadcast", |push| println!("{}", push.json()));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn on_each(&self, event: &str, callback: impl FnMut(Push) + Send + 'static) -> Subscription {
        Subscription::new(self.on(event), callback)
    }

    /// Registers the handler of client calls of an event: `services.ws.send_async("confirm", …)` on the server calls
    /// it.
    ///
    /// The handler stays registered across reconnects, until the [`HandlerRegistration`] is dropped, or for the life of
    /// the client if that is [detached](HandlerRegistration::detach). An event has one handler; a later registration
    /// replaces it.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) {
    /// let registration = client.handle("confirm", |question: String| async move {
    ///     println!("{question}");
    ///     Ok(true)
    /// });
    /// # }
    /// ```
    ///
    /// Each client call runs in a task of its own, so several run concurrently. A handler must not block its thread.
    /// Its future is dropped when the server cancels the call and when the connection ends. A body of `null` is read as
    /// an empty object if the type accepts that and not `null`.
    ///
    /// A client call fails with the code
    ///
    /// - of the [`HandlerError`] that the handler returns, `handler` by default;
    /// - `bad_body` if the body does not fit the type;
    /// - `panic` if the handler panics;
    /// - `unknown_event` if the event has no handler;
    /// - `busy` if [`max_client_calls`](Config::max_client_calls) run already (256 by default).
    ///
    /// A handler that owns a clone of the client keeps the connection open until it is removed or the client is
    /// [closed](Self::close). The original server makes no client calls.
    pub fn handle<B, T, F, Fut>(&self, event: &str, handler: F) -> HandlerRegistration
    where
        B: DeserializeOwned,
        T: Serialize,
        F: Fn(B) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, HandlerError>> + Send + 'static,
    {
        self.shared.handlers.add(event, erase(event, handler))
    }

    // --- The connection ----------------------------------------------------------------------------------------------

    /// The current state of the connection. [`connection_events`](Self::connection_events) returns its changes.
    ///
    /// ```no_run
    /// # use aaw_client::ConnectionState;
    /// # async fn run(client: aaw_client::Client) {
    /// if let ConnectionState::Open { connection: Some(id) } = client.state() {
    ///     println!("open, as connection {id}");
    /// }
    /// # }
    /// ```
    pub fn state(&self) -> ConnectionState {
        self.shared.status.state()
    }

    /// What is known about why there is no connection: how the last one ended, and why the last attempt to connect
    /// failed. `None` while a connection is open. The errors of calls that wait for a connection contain it.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) {
    /// if let Some(reason) = client.no_connection() {
    ///     println!("offline: {reason}");
    /// }
    /// # }
    /// ```
    pub fn no_connection(&self) -> Option<Arc<NoConnection>> {
        self.shared.status.no_connection()
    }

    /// Subscribes to the events of the connection, from now on.
    ///
    /// ```no_run
    /// # use aaw_client::ConnectionEvent;
    /// # async fn run(client: aaw_client::Client) {
    /// let mut events = client.connection_events();
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         ConnectionEvent::Open { .. } => println!("open"),
    ///         ConnectionEvent::Close(reason) => println!("close: {reason}"),
    ///         ConnectionEvent::Error(warning) => println!("error: {warning}"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn connection_events(&self) -> ConnectionEvents {
        self.shared.status.subscribe(self.push_buffer)
    }

    /// The server's id of the open connection. `None` if none is open, and with the original server, which sends none.
    pub fn connection_id(&self) -> Option<Arc<str>> {
        match self.state() {
            ConnectionState::Open { connection } => connection,
            _ => None,
        }
    }

    /// Closes the connection gracefully, for all clones, and waits until it is closed.
    ///
    /// What was sent before is written, then the connection is closed with the code 1000. Open calls end at once, as
    /// [`CallError::OutcomeUnknown`] or [`CallError::NotSent`].
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = aaw_client::connect("ws://localhost:1337").await?;
    /// client.send_event("announce", "good night").await?;
    /// // Without this the program could end before anything is written.
    /// client.close().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Returns when the server has confirmed the close, or after 2 s.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future after its first poll does not stop the close.
    pub async fn close(&self) {
        self.driver.send_urgent(UrgentCommand::Close);
        self.shared.status.closed().await;
    }
}

/// Encodes an event and its payload, with the id of the call left open.
fn encode(event: &str, payload: &impl Serialize) -> Result<EncodedMessage, SendError> {
    // Other names under `aaw/` can be called as any event, for example `aaw/login`.
    if matches!(
        event,
        hello::HELLO
            | hello::WELCOME
            | hello::ERROR
            | hello::SESSION_ENDED
            | hello::PING
            | hello::PONG
            | hello::ACK
            | "aaw/gap"
    ) {
        return Err(SendError::ReservedName(event.into()));
    }
    EncodedMessage::new(event, payload).map_err(|error| SendError::Payload(error.to_string()))
}

/// Cancels a call if it is dropped before the call has a result.
struct ResponseGuard<'a> {
    driver: &'a DriverHandle,
    key: CallKey,
    result: ReplyFuture<'a, CallResult>,
}

impl Drop for ResponseGuard<'_> {
    fn drop(&mut self) {
        if !self.result.is_completed() {
            // The reply is abandoned before the cancellation is sent: if the driver has not read the call's command yet,
            // the cancellation has no effect, and the abandoned reply keeps the driver from sending the call.
            self.result.abandon();
            self.driver.send_urgent(UrgentCommand::Cancel(self.key));
        }
    }
}
