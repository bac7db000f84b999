//! A socket that fails when its peer stops reading.
//!
//! hyper has no time-out for writing. This socket applies the rule of [`WriteStall`], which holds for WebSockets too.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::write_stall::WriteStall;

/// A socket with a time-out for writing.
#[derive(Debug)]
pub(crate) struct WriteTimeout<S> {
    socket: S,
    stall: WriteStall,
    /// Bytes written so far.
    written: u64,
    /// Ready when the peer has been stalled for the time-out. Created at the first stall, since most sockets never
    /// stall.
    timer: Option<Pin<Box<Sleep>>>,
    backlog: WriteBacklog,
}

/// Whether bytes wait to be written to a socket, readable while hyper owns the socket.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteBacklog(Arc<AtomicBool>);

impl WriteBacklog {
    pub(crate) fn is_pending(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> WriteTimeout<S> {
    pub(crate) fn new(socket: S, timeout: Duration) -> Self {
        Self { socket, stall: WriteStall::new(timeout), written: 0, timer: None, backlog: WriteBacklog::default() }
    }

    pub(crate) fn backlog(&self) -> WriteBacklog {
        self.backlog.clone()
    }

    /// The bare socket.
    pub(crate) fn into_inner(self) -> S {
        self.socket
    }

    /// Accounts for a write, and turns a pending one into an error once the peer has been stalled for the time-out.
    fn track_progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
        count: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Ok(done)) => {
                self.written += count(&done) as u64;
                self.stall.note_written(self.written);
                Poll::Ready(Ok(done))
            }
            Poll::Pending => {
                self.backlog.0.store(true, Ordering::Relaxed);
                self.stall.note_blocked(Instant::now().into_std(), self.written);
                let Some(due) = self.stall.due().map(Instant::from_std) else { return Poll::Pending };
                let timer = match &mut self.timer {
                    Some(timer) => {
                        if timer.deadline() != due {
                            timer.as_mut().reset(due);
                        }
                        timer
                    }
                    none => none.insert(Box::pin(tokio::time::sleep_until(due))),
                };
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
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
        let result = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.track_progress(cx, result, |len| *len)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.track_progress(cx, result, |len| *len)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes after it has written all it has, so a completed flush means that nothing is pending.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        let flushed = self.track_progress(cx, flushed, |()| 0);
        if flushed.is_ready() {
            self.stall.note_flushed();
            self.backlog.0.store(false, Ordering::Relaxed);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.track_progress(cx, shut, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_times_out() {
        let start = Instant::now();
        let (ours, _theirs) = tokio::io::duplex(1024);
        let mut ours = WriteTimeout::new(ours, TIMEOUT);
        let error = ours.write_all(&[0; 2048]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, TIMEOUT));
        assert!(ours.backlog().is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_a_byte_now_and_then_times_out() {
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
    async fn a_slow_peer_and_an_idle_one_do_not_time_out() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut ours = WriteTimeout::new(ours, TIMEOUT);
        let backlog = ours.backlog();
        let reader = tokio::spawn(async move {
            let mut buffer = [0; 1024];
            for _ in 0..200 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                theirs.read_exact(&mut buffer).await.unwrap();
            }
            theirs
        });
        ours.write_all(&[0; 200 << 10]).await.unwrap();
        ours.flush().await.unwrap();
        assert!(!backlog.is_pending());
        let _theirs = reader.await.unwrap();
        tokio::time::sleep(10 * TIMEOUT).await;
        ours.write_all(b"x").await.unwrap();
    }
}
