//! A socket that notices that its peer has hung up, though nobody reads.
//!
//! While hyper answers a request it reads on, to learn whether the client is still there: but not once it has read the
//! beginning of another request. Then a handler that has nothing to write would wait for ever, for nobody.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// How often to look while bytes lie unread. One that has hung up, and to which nothing was written meanwhile, is gone.
const LOOK: Duration = Duration::from_secs(1);

/// A TCP connection that speaks HTTP.
#[derive(Debug)]
pub(crate) struct HangUp {
    socket: TcpStream,
    /// Goes off when it is time to look. Made when bytes lie unread while there is nothing to write, which is rare.
    look: Option<Pin<Box<Sleep>>>,
    /// Whether something was written since the last look. Who has ended its own side alone may still read.
    written: bool,
}

impl HangUp {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, look: None, written: false }
    }

    /// The bare socket.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.socket
    }

    /// Fails if the peer has hung up behind what nobody reads; comes again if it may yet.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        // Pending, it is woken by whatever comes, be it the end: then this is not over.
        let Poll::Ready(readable) = self.socket.poll_read_ready(cx) else {
            self.look = None;
            return Ok(());
        };
        readable?;
        let timer = self.look.get_or_insert_with(|| {
            self.written = false;
            Box::pin(tokio::time::sleep(LOOK))
        });
        while timer.as_mut().poll(cx).is_ready() {
            // What lies there to be read says nothing; that nothing follows it, the system tells apart from that.
            let ready = pin!(self.socket.ready(Interest::READABLE)).poll(&mut Context::from_waker(Waker::noop()));
            let has_ended = matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed());
            if has_ended && !std::mem::take(&mut self.written) {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the client has hung up"));
            }
            timer.as_mut().reset(Instant::now() + LOOK);
        }
        Ok(())
    }
}

impl AsyncRead for HangUp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for HangUp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written = true;
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.written = true;
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes at the end of each of its turns, whether or not it has written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(cx)?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
