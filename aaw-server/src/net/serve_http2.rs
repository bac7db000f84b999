//! Serves the HTTP/2 requests of one connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::sleep;

use crate::config::Config;
use crate::memory_budget::ConnectionBudget;
use crate::net::disconnect::DisconnectDetector;
use crate::net::endable_body::{EndableBody, MAX_PART};
use crate::net::error_body::MAX_HEAD_BYTES;
use crate::net::http_connection::{HttpConnection, RequestGuard};
use crate::net::idle_timeout::{IdleTimeout, wait_until_idle};
use crate::net::request_service::RequestService;
use crate::net::shutdown_phase::ShutdownPhase;
use crate::net::transport::Transport;
use crate::net::write_timeout::{WriteBacklog, WriteTimeout};

/// The most bytes of a request's body that the client may send before they are read, for one request: the default of
/// HTTP/2 (RFC 9113, 6.9.2).
const STREAM_WINDOW: u32 = 64 << 10;

/// The same for all requests of a connection. It limits the memory that is not counted in a budget yet, and the throughput
/// of uploads to this many bytes in each round trip.
const CONNECTION_WINDOW: u32 = 256 << 10;

/// The most bytes of one response that wait within hyper. What a handler returns is counted in its budget until it is sent.
const MAX_SEND_BUFFER: usize = 64 << 10;

/// How many streams that the client has reset may wait to be processed. A client that opens and resets streams without end
/// (CVE-2023-44487) is disconnected. hyper's default, written down because it is a limit that protects the server.
const MAX_PENDING_RESETS: usize = 20;

/// How many streams with errors a client may cause before it is disconnected (CVE-2025-8671). A tenth of hyper's default: an
/// honest client causes none.
const MAX_STREAM_ERRORS: usize = 100;

/// How often a connection that is closing looks whether its last request has ended.
const QUIET_INTERVAL: Duration = Duration::from_millis(50);

/// Serves one connection until it is closed.
pub(super) async fn serve_http2<S: Transport>(
    socket: S,
    connection: &Arc<HttpConnection>,
    service: impl RequestService,
) {
    let shared = &connection.shared;
    let Config { handshake_timeout, keep_alive_timeout, write_timeout, close_timeout, .. } =
        *shared.config.load().config;
    let peer = connection.peer;
    let draining = shared.shutdown.reached(ShutdownPhase::Draining);
    let aborting = shared.shutdown.reached(ShutdownPhase::Aborting);
    let socket = WriteTimeout::new(DisconnectDetector::new(socket, Vec::new()), write_timeout);
    let backlog = socket.backlog();
    let respond = service_fn(|request: Request<Incoming>| {
        let guard = RequestGuard::new(connection, request.headers());
        let memory = connection.is_from_proxy().then(|| Arc::clone(guard.memory()));
        let response = service.respond(request, guard);
        let connection = Arc::clone(connection);
        async move { Ok::<_, Infallible>(response.await.map(|body| endable(body, memory, &connection))) }
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(shared.config.load().max_http2_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_STREAM_ERRORS);
    let between = if keep_alive_timeout.is_zero() { handshake_timeout } else { keep_alive_timeout };
    let idle = wait_until_idle(connection, &backlog, IdleTimeout { first: handshake_timeout, between });
    let http = http.serve_connection(TokioIo::new(socket), respond);
    tokio::pin!(http);
    let mut has_had_turn = false;
    let refused = poll_fn(|cx| connection.poll_all_refused(&mut has_had_turn, cx));
    let result = tokio::select! {
        // What the requests do in their turn decides whether the connection is closed.
        biased;
        result = http.as_mut() => result,
        () = refused => {
            return tracing::debug!(%peer, "closed an HTTP connection that held too much memory");
        }
        () = async { tokio::select! { () = idle => {}, () = draining => {} } } => {
            // Tells the client which requests are still served. One that it sends meanwhile, it sends again over another
            // connection.
            http.as_mut().graceful_shutdown();
            tokio::select! {
                result = http => result,
                () = wait_until_quiet(connection, &backlog, close_timeout) => return,
                () = async { aborting.await; sleep(close_timeout).await } => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, "an HTTP connection failed: {error}");
    }
}

/// Makes a body that ends alone if its client is refused, unless the connection is of that client alone.
fn endable<B: Body + Send + 'static>(
    body: B,
    memory: Option<Arc<ConnectionBudget>>,
    connection: &HttpConnection,
) -> EndableBody<B> {
    let Some(memory) = memory else { return EndableBody::Plain(body) };
    let holds_little = body.size_hint().lower() <= MAX_PART as u64;
    let (body, end) = EndableBody::new(body, Arc::clone(&memory));
    connection.add_body(&memory, &end, holds_little);
    body
}

/// Waits until no request has been in progress for this time, in which the client confirms the shutdown or receives the rest
/// of a response.
async fn wait_until_quiet(connection: &HttpConnection, backlog: &WriteBacklog, quiet: Duration) {
    let is_quiet = || !connection.is_active() && !backlog.is_pending();
    loop {
        while !is_quiet() {
            sleep(QUIET_INTERVAL).await;
        }
        sleep(quiet).await;
        if is_quiet() {
            return;
        }
    }
}
