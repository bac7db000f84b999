//! Start, serve, stop.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aaw_event::host::Instance;
use aaw_protocol::Failure;
use arc_swap::ArcSwap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::auth::Service;
use crate::config::Config;
use crate::dispatch::{CallHook, Dispatch};
use crate::error::StartError;
use crate::hub::client_calls::{self, ClientCallError};
use crate::hub::table::Hub;
use crate::module_host::Modules;
use crate::net::accept::{RequestService, accept};
use crate::net::admission::Admission;
use crate::net::context::ServerContext;
use crate::net::shutdown::{Shutdown, ShutdownPhase};
use crate::record::CallRecord;
use crate::registry::{Events, Plan, Registry};
use crate::throttle::Throttle;

#[cfg(feature = "http")]
pub(crate) mod routes;

/// Responds to the requests of the listener.
#[cfg(feature = "http")]
type ListenerService = crate::http::HttpService;
#[cfg(not(feature = "http"))]
type ListenerService = crate::net::upgrade_only::UpgradeOnly;

type Routes = <ListenerService as RequestService>::Routes;

/// How long connections have, past the deadline of a stop, to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long the services of modules have to end. A task of an author's that holds on to them may never let go.
const SERVICES_END: Duration = Duration::from_secs(5);

/// A server that is being put together: events, config, a hook.
pub struct Server {
    config: Config,
    events: Vec<Events>,
    hook: Option<CallHook>,
    routes: Routes,
}

/// Why an event was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The data cannot be JSON.
    #[error("the data cannot be JSON: {0}")]
    NoJson(#[from] serde_json::Error),
    /// It is too large, its name belongs to aaw, or there is nobody to send it to: the code says which.
    #[error(transparent)]
    Refused(#[from] Failure),
}

impl Config {
    /// Whether the address can be listened on, and the folder of
    /// [`HttpConfig::static_dir`](crate::config::HttpConfig::static_dir) served, now. [`Server::bind`] finds out for good;
    /// this is for programs that spend minutes on a build before.
    ///
    /// # Errors
    /// [`StartError::Bind`] and [`StartError::Static`], as they would be then.
    pub async fn probe(&self) -> Result<(), StartError> {
        ListenerService::check_config(self)?;
        self.listen().await.map(drop)
    }

    async fn listen(&self) -> Result<TcpListener, StartError> {
        let listener = TcpListener::bind((self.host.as_str(), self.port)).await;
        listener.map_err(|source| StartError::Bind { address: format!("{}:{}", self.host, self.port), source })
    }
}

impl Server {
    /// A server without events.
    pub fn new(config: Config) -> Self {
        Self { config, events: Vec::new(), hook: None, routes: Routes::default() }
    }

    /// Adds the events of a module: one that is linked (`my_events::module()`), or one that was opened
    /// (`modules::open`, feature `modules`). Can be called several times; names must not meet.
    ///
    /// ```
    /// use aaw_server::{Config, Events, Server};
    ///
    /// let server = Server::new(Config::default())
    ///     .events(aaw_events::module())
    ///     .events(Events::new(aaw_events::module()).under("stock"));
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn events(mut self, events: impl Into<Events>) -> Self {
        self.events.push(events.into());
        self
    }

    /// Lets `hook` see every call when it is over, whatever its outcome; also one that was refused, or whose caller went
    /// while it ran. It runs where the call ended, often on the task of its connection, so it should be quick. A panic
    /// of its own is logged and ends nothing. (A call that is cancelled, or whose connection ends, while it waits in
    /// line was never taken up, and is not told.)
    ///
    /// ```
    /// use aaw_server::{Config, Server};
    ///
    /// let server = Server::new(Config::default()).on_call(|call| match call.result {
    ///     Ok(_) => println!("{} took {:?}", call.event, call.elapsed),
    ///     Err(failure) => println!("{} failed: {failure}", call.event),
    /// });
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn on_call(mut self, hook: impl Fn(&CallRecord<'_>) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Turns authentication on, with this store and otherwise the defaults of [`Auth`](crate::auth::Auth).
    ///
    /// ```
    /// # #[cfg(feature = "auth-sqlite")]
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use aaw_server::auth::SqliteStore;
    /// use aaw_server::{Config, Server};
    ///
    /// let server = Server::new(Config::default()).auth(SqliteStore::open("aaw-auth.sqlite").await?);
    /// # drop(server);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "auth")]
    #[must_use]
    pub fn auth(mut self, store: impl crate::auth::Store) -> Self {
        self.config.auth = Some(crate::auth::Auth::new(store));
        self
    }

    /// Takes the address and builds the services of all modules. Connections that come from now on wait until
    /// [`BoundServer::serve`].
    ///
    /// # Errors
    /// [`StartError`]: the address cannot be had, two events have one name, services could not be built.
    pub async fn bind(self) -> Result<BoundServer, StartError> {
        let Self { config, events, hook, routes } = self;
        let plan = Registry::plan(&events)?;
        let listener = config.listen().await?;
        let address =
            listener.local_addr().map_err(|source| StartError::Bind { address: config.host.clone(), source })?;
        let shared = share(config, &plan, &events, hook, address.ip()).await?;
        let service = ListenerService::new(&shared, routes)?;
        Ok(BoundServer { listener, address, service, shared })
    }
}

/// Starts the modules, and makes what all connections share.
async fn share(
    config: Config,
    plan: &Plan,
    events: &[Events],
    hook: Option<CallHook>,
    ip: IpAddr,
) -> Result<Arc<ServerContext>, StartError> {
    let modules = Arc::<Modules>::default();
    let registry = plan.registry(events, &start(events, &modules).await?);
    #[cfg(feature = "auth")]
    let auth = config.auth.clone().map(Service::start);
    #[cfg(not(feature = "auth"))]
    let auth: Option<Arc<Service>> = None;
    list(plan, events, auth.is_some(), false);
    Ok(Arc::new(ServerContext {
        admission: Admission { on_loopback: ip.to_canonical().is_loopback(), allowed: config.allow_origins.clone() },
        dispatch: Arc::new(Dispatch {
            registry: ArcSwap::from_pointee(registry),
            hook,
            auth: auth.clone(),
            max_answer: config.max_message,
        }),
        hub: Arc::new(Hub::new(config.max_rooms, auth)),
        modules,
        refusals: Throttle::default(),
        shutdown: Shutdown::default(),
        config: Arc::new(config),
    }))
}

/// Logs which events there are; after a swap, only what somebody should know of.
fn list(plan: &Plan, sources: &[Events], with_auth: bool, unreachable_only: bool) {
    for listed in plan.listing(sources, with_auth) {
        if !unreachable_only || !listed.reachable {
            tracing::info!("event {listed}");
        }
    }
}

/// Builds the services of all modules.
async fn start(sources: &[Events], modules: &Arc<Modules>) -> Result<Vec<Instance>, StartError> {
    let mut instances = Vec::with_capacity(sources.len());
    for source in sources {
        let instance = source.module.start(modules.host()).await;
        let failed = |failure| StartError::Services { origin: source.origin.clone(), failure };
        instances.push(instance.map_err(failed)?);
    }
    Ok(instances)
}

/// A server that has its address and its services, and does not serve yet.
pub struct BoundServer {
    listener: TcpListener,
    address: SocketAddr,
    service: ListenerService,
    shared: Arc<ServerContext>,
}

impl BoundServer {
    /// The address it listens on: with port 0 in the config, the port it was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What can be done to the server while it serves.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Serves until `shutdown` is ready, then stops in order: no new connections, no new calls; running calls finish, for
    /// up to [`Config::stop_timeout`], be they made over a WebSocket or HTTP; WebSockets close with 1001; the services of
    /// modules are dropped. Ready when all of it is done. Dropped, it stops accepting, and leaves the connections that
    /// there are.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, service, shared, .. } = self;
        tokio::select! {
            () = accept(&listener, &service, &shared) => {}
            () = shutdown => {}
        }
        drop((listener, service));
        stop(&shared).await;
    }
}

/// Ends what there is, in order.
async fn stop(shared: &ServerContext) {
    let hub = &shared.hub;
    shared.shutdown.advance(ShutdownPhase::Draining);
    hub.drain();
    // Said when it is so: who reads it meets a server that takes no more calls.
    tracing::info!(connections = hub.len(), "stopping");
    if tokio::time::timeout(shared.config.stop_timeout, hub.wait_until_empty()).await.is_err() {
        tracing::warn!(connections = hub.len(), "calls still run past the deadline; they are dropped");
        shared.shutdown.advance(ShutdownPhase::Aborting);
        hub.stop();
        let _ = tokio::time::timeout(GOODBYE, hub.wait_until_empty()).await;
    }
    shared.shutdown.advance(ShutdownPhase::Aborting);
    // Lets the modules go, and with them the services they built.
    shared.dispatch.registry.store(Arc::default());
    if tokio::time::timeout(SERVICES_END, shared.modules.wait_until_ended()).await.is_err() {
        tracing::warn!("services still end past their time; the program does not wait for them");
    }
    tracing::info!("stopped");
}

/// A handle to a server that serves. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<ServerContext>,
}

impl Handle {
    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.hub.len()
    }

    /// Sends an event to every connection, and says how many there were. It goes out after what was sent before, and
    /// nobody waits for it: who cannot take it is not reached.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # use aaw_server::{Config, Server};
    /// let bound = Server::new(Config { port: 0, ..Config::default() }).bind().await?;
    /// let handle = bound.handle();
    /// let serving = tokio::spawn(bound.serve(std::future::pending()));
    /// assert_eq!(handle.emit("message", "happy birthday")?, 0);
    /// # serving.abort();
    /// # Ok(()) }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`EmitError`]: the data cannot be JSON or is larger than a message may be, or the name belongs to aaw itself.
    pub fn emit(&self, event: &str, data: impl Serialize) -> Result<usize, EmitError> {
        let data = serde_json::to_string(&data)?;
        Ok(self.shared.hub.emit(event, &data, self.shared.config.max_message)?)
    }

    /// Sends an event to one connection: its id is what handlers see as `services.ws.id()`.
    ///
    /// # Errors
    /// As [`emit`](Self::emit); and with [`NO_CONNECTION`](crate::Code::NO_CONNECTION) if there is no such connection, or not any more.
    pub fn emit_to(&self, connection: Uuid, event: &str, data: impl Serialize) -> Result<(), EmitError> {
        let data = serde_json::to_string(&data)?;
        Ok(self.shared.hub.emit_to(connection, event, &data, self.shared.config.max_message)?)
    }

    /// Asks one client, and waits for its answer, at most `timeout` long (`Duration::MAX`: as long as it takes). The
    /// connection's id is what handlers see as `services.ws.id()`; what answers is what the client registered for this
    /// event (`client.handle(event, …)`). Dropping the future cancels: the client's handler is dropped then.
    ///
    /// ```no_run
    /// # async fn example(handle: aaw_server::Handle, connection: uuid::Uuid) -> Result<(), aaw_server::ClientCallError> {
    /// let yes: bool = handle.call_client(connection, "confirm", "Really?", std::time::Duration::from_secs(30)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ClientCallError::Failed`] with the client's own failure, or one of ours: [`UNKNOWN_EVENT`](crate::Code::UNKNOWN_EVENT)
    /// if the client has no handler of that name, [`TIMEOUT`](crate::Code::TIMEOUT),
    /// [`NO_CONNECTION`](crate::Code::NO_CONNECTION) if there is none or it ends before the answer,
    /// [`UNREACHABLE`](crate::Code::UNREACHABLE) if the client speaks the classic dialect,
    /// [`BUSY`](crate::Code::BUSY) if it has too many unanswered questions or does not read,
    /// [`TOO_LARGE`](crate::Code::TOO_LARGE). [`ClientCallError::BadAnswer`] if the answer is no `T`.
    pub async fn call_client<T: DeserializeOwned>(
        &self,
        connection: Uuid,
        event: &str,
        data: impl Serialize,
        timeout: Duration,
    ) -> Result<T, ClientCallError> {
        let data = serde_json::to_string(&data).map_err(ClientCallError::NoJson)?;
        let peer = self.shared.hub.peer(connection).ok_or_else(client_calls::ended)?;
        let answer = peer.ask(event, data, timeout).await?;
        serde_json::from_str(&answer).map_err(ClientCallError::BadAnswer)
    }

    /// Puts these events in the place of all that there are. Calls that run go on with the old ones; whatever comes
    /// later meets the new ones. No call is lost, and none waits.
    ///
    /// ```
    /// # async fn example() -> Result<(), aaw_server::StartError> {
    /// # use aaw_server::{Config, Events, Server};
    /// let bound = Server::new(Config { port: 0, ..Config::default() }).bind().await?;
    /// let handle = bound.handle();
    /// let serving = tokio::spawn(bound.serve(std::future::pending()));
    /// handle.replace_events(vec![Events::new(aaw_events::module())]).await?;
    /// # serving.abort();
    /// # Ok(()) }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Server::bind`]; the old events go on then.
    pub async fn replace_events(&self, events: Vec<Events>) -> Result<(), StartError> {
        let plan = Registry::plan(&events)?;
        let registry = plan.registry(&events, &start(&events, &self.shared.modules).await?);
        let names = registry.names();
        let before = self.shared.dispatch.registry.swap(Arc::new(registry)).names();
        let added: Vec<_> = names.difference(&before).map(|name| format!("+{name}")).collect();
        let removed = before.difference(&names).map(|name| format!("-{name}"));
        let changes = added.into_iter().chain(removed).collect::<Vec<_>>().join(" ");
        tracing::info!("serving {} new events {changes}", names.len());
        list(&plan, &events, self.shared.dispatch.auth.is_some(), true);
        Ok(())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("config", &self.config).field("events", &self.events).finish_non_exhaustive()
    }
}

impl fmt::Debug for BoundServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("connections", &self.connections()).finish_non_exhaustive()
    }
}
