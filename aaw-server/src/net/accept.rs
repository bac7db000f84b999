//! TCP connections: from accepting one until it is a WebSocket, or its HTTP requests have been responded to.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use aaw_protocol::{Code, Failure, codec};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::config::Config;
use crate::error::StartError;
use crate::hub::ConnectionPermit;
use crate::net::context::ServerContext;
use crate::net::disconnect::DisconnectDetector;
use crate::net::error_body::{ErrorBodies, MAX_HEAD_BYTES};
use crate::net::http_connection::{HttpConnection, RequestGuard};
use crate::net::idle_timeout::{IdleTimeout, wait_until_idle};
use crate::net::keep_alive::{self, KeepAlive};
use crate::net::lingering_close::LingeringClose;
use crate::net::proxy_protocol;
use crate::net::shutdown_phase::ShutdownPhase;
use crate::net::write_timeout::WriteTimeout;
use crate::trusted_proxy::Peer;

/// The pause of the accept loop after an error, such as too many open files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long sending the refusal of a connection may take.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Responds to the HTTP requests of the listener's connections. The implementation depends on the feature `http`: with
/// it, events over HTTP, pages and the program's own routes; without it, [`UpgradeOnly`](super::upgrade_only).
pub(crate) trait RequestService: Clone + Send + Sync + 'static {
    /// The program's own routes, served beside aaw's.
    type Routes: fmt::Debug + Default;
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Checks that what the config refers to, such as the folder of static files, exists.
    fn check_config(config: &Config) -> Result<(), StartError>;

    fn new(shared: &Arc<ServerContext>, routes: Self::Routes) -> Result<Self, StartError>;

    /// Responds to one request. The service keeps the guard as long as the request is in progress: if it has a body that
    /// is sent gradually, until that is sent or dropped.
    fn respond(
        &self,
        request: Request<Incoming>,
        guard: RequestGuard,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;
}

/// Accepts connections until it is dropped.
pub(crate) async fn accept(listener: &TcpListener, service: &impl RequestService, shared: &Arc<ServerContext>) {
    loop {
        let (socket, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(suppressed) = shared.refusals.pass() {
                    tracing::warn!(suppressed, "accepting a connection failed: {error}");
                }
                // A connection that was closed before it was accepted does no harm. Other errors, such as too many open
                // files, last for a while.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
                continue;
            }
        };
        match shared.hub.admit(shared.config.max_connections) {
            Some(permit) => {
                tokio::spawn(serve(socket, address, service.clone(), Arc::clone(shared), permit));
            }
            None => {
                if let Some(suppressed) = shared.refusals.pass() {
                    let max = shared.config.max_connections;
                    tracing::warn!(peer = %address, suppressed, "refused a connection: the limit of {max} open connections is reached");
                }
                tokio::spawn(refuse(socket));
            }
        }
    }
}

/// Serves one TCP connection until it is upgraded or closed.
async fn serve(
    mut socket: TcpStream,
    address: SocketAddr,
    service: impl RequestService,
    shared: Arc<ServerContext>,
    permit: ConnectionPermit,
) {
    set_socket_options(&socket, address);
    // Before TLS, which a proxy in front of it passes on.
    let Some(peer) = proxy_protocol::accept(&mut socket, Peer::Tcp(address), &shared).await else { return };
    let Config { handshake_timeout, keep_alive_timeout, write_timeout, close_timeout, .. } = *shared.config;
    let draining = shared.shutdown.reached(ShutdownPhase::Draining);
    let aborting = shared.shutdown.reached(ShutdownPhase::Aborting);
    let socket = WriteTimeout::new(DisconnectDetector::new(socket), write_timeout);
    let backlog = socket.backlog();
    let connection = Arc::new(HttpConnection::new(shared, peer, permit));
    let socket = LingeringClose::new(socket, Arc::clone(&connection));
    let socket = ErrorBodies::new(socket, Arc::clone(&connection));
    let keep_alive = KeepAlive::new(keep_alive_timeout);
    let respond = service_fn(|request: Request<Incoming>| {
        let is_connect = request.method() == Method::CONNECT;
        let has_body = !request.body().is_end_stream();
        let keep_alive = keep_alive.clone().filter(|_| keep_alive::is_wanted(&request));
        let connection = Arc::clone(&connection);
        let guard = RequestGuard::new(&connection, request.headers());
        let response = service.respond(request, guard);
        async move {
            let mut response = response.await;
            let status = response.status();
            if status == StatusCode::SWITCHING_PROTOCOLS || (is_connect && status.is_success()) {
                connection.set_upgraded();
            }
            // hyper closes the connection if it is stopping, or if a body was not read to its end.
            let may_close =
                (has_body && !status.is_success()) || connection.shared.shutdown.has_reached(ShutdownPhase::Draining);
            if let Some(keep_alive) = keep_alive
                && !may_close
            {
                keep_alive.announce(&mut response);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    // hyper has one timeout for the head of a request and for the time before it.
    http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES);
    http.keep_alive(!keep_alive_timeout.is_zero());
    let between = if keep_alive_timeout.is_zero() { handshake_timeout } else { keep_alive_timeout };
    let idle = wait_until_idle(&connection, &backlog, IdleTimeout { first: handshake_timeout, between });
    let http = http.serve_connection(TokioIo::new(socket), respond).with_upgrades();
    tokio::pin!(http);
    let mut has_had_turn = false;
    let refused = poll_fn(|cx| connection.poll_refused(&mut has_had_turn, cx));
    let result = tokio::select! {
        // What the requests do in their turn decides whether the connection is closed.
        biased;
        result = http.as_mut() => result,
        () = refused => {
            return tracing::debug!(%peer, "closed an HTTP connection that held too much memory");
        }
        () = idle => return tracing::debug!(%peer, "closed an idle HTTP connection"),
        () = draining => {
            http.as_mut().graceful_shutdown();
            // A request in progress gets its response. The rest of one that is still arriving is not waited for: it
            // might never arrive.
            let finish = poll_fn(|cx| match http.as_mut().poll(cx) {
                Poll::Pending if !connection.is_active() && !backlog.is_pending() => Poll::Ready(Ok(())),
                result => result,
            });
            tokio::select! {
                result = finish => result,
                // Handlers have been dropped by then. What they have written may still be sent for a while.
                () = async { aborting.await; tokio::time::sleep(close_timeout).await } => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, "an HTTP connection failed: {error}");
    }
}

fn set_socket_options(socket: &TcpStream, address: SocketAddr) {
    // Output is gathered before it is written, so Nagle's algorithm would only add latency.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(peer = %address, "setting TCP_NODELAY failed: {error}");
    }
    // A peer that vanished without closing is otherwise not detected while the server only reads from it, or waits.
    if let Err(error) = SockRef::from(socket).set_tcp_keepalive(&keepalive()) {
        tracing::debug!(peer = %address, "setting SO_KEEPALIVE failed: {error}");
    }
}

/// TCP keepalive: the first probe after 60 s without traffic, the connection is dropped 30 s later.
fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "android", target_os = "freebsd"))]
    let keepalive = keepalive.with_interval(Duration::from_secs(10)).with_retries(3);
    keepalive
}

/// Responds 503 without reading the request, since the limit of connections is reached.
async fn refuse(mut socket: TcpStream) {
    let mut body = Vec::new();
    codec::failure(&mut body, &Failure::new(Code::BUSY, "The server has reached its limit of connections"));
    let mut response = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 5\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    response.extend_from_slice(&body);
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, async {
        socket.write_all(&response).await?;
        socket.shutdown().await
    })
    .await;
}
