//! What the guards do, and which guards and handlers have run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_event::prelude::*;
use tokio::sync::{Semaphore, watch};

/// The state of one server, so that tests do not affect each other. Clones share it.
#[derive(Clone)]
pub struct App {
    guards: Arc<Mutex<HashMap<&'static str, GuardBehaviour>>>,
    ran: watch::Sender<Vec<String>>,
    /// Guards and tasks that wait take one permit each.
    pub passes: Arc<Semaphore>,
}

/// What a guard does. The default lets every call pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct GuardBehaviour {
    /// It refuses the call with this text.
    pub refusal: Option<&'static str>,
    /// The code of the refusal.
    pub code: Option<&'static str>,
    /// It waits for a pass.
    pub waits: bool,
    /// It panics.
    pub panics: bool,
    /// It fails with an error whose text must not reach the caller.
    pub fails: bool,
}

pub fn services() -> App {
    App::default()
}

impl Default for App {
    fn default() -> Self {
        Self { guards: Arc::default(), ran: watch::Sender::default(), passes: Arc::new(Semaphore::new(0)) }
    }
}

impl App {
    /// Sets what the guard of this folder does from now on.
    pub fn guard(&self, folder: &'static str, behaviour: GuardBehaviour) {
        lock(&self.guards).insert(folder, behaviour);
    }

    pub(crate) async fn run_guard(&self, folder: &'static str, call: &GuardedCall) -> Result<()> {
        let behaviour = lock(&self.guards).get(folder).copied().unwrap_or_default();
        let caller = call.identity.as_ref().map(|caller| format!(" for {}", caller.email)).unwrap_or_default();
        self.record(&format!("guard of {folder} before {}{caller}", call.event));
        if behaviour.waits {
            let _wait = GuardWait { app: self, folder };
            self.pass().await;
        }
        assert!(!behaviour.panics, "the test configured a panic");
        if behaviour.fails {
            Err(std::io::Error::other("disk on fire"))?;
        }
        let Some(refusal) = behaviour.refusal else { return Ok(()) };
        let error = Error::new(refusal);
        Err(match behaviour.code {
            Some(code) => error.with_code(code),
            None => error,
        })
    }

    pub(crate) async fn pass(&self) {
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
    }

    pub(crate) fn record(&self, what: &str) {
        self.ran.send_modify(|all| all.push(what.to_owned()));
    }

    /// Returns what has run so far, in order.
    pub fn ran(&self) -> Vec<String> {
        self.ran.borrow().clone()
    }

    /// Waits until `what` has run.
    pub async fn wait_for(&self, what: &str) {
        let _ = self.ran.subscribe().wait_for(|all| all.iter().any(|ran| ran == what)).await;
    }
}

/// Records the end of a guard's wait, also when the guard is dropped.
struct GuardWait<'a> {
    app: &'a App,
    folder: &'static str,
}

impl Drop for GuardWait<'_> {
    fn drop(&mut self) {
        self.app.record(&format!("guard of {} stopped waiting", self.folder));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
