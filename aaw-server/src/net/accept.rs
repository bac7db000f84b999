//! TCP connections, from being accepted until they are WebSockets, or have had their answers.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::config::Config;
use crate::http::Front;
use crate::hub::table::Place;
use crate::net::context::ServerContext;
use crate::net::handshake::{Serving, Visitor};
use crate::net::hang_up::HangUp;
use crate::net::shutdown::Phase;
use crate::net::write_timeout::WriteTimeout;

/// How long the accept loop waits when the system has no more file descriptors.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// How long a client that is refused has to take the refusal.
const REFUSAL: Duration = Duration::from_secs(3);

/// hyper adds time-outs to the present time, which overflows; a century is as good as never.
pub(crate) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Accepts connections until it is dropped.
pub(crate) async fn accept(listener: &TcpListener, front: &Front, shared: &Arc<ServerContext>) {
    loop {
        let (socket, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // A connection that was gone before it was accepted is no trouble; no more files is, for a while.
                if let Some(unlogged) = shared.refusals.pass() {
                    tracing::warn!(unlogged, "accepting a connection failed: {error}");
                }
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    tokio::time::sleep(OUT_OF_FILES).await;
                }
                continue;
            }
        };
        match shared.hub.admit(shared.config.max_connections) {
            Some(place) => {
                tokio::spawn(visit(socket, address, front.clone(), Arc::clone(shared), place));
            }
            None => {
                if let Some(unlogged) = shared.refusals.pass() {
                    let most = shared.config.max_connections;
                    tracing::warn!(peer = %address, unlogged, "refused a connection: there are {most} already");
                }
                tokio::spawn(refuse(socket));
            }
        }
    }
}

/// Serves one TCP connection until it is upgraded, or ends.
async fn visit(socket: TcpStream, address: SocketAddr, front: Front, shared: Arc<ServerContext>, place: Place) {
    // Answers are gathered before they are written, so waiting for more to gather costs time and gains nothing.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(peer = %address, "no TCP_NODELAY: {error}");
    }
    // Of a client that vanished without a word nothing is heard while it is only read to, or waited for.
    if let Err(error) = SockRef::from(&socket).set_tcp_keepalive(&keepalive()) {
        tracing::debug!(peer = %address, "no SO_KEEPALIVE: {error}");
    }
    let Config { handshake_timeout, write_timeout, close_timeout, .. } = *shared.config;
    let (draining, over) = (shared.shutdown.reached(Phase::Draining), shared.shutdown.reached(Phase::Over));
    let socket = WriteTimeout::new(HangUp::new(socket), write_timeout);
    let unwritten = socket.unwritten();
    let visitor = Arc::new(Visitor::new(shared, Some(address), place));
    let service = service_fn(|request| {
        let answer = front.respond(Serving::begin(&visitor), request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let mut http = http1::Builder::new();
    // It bounds the time between two requests, too.
    http.timer(TokioTimer::new()).header_read_timeout(handshake_timeout.min(FOREVER)).max_buf_size(16 << 10);
    let connection = http.serve_connection(TokioIo::new(socket), service).with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = draining => {
            connection.as_mut().graceful_shutdown();
            // A request that is here is answered. For one that is still on its way nobody waits: it may never come.
            let rest = poll_fn(|cx| match connection.as_mut().poll(cx) {
                Poll::Pending if !visitor.is_served() && !unwritten.get() => Poll::Ready(Ok(())),
                served => served,
            });
            tokio::select! {
                served = rest => served,
                // What runs has been dropped by then; what there is of its answer may still go out.
                () = async { over.await; tokio::time::sleep(close_timeout).await } => return,
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(peer = %address, "an HTTP connection broke: {error}");
    }
}

/// A client that says nothing is asked by its system's word after a minute, and given up after half a minute more.
fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "android", target_os = "freebsd"))]
    let keepalive = keepalive.with_interval(Duration::from_secs(10)).with_retries(3);
    keepalive
}

/// Tells a client that there is no room.
async fn refuse(mut socket: TcpStream) {
    const FULL: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n";
    let _ = tokio::time::timeout(REFUSAL, async {
        socket.write_all(FULL).await?;
        socket.shutdown().await
    })
    .await;
}
