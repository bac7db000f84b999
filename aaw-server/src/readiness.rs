//! Whether the server is ready for requests: named conditions, each of which a part of the server sets.
//!
//! `/readyz` responds with the names of the conditions that fail. Anyone can request it, so a name must not reveal more than
//! which part of the server does not work.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where a process manager asks whether the process is to be restarted.
pub(crate) const HEALTH_PATH: &str = "/healthz";

/// Where a load balancer asks whether the process is to receive requests.
pub(crate) const READINESS_PATH: &str = "/readyz";

/// Whether a probe of the server has this path: it must always have its response.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path, HEALTH_PATH | READINESS_PATH)
}

/// The condition of a server that has not begun to serve.
pub(crate) const STARTING: &str = "starting";

/// The condition of a server that shuts down.
pub(crate) const STOPPING: &str = "stopping";

/// The condition of a server whose store of users and sessions cannot be used.
pub(crate) const STORE: &str = "store";

/// The conditions of one server. It is ready while none of them fails.
#[derive(Debug)]
pub(crate) struct Readiness {
    failing: Mutex<BTreeSet<&'static str>>,
}

impl Default for Readiness {
    /// A server that has not begun to serve.
    fn default() -> Self {
        Self { failing: Mutex::new(BTreeSet::from([STARTING])) }
    }
}

impl Readiness {
    /// Marks the server as not ready because of this condition, until [`pass`](Self::pass). Has no effect if it fails already.
    pub(crate) fn fail(&self, condition: &'static str) {
        self.lock().insert(condition);
    }

    /// Ends the failure of this condition, if there is one.
    pub(crate) fn pass(&self, condition: &'static str) {
        self.lock().remove(condition);
    }

    /// Returns the conditions that fail, in alphabetical order.
    pub(crate) fn failing(&self) -> Vec<&'static str> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        // No code panics while it holds the lock.
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_it_has_started_and_no_condition_fails() {
        let readiness = Readiness::default();
        assert_eq!(readiness.failing(), [STARTING]);
        readiness.pass(STARTING);
        assert_eq!(readiness.failing(), [] as [&str; 0]);
        readiness.fail("store");
        readiness.fail("cluster");
        readiness.fail("store");
        assert_eq!(readiness.failing(), ["cluster", "store"]);
        readiness.pass("store");
        assert_eq!(readiness.failing(), ["cluster"]);
        readiness.pass("cluster");
        readiness.pass("unknown");
        assert_eq!(readiness.failing(), [] as [&str; 0]);
    }
}
