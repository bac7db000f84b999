//! The streams that a server accepts.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, Interest, Ready};
use tokio::net::TcpStream;

use crate::connection::ClientSocket;

/// A byte stream that a server serves HTTP and WebSockets on. Connections are generic over it, so that those over bare TCP
/// pay for no other kind.
pub(crate) trait Transport: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin + 'static {
    /// Ready when bytes of the peer have arrived, or when it has closed its side.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether the peer is known to have closed its side, maybe behind bytes that have not been read.
    fn is_read_closed(&self) -> bool;

    /// The socket as a WebSocket uses it.
    fn into_client_socket(self) -> ClientSocket;
}

impl Transport for TcpStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }

    fn is_read_closed(&self) -> bool {
        is_read_closed(self.ready(Interest::READABLE))
    }

    fn into_client_socket(self) -> ClientSocket {
        ClientSocket::tcp(self)
    }
}

#[cfg(unix)]
impl Transport for tokio::net::UnixStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }

    fn is_read_closed(&self) -> bool {
        is_read_closed(self.ready(Interest::READABLE))
    }

    fn into_client_socket(self) -> ClientSocket {
        ClientSocket::stream(self)
    }
}

/// Readiness distinguishes unread bytes from a close of the read side behind them.
fn is_read_closed(ready: impl Future<Output = io::Result<Ready>>) -> bool {
    let ready = pin!(ready).poll(&mut Context::from_waker(Waker::noop()));
    matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
}

#[cfg(feature = "tls")]
impl Transport for Box<tokio_rustls::server::TlsStream<TcpStream>> {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().0.poll_read_ready(cx)
    }

    fn is_read_closed(&self) -> bool {
        Transport::is_read_closed(self.get_ref().0)
    }

    fn into_client_socket(self) -> ClientSocket {
        ClientSocket::encrypted(self)
    }
}
