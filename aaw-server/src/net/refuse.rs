//! Responds to connections that are refused, so that their clients learn why, and when to come back.
//!
//! That takes open files, and over TLS the time of a processor, which refused clients could use up. So only some of them are
//! treated at a time; the others are closed at once, over TLS without a response.

use std::io;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
#[cfg(feature = "tls")]
use tokio::net::TcpStream;
use tokio::time::timeout;
#[cfg(feature = "tls")]
use tokio::time::{Instant, sleep_until};

use crate::net::admission::Refusal;
use crate::net::context::ServerContext;
#[cfg(feature = "tls")]
use crate::net::proxy_protocol;
#[cfg(feature = "tls")]
use crate::net::tls_handshake;
#[cfg(feature = "tls")]
use crate::tls::Tls;
#[cfg(feature = "tls")]
use crate::trusted_proxy::Peer;

/// How long the refusal of a connection may take, with its TLS handshake.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a TLS handshake of a refused connection counts at least. With
/// [`MAX_HANDSHAKES`](crate::net::refused_connections::MAX_HANDSHAKES) it limits them to 256 in a second, which take a few
/// hundredths of a processor's time with a key of an elliptic curve, and a fifth with one of RSA.
#[cfg(feature = "tls")]
const HANDSHAKE_COUNTS: Duration = Duration::from_millis(250);

/// Responds without handling the request, since a limit of connections is reached.
pub(super) async fn refuse(mut socket: impl AsyncRead + AsyncWrite + Unpin, refusal: Refusal, shared: &ServerContext) {
    let _ = timeout(REFUSAL_TIMEOUT, async {
        socket.write_all(&refusal.response()).await?;
        socket.shutdown().await?;
        // Closing while the request arrives would reset the connection, and the client might not receive the response. Of
        // many, most are closed at once: they must not use up the open files.
        if let Some(_lingering) = shared.refused_connections.linger(shared.config.load().max_connections) {
            discard(&mut socket).await?;
        }
        Ok::<_, io::Error>(())
    })
    .await;
}

/// As [`refuse`], over TLS. The handshake selects HTTP/1.1: a client that offers HTTP/2 only receives the alert
/// `no_application_protocol`.
///
/// `has_header` says that the PROXY protocol's header, if the connection begins with one, has not been read.
#[cfg(feature = "tls")]
pub(super) async fn refuse_encrypted(
    socket: TcpStream,
    peer: Peer,
    has_header: bool,
    tls: Tls,
    refusal: Refusal,
    shared: Arc<ServerContext>,
) {
    let handshake = {
        let config = shared.config.load();
        // A proxy's connections are those of many clients.
        let network = peer.address().filter(|_| !peer.is_one_of(&config.trusted_proxies));
        let network = network.map(|address| address.ip().into());
        shared.refused_connections.handshake(network, config.max_connections)
    };
    let Some(_handshake) = handshake else { return };
    let began = Instant::now();
    let _ = timeout(REFUSAL_TIMEOUT, respond_encrypted(socket, peer, has_header, &tls, &refusal, &shared)).await;
    sleep_until(began + HANDSHAKE_COUNTS).await;
}

#[cfg(feature = "tls")]
async fn respond_encrypted(
    mut socket: TcpStream,
    mut peer: Peer,
    has_header: bool,
    tls: &Tls,
    refusal: &Refusal,
    shared: &ServerContext,
) -> io::Result<()> {
    if has_header {
        let Some(stated) = proxy_protocol::accept(&mut socket, peer, shared).await else { return Ok(()) };
        peer = stated;
    }
    let config = tls.config_without_http2();
    let Some(mut stream) = tls_handshake::handshake(socket, peer, &config, shared).await else { return Ok(()) };
    // Some clients take a response that precedes their request for an error.
    if stream.read(&mut [0; 1024]).await? > 0 {
        stream.write_all(&refusal.response()).await?;
    }
    stream.shutdown().await?;
    discard(&mut stream).await
}

/// Reads to the end.
async fn discard(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut discarded = [0; 1024];
    while socket.read(&mut discarded).await? > 0 {}
    Ok(())
}
