//! The phases of a graceful shutdown.

use tokio::sync::watch;

/// The phases, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShutdownPhase {
    /// The server accepts connections and calls.
    Serving,
    /// New connections and calls are refused; running calls may finish.
    Draining,
    /// Streams that still run are ended; other calls may finish.
    EndingStreams,
    /// Calls that still run are dropped.
    Aborting,
}

/// The current phase. It only advances; any number of tasks can wait for a phase.
#[derive(Debug)]
pub(crate) struct Shutdown(watch::Sender<ShutdownPhase>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(ShutdownPhase::Serving))
    }
}

impl Shutdown {
    /// Advances to a phase. Has no effect if that phase has been reached.
    pub(crate) fn advance(&self, to: ShutdownPhase) {
        self.0.send_if_modified(|phase| std::mem::replace(phase, to.max(*phase)) < to);
    }

    pub(crate) fn has_reached(&self, phase: ShutdownPhase) -> bool {
        *self.0.borrow() >= phase
    }

    /// Completes when the phase has been reached.
    pub(crate) fn reached(&self, phase: ShutdownPhase) -> impl Future<Output = ()> + Send + 'static {
        let mut phases = self.0.subscribe();
        async move {
            // An error means that the server was dropped, which ends everything too.
            let _ = phases.wait_for(|now| *now >= phase).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_advance_and_never_go_back() {
        let shutdown = Shutdown::default();
        let aborting = shutdown.reached(ShutdownPhase::Aborting);
        shutdown.advance(ShutdownPhase::Draining);
        shutdown.reached(ShutdownPhase::Draining).await;
        shutdown.advance(ShutdownPhase::Aborting);
        shutdown.advance(ShutdownPhase::Draining);
        aborting.await;
    }
}
