//! Whether the store can be used, as far as is known.

use std::sync::{Arc, Mutex, PoisonError};

/// The last known state of the store. Each change is logged once, however often the store fails meanwhile.
#[derive(Debug, Default)]
pub(super) struct StoreHealth {
    failure: Mutex<Option<Arc<str>>>,
}

impl StoreHealth {
    /// Why the store cannot be used; `None` if it can.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.lock().clone()
    }

    pub(super) fn failed(&self, why: &str) {
        let mut failure = self.lock();
        if failure.as_deref() != Some(why) {
            *failure = Some(why.into());
            drop(failure);
            tracing::error!("the store of users and sessions is unavailable: {why}");
        }
    }

    pub(super) fn works(&self) {
        if self.lock().take().is_some() {
            tracing::info!("the store of users and sessions is available again");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<str>>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
