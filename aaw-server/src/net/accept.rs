//! Accepts connections, or refuses those beyond the limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aaw_protocol::{Code, Failure, codec};
use futures_util::future::join_all;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hub::ConnectionPermit;
use crate::net::context::ServerContext;
use crate::net::http_connection::HttpConnection;
use crate::net::listener::{Accepted, Listener};
use crate::net::request_service::RequestService;
use crate::net::serve_http1::serve_http1;
#[cfg(all(feature = "tls", feature = "http"))]
use crate::net::serve_http2::serve_http2;
#[cfg(feature = "tls")]
use crate::net::tls_handshake;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// The pause of the accept loop after an error, such as too many open files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long sending the refusal of a connection may take.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Accepts connections until it is dropped.
pub(crate) async fn accept(listeners: &[Listener], service: &impl RequestService, shared: &Arc<ServerContext>) {
    join_all(listeners.iter().map(|listener| accept_on(listener, service, shared))).await;
}

async fn accept_on(listener: &Listener, service: &impl RequestService, shared: &Arc<ServerContext>) {
    loop {
        let accepted = match listener.accept().await {
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
                tokio::spawn(serve(accepted, service.clone(), Arc::clone(shared), permit));
            }
            None => {
                if let Some(suppressed) = shared.refusals.pass() {
                    let max = shared.config.max_connections;
                    let peer = accepted.address().map(tracing::field::display);
                    tracing::warn!(
                        peer,
                        suppressed,
                        "refused a connection: the limit of {max} open connections is reached"
                    );
                }
                match accepted {
                    // Its client would not understand the response.
                    #[cfg(feature = "tls")]
                    Accepted::Tcp(socket, _) if shared.config.tls.is_some() => drop(socket),
                    Accepted::Tcp(socket, _) => drop(tokio::spawn(refuse(socket))),
                    #[cfg(unix)]
                    Accepted::Unix(socket) => drop(tokio::spawn(refuse(socket))),
                }
            }
        }
    }
}

/// Serves one connection until it is upgraded or closed.
async fn serve(accepted: Accepted, service: impl RequestService, shared: Arc<ServerContext>, permit: ConnectionPermit) {
    let address = accepted.address();
    match accepted {
        Accepted::Tcp(socket, peer) => {
            set_socket_options(&socket, peer);
            // What a proxy announces before the client's first byte (the PROXY protocol) is to be read here, before TLS.
            #[cfg(feature = "tls")]
            if let Some(tls) = &shared.config.tls {
                let config = Arc::clone(tls.server_config());
                // Boxed: larger than all else, and plain connections need none of it.
                return Box::pin(serve_encrypted(socket, peer, &config, service, shared, permit)).await;
            }
            let connection = Arc::new(HttpConnection::new(shared, address, permit));
            serve_http1(socket, &connection, service).await;
        }
        #[cfg(unix)]
        Accepted::Unix(socket) => {
            let connection = Arc::new(HttpConnection::new(shared, address, permit));
            serve_http1(socket, &connection, service).await;
        }
    }
}

/// Serves one connection over TLS, with the version of HTTP that the client has selected.
#[cfg(feature = "tls")]
async fn serve_encrypted(
    socket: TcpStream,
    peer: SocketAddr,
    config: &Arc<rustls::ServerConfig>,
    service: impl RequestService,
    shared: Arc<ServerContext>,
    permit: ConnectionPermit,
) {
    let Some(stream) = tls_handshake::handshake(socket, peer, config, &shared).await else { return };
    let connection = Arc::new(HttpConnection::encrypted(shared, Some(peer), permit));
    match stream.get_ref().1.alpn_protocol() {
        protocol if Tls::is_challenge(protocol) => {}
        #[cfg(feature = "http")]
        Some(b"h2") => serve_http2(stream, &connection, service).await,
        _ => serve_http1(stream, &connection, service).await,
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
async fn refuse(mut socket: impl AsyncWrite + Unpin) {
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
