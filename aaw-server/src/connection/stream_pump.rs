//! From a streaming handler to frames for its connection, as far as the caller's credit allows.
//!
//! A streaming handler is polled where its call arrived, and once it waits for something in a task of its own, so that
//! it can use another core. Its items go to the connection's task in batches, one at a time: the next batch is begun
//! when the connection's task has taken the last one. So a stream holds one batch at most, however slow its connection
//! is, and a wake-up is paid for a batch and not for an item.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use aaw_event::host::ItemSink;
use aaw_protocol::server::{CallKey, ItemFrame};
use futures_util::task::AtomicWaker;

use crate::dispatch::{HandlerStream, StreamStep};
use crate::hub::{Command, EventCaller, ItemBatch};
use crate::memory_budget::{Admission, CallBudget};

/// The items of one batch, so that a handler which is always ready lets other tasks run.
const MAX_BATCH_ITEMS: u64 = 64;

/// The bytes of one batch from which on no item is added.
const MAX_BATCH_BYTES: usize = 32 << 10;

/// The time after which no item is added to a batch, since other tasks wait for the thread.
const MAX_BATCH_TIME: Duration = Duration::from_millis(1);

/// The items between two looks at the clock.
const ITEMS_PER_LOOK: u64 = 8;

/// How far a stream may run: written by the connection's task, read by the stream's.
#[derive(Debug)]
pub(super) struct StreamCredit {
    /// The number of items that the caller accepts in all.
    granted: AtomicU64,
    /// The connection's output queue is full, so that no stream may add to it.
    paused: AtomicBool,
    /// A batch was posted that the connection's task has not taken yet.
    batch_posted: AtomicBool,
    waker: AtomicWaker,
}

impl StreamCredit {
    pub(super) fn new(granted: u64) -> Arc<Self> {
        Arc::new(Self {
            granted: AtomicU64::new(granted),
            paused: AtomicBool::new(false),
            batch_posted: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    /// Raises the number of items that the caller accepts in all.
    pub(super) fn grant(&self, granted: u64) {
        self.granted.fetch_max(granted, Ordering::AcqRel);
        self.waker.wake();
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        if !paused {
            self.waker.wake();
        }
    }

    /// The connection's task has taken the posted batch.
    pub(super) fn batch_taken(&self) {
        self.batch_posted.store(false, Ordering::Release);
        self.waker.wake();
    }

    /// Returns whether a batch was posted that was not taken yet. Then the waker is registered, to be woken when it is.
    fn waits_for_batch(&self, cx: &mut Context<'_>) -> bool {
        self.batch_posted.load(Ordering::Acquire) && {
            self.waker.register(cx.waker());
            // Checked again, since it may have been taken before the waker was registered.
            self.batch_posted.load(Ordering::Acquire)
        }
    }

    /// Returns how many items the stream may yield now, beyond those that it has `sent`. If there are none, the waker is
    /// registered, to be woken when there are some.
    fn allowed(&self, sent: u64, cx: &mut Context<'_>) -> u64 {
        let allowed = || {
            let is_paused = self.paused.load(Ordering::Acquire);
            if is_paused { 0 } else { self.granted.load(Ordering::Acquire).saturating_sub(sent) }
        };
        match allowed() {
            0 => {
                self.waker.register(cx.waker());
                // Again, since credit may have arrived before the waker was registered.
                allowed()
            }
            items => items,
        }
    }
}

/// The items of a batch while it is made: frames, written where the connection's output takes them from.
struct BatchSink<'a> {
    batch: ItemBatch,
    frame: &'a ItemFrame,
    /// Where the payload begins of the frame whose item is to be written; `None` behind the last item.
    begun: Option<usize>,
    /// The items of the batch at most.
    max_items: u64,
    started: Instant,
}

impl<'a> BatchSink<'a> {
    fn new(frame: &'a ItemFrame, max_items: u64) -> Self {
        let mut sink = Self { batch: ItemBatch::default(), frame, begun: None, max_items, started: Instant::now() };
        sink.begin_frame();
        sink
    }

    fn begin_frame(&mut self) {
        self.begun = Some(self.batch.frames.begin_text());
        self.frame.begin_in(self.batch.frames.tail());
    }

    /// Returns the batch, without a frame that has no item.
    fn finish(mut self) -> ItemBatch {
        if let Some(start) = self.begun {
            self.batch.frames.cancel_text(start);
        }
        self.batch
    }

    fn wants_more(&self) -> bool {
        let ItemBatch { frames, items, .. } = &self.batch;
        *items < self.max_items
            && frames.len() < MAX_BATCH_BYTES
            && (!items.is_multiple_of(ITEMS_PER_LOOK) || self.started.elapsed() < MAX_BATCH_TIME)
    }
}

impl ItemSink for BatchSink<'_> {
    fn buffer(&mut self) -> &mut Vec<u8> {
        self.batch.frames.tail()
    }

    fn end_item(&mut self, _: usize) -> bool {
        let Some(start) = self.begun.take() else { return false };
        let tail = self.batch.frames.tail();
        self.frame.end(tail);
        self.batch.largest = self.batch.largest.max(tail.len() - start);
        self.batch.frames.end_text(start);
        self.batch.items += 1;
        let wants_more = self.wants_more();
        if wants_more {
            self.begin_frame();
        }
        wants_more
    }
}

/// A stream that runs, and makes frames of its items.
pub(super) struct StreamPump {
    stream: HandlerStream,
    frame: ItemFrame,
    credit: Arc<StreamCredit>,
    sent: u64,
    /// Counts the batch that was posted.
    budget: CallBudget,
    /// The most bytes that an item's frame may have.
    max_message: usize,
}

impl StreamPump {
    pub(super) fn new(
        stream: HandlerStream,
        frame: ItemFrame,
        credit: Arc<StreamCredit>,
        budget: CallBudget,
        max_message: usize,
    ) -> Self {
        Self { stream, frame, credit, sent: 0, budget, max_message }
    }

    /// Runs the handler while there is credit. Pending if it has yielded nothing.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ItemBatch> {
        // Before the budget decides: what a batch that was taken held is subtracted here, and nothing else wakes a stream
        // whose own batch has used up the budget.
        if self.credit.waits_for_batch(cx) {
            return Poll::Pending;
        }
        self.budget.set(0);
        // At the limit of the process a stream continues: it holds one batch.
        if self.budget.admit(false, cx) == Admission::Wait {
            self.stream.rest();
            return Poll::Pending;
        }
        let allowed = self.credit.allowed(self.sent, cx);
        if allowed == 0 {
            self.stream.rest();
            return Poll::Pending;
        }
        let mut sink = BatchSink::new(&self.frame, allowed.min(MAX_BATCH_ITEMS));
        let max_item = self.max_message.saturating_sub(self.frame.overhead());
        let polled = self.stream.poll_items(cx, &mut sink, max_item);
        let mut batch = sink.finish();
        if let Poll::Ready(StreamStep::End(completion)) = polled {
            batch.end = Some(completion);
        }
        self.sent += batch.items;
        self.budget.set(batch.frames.memory());
        if batch.items == 0 && batch.end.is_none() { Poll::Pending } else { Poll::Ready(batch) }
    }

    /// Continues as a task until the stream ends, posting its batches to the connection.
    pub(super) async fn run(mut self, key: CallKey, caller: Arc<EventCaller>) {
        loop {
            let batch = poll_fn(|cx| {
                // It waits for those that read what its connection has pushed.
                ready!(caller.poll_held(cx));
                self.poll(cx)
            })
            .await;
            let has_ended = batch.end.is_some();
            self.credit.batch_posted.store(true, Ordering::Release);
            if let Ok(peer) = caller.peer() {
                peer.mailbox.post(Command::StreamItems(key, Box::new(batch)));
            }
            if has_ended {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::{Wake, Waker};

    use aaw_event::export::{HandlerEntry, NoServices, PackageSymbol, no_services, sync_services};
    use aaw_protocol::Dialect;
    use aaw_protocol::server::{Input, ResponseMode, ServerConfig, ServerConnection};

    use super::super::upload::UploadBuffer;
    use super::*;
    use crate::dispatch::{CallSource, Dispatch, DispatchRequest, Dispatched, ResponseFrame};
    use crate::hub::{HostServices, Hub, Mailbox};
    use crate::memory_budget::{HeldLimits, ProcessBudget};
    use crate::registry::Registry;

    mod events {
        use aaw_event::prelude::*;

        pub(super) fn endless() -> impl Stream<Item = u64> {
            stream! {
                for n in 0.. {
                    yield n;
                }
            }
        }
    }

    static MODULE: PackageSymbol<NoServices> = PackageSymbol::new(
        "stream-pump-tests",
        true,
        sync_services(no_services),
        const { &[HandlerEntry::streaming0("endless", events::endless)] },
    );

    async fn endless() -> HandlerStream {
        let registry = Registry::for_test(MODULE.module()).await;
        let dispatch = Dispatch::for_test(registry, None, 1 << 20);
        let hub = Arc::new(Hub::default());
        let guard = hub.insert(hub.admit(1).expect("it is the first"), None, None, Mailbox::for_test(1000));
        let caller = EventCaller::for_connection(HostServices::new(hub, None, 1 << 20), Arc::clone(&guard.peer));
        let (source, mode) = (CallSource::WebSocket { id: Some(1) }, ResponseMode::Items);
        let cost = Cell::new(0);
        let request = DispatchRequest { event: "endless", source, body: "null", mode, session: None, cost: &cost };
        let mut response = Vec::new();
        match dispatch.begin::<_, UploadBuffer>(request, ResponseFrame::new(&mut response, 0), &caller, None) {
            Dispatched::Stream(stream) => stream,
            _ => panic!("expected a stream"),
        }
    }

    fn item_frame() -> ItemFrame {
        let now = Instant::now();
        let mut protocol = ServerConnection::new(Dialect::V1, "id".into(), ServerConfig::default(), now);
        assert!(matches!(protocol.handle_text(now, r#"["aaw/hello",{}]"#), Input::Handled));
        match protocol.handle_text(now, r#"["endless",null,1,"call",{"credit":1}]"#) {
            Input::Call(call) => call.item_frame(),
            _ => panic!("expected a call"),
        }
    }

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_stream_whose_batch_uses_up_the_budget_continues_when_the_batch_was_taken() {
        let limits = HeldLimits { connection: 100, address: usize::MAX, total: usize::MAX };
        let budget = CallBudget::new(&ProcessBudget::new(limits).connection(None), 1);
        let credit = StreamCredit::new(u64::MAX);
        let mut pump = StreamPump::new(endless().await, item_frame(), Arc::clone(&credit), budget, 1 << 20);
        assert!(pump.poll(&mut Context::from_waker(Waker::noop())).is_ready());
        // As `run` does.
        credit.batch_posted.store(true, Ordering::Release);
        let flag = Arc::<Flag>::default();
        assert!(pump.poll(&mut Context::from_waker(&Arc::clone(&flag).into())).is_pending());
        credit.batch_taken();
        assert!(flag.0.load(Ordering::SeqCst), "the stream is woken");
        assert!(pump.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}
