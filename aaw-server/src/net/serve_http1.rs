//! Serves the HTTP/1 requests of one connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioTimer;

use crate::config::Config;
use crate::net::error_body::MAX_HEAD_BYTES;
use crate::net::http_connection::{HttpConnection, RequestGuard};
use crate::net::http_socket::http_socket;
use crate::net::idle_timeout::{IdleTimeout, wait_until_idle};
use crate::net::keep_alive::{self, KeepAlive};
use crate::net::request_head::read_head;
use crate::net::request_service::RequestService;
use crate::net::shutdown_phase::ShutdownPhase;
use crate::net::transport::Transport;

/// Serves one connection until it is upgraded or closed.
pub(super) async fn serve_http1<S: Transport>(
    mut socket: S,
    connection: &Arc<HttpConnection>,
    service: impl RequestService,
) {
    let shared = &connection.shared;
    let Config { handshake_timeout, keep_alive_timeout, close_timeout, .. } = *shared.config.load().config;
    let peer = connection.peer;
    let draining = shared.shutdown.reached(ShutdownPhase::Draining);
    let aborting = shared.shutdown.reached(ShutdownPhase::Aborting);
    let head = tokio::select! {
        biased;
        head = tokio::time::timeout(handshake_timeout, read_head(&mut socket)) => head,
        () = shared.shutdown.reached(ShutdownPhase::Draining) => return,
    };
    let read_ahead = match head {
        Ok(Ok(read_ahead)) => read_ahead,
        Ok(Err(error)) => return tracing::debug!(%peer, "an HTTP connection failed: {error}"),
        Err(_) => return tracing::debug!(%peer, "closed an HTTP connection without a request"),
    };
    let (socket, backlog) = http_socket(socket, read_ahead, connection);
    let keep_alive = KeepAlive::new(keep_alive_timeout);
    let respond = service_fn(|request: Request<Incoming>| {
        let is_connect = request.method() == Method::CONNECT;
        let has_body = !request.body().is_end_stream();
        let keep_alive = keep_alive.clone().filter(|_| keep_alive::is_wanted(&request));
        let connection = Arc::clone(connection);
        let guard = RequestGuard::new(&connection, request.headers());
        // Boxed, since hyper reserves the memory of this future while the connection waits for its first request.
        let response = Box::pin(service.respond(request, guard));
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
    let idle = wait_until_idle(connection, &backlog, IdleTimeout { first: handshake_timeout, between });
    let http = http.serve_connection(socket, respond).with_upgrades();
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
