//! Streams that always have a next item take turns, and so do the clients that run them.
//!
//! A stream that has filled its batch is *busy*: it could continue at once. Each is a task of its own, and a runtime polls tasks
//! in the order in which they were woken, so a client with thousands of busy streams would make all others wait
//! for a batch of each. Therefore only [some](max_busy) continue at once. With more of them, each waits in a queue in which
//! the clients alternate, and a task wakes a few at a time and lets all others run before the next few.
//!
//! Of each client, streams whose items are gathered into one response continue in the reverse order, so that some responses
//! are finished and sent before others grow. Otherwise all of them would be in memory together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::client_turns::{Client, Turns};

/// The busy streams that need no turns, and those that are woken together, for each worker of the runtime: enough that a
/// worker has something to do until the next are woken, and so few that others wait for a tenth of a millisecond.
const STREAMS_PER_WORKER: usize = 4;

/// The busy streams of one server.
#[derive(Debug, Default)]
pub(crate) struct StreamTurns {
    /// How many streams have filled their last batch.
    busy: AtomicUsize,
    queue: Mutex<Queue>,
}

/// The waiting streams. The two kinds alternate, and so do the clients of each.
#[derive(Debug, Default)]
struct Queue {
    flowing: Turns<Arc<Waiter>>,
    gathered: Turns<Arc<Waiter>>,
    gathered_is_next: bool,
    /// A task wakes the streams. It ends with the last one.
    is_served: bool,
}

/// What becomes of the items of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamKind {
    /// They are sent one by one.
    Flowing,
    /// They are gathered into one response.
    Gathered,
}

/// A stream that waits for its turn, or has waited.
#[derive(Debug, Default)]
struct Waiter {
    has_turn: AtomicBool,
    waker: AtomicWaker,
}

/// A busy stream. To be dropped when it has to wait for something else.
#[derive(Debug)]
pub(super) struct BusyStream {
    turns: Arc<StreamTurns>,
    client: Client,
    kind: StreamKind,
    /// `None` unless it waits.
    waiter: Option<Arc<Waiter>>,
}

/// How many streams continue at once, and how many are woken together.
fn max_busy(runtime: &Handle) -> usize {
    runtime.metrics().num_workers() * STREAMS_PER_WORKER
}

impl StreamTurns {
    /// Counts a stream that has filled its batch.
    pub(super) fn add_busy(self: &Arc<Self>, client: Client, kind: StreamKind) -> BusyStream {
        self.busy.fetch_add(1, Ordering::Relaxed);
        BusyStream { turns: Arc::clone(self), client, kind, waiter: None }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(self: &Arc<Self>, client: Client, kind: StreamKind, waiter: Arc<Waiter>, runtime: &Handle) {
        let mut queue = self.lock();
        queue.push(client, kind, waiter);
        if !queue.is_served {
            queue.is_served = true;
            runtime.spawn(Arc::clone(self).serve(max_busy(runtime)));
        }
    }

    /// Removes the next streams. Without any, the task that asks for them ends.
    fn next(&self, count: usize) -> Vec<Arc<Waiter>> {
        let mut queue = self.lock();
        let next: Vec<_> = std::iter::from_fn(|| queue.pop()).take(count).collect();
        queue.is_served = !next.is_empty();
        next
    }

    /// Wakes the streams, so many at a time.
    async fn serve(self: Arc<Self>, count: usize) {
        let mut served = Served { turns: &self, has_ended: false };
        loop {
            let next = self.next(count);
            if next.is_empty() {
                served.has_ended = true;
                return;
            }
            for waiter in next {
                waiter.has_turn.store(true, Ordering::Release);
                waiter.waker.wake();
            }
            // Comes back when this worker has run what is ready, and has looked for input.
            yield_now().await;
        }
    }
}

/// The task that wakes the streams. If it is dropped with its runtime, the next stream that waits starts another one.
struct Served<'a> {
    turns: &'a StreamTurns,
    /// It has found no stream, and has said so.
    has_ended: bool,
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.turns.lock().is_served = false;
        }
    }
}

impl Queue {
    fn push(&mut self, client: Client, kind: StreamKind, waiter: Arc<Waiter>) {
        match kind {
            StreamKind::Flowing => self.flowing.push(client, waiter),
            StreamKind::Gathered => self.gathered.push(client, waiter),
        }
    }

    /// Removes the next stream. One that was dropped meanwhile takes no turn.
    fn pop(&mut self) -> Option<Arc<Waiter>> {
        self.gathered_is_next = !self.gathered_is_next;
        let next = || {
            if self.gathered_is_next {
                self.gathered.pop_latest().or_else(|| self.flowing.pop())
            } else {
                self.flowing.pop().or_else(|| self.gathered.pop_latest())
            }
        };
        std::iter::from_fn(next).find(|waiter| Arc::strong_count(waiter) > 1)
    }
}

impl BusyStream {
    /// Completes when the stream may be polled: at once, unless many are busy.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(waiter) = &self.waiter else {
            // Outside of a runtime it competes with none.
            let Ok(runtime) = Handle::try_current() else { return Poll::Ready(()) };
            if self.turns.busy.load(Ordering::Relaxed) <= max_busy(&runtime) {
                return Poll::Ready(());
            }
            let waiter = Arc::<Waiter>::default();
            waiter.waker.register(cx.waker());
            self.waiter = Some(Arc::clone(&waiter));
            self.turns.enqueue(self.client, self.kind, waiter, &runtime);
            return Poll::Pending;
        };
        waiter.waker.register(cx.waker());
        if waiter.has_turn.load(Ordering::Acquire) {
            self.waiter = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for BusyStream {
    fn drop(&mut self) {
        self.turns.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::future::poll_fn;
    use std::net::Ipv4Addr;
    use std::task::Waker;

    use super::*;

    fn client(n: u32) -> Client {
        Some(std::net::IpAddr::from(Ipv4Addr::from_bits(n)).into())
    }

    #[tokio::test]
    async fn a_few_busy_streams_continue_at_once() {
        let turns = Arc::<StreamTurns>::default();
        let mut streams: Vec<_> =
            (0..STREAMS_PER_WORKER).map(|_| turns.add_busy(client(1), StreamKind::Flowing)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(streams.iter_mut().all(|stream| stream.poll_turn(&mut cx).is_ready()));
        let mut one_more = turns.add_busy(client(2), StreamKind::Flowing);
        assert!(one_more.poll_turn(&mut cx).is_pending());
        drop(streams);
        assert!(turns.add_busy(client(2), StreamKind::Flowing).poll_turn(&mut cx).is_ready());
    }

    #[tokio::test]
    async fn clients_alternate_and_dropped_streams_take_no_turn() {
        let turns = Arc::<StreamTurns>::default();
        let mut all: Vec<_> =
            [1; 40].into_iter().chain([2; 3]).map(|n| (n, turns.add_busy(client(n), StreamKind::Flowing))).collect();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(all.iter_mut().all(|(_, stream)| stream.poll_turn(&mut cx).is_pending()));
        // Those of the first client that would have the next turns.
        all.drain(..10);
        let order = Arc::<Mutex<Vec<u32>>>::default();
        let tasks: Vec<_> = all
            .into_iter()
            .map(|(n, mut stream)| {
                let order = Arc::clone(&order);
                tokio::spawn(async move {
                    poll_fn(|cx| stream.poll_turn(cx)).await;
                    order.lock().unwrap().push(n);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        assert_eq!(order.len(), 33);
        let last_of_second = order.iter().rposition(|n| *n == 2).unwrap();
        assert!(last_of_second < 2 * STREAMS_PER_WORKER, "it does not wait for all of the first: {order:?}");
        assert_eq!(turns.busy.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn gathered_streams_finish_one_after_the_other_and_do_not_stop_those_that_flow() {
        let turns = Arc::<StreamTurns>::default();
        let order = Arc::<Mutex<Vec<_>>>::default();
        let mut tasks = Vec::new();
        for n in 0..40 {
            let kind = if n < 20 { StreamKind::Gathered } else { StreamKind::Flowing };
            let (mut stream, order) = (turns.add_busy(client(1), kind), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                for _ in 0..3 {
                    poll_fn(|cx| stream.poll_turn(cx)).await;
                    order.lock().unwrap().push((kind, n));
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        let unfinished = |kind: StreamKind| {
            let counts = order.iter().filter(|(of, _)| *of == kind).scan(HashMap::new(), |turns, (_, n)| {
                *turns.entry(*n).or_insert(0) += 1;
                Some(turns.values().filter(|count| **count < 3).count())
            });
            counts.max().unwrap()
        };
        assert!(unfinished(StreamKind::Gathered) <= 2 * STREAMS_PER_WORKER, "{order:?}");
        assert!(unfinished(StreamKind::Flowing) >= 19, "{order:?}");
        let first_half = &order[..60];
        assert!(first_half.iter().filter(|(kind, _)| *kind == StreamKind::Flowing).count() >= 25, "{order:?}");
    }

    #[tokio::test]
    async fn all_other_tasks_run_between_a_few_turns() {
        let turns = Arc::<StreamTurns>::default();
        let mut streams: Vec<_> = (0..100).map(|_| turns.add_busy(client(1), StreamKind::Flowing)).collect();
        let running = Arc::<AtomicUsize>::default();
        for stream in &mut streams {
            assert!(stream.poll_turn(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        for mut stream in streams {
            let running = Arc::clone(&running);
            tokio::spawn(async move {
                poll_fn(|cx| stream.poll_turn(cx)).await;
                running.fetch_add(1, Ordering::Relaxed);
            });
        }
        let mut before = 0;
        while before < 100 {
            yield_now().await;
            let now = running.load(Ordering::Relaxed);
            assert!(now - before <= STREAMS_PER_WORKER, "{before} → {now}");
            before = now;
        }
    }
}
