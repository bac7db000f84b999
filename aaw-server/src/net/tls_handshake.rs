//! The TLS handshake of an accepted connection.

use std::io;
use std::sync::Arc;

use aaw_protocol::{Code, Failure, codec};
use rustls::ServerConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connection::MAX_UNFLUSHED_BYTES;
use crate::net::context::ServerContext;
use crate::net::http_connection::log_refusal;
use crate::net::shutdown_phase::ShutdownPhase;
use crate::trusted_proxy::Peer;

/// The most bytes of a plain request that are read after the response to it, so that the client receives that.
const DISCARDED_BYTES: u64 = 64 << 10;

/// An encrypted connection.
pub(super) type Encrypted = Box<TlsStream<TcpStream>>;

/// Performs the handshake. `None` if it fails, which has been logged.
pub(super) async fn handshake(
    socket: TcpStream,
    peer: Peer,
    config: &Arc<rustls::ServerConfig>,
    shared: &ServerContext,
) -> Option<Encrypted> {
    let limit = shared.config.load().handshake_timeout;
    let draining = shared.shutdown.reached(ShutdownPhase::Draining);
    let handshake = async {
        let mut first = [0];
        match socket.peek(&mut first).await {
            Ok(1) if first[0].is_ascii_uppercase() => {
                log_refusal(shared, peer.address(), "connection", "plain HTTP on a port that speaks TLS");
                refuse_plain(socket).await;
                return None;
            }
            Ok(1) => {}
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(%peer, "a connection failed before its TLS handshake: {error}");
                return None;
            }
        }
        // Data that the socket has not accepted is limited as the connection counts it.
        let limit = |session: &mut ServerConnection| session.set_buffer_limit(Some(MAX_UNFLUSHED_BYTES));
        match TlsAcceptor::from(Arc::clone(config)).accept_with(socket, limit).await {
            Ok(stream) => Some(Box::new(stream)),
            Err(error) => {
                tracing::debug!(%peer, "the TLS handshake failed: {error}");
                None
            }
        }
    };
    tokio::select! {
        result = timeout(limit, handshake) => result.unwrap_or_else(|_| {
            tracing::debug!(%peer, "closed a connection whose TLS handshake took too long");
            None
        }),
        () = draining => None,
    }
}

/// Responds 400 to a request that is not encrypted.
async fn refuse_plain(mut socket: TcpStream) {
    let mut body = Vec::new();
    let error = "This port speaks TLS. Use https:// or wss:// instead of http:// or ws://";
    codec::failure(&mut body, &Failure::new(Code::BAD_FRAME, error));
    let mut response = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    response.extend_from_slice(&body);
    let send = async {
        socket.write_all(&response).await?;
        socket.shutdown().await?;
        // Closing a socket with unread bytes would reset it, and the client might lose the response.
        tokio::io::copy(&mut socket.take(DISCARDED_BYTES), &mut tokio::io::sink()).await?;
        Ok::<_, io::Error>(())
    };
    // A failure means that the client has gone.
    let _ = send.await;
}
