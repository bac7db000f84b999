//! A thread that owns a connection to the database.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::database_file::{DatabaseFile, DiskFailure};
use super::job_queue::{JobQueue, NotQueued, Priority};
use super::open::StoreOpenError;
use super::role::Role;
use crate::auth::store::StoreError;
use crate::client_turns::{Client, client};

type DatabaseJob = Box<dyn FnOnce(Turn<'_>) + Send>;

/// What has become of a job.
enum Turn<'a> {
    Now(&'a mut Connection),
    /// Another one has its place in the queue.
    Displaced,
}

/// For whom an operation runs, and before which others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    priority: Priority,
    client: Client,
}

impl Caller {
    /// The program itself.
    pub(super) const PROGRAM: Self = Self { priority: Priority::Limited, client: None };

    /// A client whose operations of this kind are limited otherwise, see [`Priority::Limited`].
    pub(super) fn limited(address: Option<IpAddr>) -> Self {
        Self { priority: Priority::Limited, client: client(address) }
    }

    /// A client that may cause operations of this kind as often as it wants.
    pub(super) fn unlimited(address: Option<IpAddr>) -> Self {
        Self { priority: Priority::Unlimited, client: client(address) }
    }
}

/// Runs operations on a thread of its own, which ends when the last clone is dropped. Those of one client run one after the
/// other, and clients take turns.
#[derive(Clone)]
pub(super) struct DatabaseThread {
    jobs: Arc<CloseOnDrop>,
    file: Arc<DatabaseFile>,
    role: Role,
    /// The last value of `PRAGMA data_version`; 0 before the first.
    data_version: Arc<AtomicI64>,
}

impl DatabaseThread {
    pub(super) fn start(role: Role, file: Arc<DatabaseFile>, connection: Connection) -> Result<Self, StoreOpenError> {
        let jobs = Arc::new(JobQueue::new());
        let name = match role {
            Role::Reads => "aaw-auth-read",
            Role::Writes => "aaw-auth-write",
        };
        std::thread::Builder::new()
            .name(name.into())
            .spawn({
                let jobs = Arc::clone(&jobs);
                move || run_jobs(connection, &jobs)
            })
            .map_err(StoreOpenError::Io)?;
        Ok(Self { jobs: Arc::new(CloseOnDrop(jobs)), file, role, data_version: Arc::new(AtomicI64::new(0)) })
    }

    /// Runs an operation on the thread, if the file is still there. If the future is dropped while the operation waits,
    /// the operation does not run.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if there is no place in the queue, or another client's operation has taken it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, result) = oneshot::channel();
        let (file, role) = (Arc::clone(&self.file), self.role);
        let job: DatabaseJob = Box::new(move |turn| {
            if sender.is_closed() {
                return;
            }
            let _ = sender.send(match turn {
                Turn::Now(connection) => run_checked(&file, role, connection, work),
                Turn::Displaced => Err(StoreError::Busy),
            });
        });
        let has_ended = || StoreError::Failed("the database thread has ended".into());
        let displaced = self.jobs.0.push(caller.priority, caller.client, job).map_err(|error| match error {
            NotQueued::Full => StoreError::Busy,
            NotQueued::Closed => has_ended(),
        })?;
        if let Some(displaced) = displaced {
            displaced(Turn::Displaced);
        }
        result.await.unwrap_or_else(|_| Err(has_ended()))
    }

    /// Runs an operation that shows whether the disk works, and forgets the failures before it if it does.
    pub(super) async fn probe(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (file, role) = (Arc::clone(&self.file), self.role);
        // On the thread, and so in the order of its operations: a failure after this one is not forgotten.
        self.run(Caller::PROGRAM, move |connection| work(connection).map(|()| file.works(role))).await
    }

    /// Whether another connection has changed the database since the last call.
    pub(super) async fn has_changed(&self) -> Result<bool, StoreError> {
        let version = |db: &mut Connection| db.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0));
        let version = self.run(Caller::PROGRAM, version).await?;
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

fn run_jobs(mut connection: Connection, jobs: &JobQueue<DatabaseJob>) {
    /// Also when a job panics, so that no caller waits for a thread that has ended.
    struct AbandonOnDrop<'a>(&'a JobQueue<DatabaseJob>);
    impl Drop for AbandonOnDrop<'_> {
        fn drop(&mut self) {
            // Dropping a job tells its caller.
            drop(self.0.abandon());
        }
    }
    let _abandon = AbandonOnDrop(jobs);
    while let Some(job) = jobs.pop() {
        job(Turn::Now(&mut connection));
    }
}

/// Ends the thread when it is dropped. The thread shares the queue, so the queue's own `Drop` cannot end it.
struct CloseOnDrop(Arc<JobQueue<DatabaseJob>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
