//! A socket that goes on reading for a while when it is closed.
//!
//! A response may be sent before the request has arrived completely, and the connection is closed then. Closing a socket
//! with unread bytes resets the connection: a client that is still sending would lose the response (RFC 9112, 9.6).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::net::http_connection::HttpConnection;

/// How long a client may go on sending.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// How many bytes a client may go on sending.
const LINGER_BYTES: usize = 16 << 20;

/// A socket for hyper.
#[derive(Debug)]
pub(crate) struct LingeringClose<S> {
    socket: S,
    connection: Arc<HttpConnection>,
    /// Set once nothing more can be written.
    lingering: Option<Lingering>,
}

#[derive(Debug)]
struct Lingering {
    discarded: usize,
    timer: Pin<Box<Sleep>>,
}

impl<S> LingeringClose<S> {
    pub(crate) fn new(socket: S, connection: Arc<HttpConnection>) -> Self {
        Self { socket, connection, lingering: None }
    }

    pub(crate) fn into_inner(self) -> S {
        self.socket
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringClose<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringClose<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Ends the output, then reads and discards until the client closes as well, or a limit is reached.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Another protocol may be read after the output has ended.
        if this.connection.is_upgraded() {
            return Pin::new(&mut this.socket).poll_shutdown(cx);
        }
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        let new = || Lingering { discarded: 0, timer: Box::pin(tokio::time::sleep(LINGER_TIME)) };
        let lingering = this.lingering.get_or_insert_with(new);
        let mut buffer = [0; 8 << 10];
        while lingering.discarded < LINGER_BYTES && lingering.timer.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut buffer);
            let read = ready!(Pin::new(&mut this.socket).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            lingering.discarded += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}
