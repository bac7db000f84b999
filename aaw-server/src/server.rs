//! Start, accept, stop.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use aaw_event::host::{Host, Instance, LogRecord};
use aaw_protocol::Failure;
use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;

use crate::admission::Admission;
use crate::config::Config;
use crate::dispatch::{CallHook, Dispatch};
use crate::handshake::{Visitor, respond};
use crate::hub::{Hub, Place};
use crate::record::CallRecord;
use crate::registry::{Events, Registry, RegistryError};

/// How long the accept loop waits when the system has no more file descriptors.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// How long connections have, past the deadline of a stop, to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// A server that is being put together: events, config, a hook.
pub struct Server {
    config: Config,
    events: Vec<Events>,
    hook: Option<CallHook>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}", describe(source))]
    Bind {
        /// The host and port of the config.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The events do not go together.
    #[error(transparent)]
    Events(#[from] RegistryError),
    /// The services of a module could not be built.
    #[error("{origin}: the services could not be built: {failure}")]
    Services {
        /// Where the module came from.
        origin: String,
        /// What went wrong.
        failure: Failure,
    },
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use; stop what uses it, or choose another with --port".into(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need rights that this user lacks".into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    }
}

impl Server {
    /// A server without events.
    pub fn new(config: Config) -> Self {
        Self { config, events: Vec::new(), hook: None }
    }

    /// Adds the events of a module: one that is linked (`my_events::module()`), or one that was opened
    /// (`modules::open`, feature `modules`). Can be called several times; names must not meet.
    #[must_use]
    pub fn events(mut self, events: impl Into<Events>) -> Self {
        self.events.push(events.into());
        self
    }

    /// Lets `hook` see every call when it is over, whatever its outcome. It runs where the call ended, often on the task
    /// of its connection, so it should be quick.
    #[must_use]
    pub fn on_call(mut self, hook: impl Fn(&CallRecord<'_>) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Takes the address and builds the services of all modules. Connections that come from now on wait until
    /// [`Bound::serve`].
    ///
    /// # Errors
    /// [`StartError`]: the address cannot be had, two events have one name, services could not be built.
    pub async fn bind(self) -> Result<Bound, StartError> {
        let Self { config, events, hook } = self;
        let plan = Registry::plan(&events)?;
        let bind_error = |source| StartError::Bind { address: format!("{}:{}", config.host, config.port), source };
        let listener = TcpListener::bind((config.host.as_str(), config.port)).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        for listed in plan.listing(&events) {
            tracing::info!("event {listed}");
        }
        let registry = plan.registry(&events, &start(&events).await?);
        let shared = Shared {
            admission: Admission { on_loopback: address.ip().is_loopback(), allowed: config.allow_origins.clone() },
            dispatch: Arc::new(Dispatch { registry: ArcSwap::from_pointee(registry), hook }),
            hub: Arc::new(Hub::default()),
            config: Arc::new(config),
        };
        Ok(Bound { listener, address, shared: Arc::new(shared) })
    }
}

/// Builds the services of all modules.
async fn start(sources: &[Events]) -> Result<Vec<Instance>, StartError> {
    let mut instances = Vec::with_capacity(sources.len());
    for source in sources {
        let instance = source.module.start(Arc::new(ModuleLog)).await;
        let failed = |failure| StartError::Services { origin: source.origin.clone(), failure };
        instances.push(instance.map_err(failed)?);
    }
    Ok(instances)
}

/// What every connection of a server shares.
pub(crate) struct Shared {
    pub(crate) admission: Admission,
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) config: Arc<Config>,
}

/// A server that has its address and its services, and does not serve yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Bound {
    /// The address it listens on: with port 0 in the config, the port it was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What can be done to the server while it serves.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Serves until `shutdown` is ready, then stops in order: no new connections, no new calls; running calls finish, for
    /// up to [`Config::stop_timeout`]; connections close with 1001. Ready when all of it is done. Dropped, it stops
    /// accepting, and leaves the connections that there are.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, shared, .. } = self;
        let (stopping, stop) = watch::channel(());
        tokio::select! {
            () = accept(&listener, &shared, &stop) => {}
            () = shutdown => {}
        }
        drop(listener);
        drop(stopping);
        let hub = &shared.hub;
        tracing::info!(connections = hub.len(), "stopping");
        hub.drain();
        if tokio::time::timeout(shared.config.stop_timeout, hub.wait_until_empty()).await.is_err() {
            tracing::warn!(connections = hub.len(), "calls still run past the deadline; they are dropped");
            hub.stop();
            let _ = tokio::time::timeout(GOODBYE, hub.wait_until_empty()).await;
        }
    }
}

/// A handle to a server that serves. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.hub.len()
    }

    /// Puts these events in the place of all that there are. Calls that run go on with the old ones; whatever comes
    /// later meets the new ones. No call is lost, and none waits.
    ///
    /// # Errors
    /// As [`Server::bind`]; the old events go on then.
    pub async fn replace_events(&self, events: Vec<Events>) -> Result<(), StartError> {
        let plan = Registry::plan(&events)?;
        let registry = plan.registry(&events, &start(&events).await?);
        self.shared.dispatch.registry.store(Arc::new(registry));
        Ok(())
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>, stop: &watch::Receiver<()>) {
    loop {
        let (socket, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // A connection that was gone before it was accepted is no trouble; no more files is, for a while.
                tracing::warn!("accepting a connection failed: {error}");
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
                continue;
            }
        };
        match shared.hub.admit(shared.config.max_connections) {
            Some(place) => {
                tokio::spawn(visit(socket, address, Arc::clone(shared), place, stop.clone()));
            }
            None => {
                tracing::warn!(peer = %address, "refused a connection: there are {} already", shared.config.max_connections);
                tokio::spawn(refuse(socket));
            }
        }
    }
}

/// Serves one TCP connection until it is upgraded, or ends.
async fn visit(
    socket: TcpStream,
    address: SocketAddr,
    shared: Arc<Shared>,
    place: Place,
    mut stop: watch::Receiver<()>,
) {
    // Answers are gathered before they are written, so waiting for more to gather costs time and gains nothing.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(peer = %address, "no TCP_NODELAY: {error}");
    }
    let handshake_timeout = shared.config.handshake_timeout;
    let visitor = Arc::new(Visitor { shared, address, place: Mutex::new(Some(place)) });
    let service = service_fn(move |request| {
        let visitor = Arc::clone(&visitor);
        async move { Ok::<_, std::convert::Infallible>(respond(&visitor, request)) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(handshake_timeout).max_buf_size(16 << 10);
    let connection = http.serve_connection(TokioIo::new(socket), service).with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        // The sender is dropped when the server stops.
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            // A request that is here is answered at once. For one that is still on its way nobody waits: it may never
            // come.
            match poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx))).await {
                Poll::Ready(served) => served,
                Poll::Pending => return,
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(peer = %address, "before a WebSocket was: {error}");
    }
}

/// Tells a client that there is no room.
async fn refuse(mut socket: TcpStream) {
    const FULL: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n";
    let _ = tokio::time::timeout(GOODBYE, async {
        socket.write_all(FULL).await?;
        socket.shutdown().await
    })
    .await;
}

/// Takes the log records of modules over into our own log.
struct ModuleLog;

impl Host for ModuleLog {
    fn log(&self, record: LogRecord<'_>) {
        let LogRecord { level, target, message, package, .. } = record;
        // The level of an event is part of its static description, so there is one description a level.
        macro_rules! log {
            ($level:ident) => {
                tracing::event!(target: "aaw::module", tracing::Level::$level, package, "{target}: {message}")
            };
        }
        match level {
            tracing::Level::ERROR => log!(ERROR),
            tracing::Level::WARN => log!(WARN),
            tracing::Level::INFO => log!(INFO),
            tracing::Level::DEBUG => log!(DEBUG),
            tracing::Level::TRACE => log!(TRACE),
        }
    }

    fn max_level(&self) -> LevelFilter {
        LevelFilter::current()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("config", &self.config).field("events", &self.events).finish_non_exhaustive()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("connections", &self.connections()).finish_non_exhaustive()
    }
}
