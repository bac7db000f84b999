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
    /// What `_away` and `_back` have received, with their names, and the ends of these hooks.
    away_hooks: watch::Sender<Vec<(&'static str, Value)>>,
    /// `_away` and `_back` each take one permit.
    pub away_passes: Arc<Semaphore>,
    resume_behaviour: Arc<Mutex<ResumeBehaviour>>,
    /// What `_resume` has received, with the id of the connection.
    resumed: watch::Sender<Vec<(String, Value)>>,
    /// The number of `_resume` hooks that were dropped before they had decided.
    dropped: watch::Sender<usize>,
    /// `_resume` takes one permit if its client has the key `_slow`.
    pub resume_passes: Arc<Semaphore>,
}

/// What `_resume` does with a new socket.
#[derive(Debug, Clone, Default)]
pub struct ResumeBehaviour {
    /// It refuses the socket with this text.
    pub refusal: Option<&'static str>,
    /// Only sockets of this client key are refused.
    pub refused_key: Option<&'static str>,
    /// It panics.
    pub panics: bool,
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
            away_hooks: watch::Sender::default(),
            away_passes: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            resume_behaviour: Arc::default(),
            resumed: watch::Sender::default(),
            dropped: watch::Sender::default(),
            resume_passes: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
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

    pub(crate) async fn run_away_hook(&self, name: &'static str, received: Value) {
        self.away_hooks.send_modify(|all| all.push((name, received)));
        if let Ok(pass) = self.away_passes.acquire().await {
            pass.forget();
        }
        self.away_hooks.send_modify(|all| all.push(("ended", json!(name))));
    }

    /// Returns what `_away` and `_back` have received, and their ends, once there are at least `least` entries.
    pub async fn away_hooks(&self, least: usize) -> Vec<(&'static str, Value)> {
        wait(&self.away_hooks, least).await
    }

    /// Sets what `_resume` does from now on.
    pub fn on_resume(&self, behaviour: ResumeBehaviour) {
        *lock(&self.resume_behaviour) = behaviour;
    }

    pub(crate) async fn decide_about_resumption(&self, connection: String, opened: OpenInfo) -> Result<()> {
        let mut undecided = Undecided(Some(self.dropped.clone()));
        let key = opened.client_key.clone().unwrap_or_default();
        self.resumed.send_modify(|all| all.push((connection, json!(opened))));
        if key == "_slow"
            && let Ok(pass) = self.resume_passes.acquire().await
        {
            pass.forget();
        }
        undecided.0 = None;
        let behaviour = lock(&self.resume_behaviour).clone();
        assert!(!behaviour.panics, "the test configured a panic");
        match behaviour.refusal {
            Some(text) if behaviour.refused_key.is_none_or(|refused| refused == key) => Err(Error::new(text)),
            _ => Ok(()),
        }
    }

    /// Returns what `_resume` has received, with the id of the connection, once there are at least `least` entries.
    pub async fn resumptions(&self, least: usize) -> Vec<(String, Value)> {
        wait(&self.resumed, least).await
    }

    /// Waits until this number of `_resume` hooks were dropped before they had decided.
    pub async fn dropped_resumptions(&self, least: usize) {
        // The sender is in `self`.
        let _ = self.dropped.subscribe().wait_for(|dropped| *dropped >= least).await;
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

/// Counts a `_resume` hook that is dropped, until it is empty.
struct Undecided(Option<watch::Sender<usize>>);

impl Drop for Undecided {
    fn drop(&mut self) {
        if let Some(dropped) = &self.0 {
            dropped.send_modify(|dropped| *dropped += 1);
        }
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
