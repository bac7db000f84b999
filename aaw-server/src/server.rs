//! Starts, serves and shuts down a server.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::{EventName, Failure, json};
use arc_swap::ArcSwap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::address_limits::AddressLimits;
use crate::auth::Service;
use crate::call_record::CallRecord;
use crate::config::Config;
use crate::config_update::ConfigUpdate;
use crate::dispatch::{CallHook, Dispatch, RunLimits};
use crate::error::StartError;
use crate::hub::{ClientCallError, HostServices, Hub, connection_ended};
use crate::listen_address::BoundAddress;
use crate::memory_budget::{HeldLimits, ProcessBudget};
use crate::module_host::Modules;
use crate::net::accept::accept;
use crate::net::context::ServerContext;
use crate::net::listener::{Listener, PassedListener};
use crate::net::request_service::RequestService;
use crate::net::running_config::RunningConfig;
use crate::net::shutdown_phase::Shutdown;
use crate::poll_watch::PollWatch;
use crate::readiness;
use crate::registry::{Events, Registry, RegistryPlan};
use crate::server::start_modules::start_modules;
use crate::throttle::LogThrottles;

mod end_replaced;
#[cfg(feature = "http")]
pub(crate) mod routes;
mod start_modules;
mod stop;

/// Responds to the requests of the listener.
#[cfg(feature = "http")]
type ListenerService = crate::http::HttpService;
#[cfg(not(feature = "http"))]
type ListenerService = crate::net::upgrade_only::UpgradeOnly;

type Routes = <ListenerService as RequestService>::Routes;

/// A server that is being configured. [`bind`](Self::bind) starts it.
pub struct Server {
    config: Config,
    events: Vec<Events>,
    hook: Option<CallHook>,
    routes: Routes,
    passed: Vec<PassedListener>,
}

/// Why an event was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The data cannot be serialized as JSON: its `Serialize` fails, a map has keys that are not strings, or a number is
    /// NaN or infinite.
    #[error("cannot serialize the data as JSON: {0}")]
    Serialize(#[from] serde_json::Error),
    /// The event was rejected. The code is [`TOO_LARGE`](crate::Code::TOO_LARGE) if it exceeds
    /// [`Config::max_message_bytes`], [`NO_CONNECTION`](crate::Code::NO_CONNECTION) if the connection does not exist or
    /// has closed, and [`NOT_ALLOWED`](crate::Code::NOT_ALLOWED) if the name is reserved.
    #[error(transparent)]
    Refused(#[from] Failure),
}

impl Config {
    /// Checks that the address can be listened on and that the folder of
    /// [`HttpConfig::static_dir`](crate::config::HttpConfig::static_dir) can be served, for a program that does
    /// something lengthy, such as a build, before [`Server::bind`]. `bind` checks again.
    ///
    /// # Errors
    /// [`StartError::Bind`] if the address cannot be listened on; [`StartError::Static`] if the folder cannot be
    /// served; [`StartError::ProxyProtocol`] if no proxy is trusted for it.
    pub async fn probe(&self) -> Result<(), StartError> {
        self.check_proxy_protocol()?;
        ListenerService::check_config(self)?;
        Listener::bind_all(self).await.map(drop)
    }

    fn check_proxy_protocol(&self) -> Result<(), StartError> {
        if self.proxy_protocol && self.trusted_proxies.is_empty() {
            return Err(StartError::ProxyProtocol);
        }
        Ok(())
    }

    /// Returns [`host`](Self::host) without the brackets that an IPv6 address has in a URL.
    pub(crate) fn bare_host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }
}

impl Server {
    /// Creates a server without events.
    pub fn new(config: Config) -> Self {
        Self { config, events: Vec::new(), hook: None, routes: Routes::default(), passed: Vec::new() }
    }

    /// Adds the events of a module: a linked one (`my_events::module()`) or a loaded one (`modules::open`, feature
    /// `modules`). May be called several times; the names of all events must be distinct.
    ///
    /// ```no_run
    /// # mod my_events { pub fn module() -> aaw_server::Module { unimplemented!() } }
    /// # mod shop { pub fn module() -> aaw_server::Module { unimplemented!() } }
    /// use aaw_server::{Config, Events, Server};
    ///
    /// let server = Server::new(Config::default())
    ///     .events(my_events::module())
    ///     .events(Events::new(shop::module()).under("shop"));
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn events(mut self, events: impl Into<Events>) -> Self {
        self.events.push(events.into());
        self
    }

    /// Accepts connections on a socket that another program has opened, such as a service manager (systemd's socket
    /// activation). May be called several times. The server then listens on no address of its [`Config`].
    ///
    /// ```
    /// use std::net::TcpListener;
    ///
    /// use aaw_server::{Config, Server};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let server = Server::new(Config::default()).listener(TcpListener::bind("127.0.0.1:0")?);
    /// # drop(server);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn listener(mut self, listener: impl Into<PassedListener>) -> Self {
        self.passed.push(listener.into());
        self
    }

    /// Sets a hook that receives every finished call, including refused and cancelled ones. It runs where the call
    /// ended, often on the task of a connection, so it must not block. A panic of the hook is logged and has no other
    /// effect. A call that is cancelled, or whose connection closes, while it is in the wait queue was never started
    /// and is not reported.
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

    /// Enables authentication with this store and the defaults of [`Auth`](crate::auth::Auth).
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

    /// Listens on the address and builds the services of all modules. Incoming connections wait until
    /// [`BoundServer::serve`].
    ///
    /// Each `services()` runs on a thread of its own, so it may block. If it has not returned after 5 s, a warning is
    /// logged, and after 30 s an error; there is no time limit. Dropping the future aborts it at its next `await`; a
    /// `services()` that blocks its thread continues there, and its result is dropped.
    ///
    /// # Errors
    /// [`StartError`] if the address cannot be listened on, two events have the same name, services cannot be built, or
    /// the static folder or the additional routes cannot be served.
    pub async fn bind(self) -> Result<BoundServer, StartError> {
        let Self { config, events, hook, routes, passed } = self;
        config.check_proxy_protocol()?;
        let plan = Registry::plan(&events)?;
        let listeners = if passed.is_empty() {
            Listener::bind_all(&config).await?
        } else {
            passed.into_iter().map(Listener::passed).collect::<Result<_, _>>()?
        };
        let addresses = listeners.iter().map(Listener::address).collect::<Result<Vec<_>, _>>();
        let addresses = addresses.map_err(|source| StartError::Bind { address: config.host.clone(), source })?;
        let shared = share(config, &plan, &events, hook).await?;
        let service = ListenerService::new(&shared, routes)?;
        Ok(BoundServer { listeners, addresses, service, shared })
    }
}

/// Starts the modules, and creates the state that all connections share.
async fn share(
    config: Config,
    plan: &RegistryPlan,
    events: &[Events],
    hook: Option<CallHook>,
) -> Result<Arc<ServerContext>, StartError> {
    let modules = Arc::<Modules>::default();
    let started = start_modules(events, &modules).await?;
    let registry = plan.registry(events, &started.instances);
    *modules.current() = started.hosts;
    #[cfg(feature = "auth")]
    let auth = config.auth.clone().map(Service::start);
    #[cfg(not(feature = "auth"))]
    let auth: Option<Arc<Service>> = None;
    log_events(plan, events, auth.is_some(), false);
    let limits = HeldLimits {
        connection: config.max_held_bytes,
        address: config.max_held_bytes_per_address,
        total: config.max_total_held_bytes,
    };
    let hub = Arc::new(Hub::new(config.max_rooms, ProcessBudget::new(limits)));
    let address_limits = AddressLimits::new(&config.address_rates());
    let mut contention_watch = JoinSet::new();
    contention_watch.spawn(address_limits.watch_contention());
    Ok(Arc::new(ServerContext {
        dispatch: Arc::new(Dispatch {
            registry: ArcSwap::from_pointee(registry),
            hook,
            auth: auth.clone(),
            max_response: config.max_message_bytes,
            limits: RunLimits { call: config.max_call_time, guard: config.guard_timeout },
            throttles: LogThrottles::new(),
            busy_turns: Arc::default(),
        }),
        host_services: HostServices::new(Arc::clone(&hub), auth, config.max_message_bytes),
        _poll_watch: PollWatch::start(hub.check()).map_err(StartError::Thread)?,
        hub,
        address_limits,
        _contention_watch: contention_watch,
        modules,
        refused_connections: Arc::default(),
        shutdown: Shutdown::default(),
        readiness: Arc::default(),
        config: RunningConfig::new(config),
    }))
}

/// Logs the events; after a reload only those that cannot be called.
fn log_events(plan: &RegistryPlan, sources: &[Events], with_auth: bool, unreachable_only: bool) {
    for listed in plan.listing(sources, with_auth) {
        if !unreachable_only || !listed.reachable {
            tracing::info!("event {listed}");
        }
    }
}

/// The number of events after a replacement, and the names that are new or removed.
fn describe_replacement(previous: &BTreeSet<EventName>, names: &BTreeSet<EventName>) -> String {
    let mut text = format!("{} in total", names.len());
    for (label, only_in, other) in [("new", names, previous), ("removed", previous, names)] {
        let listed: Vec<_> = only_in.difference(other).map(EventName::as_str).collect();
        if !listed.is_empty() {
            let _ = write!(text, ", {} {label} ({})", listed.len(), listed.join(", "));
        }
    }
    if names == previous {
        text.push_str(", the same names");
    }
    text
}

/// A server that listens on its address and has built its services, but does not accept connections yet.
pub struct BoundServer {
    listeners: Vec<Listener>,
    addresses: Vec<BoundAddress>,
    service: ListenerService,
    shared: Arc<ServerContext>,
}

impl BoundServer {
    /// Returns the first TCP address that the server listens on, with the actual port if [`Config::port`] is 0. A server
    /// that listens on Unix sockets only returns `0.0.0.0:0`; see [`addresses`](Self::addresses).
    pub fn local_addr(&self) -> SocketAddr {
        let tcp = self.addresses.iter().find_map(|address| match address {
            BoundAddress::Tcp(address) => Some(*address),
            BoundAddress::Unix(_) => None,
        });
        tcp.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// Returns all addresses that the server listens on.
    pub fn addresses(&self) -> &[BoundAddress] {
        &self.addresses
    }

    /// Returns a handle to control the server while it serves.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Serves until `shutdown` completes, and then shuts down gracefully: new connections and calls are refused, running
    /// streams and calls may finish (see [`Config::stream_shutdown_timeout`] and [`Config::shutdown_timeout`]), over
    /// WebSockets and HTTP alike, WebSockets are closed with code 1001, and the services of the modules are dropped. The
    /// future completes after that.
    ///
    /// Dropping the future stops accepting connections; open connections continue.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { listeners, service, shared, .. } = self;
        shared.readiness.pass(readiness::STARTING);
        // The certificate is not among what an update replaces.
        let config = Arc::clone(&shared.config.load().config);
        tokio::select! {
            () = accept(&listeners, &service, &shared) => {}
            () = maintain_certificate(&config) => {}
            () = shutdown => {}
        }
        drop((listeners, service));
        stop::stop(&shared).await;
    }
}

/// Keeps the certificate of the listeners up to date.
async fn maintain_certificate(config: &Config) {
    #[cfg(feature = "tls")]
    if let Some(tls) = &config.tls {
        tls.maintain().await;
    }
    #[cfg(not(feature = "tls"))]
    let _ = config;
    std::future::pending::<()>().await;
}

/// A handle to a running server. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<ServerContext>,
}

impl Handle {
    /// Returns the number of WebSocket connections, with those whose clients are [away](Self::away_connections).
    pub fn connections(&self) -> usize {
        self.shared.hub.len()
    }

    /// Returns the number of [connections](Self::connections) whose clients are away: their sockets have broken, and they
    /// may still resume.
    pub fn away_connections(&self) -> usize {
        self.shared.hub.resumable.away()
    }

    /// Returns the bytes that connections and HTTP requests make the server hold: responses under construction, responses
    /// and pushes that are not read, and messages that have not arrived whole. Each connection is counted in whole steps
    /// of 4 KiB. Bounded by [`Config::max_held_bytes`](crate::Config::max_held_bytes) for each connection,
    /// [`max_held_bytes_per_address`](crate::Config::max_held_bytes_per_address) for each client address, and
    /// [`max_total_held_bytes`](crate::Config::max_total_held_bytes) in all.
    pub fn held_bytes(&self) -> usize {
        self.shared.hub.held_bytes()
    }

    /// Sends an event to every connection, and returns the number of connections. The event is queued behind earlier
    /// pushes; the method does not wait until it is sent, and a connection that fails meanwhile does not receive it.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # use aaw_server::{Config, Server};
    /// let server = Server::new(Config { port: 0, ..Config::default() }).bind().await?;
    /// let handle = server.handle();
    /// let serving = tokio::spawn(server.serve(std::future::pending()));
    /// assert_eq!(handle.emit("message", "happy birthday")?, 0);
    /// # serving.abort();
    /// # Ok(()) }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`EmitError::Serialize`] if the data cannot be serialized as JSON; [`EmitError::Refused`] if it is too large or
    /// the name is reserved.
    pub fn emit(&self, event: &str, data: impl Serialize) -> Result<usize, EmitError> {
        let data = json::to_string(&data)?;
        Ok(self.shared.hub.emit(event, &data, self.shared.dispatch.max_response)?)
    }

    /// Sends an event to one connection. Handlers get the id of their connection from `services.ws.id()`.
    ///
    /// # Errors
    /// As [`emit`](Self::emit); also [`EmitError::Refused`] with [`NO_CONNECTION`](crate::Code::NO_CONNECTION) if the
    /// connection does not exist or has closed.
    pub fn emit_to(&self, connection: Uuid, event: &str, data: impl Serialize) -> Result<(), EmitError> {
        let data = json::to_string(&data)?;
        Ok(self.shared.hub.emit_to(connection, event, &data, self.shared.dispatch.max_response)?)
    }

    /// Calls a client and waits for its response, for at most `timeout` (`Duration::MAX` for no limit). The client
    /// responds with the handler that it registered for this event (`client.handle(event, …)`). Handlers of the server
    /// get the id of their connection from `services.ws.id()`.
    ///
    /// Dropping the future cancels the call, and the client drops its handler.
    ///
    /// ```no_run
    /// # async fn example(handle: aaw_server::Handle, connection: uuid::Uuid) -> Result<(), aaw_server::ClientCallError> {
    /// let confirmed: bool = handle.call_client(connection, "confirm", "Really?", std::time::Duration::from_secs(30)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ClientCallError::Failed`] with the failure of the client's handler, or with one of these codes:
    /// [`UNKNOWN_EVENT`](crate::Code::UNKNOWN_EVENT) if the client has no handler for the event,
    /// [`TIMEOUT`](crate::Code::TIMEOUT) if it does not respond in time, [`NO_CONNECTION`](crate::Code::NO_CONNECTION)
    /// if the connection does not exist or closes before the response, [`UNREACHABLE`](crate::Code::UNREACHABLE) if the
    /// client uses the classic dialect, [`BUSY`](crate::Code::BUSY) if [`Config::max_client_calls`] is reached or the
    /// client does not read, and [`TOO_LARGE`](crate::Code::TOO_LARGE) if the data exceeds
    /// [`Config::max_message_bytes`]. [`ClientCallError::Serialize`] if the data cannot be serialized as JSON;
    /// [`ClientCallError::BadResponse`] if the response cannot be deserialized as `T`.
    pub async fn call_client<T: DeserializeOwned>(
        &self,
        connection: Uuid,
        event: &str,
        data: impl Serialize,
        timeout: Duration,
    ) -> Result<T, ClientCallError> {
        let data = json::to_string(&data).map_err(ClientCallError::Serialize)?;
        let peer = self.shared.hub.peer(connection).ok_or_else(connection_ended)?;
        let response = peer.client_call(event, data, timeout).await?;
        json::from_str(&response).map_err(ClientCallError::BadResponse)
    }

    /// Returns the current configuration. The store of its [`auth`](Config) is that of the start.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.shared.config.load().config)
    }

    /// Takes over the fields of a configuration that can change while the server runs, all at once. Connections that are open
    /// keep the values that they began with; those that open later have the new ones. The rates of client addresses, and
    /// [`contention_delay`](Config::contention_delay), apply to all connections at once; the limits of authentication, to
    /// log-ins and registrations that begin afterwards, where what has failed before still counts. The result names the
    /// fields that differ, and says which need a restart: those keep their values.
    ///
    /// These need one: the address, the static folder, the sizes of messages, of held memory and of rooms, the time limits of
    /// handlers and guards, and the lifetime of password resets. Whether there is authentication, its store and its hook are
    /// not compared, and stay. The fields are not checked: a limit of zero refuses what it limits.
    ///
    /// ```
    /// # async fn example() -> Result<(), aaw_server::StartError> {
    /// # use aaw_server::{Config, Server};
    /// let config = Config { port: 0, ..Config::default() };
    /// let server = Server::new(config.clone()).bind().await?;
    /// let update = server.handle().update_config(Config { port: 1, max_connections: 100, ..config });
    /// assert_eq!(update.applied, ["max_connections"]);
    /// assert_eq!(update.needs_restart, ["port"]);
    /// # Ok(()) }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    pub fn update_config(&self, config: Config) -> ConfigUpdate {
        self.shared.update_config(config)
    }

    /// Replaces all events. Running calls continue with the previous handlers, later ones get the new handlers. No call
    /// waits because of the replacement, and none fails, unless it still runs after [`Config::replaced_events_timeout`].
    ///
    /// The services of the new events are built first, as [`Server::bind`] does. Dropping the future before that is done
    /// keeps the previous events.
    ///
    /// ```no_run
    /// # mod my_events { pub fn module() -> aaw_server::Module { unimplemented!() } }
    /// use aaw_server::Events;
    ///
    /// # async fn example(handle: aaw_server::Handle) -> Result<(), aaw_server::StartError> {
    /// handle.replace_events(vec![Events::new(my_events::module())]).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`StartError::Events`] if two events have the same name or a name is invalid; [`StartError::Services`] if
    /// services cannot be built. The previous events are then kept.
    pub async fn replace_events(&self, events: Vec<Events>) -> Result<(), StartError> {
        let plan = Registry::plan(&events)?;
        let started = start_modules(&events, &self.shared.modules).await?;
        let registry = plan.registry(&events, &started.instances);
        let names = registry.names();
        let previous = {
            let mut hosts = self.shared.modules.current();
            let previous = self.shared.dispatch.registry.swap(Arc::new(registry));
            let hosts = std::mem::replace(&mut *hosts, started.hosts);
            let timeout = self.shared.config.load().replaced_events_timeout;
            end_replaced::spawn(&self.shared, Arc::clone(&previous.generation), hosts, timeout);
            previous.names()
        };
        tracing::info!("replaced the events: {}", describe_replacement(&previous, &names));
        log_events(&plan, &events, self.shared.dispatch.auth.is_some(), true);
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
        f.debug_struct("BoundServer").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Requests this path, and returns the status line's code and the body.
    async fn get(address: SocketAddr, path: &str) -> (String, String) {
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).await.unwrap();
        let status = response.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = response.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status, body.unwrap_or_default())
    }

    #[tokio::test]
    async fn the_server_is_not_ready_while_a_condition_fails() {
        let bound = Server::new(Config { port: 0, ..Config::default() }).bind().await.unwrap();
        let (address, shared) = (bound.local_addr(), Arc::clone(&bound.shared));
        assert_eq!(shared.readiness.failing(), [readiness::STARTING], "it does not accept connections yet");
        let serving = tokio::spawn(bound.serve(std::future::pending()));
        let response = |status: &str, body: &str| (status.to_owned(), body.to_owned());
        assert_eq!(get(address, "/readyz").await, response("200", r#"{"status":"ready"}"#));
        shared.readiness.fail("store");
        assert_eq!(get(address, "/readyz").await, response("503", r#"{"status":"not_ready","reasons":["store"]}"#));
        assert_eq!(get(address, "/healthz").await, response("200", r#"{"status":"ok"}"#), "it lives");
        shared.readiness.pass("store");
        assert_eq!(get(address, "/readyz").await, response("200", r#"{"status":"ready"}"#));
        serving.abort();
    }

    #[test]
    fn a_replacement_is_described_by_what_is_new_and_what_is_removed() {
        let check = |previous: &[&str], names: &[&str], expected| {
            let [previous, names] =
                [previous, names].map(|names| names.iter().map(|name| EventName::parse(name).unwrap()).collect());
            assert_eq!(describe_replacement(&previous, &names), expected);
        };
        check(&["a", "b"], &["a", "b"], "2 in total, the same names");
        check(&["a"], &["a", "b", "c/d"], "3 in total, 2 new (b, c/d)");
        check(&["a", "b"], &["a"], "1 in total, 1 removed (b)");
        check(&["a", "b"], &["a", "c"], "2 in total, 1 new (c), 1 removed (b)");
    }
}
