//! What the guards are to do, and what has run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aaw_event::prelude::*;
use tokio::sync::{Semaphore, watch};

/// One for each server, so that tests do not meet. A clone is the same one.
#[derive(Clone)]
pub struct App {
    guards: Arc<Mutex<HashMap<&'static str, Verdict>>>,
    ran: watch::Sender<Vec<String>>,
    /// Who waits, waits for this.
    pub passes: Arc<Semaphore>,
}

/// What a guard does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Verdict {
    /// It refuses, in these words.
    pub refusal: Option<&'static str>,
    /// With this code.
    pub code: Option<&'static str>,
    /// It waits for a pass.
    pub waits: bool,
    /// It panics.
    pub panics: bool,
    /// It fails with what is for the log alone.
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
    /// What the guard of this folder does from now on. Without being told it lets everything through.
    pub fn guard(&self, folder: &'static str, verdict: Verdict) {
        lock(&self.guards).insert(folder, verdict);
    }

    pub(crate) async fn guarded(&self, folder: &'static str, call: &GuardedCall) -> Result<()> {
        let verdict = lock(&self.guards).get(folder).copied().unwrap_or_default();
        let caller = call.identity.as_ref().map(|caller| format!(" for {}", caller.email)).unwrap_or_default();
        self.has_run(&format!("guard of {folder} before {}{caller}", call.event));
        if verdict.waits {
            let _leaving = Leaving { app: self, folder };
            self.pass().await;
        }
        assert!(!verdict.panics, "as the test wants it");
        if verdict.fails {
            Err(std::io::Error::other("disk on fire"))?;
        }
        let Some(refusal) = verdict.refusal else { return Ok(()) };
        let error = Error::new(refusal);
        Err(match verdict.code {
            Some(code) => error.with_code(code),
            None => error,
        })
    }

    pub(crate) async fn pass(&self) {
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
    }

    pub(crate) fn has_run(&self, what: &str) {
        self.ran.send_modify(|all| all.push(what.to_owned()));
    }

    /// What has run so far, in order.
    pub fn ran(&self) -> Vec<String> {
        self.ran.borrow().clone()
    }

    /// Waits until this has run.
    pub async fn wait_for(&self, what: &str) {
        let _ = self.ran.subscribe().wait_for(|all| all.iter().any(|ran| ran == what)).await;
    }
}

/// Tells when a guard that waits has gone.
struct Leaving<'a> {
    app: &'a App,
    folder: &'static str,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.app.has_run(&format!("guard of {} waits no more", self.folder));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
