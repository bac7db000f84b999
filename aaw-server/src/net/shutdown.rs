//! How far a server is with its end.

use tokio::sync::watch;

/// It goes through these in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Nothing new is taken up; what runs may finish.
    Draining,
    /// What still runs is dropped.
    Over,
}

/// Tells everybody who waits for it.
#[derive(Debug)]
pub(crate) struct Shutdown(watch::Sender<Phase>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }
}

impl Shutdown {
    /// Never goes back.
    pub(crate) fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| std::mem::replace(phase, to.max(*phase)) < to);
    }

    #[cfg(feature = "http")]
    pub(crate) fn has_reached(&self, phase: Phase) -> bool {
        *self.0.borrow() >= phase
    }

    /// Ready from that phase on.
    pub(crate) fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + 'static {
        let mut phases = self.0.subscribe();
        async move {
            // The server was dropped: as if it were over.
            let _ = phases.wait_for(|now| *now >= phase).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_on_and_never_back() {
        let shutdown = Shutdown::default();
        let over = shutdown.reached(Phase::Over);
        shutdown.advance(Phase::Draining);
        shutdown.reached(Phase::Draining).await;
        shutdown.advance(Phase::Over);
        shutdown.advance(Phase::Draining);
        over.await;
    }
}
