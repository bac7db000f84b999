//! Responds to connections that are refused, so that their clients learn why, and when to come back.
//!
//! That takes open files, and over TLS the time of a processor, which refused clients could use up. So only some of them are
//! treated at a time; the others are closed at once, over TLS without a response.

use std::io::{self, Read, Write};
use std::net::Shutdown;
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
use crate::net::listener::Accepted;
#[cfg(feature = "tls")]
use crate::net::proxy_protocol;
use crate::net::refused_connections::Lingering;
#[cfg(feature = "tls")]
use crate::net::refused_connections::RefusedHandshake;
#[cfg(feature = "tls")]
use crate::net::tls_handshake;
#[cfg(feature = "tls")]
use crate::tls::Tls;
#[cfg(feature = "tls")]
use crate::trusted_proxy::Peer;

/// How long the refusal of a connection may take, with its TLS handshake.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(3);

/// The most bytes of a request that are read before its connection is closed at once. Only what has arrived is read.
const MAX_DISCARDED: usize = 16 << 10;

/// How long a TLS handshake of a refused connection counts at least. With
/// [`MAX_HANDSHAKES`](crate::net::refused_connections::MAX_HANDSHAKES) it limits them to 256 in a second, which take a few
/// hundredths of a processor's time with a key of an elliptic curve, and a fifth with one of RSA.
#[cfg(feature = "tls")]
const HANDSHAKE_COUNTS: Duration = Duration::from_millis(250);

/// Refuses a connection of which nothing has been read. Of those that are not closed at once, only a limited number is open.
pub(super) fn refuse_accepted(accepted: Accepted, refusal: Refusal, shared: &Arc<ServerContext>) {
    #[cfg(feature = "tls")]
    let peer = accepted.peer();
    let max_connections = shared.config.load().max_connections;
    match accepted {
        #[cfg(feature = "tls")]
        Accepted::Tcp(socket, _) if shared.config.load().tls.is_some() => {
            if let Some(refusing) = EncryptedRefusal::begin(peer, true, refusal, shared) {
                tokio::spawn(refusing.respond(socket));
            }
        }
        accepted => match shared.refused_connections.linger(max_connections) {
            None => respond_at_once(accepted, &refusal),
            Some(lingering) => drop(tokio::spawn(async move {
                match accepted {
                    Accepted::Tcp(socket, _) => respond(socket, &refusal, Some(lingering)).await,
                    #[cfg(unix)]
                    Accepted::Unix(socket) => respond(socket, &refusal, Some(lingering)).await,
                }
            })),
        },
    }
}

/// Responds without handling the request, since a limit of connections is reached.
pub(super) async fn refuse(socket: impl AsyncRead + AsyncWrite + Unpin, refusal: Refusal, shared: &ServerContext) {
    let lingering = shared.refused_connections.linger(shared.config.load().max_connections);
    respond(socket, &refusal, lingering).await;
}

async fn respond(mut socket: impl AsyncRead + AsyncWrite + Unpin, refusal: &Refusal, lingering: Option<Lingering>) {
    let _ = timeout(REFUSAL_TIMEOUT, async {
        socket.write_all(&refusal.response()).await?;
        socket.shutdown().await?;
        // Closing while the request arrives would reset the connection, and the client might not receive the response. Of
        // many, most are closed at once: they must not use up the open files.
        if lingering.is_some() {
            discard(&mut socket).await?;
        }
        Ok::<_, io::Error>(())
    })
    .await;
}

/// Responds without waiting for anything, and closes the connection.
pub(super) fn respond_at_once(accepted: Accepted, refusal: &Refusal) {
    fn write<S: Read + Write>(
        socket: &mut S,
        refusal: &Refusal,
        finish: impl Fn(&S) -> io::Result<()>,
    ) -> io::Result<()> {
        socket.write_all(&refusal.response())?;
        finish(socket)?;
        let (mut buffer, mut discarded) = ([0; 1024], 0);
        while discarded < MAX_DISCARDED {
            match socket.read(&mut buffer)? {
                0 => break,
                len => discarded += len,
            }
        }
        Ok(())
    }
    // Sockets of the standard library, since those of tokio write only after they have waited once. A failure means that the
    // client has gone, or that its request has not arrived.
    let _ = match accepted {
        Accepted::Tcp(socket, _) => socket
            .into_std()
            .and_then(|mut socket| write(&mut socket, refusal, |socket| socket.shutdown(Shutdown::Write))),
        #[cfg(unix)]
        Accepted::Unix(socket) => socket
            .into_std()
            .and_then(|mut socket| write(&mut socket, refusal, |socket| socket.shutdown(Shutdown::Write))),
    };
}

/// A connection that is refused over TLS. The handshake selects HTTP/1.1: a client that offers HTTP/2 only receives the alert
/// `no_application_protocol`.
#[cfg(feature = "tls")]
pub(super) struct EncryptedRefusal {
    peer: Peer,
    /// The PROXY protocol's header, if the connection begins with one, has not been read.
    has_header: bool,
    tls: Tls,
    refusal: Refusal,
    shared: Arc<ServerContext>,
    _handshake: RefusedHandshake,
}

#[cfg(feature = "tls")]
impl EncryptedRefusal {
    /// Begins one. `None` if too many are in progress.
    pub(super) fn begin(peer: Peer, has_header: bool, refusal: Refusal, shared: &Arc<ServerContext>) -> Option<Self> {
        let config = shared.config.load();
        // A proxy's connections are those of many clients.
        let network = peer.address().filter(|_| !peer.is_one_of(&config.trusted_proxies));
        let network = network.map(|address| address.ip().into());
        let _handshake = shared.refused_connections.handshake(network, config.max_connections)?;
        let (tls, shared) = (config.tls.clone()?, Arc::clone(shared));
        Some(Self { peer, has_header, tls, refusal, shared, _handshake })
    }

    pub(super) async fn respond(self, socket: TcpStream) {
        let began = Instant::now();
        let _ = timeout(REFUSAL_TIMEOUT, self.respond_in_time(socket)).await;
        sleep_until(began + HANDSHAKE_COUNTS).await;
    }

    async fn respond_in_time(&self, mut socket: TcpStream) -> io::Result<()> {
        let mut peer = self.peer;
        if self.has_header {
            let Some(stated) = proxy_protocol::accept(&mut socket, peer, &self.shared).await else { return Ok(()) };
            peer = stated;
        }
        let config = self.tls.config_without_http2();
        let Some(mut stream) = tls_handshake::handshake(socket, peer, &config, &self.shared).await else {
            return Ok(());
        };
        // Some clients take a response that precedes their request for an error.
        if stream.read(&mut [0; 1024]).await? > 0 {
            stream.write_all(&self.refusal.response()).await?;
        }
        stream.shutdown().await?;
        discard(&mut stream).await
    }
}

/// Reads to the end.
async fn discard(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut discarded = [0; 1024];
    while socket.read(&mut discarded).await? > 0 {}
    Ok(())
}
