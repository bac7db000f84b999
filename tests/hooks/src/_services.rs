//! What the hooks do, and what they have received.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_event::prelude::*;
use tokio::sync::{Semaphore, watch};

/// The state of one server, so that tests do not affect each other. Clones share it.
#[derive(Clone)]
pub struct App {
    open_behaviour: Arc<Mutex<OpenBehaviour>>,
    /// What `_open` has received.
    opened: watch::Sender<Vec<Value>>,
    /// What `_close` has received.
    closed: watch::Sender<Vec<Value>>,
    /// What `note` has received.
    notes: Arc<Mutex<Vec<Value>>>,
    /// What `_password_reset` has received.
    resets: watch::Sender<Vec<PasswordReset>>,
    /// `_open` takes one permit for each connection.
    pub passes: Arc<Semaphore>,
}

/// What `_open` does with a connection.
#[derive(Debug, Clone, Default)]
pub struct OpenBehaviour {
    /// It pushes this text as `message`.
    pub greeting: Option<String>,
    /// It refuses the connection with this text.
    pub refusal: Option<String>,
    /// It panics.
    pub panics: bool,
}

pub fn services() -> App {
    App::default()
}

impl Default for App {
    fn default() -> Self {
        Self {
            open_behaviour: Arc::default(),
            opened: watch::Sender::default(),
            closed: watch::Sender::default(),
            notes: Arc::default(),
            resets: watch::Sender::default(),
            passes: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }
}

impl App {
    /// Sets what `_open` does from now on.
    pub fn on_open(&self, behaviour: OpenBehaviour) {
        *lock(&self.open_behaviour) = behaviour;
    }

    pub(crate) fn open_behaviour(&self) -> OpenBehaviour {
        lock(&self.open_behaviour).clone()
    }

    pub(crate) fn record_note(&self, note: Value) {
        lock(&self.notes).push(note);
    }

    /// Returns what `note` has received so far.
    pub fn notes(&self) -> Vec<Value> {
        lock(&self.notes).clone()
    }

    pub(crate) fn record_reset(&self, reset: PasswordReset) {
        self.resets.send_modify(|all| all.push(reset));
    }

    /// Returns what `_password_reset` has received, once there are at least `least` entries.
    pub async fn resets(&self, least: usize) -> Vec<PasswordReset> {
        wait(&self.resets, least).await
    }

    pub(crate) fn record_open(&self, opened: &OpenInfo) {
        self.opened.send_modify(|all| all.push(json!(opened)));
    }

    pub(crate) fn record_close(&self, closed: &CloseInfo) {
        self.closed.send_modify(|all| all.push(json!(closed)));
    }

    /// Returns what `_open` has received, once there are at least `least` entries.
    pub async fn openings(&self, least: usize) -> Vec<Value> {
        wait(&self.opened, least).await
    }

    /// Returns what `_close` has received, once there are at least `least` entries.
    pub async fn closings(&self, least: usize) -> Vec<Value> {
        wait(&self.closed, least).await
    }
}

async fn wait<T: Clone>(all: &watch::Sender<Vec<T>>, least: usize) -> Vec<T> {
    let mut all = all.subscribe();
    let reached = all.wait_for(|all| all.len() >= least).await;
    reached.map(|all| all.clone()).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
