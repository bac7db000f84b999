//! What the hooks are to do, and what they were told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_event::prelude::*;
use tokio::sync::{Semaphore, watch};

/// One for each server, so that tests do not meet. A clone is the same one.
#[derive(Clone)]
pub struct App {
    /// What `_open` does.
    opening: Arc<Mutex<Opening>>,
    /// What `_open` has been told.
    opened: watch::Sender<Vec<Value>>,
    /// What `_close` has been told.
    closed: watch::Sender<Vec<Value>>,
    /// What `note` was told.
    notes: Arc<Mutex<Vec<Value>>>,
    /// What `_password_reset` was to deliver.
    resets: watch::Sender<Vec<PasswordReset>>,
    /// Each opening takes one.
    pub passes: Arc<Semaphore>,
}

/// What happens to a connection that opens.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    /// It is sent this as `message`.
    pub greeting: Option<String>,
    /// It is refused, in these words.
    pub refusal: Option<String>,
    /// The hook panics.
    pub panics: bool,
}

pub fn services() -> App {
    App::default()
}

impl Default for App {
    fn default() -> Self {
        Self {
            opening: Arc::default(),
            opened: watch::Sender::default(),
            closed: watch::Sender::default(),
            notes: Arc::default(),
            resets: watch::Sender::default(),
            passes: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }
}

impl App {
    /// Says what happens to connections from now on.
    pub fn on_open(&self, opening: Opening) {
        *lock(&self.opening) = opening;
    }

    pub(crate) fn opening(&self) -> Opening {
        lock(&self.opening).clone()
    }

    pub(crate) fn note(&self, note: Value) {
        lock(&self.notes).push(note);
    }

    /// What `note` was told so far.
    pub fn notes(&self) -> Vec<Value> {
        lock(&self.notes).clone()
    }

    pub(crate) fn deliver(&self, reset: PasswordReset) {
        self.resets.send_modify(|all| all.push(reset));
    }

    /// What `_password_reset` was to deliver, once those were so many.
    pub async fn resets(&self, least: usize) -> Vec<PasswordReset> {
        wait(&self.resets, least).await
    }

    pub(crate) fn has_opened(&self, opened: &OpenInfo) {
        self.opened.send_modify(|all| all.push(json!(opened)));
    }

    pub(crate) fn has_closed(&self, closed: &CloseInfo) {
        self.closed.send_modify(|all| all.push(json!(closed)));
    }

    /// What `_open` was told, once that were so many.
    pub async fn openings(&self, least: usize) -> Vec<Value> {
        wait(&self.opened, least).await
    }

    /// What `_close` was told, once that were so many.
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
