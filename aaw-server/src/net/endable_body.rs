//! A response body that its connection can end while it is not polled.
//!
//! Over HTTP/2, a response waits without being polled while its client does not read it, and what it holds is not freed. If the
//! connection is from a proxy, closing it would end the requests of other clients, too. So what a body still holds stays
//! within reach of the connection, and hyper receives it in small parts, of which it keeps one at a time besides what waits in
//! its buffer.

use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::memory_budget::ConnectionBudget;
use crate::net::client_budgets::EndBody;
use crate::net::counted_bytes::counted;

/// The most bytes of a part that hyper receives.
pub(super) const MAX_PART: usize = 16 << 10;

/// Why the response ends.
#[derive(Debug, thiserror::Error)]
#[error("the client holds too much memory")]
struct TooMuchHeld;

/// A response's body, which can be ended if it is one of several clients.
pub(super) enum EndableBody<B> {
    /// Its connection is of one client, and would be closed.
    Plain(B),
    Endable(Arc<EndableContent<B>>, Arc<ConnectionBudget>),
}

pub(super) struct EndableContent<B> {
    content: Mutex<Content<B>>,
    has_ended: AtomicBool,
}

struct Content<B> {
    /// `None` once it has ended.
    body: Option<B>,
    /// What of the body's last part hyper has not received.
    rest: Bytes,
    waker: Option<Waker>,
}

impl<B> EndableContent<B> {
    fn lock(&self) -> MutexGuard<'_, Content<B>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees what the body holds, if it has been ended.
    fn free_if_ended(&self) {
        if !self.has_ended.load(Ordering::SeqCst) {
            return;
        }
        let mut content = match self.content.try_lock() {
            Ok(content) => content,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // It is being polled, and looks whether it has ended after that.
            Err(TryLockError::WouldBlock) => return,
        };
        let freed = (content.body.take(), std::mem::take(&mut content.rest));
        let waker = content.waker.take();
        // Without the lock: a handler is dropped.
        drop(content);
        drop(freed);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<B: Send> EndBody for EndableContent<B> {
    fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        self.free_if_ended();
    }
}

impl<B: Send + 'static> EndableBody<B> {
    /// One of several clients: a body whose parts are counted in this budget. Returns as well what ends it.
    pub(super) fn new(body: B, memory: Arc<ConnectionBudget>) -> (Self, Arc<dyn EndBody>) {
        let content = Content { body: Some(body), rest: Bytes::new(), waker: None };
        let content = Arc::new(EndableContent { content: Mutex::new(content), has_ended: AtomicBool::new(false) });
        let end = Arc::clone(&content);
        (Self::Endable(content, memory), end)
    }
}

type Part = Option<Result<Frame<Bytes>, Box<dyn Error + Send + Sync>>>;

impl<B> Content<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    fn poll_part(&mut self, memory: &Arc<ConnectionBudget>, cx: &mut Context<'_>) -> Poll<Part> {
        let Some(body) = &mut self.body else { return Poll::Ready(Some(Err(TooMuchHeld.into()))) };
        if self.rest.is_empty() {
            let frame = match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    self.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let part = if self.rest.len() <= MAX_PART {
            std::mem::take(&mut self.rest)
        } else {
            // Copied, since a slice would keep all of it.
            counted(self.rest.split_to(MAX_PART).to_vec(), memory)
        };
        Poll::Ready(Some(Ok(Frame::data(part))))
    }
}

impl<B> Body for EndableBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Part> {
        let (endable, memory) = match &mut *self {
            Self::Plain(body) => {
                return Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)));
            }
            Self::Endable(endable, memory) => (endable, memory),
        };
        let part = endable.lock().poll_part(memory, cx);
        if endable.has_ended.load(Ordering::SeqCst) {
            endable.free_if_ended();
            return Poll::Ready(Some(Err(TooMuchHeld.into())));
        }
        part
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::Endable(endable, _) => {
                let content = endable.lock();
                content.rest.is_empty() && content.body.as_ref().is_some_and(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(body) => body.size_hint(),
            Self::Endable(endable, _) => {
                let content = endable.lock();
                // Of one that has begun, hyper does not need it.
                content.body.as_ref().filter(|_| content.rest.is_empty()).map(Body::size_hint).unwrap_or_default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use axum::body::Body as AxumBody;
    use futures_util::FutureExt as _;

    use super::*;
    use crate::memory_budget::ProcessBudget;

    #[test]
    fn a_body_that_is_ended_holds_one_part_at_most_and_fails() {
        let process = Arc::<ProcessBudget>::default();
        let memory = process.connection(None);
        let body = AxumBody::from(counted(vec![7; 100 << 10], &memory));
        let (mut body, end) = EndableBody::new(body, Arc::clone(&memory));
        assert_eq!(body.size_hint().exact(), Some(100 << 10));
        let mut next = || poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never();
        let Some(Some(Ok(part))) = next() else { panic!("no part") };
        let part = part.into_data().unwrap();
        assert_eq!((part.len(), process.used()), (MAX_PART, (100 << 10) + MAX_PART));
        end.end();
        assert_eq!(process.used(), MAX_PART);
        drop(part);
        assert_eq!(process.used(), 0);
        assert!(matches!(next(), Some(Some(Err(_)))));
    }

    #[test]
    fn a_body_that_is_not_ended_is_complete() {
        let memory = Arc::<ProcessBudget>::default().connection(None);
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let (mut body, _end) = EndableBody::new(AxumBody::from(bytes.clone()), memory);
        let mut received = Vec::new();
        while !body.is_end_stream() {
            let part = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never();
            let Some(Some(Ok(part))) = part else { panic!("no part") };
            received.extend_from_slice(&part.into_data().unwrap());
        }
        assert_eq!(received, bytes);
    }
}
