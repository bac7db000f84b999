//! A socket that detects that its peer has disconnected, even while unread bytes are pending.
//!
//! While a handler runs, hyper keeps reading to detect that the client has closed the connection. It stops once it has
//! read the beginning of a further request. A disconnect after that would go unnoticed, and a handler that has nothing
//! to write would run on without a reader.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::net::transport::Transport;

/// The interval of the checks while unread bytes are pending. A peer that has closed its side, and to which nothing was
/// written for one interval, counts as disconnected.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A connection for hyper.
#[derive(Debug)]
pub(crate) struct DisconnectDetector<S> {
    socket: S,
    /// What was read from the socket before. hyper's first read takes all of it.
    read_ahead: Vec<u8>,
    /// The time of the next check. Created only when unread bytes are pending and there is nothing to write, which is
    /// rare.
    check: Option<Pin<Box<Sleep>>>,
    /// Something was written since the last check. A peer that has closed only its own side may still be reading.
    has_written: bool,
}

impl<S: Transport> DisconnectDetector<S> {
    pub(crate) fn new(socket: S, read_ahead: Vec<u8>) -> Self {
        Self { socket, read_ahead, check: None, has_written: false }
    }

    /// The bare socket.
    pub(crate) fn into_inner(self) -> S {
        self.socket
    }

    /// Fails if the peer has closed its side after bytes that are still unread. Otherwise registers for the next check,
    /// if there are such bytes.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        // While nothing is readable, incoming bytes and a close both wake this task, so no timer is needed.
        let Poll::Ready(readable) = self.socket.poll_read_ready(cx) else {
            self.check = None;
            return Ok(());
        };
        readable?;
        let timer = self.check.get_or_insert_with(|| {
            self.has_written = false;
            Box::pin(tokio::time::sleep(CHECK_INTERVAL))
        });
        while timer.as_mut().poll(cx).is_ready() {
            if self.socket.is_read_closed() && !std::mem::take(&mut self.has_written) {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the client has disconnected"));
            }
            timer.as_mut().reset(Instant::now() + CHECK_INTERVAL);
        }
        Ok(())
    }
}

impl<S: Transport> AsyncRead for DisconnectDetector<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.read_ahead.is_empty() {
            let len = self.read_ahead.len().min(buf.remaining());
            buf.put_slice(&self.read_ahead[..len]);
            self.read_ahead.drain(..len);
            if self.read_ahead.is_empty() {
                self.read_ahead = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: Transport> AsyncWrite for DisconnectDetector<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// The check is here because hyper flushes at the end of each of its polls, whether or not it has written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
