//! TCP connections, from being accepted until they are WebSockets, or are answered and gone.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::handshake::{Visitor, respond};
use crate::hub::Place;
use crate::shared::Shared;

/// How long the accept loop waits when the system has no more file descriptors.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// How long a client that is refused has to take the refusal.
const REFUSAL: Duration = Duration::from_secs(3);

/// hyper adds time-outs to the present time, which overflows; a century is as good as never.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Accepts connections until it is dropped.
pub(crate) async fn accept(listener: &TcpListener, shared: &Arc<Shared>, stop: &watch::Receiver<()>) {
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
                tokio::spawn(visit(socket, address, Arc::clone(shared), place, stop.clone()));
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
    let handshake_timeout = shared.config.handshake_timeout.min(FOREVER);
    let visitor = Arc::new(Visitor { shared, address, place: Mutex::new(Some(place)) });
    let service = service_fn(move |request| {
        let visitor = Arc::clone(&visitor);
        async move { Ok::<_, std::convert::Infallible>(respond(&visitor, request)) }
    });
    let mut http = http1::Builder::new();
    // One request a connection, until more is served than upgrades; the responses say so. hyper's `keep_alive(false)`
    // would put its `Connection: close` in the place of an upgrade's own header.
    http.timer(TokioTimer::new()).header_read_timeout(handshake_timeout).max_buf_size(16 << 10);
    let connection = http.serve_connection(TokioIo::new(socket), service).with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        // Reading the request has its own time-out; this one is for a client that does not read the answer.
        () = tokio::time::sleep(2 * handshake_timeout) => return,
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
    let _ = tokio::time::timeout(REFUSAL, async {
        socket.write_all(FULL).await?;
        socket.shutdown().await
    })
    .await;
}
