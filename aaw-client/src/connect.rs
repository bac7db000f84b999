//! The ways to make a client.

use std::future::Future;
use std::sync::Arc;

use aaw_protocol::client::{ClientConnection, DisconnectReason};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::client_session::ClientSession;
use crate::connection_status::ConnectionStatus;
use crate::dial::Endpoint;
use crate::driver::Driver;
use crate::driver_handle::DriverHandle;
use crate::shared::SharedState;
use crate::{Client, Config, ConnectError, ConnectionEvents, HandlerError, HandlerRegistration, Pushes};

/// Connects to a server, `ws://localhost:1337` or `wss://…`, with the default [`Config`].
///
/// Returns when the connection is open. If it is lost later, the client reconnects, again and again until it succeeds
/// or the client is closed or dropped.
///
/// ```no_run
/// # async fn run() -> Result<(), aaw_client::ConnectError> {
/// let client = aaw_client::connect("ws://localhost:1337").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the future abandons the attempt.
///
/// # Errors
///
/// [`ConnectError`] if the first attempt fails. [`connect_lazy`] tries again instead.
///
/// # Panics
///
/// Outside of a tokio runtime with time and I/O enabled.
pub async fn connect(url: &str) -> Result<Client, ConnectError> {
    connect_with(url, Config::default()).await
}

/// Connects to a server. As [`connect`], with a [`Config`].
///
/// ```no_run
/// use std::time::Duration;
///
/// use aaw_client::Config;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config { connect_timeout: Duration::from_secs(2), ..Config::default() };
/// config.headers.insert("authorization", "Bearer …".parse()?);
/// let client = aaw_client::connect_with("wss://example.org", config).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`connect`].
///
/// # Panics
///
/// As [`connect`].
pub async fn connect_with(url: &str, config: Config) -> Result<Client, ConnectError> {
    prepare(url, config)?.connect().await
}

/// Returns a client at once, and connects in the background until it succeeds, with the default [`Config`].
///
/// Calls wait for the connection within their timeout. One-way sends are queued for it.
///
/// ```no_run
/// # #[tokio::main] async fn main() -> Result<(), aaw_client::ConnectError> {
/// let client = aaw_client::connect_lazy("ws://localhost:1337")?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Errors that no further attempt could fix:
///
/// - [`ConnectError::Url`] if the URL is invalid.
/// - [`ConnectError::Header`] if a header of the config belongs to the WebSocket handshake.
/// - [`ConnectError::Tls`] for `wss://` if the system trusts no certificates.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn connect_lazy(url: &str) -> Result<Client, ConnectError> {
    connect_lazy_with(url, Config::default())
}

/// Returns a client at once, and connects in the background. As [`connect_lazy`], with a [`Config`].
///
/// # Errors
///
/// As [`connect_lazy`].
///
/// # Panics
///
/// As [`connect_lazy`].
pub fn connect_lazy_with(url: &str, config: Config) -> Result<Client, ConnectError> {
    Ok(prepare(url, config)?.connect_lazily())
}

/// Returns a client that has not begun to connect, so that listeners and handlers can be registered before.
///
/// A listener that is registered after [`connect`] has returned misses what the server sends at once, such as a
/// greeting.
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
///
/// As [`connect_lazy`].
///
/// # Panics
///
/// Outside of a tokio runtime.
pub fn prepare(url: &str, config: Config) -> Result<PreparedClient, ConnectError> {
    let (driver, receivers) = DriverHandle::new();
    let shared = SharedState {
        listeners: Arc::default(),
        handlers: Arc::default(),
        session: Arc::new(ClientSession::new(config.token.clone(), config.on_token.clone())),
        status: Arc::new(ConnectionStatus::new()),
    };
    let client = Client::new(driver, shared.clone(), &config);
    let seed = Uuid::new_v4().as_u64_pair().0;
    let mut connection = ClientConnection::new(config.connection(), seed);
    connection.set_token(config.token.clone());
    let endpoint = Endpoint::new(url, Arc::new(config))?;
    Ok(PreparedClient { client, driver: Driver::new(endpoint, connection, receivers, shared) })
}

/// A client that has not begun to connect, from [`prepare`].
#[must_use = "it connects only by `connect` or `connect_lazily`"]
pub struct PreparedClient {
    client: Client,
    driver: Driver,
}

impl PreparedClient {
    /// [`Client::on`], from the first push of the connection on.
    pub fn on(&self, event: &str) -> Pushes {
        self.client.on(event)
    }

    /// [`Client::on_any_of`], from the first push of the connection on.
    pub fn on_any_of<'a>(&self, events: impl IntoIterator<Item = &'a str>) -> Pushes {
        self.client.on_any_of(events)
    }

    /// [`Client::on_any`], from the first push of the connection on.
    pub fn on_any(&self) -> Pushes {
        self.client.on_any()
    }

    /// [`Client::handle`], from the first client call of the connection on.
    pub fn handle<B, T, F, Fut>(&self, event: &str, handler: F) -> HandlerRegistration
    where
        B: DeserializeOwned,
        T: Serialize,
        F: Fn(B) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, HandlerError>> + Send + 'static,
    {
        self.client.handle(event, handler)
    }

    /// [`Client::connection_events`], with the first one included.
    pub fn connection_events(&self) -> ConnectionEvents {
        self.client.connection_events()
    }

    /// Connects, as [`connect`](fn@connect) does.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the attempt.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if the first attempt fails.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let Self { client, mut driver } = self;
        let url = driver.url();
        let connected = driver.watch_first_attempt();
        tokio::spawn(driver);
        match connected.await {
            Ok(Ok(())) => Ok(client),
            Ok(Err(error)) => Err(error),
            // The driver was dropped before it had a result: its runtime was shut down.
            Err(_) => Err(ConnectError::Disconnected { url: url.to_string(), reason: DisconnectReason::ClosedByUs }),
        }
    }

    /// Connects in the background, as [`connect_lazy`] does.
    pub fn connect_lazily(self) -> Client {
        tokio::spawn(self.driver);
        self.client
    }
}
