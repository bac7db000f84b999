//! Tasks that could always continue take turns, and so do the clients that they work for.
//!
//! A stream that has filled its batch, or a connection that has used up its turn, is *busy*: it could continue at once. A
//! runtime polls tasks in the order in which they were woken, so thousands of busy streams, or hundreds of connections that
//! never stop sending, would make all others wait for a turn of each. Therefore only [some](max_busy) continue at once.
//! With more of them, each waits in a queue in which the clients alternate, and a task wakes a few at a time and lets all
//! others run before the next few.
//!
//! Of each client, streams whose items are gathered into one response continue in the reverse order, so that some responses
//! are finished and sent before others grow. Otherwise all of them would be in memory together.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::client_turns::{Client, Entries, Turns};

/// The busy tasks that need not wait, and those that are woken together, for each worker of the runtime: enough that a worker
/// has something to do until the next are woken, and so few that others wait for some tenths of a millisecond.
const TASKS_PER_WORKER: usize = 4;

/// The busy tasks that may use whole turns at the same time.
const BUSY_WITH_WHOLE_TURN: usize = 4;

/// The smallest part of a turn. Shorter turns would cost more than what is done in them.
const MAX_TURN_PART: u32 = 4;

/// The busy tasks of one server.
#[derive(Debug, Default)]
pub(crate) struct BusyTurns {
    /// How many there are.
    busy: AtomicUsize,
    queue: Mutex<Queue>,
}

/// The tasks that wait. The clients alternate.
#[derive(Debug, Default)]
struct Queue {
    turns: Turns<ClientTasks>,
    /// A task wakes those that wait. It ends with the last one.
    is_served: bool,
}

/// The tasks of one client. Their kinds alternate.
#[derive(Debug, Default)]
struct ClientTasks {
    waiting: [VecDeque<Arc<Waiter>>; TaskKind::ALL.len()],
    /// The place in [`TaskKind::ALL`] of the kind that is next.
    next_kind: usize,
}

/// What a busy task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// It serves a connection.
    Connection,
    /// It runs a stream whose items are sent one by one.
    Flowing,
    /// It runs a stream whose items are gathered into one response.
    Gathered,
}

impl TaskKind {
    const ALL: [Self; 3] = [Self::Connection, Self::Flowing, Self::Gathered];
}

/// A task that waits for its turn, or has waited.
#[derive(Debug, Default)]
struct Waiter {
    has_turn: AtomicBool,
    waker: AtomicWaker,
}

/// A busy task. To be dropped when the task has to wait for something else.
#[derive(Debug)]
pub(crate) struct BusyTask {
    turns: Arc<BusyTurns>,
    client: Client,
    kind: TaskKind,
    /// `None` unless it waits.
    waiter: Option<Arc<Waiter>>,
}

/// How many tasks continue at once, and how many are woken together.
fn max_busy(runtime: &Handle) -> usize {
    runtime.metrics().num_workers() * TASKS_PER_WORKER
}

impl BusyTurns {
    /// Counts a task that has filled its batch, or used up its turn.
    pub(crate) fn add_busy(self: &Arc<Self>, client: Client, kind: TaskKind) -> BusyTask {
        self.busy.fetch_add(1, Ordering::Relaxed);
        BusyTask { turns: Arc::clone(self), client, kind, waiter: None }
    }

    /// Returns the part of a turn that a connection may use, such as 4 for a quarter: the less, the more tasks are busy.
    pub(crate) fn turn_part(&self) -> u32 {
        let part = self.busy.load(Ordering::Relaxed) / BUSY_WITH_WHOLE_TURN;
        u32::try_from(part).unwrap_or(MAX_TURN_PART).clamp(1, MAX_TURN_PART)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(self: &Arc<Self>, client: Client, kind: TaskKind, waiter: Arc<Waiter>, runtime: &Handle) {
        let mut queue = self.lock();
        queue.turns.push(client, |tasks| tasks.waiting[kind as usize].push_back(waiter));
        if !queue.is_served {
            queue.is_served = true;
            runtime.spawn(Arc::clone(self).serve(max_busy(runtime)));
        }
    }

    /// Removes the next waiters. Without any, the task that asks for them ends.
    fn next(&self, count: usize) -> Vec<Arc<Waiter>> {
        let mut queue = self.lock();
        let next: Vec<_> = std::iter::from_fn(|| queue.turns.take(ClientTasks::pop)).take(count).collect();
        queue.is_served = !next.is_empty();
        next
    }

    /// Wakes those that wait, so many at a time.
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

/// The task that wakes those that wait. If it is dropped with its runtime, the next one that waits starts another one.
struct Served<'a> {
    turns: &'a BusyTurns,
    /// It has found none, and has said so.
    has_ended: bool,
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.turns.lock().is_served = false;
        }
    }
}

impl Entries for ClientTasks {
    fn is_empty(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }
}

impl ClientTasks {
    /// Removes the next waiter. A task that was dropped meanwhile takes no turn.
    fn pop(&mut self) -> Option<Arc<Waiter>> {
        let first = self.next_kind;
        let kinds = TaskKind::ALL.into_iter().cycle().skip(first).take(TaskKind::ALL.len());
        for kind in kinds {
            let waiting = &mut self.waiting[kind as usize];
            let next = || match kind {
                TaskKind::Gathered => waiting.pop_back(),
                TaskKind::Connection | TaskKind::Flowing => waiting.pop_front(),
            };
            if let Some(waiter) = std::iter::from_fn(next).find(|waiter| Arc::strong_count(waiter) > 1) {
                self.next_kind = (kind as usize + 1) % TaskKind::ALL.len();
                return Some(waiter);
            }
        }
        None
    }
}

impl BusyTask {
    /// Completes when the task may continue: at once, unless many are busy.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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

impl Drop for BusyTask {
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
    async fn a_few_busy_tasks_continue_at_once() {
        let turns = Arc::<BusyTurns>::default();
        let mut streams: Vec<_> = (0..TASKS_PER_WORKER).map(|_| turns.add_busy(client(1), TaskKind::Flowing)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(streams.iter_mut().all(|stream| stream.poll_turn(&mut cx).is_ready()));
        let mut one_more = turns.add_busy(client(2), TaskKind::Flowing);
        assert!(one_more.poll_turn(&mut cx).is_pending());
        drop(streams);
        assert!(turns.add_busy(client(2), TaskKind::Flowing).poll_turn(&mut cx).is_ready());
    }

    #[tokio::test]
    async fn clients_alternate_and_dropped_streams_take_no_turn() {
        let turns = Arc::<BusyTurns>::default();
        let mut all: Vec<_> =
            [1; 40].into_iter().chain([2; 3]).map(|n| (n, turns.add_busy(client(n), TaskKind::Flowing))).collect();
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
        assert!(last_of_second < 2 * TASKS_PER_WORKER, "it does not wait for all of the first: {order:?}");
        assert_eq!(turns.busy.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn gathered_streams_finish_one_after_the_other_and_do_not_stop_those_that_flow() {
        let turns = Arc::<BusyTurns>::default();
        let order = Arc::<Mutex<Vec<_>>>::default();
        let mut tasks = Vec::new();
        for n in 0..40 {
            let kind = if n < 20 { TaskKind::Gathered } else { TaskKind::Flowing };
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
        let unfinished = |kind: TaskKind| {
            let counts = order.iter().filter(|(of, _)| *of == kind).scan(HashMap::new(), |turns, (_, n)| {
                *turns.entry(*n).or_insert(0) += 1;
                Some(turns.values().filter(|count| **count < 3).count())
            });
            counts.max().unwrap()
        };
        assert!(unfinished(TaskKind::Gathered) <= 2 * TASKS_PER_WORKER, "{order:?}");
        assert!(unfinished(TaskKind::Flowing) >= 19, "{order:?}");
        let first_half = &order[..60];
        assert!(first_half.iter().filter(|(kind, _)| *kind == TaskKind::Flowing).count() >= 25, "{order:?}");
    }

    #[test]
    fn the_more_tasks_are_busy_the_shorter_are_their_turns() {
        let turns = Arc::<BusyTurns>::default();
        let part_with = |count| {
            let _busy: Vec<_> = (0..count).map(|_| turns.add_busy(client(1), TaskKind::Connection)).collect();
            turns.turn_part()
        };
        assert_eq!([0, 1, 7, 8, 64, 1000].map(part_with), [1, 1, 1, 2, 4, 4]);
    }

    /// Runs tasks until each has had `turns` turns, and returns their labels in the order of the turns.
    async fn order_of<L: Copy + Send + 'static>(
        turns: usize,
        tasks: impl IntoIterator<Item = (L, BusyTask)>,
    ) -> Vec<L> {
        let order = Arc::<Mutex<Vec<L>>>::default();
        let tasks = tasks.into_iter().map(|(label, mut busy)| {
            let order = Arc::clone(&order);
            tokio::spawn(async move {
                for _ in 0..turns {
                    poll_fn(|cx| busy.poll_turn(cx)).await;
                    order.lock().unwrap().push(label);
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        Arc::into_inner(order).unwrap().into_inner().unwrap()
    }

    #[tokio::test]
    async fn a_client_has_one_turn_in_each_round_whatever_its_tasks_do() {
        let turns = Arc::<BusyTurns>::default();
        let others = (0..30).map(|n| (false, turns.add_busy(client(n), TaskKind::Flowing)));
        let own = [TaskKind::Gathered, TaskKind::Flowing, TaskKind::Connection].repeat(20).into_iter();
        let own = own.map(|kind| (true, turns.add_busy(client(100), kind)));
        let order = order_of(1, others.collect::<Vec<_>>().into_iter().chain(own.collect::<Vec<_>>())).await;
        let last_of_others = order.iter().rposition(|is_own| !is_own).unwrap();
        assert!(last_of_others <= 32, "{last_of_others}");
    }

    #[tokio::test]
    async fn tasks_that_were_dropped_do_not_delay_others_of_their_client() {
        let turns = Arc::<BusyTurns>::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut dropped: Vec<_> = (0..40).map(|_| turns.add_busy(client(1), TaskKind::Flowing)).collect();
        assert!(dropped.iter_mut().all(|busy| busy.poll_turn(&mut cx).is_pending()));
        let mut last = turns.add_busy(client(1), TaskKind::Flowing);
        assert!(last.poll_turn(&mut cx).is_pending());
        let mut others: Vec<_> = (0..100).map(|_| (false, turns.add_busy(client(2), TaskKind::Flowing))).collect();
        assert!(others.iter_mut().all(|(_, busy)| busy.poll_turn(&mut cx).is_pending()));
        drop(dropped);
        let order = order_of(1, std::iter::once((true, last)).chain(others)).await;
        assert!(order.iter().position(|is_last| *is_last).unwrap() < TASKS_PER_WORKER, "{order:?}");
    }

    #[tokio::test]
    async fn the_kinds_of_a_client_alternate() {
        let turns = Arc::<BusyTurns>::default();
        let kinds = TaskKind::ALL.map(|kind| [kind; 30]).into_iter().flatten();
        let tasks: Vec<_> = kinds.map(|kind| (kind, turns.add_busy(client(1), kind))).collect();
        let order = order_of(1, tasks).await;
        for kind in TaskKind::ALL {
            let of_kind = order[..45].iter().filter(|of| **of == kind).count();
            assert!((12..=18).contains(&of_kind), "{kind:?}: {of_kind} of the first half: {order:?}");
        }
    }

    #[tokio::test]
    async fn all_other_tasks_run_between_a_few_turns() {
        let turns = Arc::<BusyTurns>::default();
        let mut streams: Vec<_> = (0..100).map(|_| turns.add_busy(client(1), TaskKind::Flowing)).collect();
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
            assert!(now - before <= TASKS_PER_WORKER, "{before} → {now}");
            before = now;
        }
    }
}
