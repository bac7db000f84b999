//! A connection to the file, and the thread that has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::open::OpenError;
use crate::auth::StoreError;

/// How many operations may wait for one thread. Each takes some tens of microseconds to read, some milliseconds to write.
const LINE: usize = 4096;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Does one thing after the other. It ends with the last of its clones.
#[derive(Clone)]
pub(super) struct Thread {
    jobs: SyncSender<Job>,
    /// What `PRAGMA data_version` was.
    version: Arc<AtomicI64>,
}

impl Thread {
    pub(super) fn start(name: &str, connection: Connection) -> Result<Self, OpenError> {
        let (jobs, line) = sync_channel(LINE);
        std::thread::Builder::new().name(name.into()).spawn(move || work(connection, &line)).map_err(OpenError::Io)?;
        Ok(Self { jobs, version: Arc::new(AtomicI64::new(0)) })
    }

    /// Does this on the thread. Dropped before it is its turn, it is not done.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if !tell.is_closed() {
                let _ = tell.send(work(connection));
            }
        });
        self.jobs.try_send(job).map_err(|_| StoreError::Busy)?;
        match told.await {
            Ok(done) => done.map_err(|error| StoreError::Failed(error.to_string())),
            Err(_) => Err(StoreError::Failed("its thread has ended".into())),
        }
    }

    /// Whether another connection than this has written since this was asked last.
    pub(super) async fn has_changed(&self) -> Result<bool, StoreError> {
        let version = self.run(|db| db.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0))).await?;
        let before = self.version.swap(version, Ordering::Relaxed);
        Ok(before != 0 && before != version)
    }
}

fn work(mut connection: Connection, line: &Receiver<Job>) {
    while let Ok(job) = line.recv() {
        job(&mut connection);
    }
}
