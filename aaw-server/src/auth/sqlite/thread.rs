//! A thread that owns a connection to the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::database_file::DatabaseFile;
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
    file: Arc<DatabaseFile>,
    role: Role,
    /// The last value of `PRAGMA data_version`; 0 before the first.
    data_version: Arc<AtomicI64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Reads,
    Writes,
}

impl DatabaseThread {
    pub(super) fn start(role: Role, file: Arc<DatabaseFile>, connection: Connection) -> Result<Self, StoreOpenError> {
        let (sender, jobs) = sync_channel(QUEUE_CAPACITY);
        let name = match role {
            Role::Reads => "aaw-auth-read",
            Role::Writes => "aaw-auth-write",
        };
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || run_jobs(connection, &jobs))
            .map_err(StoreOpenError::Io)?;
        Ok(Self { jobs: sender, file, role, data_version: Arc::new(AtomicI64::new(0)) })
    }

    /// Runs an operation on the thread, if the file is still there. If the future is dropped while the operation waits,
    /// the operation does not run.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, result) = oneshot::channel();
        let (file, role) = (Arc::clone(&self.file), self.role);
        let job: DatabaseJob = Box::new(move |connection| {
            if !sender.is_closed() {
                let _ = sender.send(run_checked(&file, role, connection, work));
            }
        });
        self.jobs.try_send(job).map_err(|_| StoreError::Busy)?;
        result.await.unwrap_or_else(|_| Err(StoreError::Failed("the database thread has ended".into())))
    }

    /// Whether another connection has changed the database since the last call.
    pub(super) async fn has_changed(&self) -> Result<bool, StoreError> {
        let version = self.run(|db| db.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0))).await?;
        let previous = self.data_version.swap(version, Ordering::Relaxed);
        Ok(previous != 0 && previous != version)
    }
}

/// Runs an operation between two checks of the file. The second one is before the result is reported: a change that went
/// into a file that was deleted meanwhile is not reported as done.
fn run_checked<T>(
    file: &DatabaseFile,
    role: Role,
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    if let Err(why) = file.check() {
        // The changes that only the log has are lost when this process is killed, so they move to the file now.
        if role == Role::Writes
            && file.has_lost_its_log()
            && let Err(error) = connection.query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))
        {
            return Err(StoreError::Unavailable(format!("{why}; its changes cannot be saved: {error}")));
        }
        return Err(StoreError::Unavailable(why));
    }
    let result = work(connection);
    file.check().map_err(StoreError::Unavailable)?;
    match result {
        Ok(value) => Ok(value),
        Err(error) if is_of_the_disk(&error) => {
            let path = file.path().display();
            let what = match role {
                Role::Reads => format!("cannot read {path}: {error}"),
                Role::Writes => format!("cannot write {path}: {error}"),
            };
            if role == Role::Writes {
                file.set_write_failure(Some(what.clone()));
            }
            Err(StoreError::Unavailable(what))
        }
        Err(error) => Err(StoreError::Failed(error.to_string())),
    }
}

/// Whether an error will come back until its operator has done something: the disk is full, read-only or broken.
fn is_of_the_disk(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DatabaseCorrupt, DiskFull, NotADatabase, PermissionDenied, ReadOnly, SystemIoFailure};
    let code = error.sqlite_error_code();
    let of_the_disk =
        [CannotOpen, DatabaseCorrupt, DiskFull, NotADatabase, PermissionDenied, ReadOnly, SystemIoFailure];
    code.is_some_and(|code| of_the_disk.contains(&code))
}

fn run_jobs(mut connection: Connection, jobs: &Receiver<DatabaseJob>) {
    while let Ok(job) = jobs.recv() {
        job(&mut connection);
    }
}
