//! One HTTP connection: its permit among the server's connections, the requests in progress on it, and whether a
//! request may be served at all.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aaw_event::Handshake;
use hyper::header::{HOST, HeaderMap, ORIGIN, TRANSFER_ENCODING};
use hyper::{StatusCode, Uri, Version};
use tokio::time::Instant;

use crate::address_limits::{ActiveAddress, Address};
use crate::hub::ConnectionPermit;
use crate::memory_budget::ConnectionBudget;
use crate::net::admission::{Refusal, admit_address};
use crate::net::client_budgets::ClientBudgets;
#[cfg(all(feature = "tls", feature = "http"))]
use crate::net::client_budgets::EndBody;
use crate::net::context::ServerContext;
use crate::net::effective_target::EffectiveTarget;
use crate::net::forwarded::ClientInfo;
use crate::net::message_check::check_message;
use crate::net::origin_check::OriginCheckError;
use crate::net::unread_header::warn_of_unread_header;
use crate::origin::Scheme;
use crate::request_info::{self, KeptHandshake, KeptRequest, RequestOrigin};
use crate::trusted_proxy::{Peer, PeerText};

/// What a request counts beside the bytes of its body: about the size of its head.
pub(crate) const HEAD_BYTES: usize = 256;

/// A TCP connection that carries HTTP requests, until one of them upgrades it to a WebSocket. In a program that listens
/// with its own axum server, each request is one.
pub(crate) struct HttpConnection {
    pub(crate) shared: Arc<ServerContext>,
    /// The peer: behind a proxy, the proxy. Who sends a request is [`RequestGuard::client`].
    pub(crate) peer: Peer,
    /// The peer is a trusted proxy, so that requests may be of any number of clients.
    is_from_proxy: bool,
    /// What the connection itself is, whatever a proxy in front of the server is reached by: `Https` if the peer speaks TLS with
    /// this server.
    pub(crate) scheme: Scheme,
    /// What its address has used of its rates, if the connection was admitted with one.
    limited: Option<Arc<Address>>,
    /// Counts this connection among the server's. The WebSocket takes it over.
    permit: Mutex<Option<ConnectionPermit>>,
    /// What the connection holds, from its first call on.
    memory: OnceLock<Arc<ConnectionBudget>>,
    /// The same of each client, if the connection is from a proxy.
    clients: ClientBudgets,
    /// The `Host` of the first request that [`check_head`](RequestGuard::check_head) accepted. A client repeats it in each request,
    /// and parsing it again costs more than comparing it.
    accepted_host: OnceLock<Box<[u8]>>,
    requests_received: AtomicUsize,
    requests_in_progress: AtomicUsize,
    upgraded: AtomicBool,
    opened: Instant,
    /// When the last request ended, in milliseconds since `opened`.
    idle_since: AtomicU64,
}

impl HttpConnection {
    pub(crate) fn new(shared: Arc<ServerContext>, peer: impl Into<Peer>, permit: ConnectionPermit) -> Self {
        let peer = peer.into();
        Self {
            is_from_proxy: peer.is_one_of(&shared.config.load().trusted_proxies),
            shared,
            peer,
            scheme: Scheme::Http,
            limited: permit.address().cloned(),
            permit: Mutex::new(Some(permit)),
            memory: OnceLock::new(),
            clients: ClientBudgets::default(),
            accepted_host: OnceLock::new(),
            requests_received: AtomicUsize::new(0),
            requests_in_progress: AtomicUsize::new(0),
            upgraded: AtomicBool::new(false),
            opened: Instant::now(),
            idle_since: AtomicU64::new(0),
        }
    }

    /// A connection over TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn encrypted(shared: Arc<ServerContext>, peer: Peer, permit: ConnectionPermit) -> Self {
        Self { scheme: Scheme::Https, ..Self::new(shared, peer, permit) }
    }

    /// The number of requests whose head has been received.
    pub(crate) fn requests_received(&self) -> usize {
        self.requests_received.load(Ordering::Relaxed)
    }

    /// When the last request ended; when the connection was opened, if there was none.
    pub(crate) fn idle_since(&self) -> Instant {
        self.opened + Duration::from_millis(self.idle_since.load(Ordering::Relaxed))
    }

    /// Whether a request is in progress, from its arrival until its response has been sent.
    pub(crate) fn is_active(&self) -> bool {
        self.requests_in_progress.load(Ordering::Relaxed) > 0
    }

    /// Counts a request that hyper has rejected. The connection is closed then, so it need not wait for its turn.
    pub(crate) fn count_unparsed(&self) {
        if let Some(address) = &self.limited {
            // Nothing is to be refused any more.
            let _ = address.take_request(std::time::Instant::now(), HEAD_BYTES, 1);
        }
    }

    /// Whether a response has turned the connection over to another protocol, such as one of the program's own routes.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }

    pub(crate) fn set_upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// Returns the budget of what the connection holds.
    fn memory(&self) -> &Arc<ConnectionBudget> {
        self.memory.get_or_init(|| self.shared.hub.memory_budget(self.peer.address().map(|address| address.ip())))
    }

    /// Completes when the connection is to be closed because of the memory that it holds.
    pub(crate) fn poll_refused(&self, has_had_turn: &mut bool, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_from_proxy {
            return self.clients.poll_refused(cx);
        }
        self.memory.get().map_or(Poll::Pending, |memory| memory.poll_refused(has_had_turn, cx))
    }

    /// As [`poll_refused`](Self::poll_refused), over HTTP/2: while another client has requests on the connection, it goes on, and
    /// only the responses of the client that holds too much are ended.
    #[cfg(all(feature = "tls", feature = "http"))]
    pub(super) fn poll_all_refused(&self, has_had_turn: &mut bool, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_from_proxy {
            return self.clients.poll_all_refused(cx);
        }
        self.poll_refused(has_had_turn, cx)
    }

    /// Adds a response that can be ended alone, of the client that this is the budget of.
    #[cfg(all(feature = "tls", feature = "http"))]
    pub(super) fn add_body(&self, memory: &Arc<ConnectionBudget>, body: &Arc<dyn EndBody>, holds_little: bool) {
        self.clients.add_body(memory, body, holds_little);
    }

    /// Whether requests may be of any number of clients.
    #[cfg(all(feature = "tls", feature = "http"))]
    pub(super) fn is_from_proxy(&self) -> bool {
        self.is_from_proxy
    }

    /// Takes the permit for an upgrade by this client; `None` if the connection has been upgraded before. What was admitted
    /// without the client's address, such as a connection of a trusted proxy, is admitted for it now.
    pub(crate) fn take_permit(&self, client: &ClientInfo) -> Result<Option<ConnectionPermit>, Refusal> {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_limited_by_client()
            && let (Some(permit), Some(address)) = (&mut *permit, client.address)
        {
            admit_address(&self.shared, permit, address.ip())?;
        }
        Ok(permit.take())
    }

    /// Whether requests count for the addresses of their clients, and not for that of the connection.
    fn is_limited_by_client(&self) -> bool {
        self.is_from_proxy || self.limited.is_none()
    }

    /// Returns the client of a request with these headers.
    pub(crate) fn client(&self, headers: &HeaderMap) -> ClientInfo {
        if self.is_from_proxy {
            warn_of_unread_header(self.peer, headers, &self.shared);
            ClientInfo::of_request(self.peer, headers, &self.shared.config.load())
        } else {
            ClientInfo::of_peer(self.peer)
        }
    }
}

/// The checks of a request's head.
impl RequestGuard {
    /// Checks a request as [`check_message`] and [`check_request`](Self::check_request) do. Skips both if the head has the `Host`
    /// that was accepted on this connection before, and neither an `Origin` nor a `Transfer-Encoding` nor an absolute target.
    /// The version does not matter then: it only decides whether a missing or malformed `Host` is an error.
    pub(crate) fn check_head(
        &self,
        version: Version,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<(), (StatusCode, String)> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            // A proxy states what counts as the host of each request.
            (Some(host), None) if !self.connection.is_from_proxy && has_only_host(headers, uri) => {
                Some(host.as_bytes())
            }
            _ => None,
        };
        let accepted = &self.connection.accepted_host;
        if host.is_some() && host == accepted.get().map(|accepted| &**accepted) {
            return Ok(());
        }
        check_message(version, headers, uri)?;
        self.check_request(version, headers, uri)?;
        if let Some(host) = host {
            accepted.get_or_init(|| host.into());
        }
        Ok(())
    }

    /// Checks the `Origin` and the `Host` of a request.
    pub(crate) fn check_request(
        &self,
        version: Version,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<(), (StatusCode, String)> {
        // With two values, a proxy in front of the server may have checked the one and we the other.
        if [HOST, ORIGIN].into_iter().any(|name| headers.get_all(name).iter().nth(1).is_some()) {
            return Err((StatusCode::BAD_REQUEST, "Expected one Host header and at most one Origin header".into()));
        }
        let origin = headers.get(ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes()));
        check_origin_and_host(&self.connection.shared, origin.as_deref(), &self.target(version, headers, uri))
    }

    /// Returns the target of the request as its client sees it.
    fn target<'a>(&'a self, version: Version, headers: &'a HeaderMap, uri: &'a Uri) -> EffectiveTarget<'a> {
        EffectiveTarget::of(&self.client, self.connection.scheme, version, headers, uri)
    }

    /// Returns what handlers see of the request; `None` if they do not read it.
    ///
    /// # Errors
    /// The status and the text of a response, if it is too large to be kept.
    pub(crate) fn handshake(
        &self,
        version: Version,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Option<Handshake>, (StatusCode, String)> {
        if !self.is_handshake_read(uri, headers)? {
            return Ok(None);
        }
        let (origin, host) = self.origin_and_host(version, uri, headers);
        Ok(Some(request_info::describe(origin, host.as_deref(), uri, headers)))
    }

    /// Keeps the head of a call over HTTP for its handlers, which receive the same as from [`handshake`](Self::handshake).
    ///
    /// # Errors
    /// As those of [`handshake`](Self::handshake).
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no calls over HTTP"))]
    pub(crate) fn keep_handshake(
        &self,
        version: Version,
        uri: &Uri,
        headers: HeaderMap,
    ) -> Result<Option<Box<KeptHandshake>>, (StatusCode, String)> {
        if !self.is_handshake_read(uri, &headers)? {
            return Ok(None);
        }
        let (origin, host) = self.origin_and_host(version, uri, &headers);
        let host = host.map(Cow::into_owned);
        let request = KeptRequest { origin, host, uri: uri.clone(), headers };
        Ok(Some(Box::new(KeptHandshake::Request(Box::new(request)))))
    }

    /// Returns whether handlers read handshakes, so that this one has to be kept.
    fn is_handshake_read(&self, uri: &Uri, headers: &HeaderMap) -> Result<bool, (StatusCode, String)> {
        let shared = &self.connection.shared;
        if !shared.dispatch.registry.load().reads_handshakes {
            return Ok(false);
        }
        let checked = request_info::check_size(uri, headers, shared.config.load().max_handshake_bytes);
        checked.map(|()| true).map_err(|error| (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, error))
    }

    /// Returns what the head of a request does not say itself, and the host that its client has requested.
    fn origin_and_host<'a>(
        &'a self,
        version: Version,
        uri: &'a Uri,
        headers: &'a HeaderMap,
    ) -> (RequestOrigin, Option<Cow<'a, str>>) {
        let target = self.target(version, headers, uri);
        let origin = RequestOrigin { address: self.client.address, is_secure: target.scheme == Scheme::Https };
        (origin, target.host)
    }

    /// Logs that a request was refused.
    pub(crate) fn log_refusal(&self, what: &str, error: &str) {
        log_refusal(&self.connection.shared, self.client.address, what, error);
    }
}

/// Returns whether, of all that [`RequestGuard::check_head`] reads, a head has at most its `Host`. What
/// [`EffectiveTarget::of`] reads belongs to that.
fn has_only_host(headers: &HeaderMap, uri: &Uri) -> bool {
    uri.authority().is_none() && ![ORIGIN, TRANSFER_ENCODING].into_iter().any(|name| headers.contains_key(name))
}

/// Checks this origin, if there is one, and the host that the request names.
pub(crate) fn check_origin_and_host(
    shared: &ServerContext,
    origin: Option<&str>,
    target: &EffectiveTarget<'_>,
) -> Result<(), (StatusCode, String)> {
    let checked = shared.config.load().origin_check.check(origin, target);
    checked.map_err(|error| {
        // RFC 9112, 3.2.
        let is_malformed = error == OriginCheckError::InvalidHost;
        let status = if is_malformed { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
        (status, error.to_string())
    })
}

/// Logs that a request was refused, unless such lines are being throttled.
pub(crate) fn log_refusal(shared: &ServerContext, address: Option<SocketAddr>, what: &str, error: &str) {
    let throttles = &shared.dispatch.throttles;
    let throttle = if what == "request" { &throttles.refused_requests } else { &throttles.refused_handshakes };
    if let Some(suppressed) = throttle.pass() {
        let peer = address.map(PeerText).map(tracing::field::display);
        tracing::warn!(peer, suppressed, "refused a {what}: {error}");
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A request in progress, and the client that it is from. Dropped with the body of its response, whether or not that was sent
/// completely.
pub(crate) struct RequestGuard {
    connection: Arc<HttpConnection>,
    client: ClientInfo,
    /// What the client holds by this connection, if that is from a proxy.
    memory: Option<Arc<ConnectionBudget>>,
    /// What the client's address has used of its rates, if the connection was not admitted with it.
    limited: Option<ActiveAddress>,
}

impl RequestGuard {
    pub(crate) fn new(connection: &Arc<HttpConnection>, headers: &HeaderMap) -> Self {
        connection.requests_received.fetch_add(1, Ordering::Relaxed);
        connection.requests_in_progress.fetch_add(1, Ordering::Relaxed);
        let client = connection.client(headers);
        let ip = client.address.map(|address| address.ip());
        // Now, within the connection's task, which waits from now on for the budget to be refused.
        let memory = connection.is_from_proxy.then(|| connection.clients.of(ip, &connection.shared.hub));
        let limited = ip.filter(|_| connection.is_limited_by_client());
        let limited =
            limited.map(|ip| connection.shared.address_limits.active_address(ip.into(), Instant::now().into()));
        Self { connection: Arc::clone(connection), client, memory, limited }
    }

    pub(crate) fn connection(&self) -> &HttpConnection {
        &self.connection
    }

    /// Returns who has sent the request.
    pub(crate) fn client(&self) -> &ClientInfo {
        &self.client
    }

    /// Returns the address whose rates the request counts towards, if it is limited.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no calls over HTTP"))]
    pub(crate) fn limited_address(&self) -> Option<&Address> {
        self.limited.as_deref().or(self.connection.limited.as_deref())
    }

    /// Returns the budget of what the client holds by this connection.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "there are no calls over HTTP"))]
    pub(crate) fn memory(&self) -> &Arc<ConnectionBudget> {
        self.memory.as_ref().unwrap_or_else(|| self.connection.memory())
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let connection = &self.connection;
        let elapsed = u64::try_from(connection.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        connection.idle_since.store(elapsed, Ordering::Relaxed);
        connection.requests_in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}
