//! The memory that clients make a server hold, at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use crate::TestServer;

/// Watches [`Handle::held_bytes`](aaw_server::Handle::held_bytes) of a server, whenever a task of the test's runtime has a turn.
#[derive(Debug)]
pub struct MostHeld {
    watching: Arc<AtomicBool>,
    most: JoinHandle<usize>,
}

impl MostHeld {
    /// Begins to watch.
    pub fn of(server: &TestServer) -> Self {
        let (handle, watching) = (server.handle.clone(), Arc::new(AtomicBool::new(true)));
        let most = tokio::spawn({
            let watching = Arc::clone(&watching);
            async move {
                let mut most = 0;
                while watching.load(Ordering::Relaxed) {
                    most = handle.held_bytes().max(most);
                    tokio::task::yield_now().await;
                }
                most
            }
        });
        Self { watching, most }
    }

    /// Ends the watch, and returns the most that was held, in bytes.
    ///
    /// # Panics
    /// Not unless the watching task does.
    pub async fn end(self) -> usize {
        self.watching.store(false, Ordering::Relaxed);
        self.most.await.expect("no panic")
    }
}
