//! A handler that yields, for a caller who wants one answer, or none.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aaw_protocol::server::Completion;
use aaw_protocol::{Code, Failure};

use super::stream::{HandlerStream, Next};

/// Items taken in one turn, so that a handler which is always ready leaves room for its neighbours.
const TURN: usize = 64;

/// Collects the items into one array behind the frame's beginning, or lets them go.
pub(crate) struct Gather {
    stream: HandlerStream,
    frame: Vec<u8>,
    head: usize,
    keeps: bool,
    /// Bytes that the array may have.
    most: usize,
}

impl Gather {
    pub(super) fn new(stream: HandlerStream, mut frame: Vec<u8>, keeps: bool, most: usize) -> Self {
        let head = frame.len();
        if keeps {
            frame.push(b'[');
        }
        Self { stream, frame, head, keeps, most }
    }

    fn over(&mut self, outcome: Completion) -> (Vec<u8>, Completion) {
        let mut frame = std::mem::take(&mut self.frame);
        match outcome {
            Completion::StreamEnded if self.keeps => {
                frame.push(b']');
                (frame, Completion::Responded)
            }
            Completion::StreamEnded => (frame, Completion::OneWayDone),
            other => {
                frame.truncate(self.head);
                (frame, other)
            }
        }
    }

    fn too_large(&mut self) -> (Vec<u8>, Completion) {
        let error = format!("The items are larger than a message may be ({} bytes); read them as a stream", self.most);
        self.over(Completion::Failed(Failure::new(Code::TOO_LARGE, error)))
    }
}

impl Future for Gather {
    type Output = (Vec<u8>, Completion);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        for _ in 0..TURN {
            let before = this.frame.len();
            let is_first = before == this.head + 1;
            if this.keeps && !is_first {
                this.frame.push(b',');
            }
            let polled = this.stream.poll_next(cx, &mut this.frame, this.most);
            if !matches!(polled, Poll::Ready(Next::Item)) {
                this.frame.truncate(before);
            }
            match ready!(polled) {
                Next::Item if !this.keeps => this.frame.truncate(before),
                // One more for the bracket at the end.
                Next::Item if this.frame.len() - this.head < this.most => {}
                Next::Item => return Poll::Ready(this.too_large()),
                Next::Over(outcome) => return Poll::Ready(this.over(outcome)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
