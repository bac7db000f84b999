//! The handle.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aaw_protocol::client::{CallKey, CallResult, ClientConnection, DisconnectReason, EncodedMessage};
use aaw_protocol::{clock, hello};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::dial::Target;
use crate::driver::{Command, Driver, Shared, Urgent};
use crate::error::parse;
use crate::handlers::{Handlers, erase};
use crate::login::Login;
use crate::push::{Interest, Listeners};
use crate::state::Watched;
use crate::stream::{ItemStream, UploadSender};
use crate::upload_queue::UploadQueue;
use crate::{
    CallError, Config, ConnectError, ConnectionEvents, HandlerError, HandlerRegistration, Push, Pushes, SendError,
    State, Subscription,
};

/// How long a call waits where nobody says otherwise: as long as with the JavaScript client.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(3000);

/// Connects to a server, `ws://localhost:1337` or `wss://…`. Later, if the connection is lost, it is made again for as
/// long as there is a client. Dropping the future gives the attempt up.
///
/// ```no_run
/// # async fn run() -> Result<(), aaw_client::ConnectError> {
/// let client = aaw_client::connect("ws://localhost:1337").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ConnectError`] if the first attempt fails. [`connect_lazy`] would try again.
///
/// # Panics
/// Outside of a tokio runtime with time and I/O enabled.
pub async fn connect(url: &str) -> Result<Client, ConnectError> {
    connect_with(url, Config::default()).await
}

/// [`connect`], configured.
///
/// ```no_run
/// # use std::time::Duration;
/// # use aaw_client::Config;
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config { connect_timeout: Duration::from_secs(2), ..Config::default() };
/// config.headers.insert("authorization", "Bearer …".parse()?);
/// let client = aaw_client::connect_with("wss://example.org", config).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`connect`].
///
/// # Panics
/// As [`connect`].
pub async fn connect_with(url: &str, config: Config) -> Result<Client, ConnectError> {
    prepare(url, config)?.connect().await
}

/// Gives a client at once, and connects meanwhile, again and again until there is a connection. Calls and sends wait
/// for it.
///
/// ```no_run
/// # #[tokio::main] async fn main() -> Result<(), aaw_client::ConnectError> {
/// let client = aaw_client::connect_lazy("ws://localhost:1337")?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Only what no second attempt could mend: [`ConnectError::Url`], [`ConnectError::Header`], and for `wss://`
/// [`ConnectError::Tls`] where the system trusts no certificates at all.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn connect_lazy(url: &str) -> Result<Client, ConnectError> {
    connect_lazy_with(url, Config::default())
}

/// [`connect_lazy`], configured.
///
/// # Errors
/// As [`connect_lazy`].
///
/// # Panics
/// As [`connect_lazy`].
pub fn connect_lazy_with(url: &str, config: Config) -> Result<Client, ConnectError> {
    Ok(prepare(url, config)?.connect_lazily())
}

/// A client that has not begun to connect: for those who listen to what a server says first, a greeting, say. Who
/// listens later may miss it.
///
/// ```no_run
/// # use aaw_client::Config;
/// # async fn run() -> Result<(), aaw_client::ConnectError> {
/// let prepared = aaw_client::prepare("ws://localhost:1337", Config::default())?;
/// let mut greetings = prepared.on("message");
/// let client = prepared.connect().await?;
/// println!("{:?}", greetings.next().await);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`connect_lazy`].
///
/// # Panics
/// Outside of a tokio runtime.
pub fn prepare(url: &str, config: Config) -> Result<PreparedClient, ConnectError> {
    /// Enough that callers seldom wait for the driver, few enough that a full queue is little memory.
    const LINE: usize = 256;
    let (commands, inward) = mpsc::channel(LINE);
    let (urgent, urgent_inward) = mpsc::unbounded_channel();
    let login = Arc::new(Login::new(config.token.clone(), config.on_token.clone()));
    let client = Client {
        commands,
        urgent,
        runtime: Handle::current(),
        keys: Arc::new(AtomicU64::new(0)),
        listeners: Arc::default(),
        handlers: Arc::default(),
        login,
        auth_timeout: config.auth_timeout,
        watched: Arc::new(Watched::new()),
        push_buffer: config.push_buffer,
        stream_window: u64::from(config.stream_window.max(1)),
    };
    let seed = Uuid::new_v4().as_u64_pair().0;
    let mut session = ClientConnection::new(config.session(), seed);
    session.set_token(config.token.clone());
    let target = Target::new(url, Arc::new(config))?;
    let shared = Shared {
        listeners: client.listeners.clone(),
        handlers: client.handlers.clone(),
        login: client.login.clone(),
        watched: client.watched.clone(),
    };
    Ok(PreparedClient { client, driver: Driver::new(target, session, inward, urgent_inward, shared) })
}

/// A client that has not begun to connect, from [`prepare`].
#[must_use = "it connects only when it is told to"]
pub struct PreparedClient {
    client: Client,
    driver: Driver,
}

impl PreparedClient {
    /// [`Client::on`], from the first word on.
    pub fn on(&self, event: &str) -> Pushes {
        self.client.on(event)
    }

    /// [`Client::on_any_of`], from the first word on.
    pub fn on_any_of<'a>(&self, events: impl IntoIterator<Item = &'a str>) -> Pushes {
        self.client.on_any_of(events)
    }

    /// [`Client::on_any`], from the first word on.
    pub fn on_any(&self) -> Pushes {
        self.client.on_any()
    }

    /// [`Client::handle`], from the first question on.
    pub fn handle<B, T, F, Answer>(&self, event: &str, handler: F) -> HandlerRegistration
    where
        B: DeserializeOwned,
        T: Serialize,
        F: Fn(B) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<T, HandlerError>> + Send + 'static,
    {
        self.client.handle(event, handler)
    }

    /// [`Client::connection_events`], the first included.
    pub fn connection_events(&self) -> ConnectionEvents {
        self.client.connection_events()
    }

    /// Connects, as [`connect`](fn@connect) does.
    ///
    /// # Errors
    /// [`ConnectError`] if the first attempt fails.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let Self { client, mut driver } = self;
        let url = driver.url();
        let connected = driver.first_attempt();
        tokio::spawn(driver);
        match connected.await {
            Ok(Ok(())) => Ok(client),
            Ok(Err(error)) => Err(error),
            // The driver answers before it ends, unless its runtime is shut down under it.
            Err(_) => Err(ConnectError::DisconnectReason { url: url.to_string(), why: DisconnectReason::ClosedByUs }),
        }
    }

    /// Connects in the background, as [`connect_lazy`] does.
    pub fn connect_lazily(self) -> Client {
        tokio::spawn(self.driver);
        self.client
    }
}

/// A connection to a server, and the connections after it. Cloning is cheap, and all clones share it.
///
/// When the last clone is dropped, and the last stream that is open, the connection is closed, in order, by a task that outlives it for a moment;
/// [`close`](Self::close) waits for that.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) commands: mpsc::Sender<Command>,
    /// For what must not wait in line, and is bounded by what did.
    pub(crate) urgent: mpsc::UnboundedSender<Urgent>,
    /// Where the driver runs.
    pub(crate) runtime: Handle,
    keys: Arc<AtomicU64>,
    listeners: Arc<Listeners>,
    handlers: Arc<Handlers>,
    pub(crate) login: Arc<Login>,
    pub(crate) auth_timeout: Duration,
    watched: Arc<Watched>,
    push_buffer: usize,
    stream_window: u64,
}

impl Client {
    /// Calls an event and waits for its answer, at most `timeout` long, the wait for a connection included;
    /// `Duration::MAX` waits as long as it takes.
    ///
    /// Any number of calls can be open at once, of one event too, each gets its own answer. Calls made one after the
    /// other reach the server in that order.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use serde_json::json;
    /// # async fn run(client: aaw_client::Client) -> Result<(), aaw_client::CallError> {
    /// #[derive(serde::Deserialize)]
    /// struct User { name: String }
    ///
    /// let user: User = client.send_async("users/get", json!({ "id": 1 }), Duration::from_secs(3)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An event that yields many answers gives them all at once, as one array (a `Vec`); if that is larger than a
    /// message may be, the call fails with `too_large`, and [`stream`](Self::stream) is the way to read it.
    ///
    /// A plain event (one that answers nothing) answers `null` once it has run: call it for a `()`. On the original
    /// server it does not, and the call times out. There, too, an answer that is an object whose only key is `error`,
    /// with a string, is a failure: that is how it fails a call.
    ///
    /// Dropping the future cancels the call: the server is told, and drops the handler. The original does not know how.
    ///
    /// # Errors
    /// [`CallError`] says what is known about the call: whether the server has seen it, and what it said.
    pub async fn send_async<T: DeserializeOwned>(
        &self,
        event: &str,
        payload: impl Serialize,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let json = self.call(draft(event, &payload)?, timeout).await?;
        parse(&json).map_err(CallError::BadAnswer)
    }

    /// [`send_async`](Self::send_async) but for the types, so that this is compiled once.
    async fn call(&self, draft: EncodedMessage, timeout: Duration) -> Result<Box<str>, CallError> {
        // tokio's clock, which tests can stop.
        let deadline = clock::after(Instant::now().into_std(), timeout);
        let late = |sent| CallError::TimedOut { after: timeout, sent };
        let place = tokio::time::timeout_at(deadline.into(), self.commands.reserve()).await;
        let place = place.map_err(|_| late(false))?.map_err(|_| SendError::Closed)?;
        let key = self.next_key();
        let (reply, outcome) = oneshot::channel();
        // Before it is sent, so that there is no moment at which dropping this future would leave the call behind.
        let mut waiting = Waiting { urgent: &self.urgent, key, outcome, over: false };
        place.send(Command::Call { key, draft, deadline, reply });
        let outcome = (&mut waiting.outcome).await;
        waiting.over = true;
        match outcome {
            Ok(CallResult::Response(json)) => Ok(json),
            // Of streams alone.
            Ok(CallResult::StreamEnded) => Ok("null".into()),
            Ok(CallResult::Failed(failure)) => Err(CallError::Failed(failure)),
            Ok(CallResult::TimedOut { sent }) => Err(late(sent)),
            Ok(CallResult::Unknown(why)) => Err(CallError::OutcomeUnknown(why)),
            Ok(CallResult::NotSent(why)) => Err(CallError::NotSent(why.into())),
            // The driver answers before it ends, unless its runtime is shut down under it.
            Err(_) => Err(CallError::OutcomeUnknown(DisconnectReason::ClosedByUs)),
        }
    }

    fn next_key(&self) -> CallKey {
        CallKey(self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Calls an event and reads its answer item by item, as the handler yields them. Of an event that answers once
    /// that is one item, of a plain event none.
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
    /// It is a [`Stream`](futures_util::Stream), so what `StreamExt` and `TryStreamExt` have works with it.
    ///
    /// The call is made at once, in order with the calls and sends before it; it waits for a connection if there is
    /// none. There is no time-out, neither for that nor for an item. An open stream is a call in flight: with
    /// as many of them as the server allows one connection (256 unless it is told otherwise), further calls wait until
    /// one is over. Who keeps hundreds of streams open takes a connection of their own for them.
    ///
    /// When the connection is lost, the items that came can still be read, then comes
    /// [`CallError::OutcomeUnknown`]; the stream is not made again. Against the original server the stream has one
    /// item, its answer.
    ///
    /// Dropping the stream cancels the call.
    ///
    /// # Errors
    /// Nothing fails here: whatever does is the last item of the stream.
    pub fn stream<T: DeserializeOwned>(&self, event: &str, payload: impl Serialize) -> ItemStream<T> {
        ItemStream::open(self, draft(event, &payload), self.stream_window, None, self.next_key())
    }

    /// Calls an event that takes a stream from its caller, and reads its answer item by item: what to send goes into
    /// the first of the two, what comes back comes out of the second.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// // The orders of a category, which can be changed on the way.
    /// let (mut categories, mut orders) = client.duplex::<&str, serde_json::Value>("orders/watch", "books");
    /// println!("{:?}", orders.next().await);
    /// categories.send("music").await?;
    /// println!("{:?}", orders.next().await);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The stream is one as of [`stream`](Self::stream). Items are sent as the handler takes them:
    /// [`UploadSender::send`] waits until the server has room. Dropping the stream cancels the call, and sending fails
    /// from then on; dropping the other half tells the handler that there are no more items. Both can be used by
    /// different tasks; to use them in turns in one task can lead to a standstill, when each side waits for the other
    /// to take something.
    ///
    /// An event that takes no stream fails with `bad_body`. Against the original server the call fails as
    /// [`SendError::NoUploads`].
    ///
    /// # Errors
    /// Nothing fails here: whatever does is the last item of the stream.
    pub fn duplex<Up: Serialize, Down: DeserializeOwned>(
        &self,
        event: &str,
        payload: impl Serialize,
    ) -> (UploadSender<Up>, ItemStream<Down>) {
        let (key, outlet) = (self.next_key(), Arc::new(UploadQueue::default()));
        let uploads = UploadSender::new(self, key, event, outlet.clone());
        (uploads, ItemStream::open(self, draft(event, &payload), self.stream_window, Some(outlet), key))
    }

    /// Sends something that nobody answers.
    ///
    /// `Ok` means that it will be written, now or on the next connection, in order with the calls and sends of this
    /// client; not that the server got it. It is lost if the connection breaks just then, or if the client is closed
    /// while there is none. What must arrive is a call.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) -> Result<(), aaw_client::SendError> {
    /// client.send_event("announce", "happy birthday").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If the connection is slower than the senders, this waits. If there is none, it does not wait, but fails once too
    /// much is waiting. Dropping the future sends it or not.
    ///
    /// # Errors
    /// [`SendError`]: it will not be sent.
    pub async fn send_event(&self, event: &str, payload: impl Serialize) -> Result<(), SendError> {
        let draft = draft(event, &payload)?;
        let (reply, taken) = oneshot::channel();
        self.commands.send(Command::Send { draft, reply }).await.map_err(|_| SendError::Closed)?;
        taken.await.map_err(|_| SendError::Closed)?.map_err(SendError::from)
    }

    /// Listens to an event that the server sends unasked, from now on. Several can listen to one event.
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
        self.listeners.add(Interest::events([event]), self.push_buffer)
    }

    /// Listens to several events as to one: their pushes come in the order in which the server sent them, which several
    /// streams of one event each cannot tell. No events are an empty stream that ends with the client.
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
        self.listeners.add(Interest::events(events), self.push_buffer)
    }

    /// Listens to everything that the server sends unasked, from now on: for a log, say. Each push takes a place in
    /// this one stream, so one event that comes often makes it lose others.
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
        self.listeners.add(Interest::All, self.push_buffer)
    }

    /// Calls `callback` for each push of an event, one after the other, in a task of its own, until the subscription is
    /// dropped. A callback that takes long loses the oldest pushes, as a stream does, and delays nothing else; one that
    /// blocks its thread belongs elsewhere. One that panics is not called again.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) {
    /// let subscription = client.on_each("broadcast", |push| println!("{}", push.json()));
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn on_each(&self, event: &str, callback: impl FnMut(Push) + Send + 'static) -> Subscription {
        Subscription::new(self.on(event), callback)
    }

    /// Answers what the server asks under this name, from now on: `services.ws.send_async("confirm", …)` there ends up
    /// here. It stays so, on later connections too, until the [`HandlerRegistration`] is dropped, or for good if that is
    /// [detached](HandlerRegistration::detach). An event has one handler: a later one takes its place.
    ///
    /// ```no_run
    /// # async fn run(client: aaw_client::Client) {
    /// let handling = client.handle("confirm", |question: String| async move {
    ///     println!("{question}");
    ///     Ok(true)
    /// });
    /// # }
    /// ```
    ///
    /// Each question is a task of its own, so several run side by side; one that blocks its thread belongs elsewhere. It
    /// is dropped when the server does not want the answer any more, and when the connection ends. A body that is `null`
    /// is taken for an empty object where that fits and `null` does not. A body that fits neither fails as `bad_body`, a
    /// handler that panics as `panic`, and what a [`HandlerError`] says reaches the server. A name that nobody handles
    /// fails as `unknown_event`, and more questions at once than [`max_asked`](Config::max_asked) as `busy`.
    ///
    /// A handler that holds a clone of the client keeps it open, until one of the two is ended. The original server asks
    /// nothing.
    pub fn handle<B, T, F, Answer>(&self, event: &str, handler: F) -> HandlerRegistration
    where
        B: DeserializeOwned,
        T: Serialize,
        F: Fn(B) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<T, HandlerError>> + Send + 'static,
    {
        self.handlers.add(event, erase(event, handler))
    }

    /// How the connection is doing now. What happens to it later, [`changes`](Self::changes) says.
    ///
    /// ```no_run
    /// # use aaw_client::State;
    /// # async fn run(client: aaw_client::Client) {
    /// if let State::Open { connection: Some(id) } = client.state() {
    ///     println!("open, as connection {id}");
    /// }
    /// # }
    /// ```
    pub fn state(&self) -> State {
        self.watched.state()
    }

    /// What happens to the connection from now on.
    ///
    /// ```no_run
    /// # use aaw_client::ConnectionEvent;
    /// # async fn run(client: aaw_client::Client) {
    /// let mut changes = client.connection_events();
    /// while let Some(change) = changes.next().await {
    ///     match change {
    ///         ConnectionEvent::Open { .. } => println!("open"),
    ///         ConnectionEvent::Close(why) => println!("close: {why}"),
    ///         ConnectionEvent::Error(trouble) => println!("error: {trouble}"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn connection_events(&self) -> ConnectionEvents {
        self.watched.watch(self.push_buffer)
    }

    /// The server's id of the connection that is open now. `None` if there is none, or if the server is the original,
    /// which tells none.
    pub fn connection_id(&self) -> Option<Arc<str>> {
        match self.state() {
            State::Open { connection } => connection,
            _ => None,
        }
    }

    /// Ends the connection in order, for all clones: what was sent before is written, then the connection is closed
    /// with the code 1000. Calls that are open end at once, as [`CallError::OutcomeUnknown`] or [`CallError::NotSent`].
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
    /// Returns when the server has agreed, or after 2 s. Dropping the future does not stop the end.
    pub async fn close(&self) {
        // If nobody takes it, the end was before.
        let _ = self.urgent.send(Urgent::Close);
        self.watched.closed().await;
    }
}

fn draft(event: &str, payload: &impl Serialize) -> Result<EncodedMessage, SendError> {
    // Others under `aaw/` are events like any other: `aaw/login`, say.
    if matches!(
        event,
        hello::HELLO
            | hello::WELCOME
            | hello::ERROR
            | hello::SESSION
            | hello::PING
            | hello::PONG
            | hello::ACK
            | "aaw/gap"
    ) {
        return Err(SendError::ReservedName(event.into()));
    }
    EncodedMessage::new(event, payload).map_err(|error| SendError::Payload(error.to_string()))
}

/// A call that somebody waits for. Dropped before it is over, it cancels the call.
struct Waiting<'a> {
    urgent: &'a mpsc::UnboundedSender<Urgent>,
    key: CallKey,
    outcome: oneshot::Receiver<CallResult>,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            // First this: if the driver has not taken the call yet, it will see that nobody waits, and the message
            // below may then come too early.
            self.outcome.close();
            let _ = self.urgent.send(Urgent::Cancel(self.key));
        }
    }
}
