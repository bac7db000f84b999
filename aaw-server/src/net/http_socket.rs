//! The layers between a socket and hyper, which are taken off again when a WebSocket continues on the bare socket.

use std::sync::Arc;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::connection::ClientSocket;
use crate::net::disconnect::DisconnectDetector;
use crate::net::error_body::ErrorBodies;
use crate::net::http_connection::HttpConnection;
use crate::net::lingering_close::LingeringClose;
use crate::net::transport::Transport;
use crate::net::write_timeout::{WriteBacklog, WriteTimeout};

/// A socket for HTTP/1.
pub(crate) type HttpSocket<S> = ErrorBodies<LingeringClose<WriteTimeout<DisconnectDetector<S>>>>;

/// Returns the socket for hyper, and what tells whether bytes wait to be written to it.
pub(crate) fn http_socket<S: Transport>(
    socket: S,
    read_ahead: Vec<u8>,
    connection: &Arc<HttpConnection>,
) -> (TokioIo<HttpSocket<S>>, WriteBacklog) {
    let socket =
        WriteTimeout::new(DisconnectDetector::new(socket, read_ahead), connection.shared.config.load().write_timeout);
    let backlog = socket.backlog();
    let socket = ErrorBodies::new(LingeringClose::new(socket, Arc::clone(connection)), Arc::clone(connection));
    (TokioIo::new(socket), backlog)
}

/// Returns the socket of a connection that hyper has upgraded, and what was read of it beyond the handshake.
pub(crate) fn upgraded_socket(upgraded: Upgraded) -> (ClientSocket, Bytes) {
    // The sockets of our own listeners: taken back out of hyper, so that the hot path runs on the bare socket.
    let upgraded = match bare::<TcpStream>(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    #[cfg(unix)]
    let upgraded = match bare::<tokio::net::UnixStream>(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    #[cfg(feature = "tls")]
    let upgraded = match bare::<Box<tokio_rustls::server::TlsStream<TcpStream>>>(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    // A socket of the program's own axum server.
    (ClientSocket::stream(TokioIo::new(upgraded)), Bytes::new())
}

/// Takes the socket back out of hyper, if it is one of this kind.
fn bare<S: Transport>(upgraded: Upgraded) -> Result<(ClientSocket, Bytes), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<HttpSocket<S>>>()?;
    let socket = parts.io.into_inner().into_inner().into_inner().into_inner().into_inner();
    Ok((socket.into_client_socket(), parts.read_buf))
}
