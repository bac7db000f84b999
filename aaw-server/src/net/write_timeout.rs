//! A socket that gives up on a peer that takes nothing.
//!
//! hyper waits for a slow reader as long as it likes. Here the same rule holds as on a WebSocket: who takes next to
//! nothing within [`Config::write_timeout`](crate::Config::write_timeout) though there is something to take has stopped.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aaw_protocol::clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes that a peer must take within the time-out, or it counts as stopped.
const LEAST_PROGRESS: u64 = 16 << 10;

/// A socket with a time-out for writing.
#[derive(Debug)]
pub(crate) struct WriteTimeout<S> {
    socket: S,
    timeout: Duration,
    written: u64,
    /// What had been written when it began to stall.
    stalled_at: Option<u64>,
    /// Goes off when it has stalled for too long. Made when it first stalls: most sockets never do.
    timer: Option<Pin<Box<Sleep>>>,
    unwritten: Unwritten,
}

/// Whether something waits for the socket; can be looked at from outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unwritten(Arc<AtomicBool>);

impl Unwritten {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> WriteTimeout<S> {
    pub(crate) fn new(socket: S, timeout: Duration) -> Self {
        Self { socket, timeout, written: 0, stalled_at: None, timer: None, unwritten: Unwritten::default() }
    }

    pub(crate) fn unwritten(&self) -> Unwritten {
        self.unwritten.clone()
    }

    /// The bare socket.
    pub(crate) fn into_inner(self) -> S {
        self.socket
    }

    /// What came of a write.
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
        count: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match wrote {
            Poll::Ready(Ok(done)) => {
                self.written += count(&done) as u64;
                if self.stalled_at.is_some_and(|then| self.written - then >= LEAST_PROGRESS) {
                    self.stalled_at = None;
                }
                Poll::Ready(Ok(done))
            }
            Poll::Pending => {
                self.unwritten.0.store(true, Ordering::Relaxed);
                if self.stalled_at.is_none() {
                    self.stalled_at = Some(self.written);
                    let due = Instant::from_std(clock::after(Instant::now().into_std(), self.timeout));
                    match &mut self.timer {
                        Some(timer) => timer.as_mut().reset(due),
                        None => self.timer = Some(Box::pin(tokio::time::sleep_until(due))),
                    }
                }
                let is_over = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
                if !is_over {
                    return Poll::Pending;
                }
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
            }
            failed => failed,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.judge(cx, wrote, |len| *len)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.judge(cx, wrote, |len| *len)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes when it has written all that it had, so nothing waits any more.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        let flushed = self.judge(cx, flushed, |()| 0);
        if flushed.is_ready() {
            self.stalled_at = None;
            self.unwritten.0.store(false, Ordering::Relaxed);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.judge(cx, shut, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let start = Instant::now();
        let (ours, _theirs) = tokio::io::duplex(1024);
        let mut ours = WriteTimeout::new(ours, TIMEOUT);
        let error = ours.write_all(&[0; 2048]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, TIMEOUT));
        assert!(ours.unwritten().get());
    }

    #[tokio::test(start_paused = true)]
    async fn so_is_one_that_takes_a_byte_now_and_then() {
        let start = Instant::now();
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut ours = WriteTimeout::new(ours, TIMEOUT);
        let drip = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                theirs.read_u8().await.unwrap();
            }
        };
        let error = tokio::select! {
            wrote = ours.write_all(&[0; 1 << 20]) => wrote.unwrap_err(),
            () = drip => unreachable!(),
        };
        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_slow_but_takes_on_is_not_nor_one_that_has_nothing_to_take() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut ours = WriteTimeout::new(ours, TIMEOUT);
        let unwritten = ours.unwritten();
        let take = tokio::spawn(async move {
            let mut buffer = [0; 1024];
            for _ in 0..200 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                theirs.read_exact(&mut buffer).await.unwrap();
            }
            theirs
        });
        ours.write_all(&[0; 200 << 10]).await.unwrap();
        ours.flush().await.unwrap();
        assert!(!unwritten.get());
        let _theirs = take.await.unwrap();
        tokio::time::sleep(10 * TIMEOUT).await;
        ours.write_all(b"x").await.unwrap();
    }
}
