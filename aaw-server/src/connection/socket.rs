//! The socket of a connection: a bare TCP socket, or any other stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aaw_protocol::websocket::FrameBuffer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

use crate::hub::{MAX_SLICES, SharedSocket, try_write};

/// The socket of a connection.
pub(crate) enum ClientSocket {
    /// That of the server's own listener.
    Tcp(TcpSocket),
    /// That of the server's own listener, over TLS.
    #[cfg(feature = "tls")]
    Encrypted(StreamSocket<Box<TlsStream<TcpStream>>>),
    /// Any other stream.
    Stream(Box<dyn Socket>),
}

/// The most bytes that a stream has taken and not passed on, while it is not flushed.
pub(crate) const MAX_UNFLUSHED_BYTES: usize = 16 << 10;

impl ClientSocket {
    pub(crate) fn tcp(socket: TcpStream) -> Self {
        Self::Tcp(TcpSocket::new(socket))
    }

    /// Only the connection's task writes to such a socket.
    #[cfg(feature = "tls")]
    pub(crate) fn encrypted(stream: Box<TlsStream<TcpStream>>) -> Self {
        Self::Encrypted(StreamSocket(stream))
    }

    /// Only the connection's task writes to such a socket.
    pub(crate) fn stream(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::Stream(Box::new(StreamSocket(stream)))
    }
}

impl Socket for ClientSocket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => socket.poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Self::Encrypted(socket) => socket.poll_read(cx, buffer),
            Self::Stream(socket) => socket.poll_read(cx, buffer),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, frames: &mut FrameBuffer) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_write(cx, frames),
            #[cfg(feature = "tls")]
            Self::Encrypted(socket) => socket.poll_write(cx, frames),
            Self::Stream(socket) => socket.poll_write(cx, frames),
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_writable(cx),
            #[cfg(feature = "tls")]
            Self::Encrypted(socket) => socket.poll_writable(cx),
            Self::Stream(socket) => socket.poll_writable(cx),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Encrypted(socket) => socket.poll_flush(cx),
            Self::Stream(socket) => socket.poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Encrypted(socket) => socket.poll_shutdown(cx),
            Self::Stream(socket) => socket.poll_shutdown(cx),
        }
    }

    fn shared(&self) -> Option<SharedSocket> {
        match self {
            Self::Tcp(socket) => socket.shared(),
            #[cfg(feature = "tls")]
            Self::Encrypted(socket) => socket.shared(),
            Self::Stream(socket) => socket.shared(),
        }
    }
}

/// What the connection's task needs of a socket.
pub(crate) trait Socket: Send + Unpin {
    /// Reads bytes; 0 at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes the beginning of `frames` and removes it. Pending if the socket accepts nothing.
    fn poll_write(&mut self, cx: &mut Context<'_>, frames: &mut FrameBuffer) -> Poll<io::Result<()>>;

    /// Ready when the socket may accept bytes again.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Passes on what was written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Closes the direction of writing.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Returns the socket as others can write to it, if they can.
    fn shared(&self) -> Option<SharedSocket>;
}

/// A bare TCP socket, to which others may write.
pub(crate) struct TcpSocket {
    read: OwnedReadHalf,
    write: SharedSocket,
}

impl TcpSocket {
    fn new(socket: TcpStream) -> Self {
        let (read, write) = socket.into_split();
        Self { read, write: Arc::new(write) }
    }
}

impl Socket for TcpSocket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        // Unlike `try_read`, this knows after a short read that nothing more is there, which saves a system call.
        poll_read(&mut self.read, cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, frames: &mut FrameBuffer) -> Poll<io::Result<()>> {
        loop {
            match try_write(&self.write, frames) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(len) => {
                    frames.advance(len);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.poll_writable(cx))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (*self.write).as_ref().poll_write_ready(cx)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket: &TcpStream = (*self.write).as_ref();
        Poll::Ready(socket2::SockRef::from(socket).shutdown(std::net::Shutdown::Write))
    }

    fn shared(&self) -> Option<SharedSocket> {
        Some(Arc::clone(&self.write))
    }
}

/// Any other stream.
pub(crate) struct StreamSocket<S>(S);

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for StreamSocket<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read(&mut self.0, cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, frames: &mut FrameBuffer) -> Poll<io::Result<()>> {
        let mut slices = [io::IoSlice::new(&[]); MAX_SLICES];
        let count = frames.slices(&mut slices);
        match ready!(Pin::new(&mut self.0).poll_write_vectored(cx, &slices[..count]))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            len => {
                frames.advance(len);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The next write registers the task again.
    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn shared(&self) -> Option<SharedSocket> {
        None
    }
}

fn poll_read(
    socket: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
