//! The items of a streaming handler.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aaw_event::host::{ItemSink, Step};
use aaw_protocol::server::Completion;
use aaw_protocol::{Code, EventName, Failure};

use super::call_recorder::CallRecorder;
use super::call_span::CallSpan;
use super::completion::{LogContext, completion_of};
use super::guards::GuardedHandler;
use crate::auth::identity_change::HandlerPoll;
use crate::busy_turns::{BusyTask, BusyTurns, TaskKind};
use crate::client_turns::Client;
use crate::generation::{Generation, replaced};
use crate::poll_watch;

/// A call of a streaming handler, which runs only while it is polled. Dropping it drops the handler.
pub(crate) struct HandlerStream {
    steps: StreamSteps,
    generation: Arc<Generation>,
    span: CallSpan,
    turn: StreamTurn,
}

/// Whether the stream may be polled.
pub(super) struct StreamTurn {
    turns: Arc<BusyTurns>,
    client: Client,
    kind: TaskKind,
    /// `None` unless the last poll has filled its sink.
    busy: Option<BusyTask>,
}

impl StreamTurn {
    /// Of a stream that this client has called.
    pub(super) fn new(turns: &Arc<BusyTurns>, client: Client, kind: TaskKind) -> Self {
        Self { turns: Arc::clone(turns), client, kind, busy: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.busy.as_mut().map_or(Poll::Ready(()), |busy| busy.poll_turn(cx))
    }

    fn set_busy(&mut self, is_busy: bool) {
        if is_busy != self.busy.is_some() {
            self.busy = is_busy.then(|| self.turns.add_busy(self.client, self.kind));
        }
    }
}

struct StreamSteps {
    handler: GuardedHandler,
    recorder: Option<Box<CallRecorder>>,
    log: LogContext,
    items: u64,
}

/// The result of [`HandlerStream::poll_items`].
#[derive(Debug)]
pub(crate) enum StreamStep {
    /// Items were written, and the sink takes no more in this poll.
    Item,
    /// The stream has ended: [`Completion::StreamEnded`], or a failure. It must not be polled again.
    End(Completion),
}

impl HandlerStream {
    pub(super) fn new(
        handler: GuardedHandler,
        recorder: Option<Box<CallRecorder>>,
        log: LogContext,
        turn: StreamTurn,
        generation: Arc<Generation>,
    ) -> Self {
        let steps = StreamSteps { handler, recorder, log, items: 0 };
        Self { steps, generation, span: CallSpan::default(), turn }
    }

    /// The generation of the events that it belongs to.
    pub(crate) fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// To be called when the stream waits for something else than its turn, or when it is not polled for a while: then it does
    /// not count as one that could continue.
    pub(crate) fn rest(&mut self) {
        self.turn.set_busy(false);
    }

    /// Polls and drops the handler within this span from now on.
    pub(super) fn set_span(&mut self, span: CallSpan) {
        self.span = span;
    }

    pub(super) fn event(&self) -> &EventName {
        &self.steps.log.event
    }

    /// Ends the stream in place of its handler, which is dropped.
    pub(super) fn end(&mut self, completion: &Completion) {
        let Self { steps, span, .. } = self;
        span.in_scope(|| {
            steps.handler = GuardedHandler::Refused;
            steps.report(completion);
        });
        span.finish(completion);
    }

    /// Runs the handler until it waits or ends, or until the sink takes no more. Whatever the result, items may have been
    /// written. An item of more than `max_len` bytes ends the stream. After a poll in which the sink took no more, the stream
    /// waits for its turn if many do so.
    pub(crate) fn poll_items(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn ItemSink,
        max_len: usize,
    ) -> Poll<StreamStep> {
        let Self { steps, span, turn, .. } = self;
        ready!(turn.poll(cx));
        let polled = span.in_scope(|| steps.poll_items(cx, sink, max_len));
        turn.set_busy(matches!(polled, Poll::Ready(StreamStep::Item)));
        let step = ready!(polled);
        if let StreamStep::End(completion) = &step {
            span.finish(completion);
        }
        Poll::Ready(step)
    }
}

impl Drop for HandlerStream {
    fn drop(&mut self) {
        if self.generation.has_ended() {
            // Without effect if it has ended before.
            self.end(&Completion::Failed(replaced()));
        }
        let Self { steps, span, .. } = self;
        span.in_scope(|| {
            steps.handler = GuardedHandler::Refused;
            steps.recorder = None;
        });
    }
}

impl StreamSteps {
    fn poll_items(&mut self, cx: &mut Context<'_>, sink: &mut dyn ItemSink, max_len: usize) -> Poll<StreamStep> {
        let polling = poll_watch::polling(self.log.event.as_str());
        let caller = self.log.connection;
        // Within the poll of a call that gathers the items it would hide that poll's changes.
        let _poll = (!HandlerPoll::is_of(caller)).then(|| HandlerPoll::first(caller));
        let polled = self.handler.poll_items(cx, sink, max_len, self.log.event.as_str());
        drop(polling);
        self.items += polled.items;
        let completion = match ready!(polled.step) {
            Step::Item => return Poll::Ready(StreamStep::Item),
            Step::End => Completion::StreamEnded,
            Step::TooLarge(len) => {
                let error = format!("The item of {len} bytes exceeds the message limit of {max_len} bytes");
                Completion::Failed(Failure::new(Code::TOO_LARGE, error))
            }
            step => completion_of(step, max_len, &self.log.event, self.log.connection),
        };
        self.report(&completion);
        Poll::Ready(StreamStep::End(completion))
    }

    fn report(&mut self, completion: &Completion) {
        if let Some(recorder) = self.recorder.take() {
            recorder.finish(format!("{{\"items\":{}}}", self.items).as_bytes(), completion);
        }
    }
}
