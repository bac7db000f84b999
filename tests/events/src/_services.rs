//! What the handlers share: gates, notes, and a counter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use aaw_event::prelude::*;
use tokio::sync::{Semaphore, watch};

/// The state of one server, so that tests do not affect each other. Clones share it: a test keeps one to open gates
/// from outside of the server.
#[derive(Default, Clone)]
pub struct App {
    gates: Arc<Mutex<HashMap<String, Arc<Gate>>>>,
    /// The bodies that `note` has received, in order.
    pub notes: Arc<Mutex<Vec<Value>>>,
    /// What `blocks/run` runs.
    pub blocking: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>,
    /// What `counter/add` adds to.
    pub counter: Counter,
}

pub fn services() -> App {
    App::default()
}

impl App {
    /// Returns the gate of this name, and creates it at its first use.
    pub fn gate(&self, name: &str) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(name.to_owned()).or_insert_with(|| Arc::new(Gate::new())).clone()
    }

    /// Returns a watcher that counts the items of a stream, and its end, at this gate. Without a gate it counts
    /// nothing.
    pub fn watch(&self, gate: Option<&str>) -> StreamWatcher {
        StreamWatcher { gate: gate.map(|name| self.gate(name)) }
    }
}

/// A place where handlers wait until a test lets them pass.
pub struct Gate {
    passes: Semaphore,
    counts: watch::Sender<Counts>,
}

/// What has happened at a gate so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Handlers that have started to wait.
    pub came: u64,
    /// Handlers that have passed.
    pub through: u64,
    /// Handlers that were dropped while they waited.
    pub dropped: u64,
    /// Items that streams were about to yield, or that handlers have read from uploads.
    #[serde(skip_serializing_if = "is_zero")]
    pub items: u64,
    /// Streams that have ended or were dropped.
    #[serde(skip_serializing_if = "is_zero")]
    pub over: u64,
}

/// The counts of streams are left out of the JSON at a gate without streams.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Gate {
    fn new() -> Self {
        Self { passes: Semaphore::new(0), counts: watch::Sender::new(Counts::default()) }
    }

    /// Lets `many` handlers pass: those that wait, and then those that come later.
    pub fn release(&self, many: usize) {
        self.passes.add_permits(many);
    }

    /// Waits for a pass.
    pub async fn pass(&self) {
        self.counts.send_modify(|counts| counts.came += 1);
        let mut waiter = GateWaiter { gate: self, has_passed: false };
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
        waiter.has_passed = true;
    }

    /// Returns the current counts.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until this many handlers have started to wait.
    pub async fn wait_for_arrivals(&self, came: u64) -> Counts {
        self.wait(Counts { came, ..Counts::default() }).await
    }

    /// Waits until this many streams have ended or were dropped.
    pub async fn wait_for_ended(&self, over: u64) -> Counts {
        self.wait(Counts { over, ..Counts::default() }).await
    }

    /// Waits until each count is at least that of `least`. Returns the counts at that time.
    pub async fn wait(&self, least: Counts) -> Counts {
        let reached = |now: &Counts| {
            now.came >= least.came
                && now.through >= least.through
                && now.dropped >= least.dropped
                && now.items >= least.items
                && now.over >= least.over
        };
        let mut counts = self.counts.subscribe();
        let now = counts.wait_for(reached).await;
        now.map_or(least, |now| *now)
    }
}

/// Counts the items of a stream, and with its drop the stream's end. Part of the stream's state.
pub struct StreamWatcher {
    gate: Option<Arc<Gate>>,
}

impl StreamWatcher {
    /// Counts an item.
    pub fn item(&self) {
        if let Some(gate) = &self.gate {
            gate.counts.send_modify(|counts| counts.items += 1);
        }
    }
}

impl Drop for StreamWatcher {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.counts.send_modify(|counts| counts.over += 1);
        }
    }
}

/// Counts how a handler's wait at a gate ended: passed, or dropped.
struct GateWaiter<'a> {
    gate: &'a Gate,
    has_passed: bool,
}

impl Drop for GateWaiter<'_> {
    fn drop(&mut self) {
        self.gate.counts.send_modify(|counts| match self.has_passed {
            true => counts.through += 1,
            false => counts.dropped += 1,
        });
    }
}

/// A sum, and which calls have added to it. Clones share it.
#[derive(Default, Clone)]
pub struct Counter(Arc<Mutex<CounterState>>);

#[derive(Default)]
struct CounterState {
    sum: i64,
    by_id: HashMap<u64, Executions>,
}

/// How often a call has run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executions {
    /// Handlers that have started, and so have added.
    pub started: u32,
    /// Those that have returned. The others still run, or were dropped.
    pub completed: u32,
}

impl Counter {
    /// Adds for the call of this id. Returns the sum.
    pub fn add(&self, id: u64, by: i64) -> i64 {
        let mut state = self.lock();
        state.by_id.entry(id).or_default().started += 1;
        state.sum += by;
        state.sum
    }

    /// A call of this id returns.
    pub fn completed(&self, id: u64) {
        self.lock().by_id.entry(id).or_default().completed += 1;
    }

    /// Returns the sum.
    pub fn sum(&self) -> i64 {
        self.lock().sum
    }

    /// Returns the number of ids that have run.
    pub fn calls(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Returns how often the call of this id has run.
    pub fn executions(&self, id: u64) -> Executions {
        self.lock().by_id.get(&id).copied().unwrap_or_default()
    }

    /// Returns the ids that have run several times, at most `most` of them.
    pub fn repeated(&self, most: usize) -> Vec<(u64, Executions)> {
        let state = self.lock();
        let repeated = state.by_id.iter().filter(|(_, executions)| executions.started > 1);
        repeated.map(|(id, executions)| (*id, *executions)).take(most).collect()
    }

    fn lock(&self) -> MutexGuard<'_, CounterState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
