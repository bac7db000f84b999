//! The calls of a connection: from a call to its response, in place or as a task.

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use aaw_protocol::hello::SESSION_ENDED;
use aaw_protocol::server::{Call, CallKey, Completion, Input, ItemFrames};
use aaw_protocol::websocket::MIN_SHARED;
use aaw_protocol::{Code, Dialect, Failure, codec, is_protected};

use super::call_future::CallFuture;
use super::call_tasks::CallTask;
use super::linger_budget::LingerSwitch;
use super::state::ConnectionState;
use super::stream_pump::{StreamCredit, StreamPump};
use super::upload::UploadWriter;
use crate::auth::identity_change::IdentityChange;
use crate::auth::{Session, SessionGuard};
use crate::dispatch::{CallSource, DispatchRequest, Dispatched, HandlerStream, PendingCall, ResponseFrame};
use crate::generation::{Generation, replaced};
use crate::hub::ItemBatch;
use crate::memory_budget::CallBudget;

impl ConnectionState {
    pub(super) fn upload(&self, key: CallKey) -> Option<&UploadWriter> {
        self.protocol.task(key)?.upload.as_ref()
    }

    /// Refuses a call before its event is looked up.
    #[cold]
    pub(super) fn refuse_call(&mut self, call: Call<'_>, failure: Failure) {
        if let Err(bad) = call.check() {
            if let Input::BadFrame(bad) = self.protocol.reject(call, bad) {
                self.log_bad_frame(&bad);
            }
            return;
        }
        let source = CallSource::WebSocket { id: call.id() };
        self.dispatch.record_refused(&call.event, source, call.body, &failure, &self.peer().context);
        self.protocol.complete_now(call, Vec::new(), Completion::Refused(failure));
    }

    /// Begins a call. Its response is written where the turn's output is.
    pub(super) fn handle_call(&mut self, now: Instant, call: Call<'_>) {
        let window = self.config.upload_window.into();
        let upload = call.upload.then(|| UploadWriter::new(Arc::clone(self.peer()), window));
        // Read once: the session that authorizes the call is the one whose end aborts it.
        let session = is_protected(&call.event).then(|| self.peer().context.session.current()).flatten();
        let cost = Cell::new(0);
        let request = DispatchRequest {
            event: &call.event,
            source: CallSource::WebSocket { id: call.id() },
            body: call.body,
            mode: call.response_mode(),
            session: session.as_deref(),
            cost: &cost,
        };
        let buffer = upload.as_ref().map(UploadWriter::buffer);
        let start = self.output.begin_text();
        let output = self.output.tail();
        call.begin_response_in(output);
        let dispatched = self.dispatch.begin(request, ResponseFrame::new(output, start), &self.caller, buffer);
        self.meter.count_call(cost.get());
        match dispatched {
            Dispatched::Done(completion) => self.complete_now(now, call, start, completion),
            Dispatched::Pending(pending) => {
                self.output.cancel_text(start);
                self.spawn_pending(call, pending, upload, session);
            }
            Dispatched::Stream(stream) => {
                self.output.cancel_text(start);
                self.start_stream(now, call, stream, upload, session);
            }
            Dispatched::NotJson => {
                self.output.cancel_text(start);
                if let Err(bad) = call.check()
                    && let Input::BadFrame(bad) = self.protocol.reject(call, bad)
                {
                    self.log_bad_frame(&bad);
                }
            }
        }
    }

    /// Completes a call in its first poll. Its frame begins at `start` of the output.
    fn complete_now(&mut self, now: Instant, call: Call<'_>, start: usize, completion: Completion) {
        let has_pushed = self.peer().mailbox.has_commands();
        if !has_pushed && self.protocol.complete_in_place(&call, self.output.tail(), start, &completion) {
            return self.output.end_text(start);
        }
        let frame = self.output.take_text(start);
        // What the handler has pushed is sent before its response.
        if has_pushed {
            self.handle_commands(now);
        }
        self.protocol.complete_now(call, frame, completion);
    }

    /// Completes a call that ran as a task. A short response is copied to the output, where it needs no buffer of its own. All
    /// outputs must have been taken.
    pub(super) fn complete_pending(&mut self, key: CallKey, frame: Vec<u8>, completion: Completion) {
        if frame.len() < MIN_SHARED {
            let start = self.output.begin_text();
            let output = self.output.tail();
            output.extend_from_slice(&frame);
            if self.protocol.complete_pending_in_place(key, output, start, &completion) {
                return self.output.end_text(start);
            }
            self.output.cancel_text(start);
        }
        self.protocol.complete(key, frame, completion);
    }

    /// Continues a call as a task.
    fn spawn_pending(
        &mut self,
        call: Call<'_>,
        pending: PendingCall,
        upload: Option<UploadWriter>,
        session: Option<Arc<SessionGuard>>,
    ) {
        let expects_response = call.expects_response;
        let key = if pending.is_barrier() {
            self.protocol.add_pending_barrier(call)
        } else {
            self.protocol.add_pending(call)
        };
        let caller = Arc::clone(&self.caller);
        let (identity_change, generation) = (pending.identity_change(), pending.generation().cloned());
        let linger = (!expects_response).then(LingerSwitch::default);
        let task = tokio::spawn(CallFuture::new(key, pending, self.new_budget(), caller, linger.clone()));
        let call =
            CallTask { task, expects_response, linger, credit: None, upload, session, identity_change, generation };
        self.store_task(key, call);
        self.start_upload(key);
    }

    /// Stores the task of a call, or aborts it if the call is over.
    fn store_task(&mut self, key: CallKey, task: CallTask) {
        if let Some(over) = self.protocol.set_task(key, task) {
            over.task.abort();
        }
    }

    /// Returns the budget of a call that does not complete at once.
    fn new_budget(&mut self) -> CallBudget {
        self.pending_calls += 1;
        CallBudget::new(self.held.budget(), self.pending_calls)
    }

    /// Runs a streaming handler: in place for its first items, then as a task.
    fn start_stream(
        &mut self,
        now: Instant,
        call: Call<'_>,
        stream: HandlerStream,
        upload: Option<UploadWriter>,
        session: Option<Arc<SessionGuard>>,
    ) {
        let (expects_response, frame) = (call.expects_response, call.item_frame());
        let generation = Arc::clone(stream.generation());
        let key = self.protocol.add_pending(call);
        let credit = StreamCredit::new(self.protocol.credit(key));
        credit.set_paused(self.streams_paused);
        let budget = self.new_budget();
        let mut pump = StreamPump::new(stream, frame, Arc::clone(&credit), budget, self.config.max_message_bytes);
        // A waker that does nothing suffices: the task polls the stream again.
        if let Poll::Ready(batch) = pump.poll(&mut Context::from_waker(Waker::noop())) {
            // What the handler has pushed is sent before its items.
            if self.peer().mailbox.has_commands() {
                self.handle_commands(now);
            }
            let has_ended = batch.end.is_some();
            self.handle_items(key, batch);
            if has_ended {
                return;
            }
        }
        // Again, because its first items may have filled the output queue, and it has no task yet.
        credit.set_paused(self.streams_paused);
        let session_ended = session.as_ref().is_some_and(|guard| guard.is_over());
        let is_replaced = generation.has_ended();
        let task = tokio::spawn(pump.run(key, Arc::clone(&self.caller)));
        self.store_task(
            key,
            CallTask {
                task,
                expects_response,
                linger: None,
                credit: Some(credit),
                upload,
                session,
                identity_change: None,
                generation: Some(generation),
            },
        );
        if session_ended {
            // The command that reports this end may have been handled above, before the stream had a task.
            self.abort_unauthenticated(key);
            self.collect_outputs();
            return;
        }
        if is_replaced {
            // So may the one that reports the end of its generation.
            self.end_replaced();
            return;
        }
        self.start_upload(key);
    }

    /// Grants the caller its first credit, if the call has an upload.
    fn start_upload(&mut self, key: CallKey) {
        if let Some(upload) = self.upload(key) {
            upload.start(key);
            self.protocol.grant_upload_credit(key, self.config.upload_window.into());
            self.collect_outputs();
        }
    }

    pub(super) fn handle_items(&mut self, key: CallKey, mut batch: ItemBatch) {
        // What was put out before is sent before.
        self.collect_outputs();
        let frames = ItemFrames { items: batch.items, bytes: batch.frames.len(), largest: batch.largest };
        if frames.items > 0 && self.protocol.handle_items(key, frames) == Some(true) {
            self.output.append(&mut batch.frames);
        }
        if let Some(completion) = batch.end {
            self.protocol.complete(key, Vec::new(), completion);
        }
        self.collect_outputs();
        self.update_stream_pause();
        if let Some(CallTask { credit: Some(credit), .. }) = self.protocol.task(key) {
            credit.batch_taken();
        }
    }

    /// Pauses all streams while too much waits for the socket.
    pub(super) fn update_stream_pause(&mut self) {
        let paused = !self.protocol.may_stream();
        if paused != self.streams_paused {
            self.streams_paused = paused;
            let credits = self.protocol.tasks().filter_map(|(_, call)| call.credit.as_ref());
            credits.for_each(|credit| credit.set_paused(paused));
        }
    }

    /// Aborts the calls that an ended session has authorized, and notifies the client if the connection had that
    /// session.
    pub(super) fn end_session(&mut self, session: &Arc<Session>) {
        let slot = &self.peer().context.session;
        let had_session = slot.release(session).is_some();
        // A call that has ended its own session must still be responded to.
        let is_affected = |call: &CallTask| {
            call.session.as_ref().is_some_and(|guard| guard.is_over())
                && !call.identity_change.as_ref().is_some_and(IdentityChange::has_begun)
        };
        let affected: Vec<_> =
            self.protocol.tasks().filter(|(_, call)| is_affected(call)).map(|(key, _)| key).collect();
        for key in affected {
            self.abort_unauthenticated(key);
        }
        self.collect_outputs();
        if had_session
            && self.dialect == Dialect::V1
            && let Some(reason) = session.ended()
        {
            // Not a push, which a client that is away may lose.
            self.output.text(codec::message(SESSION_ENDED, &serde_json::json!({ "ended": reason.as_str() })).into());
        }
    }

    /// Aborts a call whose session has ended.
    fn abort_unauthenticated(&mut self, key: CallKey) {
        self.abort(key, Failure::new(Code::NOT_AUTHENTICATED, "Not authenticated"));
    }

    /// Drops the handler of a call, and completes the call with this failure.
    fn abort(&mut self, key: CallKey, failure: Failure) {
        if let Some(call) = self.protocol.take_task(key) {
            call.task.abort();
        }
        self.protocol.complete(key, Vec::new(), Completion::Failed(failure));
    }

    /// Ends the calls of events that were replaced long ago. Those of built-in events continue.
    pub(super) fn end_replaced(&mut self) {
        let has_ended = |generation: &&Arc<Generation>| generation.has_ended();
        let calls = self.protocol.tasks().filter_map(|(key, call)| {
            call.generation.as_ref().filter(has_ended).map(|generation| (key, Arc::clone(generation)))
        });
        for (key, generation) in calls.collect::<Vec<_>>() {
            generation.count_ended_call();
            self.abort(key, replaced());
        }
        self.collect_outputs();
    }

    /// Ends the streams that still run, because the server is stopping.
    pub(super) fn end_streams(&mut self) {
        let streams: Vec<_> =
            self.protocol.tasks().filter(|(_, call)| call.credit.is_some()).map(|(key, _)| key).collect();
        for key in streams {
            self.abort(key, Failure::new(Code::STOPPING, "The server is stopping"));
        }
        self.collect_outputs();
    }
}
