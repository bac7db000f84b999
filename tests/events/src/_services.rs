//! What the handlers share: gates, and notes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aaw_event::prelude::*;
use tokio::sync::{Semaphore, watch};

/// One for each server, so that tests do not meet. A clone is the same one: a test keeps it to open gates from outside.
#[derive(Default, Clone)]
pub struct App {
    gates: Arc<Mutex<HashMap<String, Arc<Gate>>>>,
    /// What `note` was told, in order.
    pub notes: Arc<Mutex<Vec<Value>>>,
}

pub fn services() -> App {
    App::default()
}

impl App {
    /// The gate of this name; it is there as soon as somebody asks for it.
    pub fn gate(&self, name: &str) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(name.to_owned()).or_insert_with(|| Arc::new(Gate::new())).clone()
    }

    /// Counts at this gate what a stream does; nowhere without one.
    pub fn watched(&self, gate: Option<&str>) -> Watched {
        Watched { gate: gate.map(|name| self.gate(name)) }
    }
}

/// Where handlers wait until they are let through.
pub struct Gate {
    passes: Semaphore,
    counts: watch::Sender<Counts>,
}

/// What has come to a gate so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Handlers that began to wait.
    pub came: u64,
    /// Handlers that were let through.
    pub through: u64,
    /// Handlers that were dropped while they waited.
    pub dropped: u64,
    /// Items that streams were about to yield, or that handlers have taken from their callers.
    #[serde(skip_serializing_if = "is_none")]
    pub items: u64,
    /// Streams that are over: they have ended, or were dropped, wherever they stood.
    #[serde(skip_serializing_if = "is_none")]
    pub over: u64,
}

/// What streams alone count is left out where there was none.
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Gate {
    fn new() -> Self {
        Self { passes: Semaphore::new(0), counts: watch::Sender::new(Counts::default()) }
    }

    /// Lets so many through, be they there or still to come.
    pub fn release(&self, many: usize) {
        self.passes.add_permits(many);
    }

    /// Waits until let through.
    pub async fn pass(&self) {
        self.counts.send_modify(|counts| counts.came += 1);
        let mut waiting = Waiting { gate: self, is_through: false };
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
        waiting.is_through = true;
    }

    /// The counts now.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until so many handlers have begun to wait.
    pub async fn came(&self, came: u64) -> Counts {
        self.wait(Counts { came, ..Counts::default() }).await
    }

    /// Waits until so many streams are over.
    pub async fn over(&self, over: u64) -> Counts {
        self.wait(Counts { over, ..Counts::default() }).await
    }

    /// Waits until each count is at least this high.
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

/// Held by a stream for as long as it lives.
pub struct Watched {
    gate: Option<Arc<Gate>>,
}

impl Watched {
    /// One item more.
    pub fn item(&self) {
        if let Some(gate) = &self.gate {
            gate.counts.send_modify(|counts| counts.items += 1);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.counts.send_modify(|counts| counts.over += 1);
        }
    }
}

struct Waiting<'a> {
    gate: &'a Gate,
    is_through: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.counts.send_modify(|counts| match self.is_through {
            true => counts.through += 1,
            false => counts.dropped += 1,
        });
    }
}
