//! A thread that owns a connection to the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::database_file::{DatabaseFile, DiskFailure};
use super::open::StoreOpenError;
use super::role::Role;
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
        let has_ended = || StoreError::Failed("the database thread has ended".into());
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => has_ended(),
        })?;
        result.await.unwrap_or_else(|_| Err(has_ended()))
    }

    /// Runs an operation that shows whether the disk works, and forgets the failures before it if it does.
    pub(super) async fn probe(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (file, role) = (Arc::clone(&self.file), self.role);
        // On the thread, and so in the order of its operations: a failure after this one is not forgotten.
        self.run(move |connection| work(connection).map(|()| file.works(role))).await
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
            let verb = match role {
                Role::Reads => "read",
                Role::Writes => "write",
            };
            let is_damage = is_of(&error, &DAMAGES);
            let remedy = if is_damage { "; restore a backup, and restart the server" } else { "" };
            let why = format!("cannot {verb} {path}: {error}{remedy}");
            file.failed(role, DiskFailure { why: why.clone(), is_damage });
            Err(StoreError::Unavailable(why))
        }
        Err(error) => Err(StoreError::Failed(error.to_string())),
    }
}

/// Whether an error will come back until its operator has done something: the disk is full, read-only or broken.
fn is_of_the_disk(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
    is_of(error, &DAMAGES) || is_of(error, &[CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure])
}

/// The errors for a file whose contents are damaged.
const DAMAGES: [ErrorCode; 2] = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];

fn is_of(error: &rusqlite::Error, codes: &[ErrorCode]) -> bool {
    error.sqlite_error_code().is_some_and(|code| codes.contains(&code))
}

fn run_jobs(mut connection: Connection, jobs: &Receiver<DatabaseJob>) {
    while let Ok(job) = jobs.recv() {
        job(&mut connection);
    }
}
