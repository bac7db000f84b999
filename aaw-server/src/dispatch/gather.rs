//! A call of a streaming handler whose caller expects one response, or none.
//!
//! Without a response nobody reads the items, so the handler runs until it yields the first: what it does before that
//! is the effect of the call, as with a unary handler, while a stream without an end would run for nobody.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use aaw_event::host::ItemSink;
use aaw_protocol::server::Completion;
use aaw_protocol::{Code, EventName, Failure};

use super::stream::{HandlerStream, StreamStep};
use crate::generation::Generation;

/// The items taken in one poll, so that a handler which is always ready lets other tasks run.
const ITEMS_PER_POLL: u32 = 64;

/// The time after which no item is taken, and the items between two looks at the clock.
const TIME_PER_POLL: Duration = Duration::from_millis(1);
const ITEMS_PER_LOOK: u32 = 8;

/// Collects the items of a stream into one array behind the beginning of the frame, or ends it at its first item.
pub(super) struct GatherStream {
    stream: HandlerStream,
    frame: Vec<u8>,
    /// The length of the frame before the array.
    head_len: usize,
    /// Whether the items are collected; otherwise the stream ends at the first.
    collects: bool,
    /// The most bytes that the array may have.
    max_len: usize,
}

impl GatherStream {
    pub(super) fn new(stream: HandlerStream, mut frame: Vec<u8>, collects: bool, max_len: usize) -> Self {
        let head_len = frame.len();
        if collects {
            frame.push(b'[');
        }
        Self { stream, frame, head_len, collects, max_len }
    }

    /// As [`HandlerStream::rest`].
    pub(super) fn rest(&mut self) {
        self.stream.rest();
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.frame.capacity()
    }

    pub(super) fn event(&self) -> &EventName {
        self.stream.event()
    }

    pub(super) fn generation(&self) -> &Arc<Generation> {
        self.stream.generation()
    }

    /// Ends the call in place of its handler, which is dropped.
    pub(super) fn end(&mut self, completion: Completion) -> (Vec<u8>, Completion) {
        self.stream.end(&completion);
        self.complete(completion)
    }

    fn complete(&mut self, end: Completion) -> (Vec<u8>, Completion) {
        let mut frame = std::mem::take(&mut self.frame);
        match end {
            Completion::StreamEnded if self.collects => {
                frame.push(b']');
                (frame, Completion::Responded)
            }
            Completion::StreamEnded => (frame, Completion::OneWayDone),
            other => {
                frame.truncate(self.head_len);
                (frame, other)
            }
        }
    }

    fn too_large(&mut self) -> (Vec<u8>, Completion) {
        let error = format!("The items exceed the message limit of {} bytes; read them as a stream", self.max_len);
        self.end(Completion::Failed(Failure::new(Code::TOO_LARGE, error)))
    }
}

/// The array while items are added to it. A comma is written before each item but the first, and removed if no item
/// follows.
struct ArraySink<'a> {
    array: &'a mut Vec<u8>,
    /// The length at which the items are too large together.
    limit: usize,
    items: u32,
    max_items: u32,
    started: Instant,
}

impl ItemSink for ArraySink<'_> {
    fn buffer(&mut self) -> &mut Vec<u8> {
        self.array
    }

    fn end_item(&mut self, _: usize) -> bool {
        self.items += 1;
        let wants_more = self.items < self.max_items
            && self.array.len() < self.limit
            && (!self.items.is_multiple_of(ITEMS_PER_LOOK) || self.started.elapsed() < TIME_PER_POLL);
        if wants_more {
            self.array.push(b',');
        }
        wants_more
    }
}

impl Future for GatherStream {
    type Output = (Vec<u8>, Completion);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let max_items = if this.collects { ITEMS_PER_POLL } else { 1 };
        let start = this.frame.len();
        let is_first = start == this.head_len + 1;
        if this.collects && !is_first {
            this.frame.push(b',');
        }
        // Less than, since the closing bracket takes one more byte.
        let limit = this.head_len + this.max_len;
        let mut sink = ArraySink { array: &mut this.frame, limit, items: 0, max_items, started: Instant::now() };
        let polled = this.stream.poll_items(cx, &mut sink, this.max_len);
        let items = sink.items;
        if !matches!(polled, Poll::Ready(StreamStep::Item)) && (items > 0 || !is_first) && this.collects {
            // The comma that no item follows.
            this.frame.pop();
        }
        if items > 0 && !this.collects {
            this.frame.truncate(start);
            return Poll::Ready(this.end(Completion::StreamEnded));
        }
        match ready!(polled) {
            StreamStep::End(completion) => Poll::Ready(this.complete(completion)),
            StreamStep::Item if this.frame.len() >= limit => Poll::Ready(this.too_large()),
            StreamStep::Item => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
