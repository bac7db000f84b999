//! A stream on its way to a connection: from a handler that yields to frames, as far as its reader has room.
//!
//! A stream's handler is polled where its call arrived, and once it waits for something in a task of its own, so that it
//! can use another core. What it yields goes to the connection's task in batches, one at a time: the next is begun when
//! the last was taken. So a stream holds one batch at most, however slow its connection is, and a wake-up is paid for a
//! batch and not for an item.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use aaw_protocol::server::{CallKey, Completion, ItemFrame};
use bytes::Bytes;
use futures_util::task::AtomicWaker;

use crate::dispatch::{HandlerStream, Next};
use crate::hub::mailbox::Mail;
use crate::hub::table::Peer;

/// Items of one batch, so that a handler which is always ready leaves room for its neighbours.
const BATCH: usize = 64;

/// Bytes of one batch, past which no item is added.
const BATCH_BYTES: usize = 32 << 10;

/// How far a stream may go: set by the connection's task, asked by the stream's.
#[derive(Debug)]
pub(super) struct Gate {
    /// Items that its reader has room for in all.
    credit: AtomicU64,
    /// Too much waits for the connection's socket already.
    paused: AtomicBool,
    /// A batch was handed over and not yet taken.
    handed_over: AtomicBool,
    waker: AtomicWaker,
}

impl Gate {
    pub(super) fn new(credit: u64) -> Arc<Self> {
        Arc::new(Self {
            credit: AtomicU64::new(credit),
            paused: AtomicBool::new(false),
            handed_over: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    /// There is room up to this item.
    pub(super) fn raise(&self, credit: u64) {
        self.credit.fetch_max(credit, Ordering::AcqRel);
        self.waker.wake();
    }

    pub(super) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        if !paused {
            self.waker.wake();
        }
    }

    /// The batch that was handed over has been taken.
    pub(super) fn taken(&self) {
        self.handed_over.store(false, Ordering::Release);
        self.waker.wake();
    }

    fn lets(&self, sent: u64) -> bool {
        !self.handed_over.load(Ordering::Acquire)
            && !self.paused.load(Ordering::Acquire)
            && sent < self.credit.load(Ordering::Acquire)
    }
}

/// What an id and the kind take at most behind an item.
const END: usize = 32;

/// Some items as whole frames, and how the stream ended, if it did: the beginning of its last frame, and the outcome.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) frames: Vec<Bytes>,
    pub(crate) over: Option<(Vec<u8>, Completion)>,
}

/// A stream that runs.
pub(super) struct Feed {
    stream: HandlerStream,
    frame: ItemFrame,
    gate: Arc<Gate>,
    sent: u64,
    /// Bytes that an item's frame may have.
    most: usize,
}

impl Feed {
    pub(super) fn new(stream: HandlerStream, frame: ItemFrame, gate: Arc<Gate>, most: usize) -> Self {
        Self { stream, frame, gate, sent: 0, most }
    }

    /// Runs the handler while its reader has room. Ready with what came of it, pending if that is nothing.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Batch> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.frames.len() < BATCH && bytes < BATCH_BYTES {
            if !self.gate.lets(self.sent) {
                self.gate.waker.register(cx.waker());
                // It may have opened just before.
                if !self.gate.lets(self.sent) {
                    break;
                }
            }
            let mut frame = self.frame.begin();
            let room = self.most.saturating_sub(frame.len() + END);
            match self.stream.poll_next(cx, &mut frame, room) {
                Poll::Pending => break,
                Poll::Ready(Next::Item) => {
                    self.frame.end(&mut frame);
                    bytes += frame.len();
                    self.sent += 1;
                    batch.frames.push(frame.into());
                }
                Poll::Ready(Next::Over(outcome)) => {
                    batch.over = Some((frame, outcome));
                    break;
                }
            }
        }
        if batch.frames.is_empty() && batch.over.is_none() { Poll::Pending } else { Poll::Ready(batch) }
    }

    /// Goes on as a task, until the stream is over.
    pub(super) async fn run(mut self, key: CallKey, peer: Arc<Peer>) {
        loop {
            let batch = poll_fn(|cx| self.poll(cx)).await;
            let is_over = batch.over.is_some();
            self.gate.handed_over.store(true, Ordering::Release);
            peer.outbox.post(Mail::Items(key, batch));
            if is_over {
                return;
            }
        }
    }
}
