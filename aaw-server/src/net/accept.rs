//! Accepts connections, or refuses those beyond the limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncRead;
use tokio::net::TcpStream;

use crate::hub::ConnectionPermit;
use crate::net::admission::{self, Refusal};
use crate::net::context::ServerContext;
use crate::net::http_connection::HttpConnection;
use crate::net::listener::{Accepted, Listener};
use crate::net::proxy_protocol;
#[cfg(feature = "tls")]
use crate::net::refuse::EncryptedRefusal;
use crate::net::refuse::{refuse, refuse_accepted};
use crate::net::request_service::RequestService;
use crate::net::serve_http1::serve_http1;
#[cfg(all(feature = "tls", feature = "http"))]
use crate::net::serve_http2::serve_http2;
#[cfg(unix)]
use crate::net::spare_file::SpareFile;
#[cfg(feature = "tls")]
use crate::net::tls_handshake;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use crate::trusted_proxy::Peer;

/// The pause of the accept loop after an error, such as too many open files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Accepts connections until it is dropped.
pub(crate) async fn accept(listeners: &[Listener], service: &impl RequestService, shared: &Arc<ServerContext>) {
    join_all(listeners.iter().map(|listener| accept_on(listener, service, shared))).await;
}

async fn accept_on(listener: &Listener, service: &impl RequestService, shared: &Arc<ServerContext>) {
    #[cfg(unix)]
    let mut spare = SpareFile::open(listener);
    loop {
        let accepted = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(suppressed) = shared.dispatch.throttles.accept_errors.pass() {
                    tracing::warn!(suppressed, "accepting a connection failed: {error}");
                }
                #[cfg(unix)]
                if spare.refuse_next(&error, listener, !speaks_tls(listener, shared)) {
                    continue;
                }
                // A connection that was closed before it was accepted does no harm. Other errors, such as too many open
                // files, last for a while.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
                continue;
            }
        };
        match admission::admit(shared, accepted.peer()) {
            Ok(permit) => {
                tokio::spawn(serve(accepted, service.clone(), Arc::clone(shared), permit));
            }
            Err(refusal) => {
                admission::log_refusal(shared, accepted.peer().address(), &refusal);
                refuse_accepted(accepted, refusal, shared);
            }
        }
    }
}

/// Returns whether connections begin with a TLS handshake.
#[cfg(unix)]
fn speaks_tls(listener: &Listener, shared: &ServerContext) -> bool {
    #[cfg(feature = "tls")]
    return matches!(listener, Listener::Tcp(_)) && shared.config.load().tls.is_some();
    #[cfg(not(feature = "tls"))]
    {
        let _ = (listener, shared);
        false
    }
}

/// Serves one connection until it is upgraded or closed.
async fn serve(
    accepted: Accepted,
    service: impl RequestService,
    shared: Arc<ServerContext>,
    mut permit: ConnectionPermit,
) {
    let peer = accepted.peer();
    match accepted {
        Accepted::Tcp(mut socket, address) => {
            set_socket_options(&socket, address);
            #[cfg(feature = "tls")]
            let tls = shared.config.load().tls.clone();
            // Before TLS, which a proxy in front of it passes on.
            let peer = match stated_peer(&mut socket, peer, &shared, &mut permit).await {
                Ok(peer) => peer,
                Err(refusal) => {
                    drop(permit);
                    let Some(refusal) = refusal else { return };
                    #[cfg(feature = "tls")]
                    if tls.is_some() {
                        if let Some(refusing) = EncryptedRefusal::begin(peer, false, refusal, &shared) {
                            refusing.respond(socket).await;
                        }
                        return;
                    }
                    return refuse(socket, refusal, &shared).await;
                }
            };
            #[cfg(feature = "tls")]
            if let Some(tls) = tls {
                // Boxed: larger than all else, and plain connections need none of it.
                return Box::pin(serve_encrypted(socket, peer, tls.server_config(), service, shared, permit)).await;
            }
            let connection = Arc::new(HttpConnection::new(shared, peer, permit));
            serve_http1(socket, &connection, service).await;
        }
        #[cfg(unix)]
        Accepted::Unix(mut socket) => match stated_peer(&mut socket, peer, &shared, &mut permit).await {
            Ok(peer) => {
                let connection = Arc::new(HttpConnection::new(shared, peer, permit));
                serve_http1(socket, &connection, service).await;
            }
            Err(Some(refusal)) => {
                drop(permit);
                refuse(socket, refusal, &shared).await;
            }
            Err(None) => {}
        },
    }
}

/// Returns who the connection is from, if its proxy states that with the PROXY protocol, which then counts for the limits of
/// its address. The error is a refusal, or none if the connection is just closed.
async fn stated_peer(
    socket: &mut (impl AsyncRead + Unpin),
    peer: Peer,
    shared: &ServerContext,
    permit: &mut ConnectionPermit,
) -> Result<Peer, Option<Refusal>> {
    let stated = proxy_protocol::accept(socket, peer, shared).await.ok_or(None)?;
    if stated != peer {
        admission::admit_client(shared, permit, stated).map_err(|refusal| {
            admission::log_refusal(shared, stated.address(), &refusal);
            Some(refusal)
        })?;
    }
    Ok(stated)
}

/// Serves one connection over TLS, with the version of HTTP that the client has selected.
#[cfg(feature = "tls")]
async fn serve_encrypted(
    socket: TcpStream,
    peer: Peer,
    config: &Arc<rustls::ServerConfig>,
    service: impl RequestService,
    shared: Arc<ServerContext>,
    permit: ConnectionPermit,
) {
    let Some(stream) = tls_handshake::handshake(socket, peer, config, &shared).await else { return };
    let connection = Arc::new(HttpConnection::encrypted(shared, peer, permit));
    match stream.get_ref().1.alpn_protocol() {
        protocol if Tls::is_challenge(protocol) => {}
        #[cfg(feature = "http")]
        Some(b"h2") => serve_http2(stream, &connection, service).await,
        _ => serve_http1(stream, &connection, service).await,
    }
}

/// What the system buffers of a socket besides what its network and client can take now, in bytes. The system asks for more when half
/// of it has left, which is often enough to see a client read 50 KB/s.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MAX_NOT_SENT: u32 = 32 << 10;

fn set_socket_options(socket: &TcpStream, address: SocketAddr) {
    // Output is gathered before it is written, so Nagle's algorithm would only add latency.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(peer = %address, "setting TCP_NODELAY failed: {error}");
    }
    // Else the system's buffer, which grows to megabytes, takes more only when a third of it is free: for seconds a client that reads
    // would not differ from one that does not.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = SockRef::from(socket).set_tcp_notsent_lowat(MAX_NOT_SENT) {
        tracing::debug!(peer = %address, "setting TCP_NOTSENT_LOWAT failed: {error}");
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
