//! The number of connections.

use tokio::sync::watch;

/// What handlers receive as `services`.
pub struct Online {
    count: watch::Sender<usize>,
}

pub fn services() -> Online {
    Online { count: watch::Sender::new(0) }
}

impl Online {
    /// Counts a connection that has opened.
    pub fn increment(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    /// Counts a connection that has closed.
    pub fn decrement(&self) {
        self.count.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// Returns the number of connections, and its changes.
    pub fn subscribe(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}
