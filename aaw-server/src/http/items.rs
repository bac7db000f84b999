//! A stream's items as they are produced: a response body of NDJSON or server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aaw_event::host::ItemSink;
use aaw_protocol::{Failure, clock};
use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use tokio::time::{Instant, Sleep};

use super::negotiate::BodyFormat;
use super::run::{CallStep, HttpCall};
use super::{error, sse};
use crate::memory_budget::ConnectionBudget;
use crate::net::counted_bytes::counted;

/// Bytes of items that are gathered into one chunk while the handler has more ready.
const CHUNK_SIZE: usize = 8 << 10;

/// How long items are gathered for one chunk. A handler that is always ready occupies its thread for this long at a time;
/// the runtime looks for input only after some tens of such turns of its tasks.
const CHUNK_TIME: Duration = Duration::from_micros(100);

/// The items between two looks at the clock.
const ITEMS_PER_CLOCK: usize = 8;

/// A body that polls its call only when it is polled itself: a slow reader slows the handler down, and a disconnect
/// drops it.
pub(super) struct ItemsBody {
    /// `None` once the call has ended.
    call: Option<HttpCall>,
    format: BodyFormat,
    /// The next chunk.
    out: Vec<u8>,
    /// Counts the chunks until they are written.
    memory: Arc<ConnectionBudget>,
    /// Whether a chunk was returned since this last yielded to other tasks.
    has_turn_ended: bool,
    /// When to send a comment next. Server-sent events only; NDJSON has no comments.
    comment_timer: Option<CommentTimer>,
    /// Completes when the shutdown aborts the call.
    aborting: Pin<Box<dyn Future<Output = ()> + Send>>,
}

struct CommentTimer {
    sleep: Pin<Box<Sleep>>,
    interval: Duration,
}

impl CommentTimer {
    fn new(interval: Duration) -> Self {
        Self { sleep: Box::pin(tokio::time::sleep_until(Self::next(interval))), interval }
    }

    fn next(interval: Duration) -> Instant {
        clock::after(Instant::now().into_std(), interval).into()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(cx)
    }

    /// Starts the next interval.
    fn reset(&mut self, cx: &mut Context<'_>) {
        self.sleep.as_mut().reset(Self::next(self.interval));
        // Registers the waker. An interval that is so short that it is over already is noticed at the next poll.
        let _ = self.poll(cx);
    }
}

impl ItemsBody {
    pub(super) fn new(
        call: HttpCall,
        memory: Arc<ConnectionBudget>,
        format: BodyFormat,
        comment_interval: Duration,
        aborting: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let comment_timer = (format == BodyFormat::Events).then(|| CommentTimer::new(comment_interval));
        Self {
            call: Some(call),
            format,
            out: Vec::new(),
            memory,
            has_turn_ended: false,
            comment_timer,
            aborting: Box::pin(aborting),
        }
    }

    /// Polls for the first step. A failure before any item is returned rather than written, since it decides the response's
    /// status.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self.poll_step(cx) {
            Poll::Ready(CallStep::Item) => {}
            Poll::Pending if self.out.is_empty() => return Poll::Pending,
            Poll::Pending => {}
            Poll::Ready(CallStep::End) => self.finish(Ok(())),
            Poll::Ready(CallStep::Failed(failure)) if self.out.is_empty() => return Poll::Ready(Err(failure)),
            Poll::Ready(CallStep::Failed(failure)) => self.finish(Err(failure)),
        }
        Poll::Ready(Ok(()))
    }

    /// Polls for the next step. Whatever the result, items may have been written to `out`: as many as are ready, as far as
    /// they fit into the chunk.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<CallStep> {
        let Self { call: Some(call), format, out, .. } = self else { return Poll::Ready(CallStep::End) };
        let mut sink = ChunkSink { out, format: *format, begun: None, items: 0, started: Instant::now() };
        sink.begin_item();
        let step = call.poll_items(cx, &mut sink);
        sink.remove_begun();
        if matches!(step, Poll::Ready(CallStep::End | CallStep::Failed(_))) {
            self.call = None;
        }
        step
    }

    /// Drops the handler, and writes how the stream ended.
    fn finish(&mut self, result: Result<(), Failure>) {
        self.call = None;
        match (result, self.format) {
            (Ok(()), BodyFormat::Events) => sse::end(&mut self.out),
            (Err(failure), BodyFormat::Events) => sse::failed(&mut self.out, &failure),
            (Ok(()), _) => {}
            (Err(failure), _) => {
                self.out.extend_from_slice(&error::json(&failure));
                self.out.push(b'\n');
            }
        }
    }

    /// Gathers the items that are ready into one chunk.
    fn fill_chunk(&mut self, cx: &mut Context<'_>) {
        if self.call.is_some() && self.aborting.as_mut().poll(cx).is_ready() {
            return self.finish(Err(error::stopping()));
        }
        let started = Instant::now();
        while self.call.is_some() && self.out.len() < CHUNK_SIZE {
            if started.elapsed() >= CHUNK_TIME {
                return cx.waker().wake_by_ref();
            }
            match self.poll_step(cx) {
                Poll::Ready(CallStep::Item) => {}
                Poll::Ready(CallStep::End) => self.finish(Ok(())),
                Poll::Ready(CallStep::Failed(failure)) => self.finish(Err(failure)),
                Poll::Pending => return,
            }
        }
    }

    /// Writes a comment if nothing has been sent for the interval.
    fn poll_comment(&mut self, cx: &mut Context<'_>) {
        let Some(timer) = &mut self.comment_timer else { return };
        let is_due = timer.poll(cx).is_ready();
        if is_due && self.out.is_empty() {
            self.out.extend_from_slice(sse::COMMENT);
        }
        if is_due || !self.out.is_empty() {
            timer.reset(cx);
        }
    }
}

/// The items of a chunk while it is filled.
struct ChunkSink<'a> {
    out: &'a mut Vec<u8>,
    format: BodyFormat,
    /// The length before what precedes the next item; `None` behind the last one.
    begun: Option<usize>,
    items: usize,
    started: Instant,
}

impl ChunkSink<'_> {
    fn begin_item(&mut self) {
        self.begun = Some(self.out.len());
        if self.format == BodyFormat::Events {
            sse::begin_item(self.out);
        }
    }

    /// Removes what precedes an item that does not follow.
    fn remove_begun(self) {
        if let Some(len) = self.begun {
            self.out.truncate(len);
        }
    }
}

impl ItemSink for ChunkSink<'_> {
    fn buffer(&mut self) -> &mut Vec<u8> {
        self.out
    }

    fn end_item(&mut self, start: usize) -> bool {
        if self.format == BodyFormat::Events {
            sse::end_item(self.out, start);
        } else {
            sse::join_lines(&mut self.out[start..]);
            self.out.push(b'\n');
        }
        self.begun = None;
        self.items += 1;
        let is_in_time = !self.items.is_multiple_of(ITEMS_PER_CLOCK) || self.started.elapsed() < CHUNK_TIME;
        let wants_more = self.out.len() < CHUNK_SIZE && is_in_time;
        if wants_more {
            self.begin_item();
        }
        wants_more
    }
}

impl HttpBody for ItemsBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        // hyper asks for chunks until its buffer is full, many times in one poll of its task. Without this, a reader that is as
        // fast as the handler would keep the thread for milliseconds.
        if self.call.is_some() && std::mem::take(&mut self.has_turn_ended) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.fill_chunk(cx);
        if self.call.is_some() {
            self.poll_comment(cx);
        }
        if !self.out.is_empty() {
            self.has_turn_ended = true;
            let chunk = counted(std::mem::take(&mut self.out), &self.memory);
            Poll::Ready(Some(Ok(Frame::data(chunk))))
        } else if self.call.is_none() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }

    fn is_end_stream(&self) -> bool {
        self.call.is_none() && self.out.is_empty()
    }
}
