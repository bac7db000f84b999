//! Items as they come: a response's body as NDJSON or server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aaw_protocol::Failure;
use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use tokio::time::{Instant, Sleep};

use super::failed;
use super::negotiate::Form;
use super::run::{Run, Step};
use super::sse;

/// Bytes of items that are gathered into one piece while the handler has more at once.
const PIECE: usize = 8 << 10;

/// Items that are gathered into one piece, so that a handler that is always ready leaves room for others.
const TURN: usize = 128;

/// A body that polls its call while somebody reads it: who reads no more does not have the handler polled, and who has
/// gone has it dropped.
pub(super) struct Items {
    /// Nothing once the call is over.
    run: Option<Run>,
    form: Form,
    /// Items so far.
    count: u64,
    /// What is to be sent next.
    out: Vec<u8>,
    /// Says that there is nothing to say; server-sent events alone have a word for that.
    comment: Option<(Pin<Box<Sleep>>, Duration)>,
    /// Ready when the server gives up what still runs.
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Items {
    pub(super) fn new(
        run: Run,
        form: Form,
        comment: Duration,
        over: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let comment = comment.min(crate::net::accept::FOREVER);
        let comment = (form == Form::Events).then(|| (Box::pin(tokio::time::sleep(comment)), comment));
        Self { run: Some(run), form, count: 0, out: Vec::new(), comment, over: Box::pin(over) }
    }

    /// Takes the first step. What it was decides the status of the response, so a failure is given back.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match ready!(self.poll_step(cx)) {
            Step::Item => {}
            Step::End => self.close(Ok(())),
            Step::Failed(failure) => return Poll::Ready(Err(failure)),
        }
        Poll::Ready(Ok(()))
    }

    /// The next step; an item has been written.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let Self { run: Some(run), form, count, out, .. } = self else { return Poll::Ready(Step::End) };
        let before = out.len();
        if *form == Form::Events {
            sse::begin_item(out, *count + 1);
        }
        let from = out.len();
        let step = run.poll(cx, out);
        match (&step, form) {
            (Poll::Ready(Step::Item), Form::Events) => sse::end_item(out, from),
            (Poll::Ready(Step::Item), _) => {
                sse::join_lines(&mut out[from..]);
                out.push(b'\n');
            }
            _ => out.truncate(before),
        }
        match step {
            Poll::Ready(Step::Item) => *count += 1,
            Poll::Ready(_) => self.run = None,
            Poll::Pending => {}
        }
        step
    }

    /// Writes how it ended, and drops the handler.
    fn close(&mut self, ended: Result<(), Failure>) {
        self.run = None;
        match (ended, self.form) {
            (Ok(()), Form::Events) => sse::end(&mut self.out),
            (Err(failure), Form::Events) => sse::failed(&mut self.out, &failure),
            (Ok(()), _) => {}
            (Err(failure), _) => {
                self.out.extend_from_slice(&failed::json(&failure));
                self.out.push(b'\n');
            }
        }
    }

    /// Gathers what is ready, into one piece.
    fn gather(&mut self, cx: &mut Context<'_>) {
        if self.run.is_some() && self.over.as_mut().poll(cx).is_ready() {
            return self.close(Err(failed::stopping()));
        }
        for turn in 0.. {
            if self.run.is_none() || self.out.len() >= PIECE {
                return;
            }
            if turn == TURN {
                return cx.waker().wake_by_ref();
            }
            match self.poll_step(cx) {
                Poll::Ready(Step::Item) => {}
                Poll::Ready(Step::End) => self.close(Ok(())),
                Poll::Ready(Step::Failed(failure)) => self.close(Err(failure)),
                Poll::Pending => return,
            }
        }
    }

    /// Says that there is nothing to say, if that has been so for long enough.
    fn poll_comment(&mut self, cx: &mut Context<'_>) {
        let Some((timer, interval)) = &mut self.comment else { return };
        let is_due = timer.as_mut().poll(cx).is_ready();
        if is_due && self.out.is_empty() {
            self.out.extend_from_slice(sse::COMMENT);
        }
        if is_due || !self.out.is_empty() {
            timer.as_mut().reset(Instant::now() + *interval);
            // Registers the waker. An interval so short that it is over already comes round at the next poll.
            let _ = timer.as_mut().poll(cx);
        }
    }
}

impl HttpBody for Items {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.gather(cx);
        if self.run.is_some() {
            self.poll_comment(cx);
        }
        if !self.out.is_empty() {
            Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.out).into()))))
        } else if self.run.is_none() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }

    fn is_end_stream(&self) -> bool {
        self.run.is_none() && self.out.is_empty()
    }
}
