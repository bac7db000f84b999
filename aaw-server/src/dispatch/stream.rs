//! A handler that yields.

use std::task::{Context, Poll, ready};

use aaw_event::host::Step;
use aaw_protocol::server::Completion;
use aaw_protocol::{Code, Failure};

use super::guards::Handler;
use super::record::Record;
use super::{Place, outcome};

/// The items of a handler, and how they end. It runs only while it is polled; dropped before its end, it drops the
/// handler.
pub(crate) struct HandlerStream {
    handler: Handler,
    record: Option<Record>,
    place: Place,
    items: u64,
}

/// What a poll of a [`HandlerStream`] gave.
#[derive(Debug)]
pub(crate) enum Next {
    /// An item: its JSON was appended.
    Item,
    /// There is nothing more: [`Completion::StreamEnded`], or what went wrong. Then it is not polled again.
    Over(Completion),
}

impl HandlerStream {
    pub(super) fn new(handler: Handler, record: Option<Record>, place: Place) -> Self {
        Self { handler, record, place, items: 0 }
    }

    /// Runs the handler until it yields, waits or is done. An item is appended to `out` as JSON. One that is longer than
    /// `most` bytes ends the stream.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>, most: usize) -> Poll<Next> {
        let over = match ready!(self.handler.poll(cx, out, most, self.place.event.as_str())) {
            Step::Item => {
                self.items += 1;
                return Poll::Ready(Next::Item);
            }
            Step::End => Completion::StreamEnded,
            Step::TooLarge(len) => {
                let error = format!("An item has {len} bytes, and a message may have {most}");
                Completion::Failed(Failure::new(Code::TOO_LARGE, error))
            }
            step => outcome(step, most, &self.place.event, self.place.connection),
        };
        if let Some(record) = self.record.take() {
            record.finish(format!("{{\"items\":{}}}", self.items).as_bytes(), &over);
        }
        Poll::Ready(Next::Over(over))
    }
}
