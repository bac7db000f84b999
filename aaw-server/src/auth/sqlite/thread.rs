//! A thread that owns a connection to the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::open::StoreOpenError;
use crate::auth::store::StoreError;

/// The maximum number of operations that wait for one thread. Reading takes some tens of microseconds, writing some
/// milliseconds.
const QUEUE_CAPACITY: usize = 4096;

type DatabaseJob = Box<dyn FnOnce(&mut Connection) + Send>;

/// Runs operations one after the other on a thread of its own, which ends when the last clone is dropped.
#[derive(Clone)]
pub(super) struct DatabaseThread {
    jobs: SyncSender<DatabaseJob>,
    /// The last value of `PRAGMA data_version`; 0 before the first.
    data_version: Arc<AtomicI64>,
}

impl DatabaseThread {
    pub(super) fn start(name: &str, connection: Connection) -> Result<Self, StoreOpenError> {
        let (sender, jobs) = sync_channel(QUEUE_CAPACITY);
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || run_jobs(connection, &jobs))
            .map_err(StoreOpenError::Io)?;
        Ok(Self { jobs: sender, data_version: Arc::new(AtomicI64::new(0)) })
    }

    /// Runs an operation on the thread. If the future is dropped while the operation waits, the operation does not run.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, result) = oneshot::channel();
        let job: DatabaseJob = Box::new(move |connection| {
            if !sender.is_closed() {
                let _ = sender.send(work(connection));
            }
        });
        self.jobs.try_send(job).map_err(|_| StoreError::Busy)?;
        match result.await {
            Ok(result) => result.map_err(|error| StoreError::Failed(error.to_string())),
            Err(_) => Err(StoreError::Failed("the database thread has ended".into())),
        }
    }

    /// Whether another connection has changed the database since the last call.
    pub(super) async fn has_changed(&self) -> Result<bool, StoreError> {
        let version = self.run(|db| db.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0))).await?;
        let previous = self.data_version.swap(version, Ordering::Relaxed);
        Ok(previous != 0 && previous != version)
    }
}

fn run_jobs(mut connection: Connection, jobs: &Receiver<DatabaseJob>) {
    while let Ok(job) = jobs.recv() {
        job(&mut connection);
    }
}
