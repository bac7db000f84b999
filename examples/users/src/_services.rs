//! The table, an SQLite database that is created if it is missing, and the cursors that read it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aaw_event::prelude::*;
use rusqlite::{Connection, OpenFlags, Row};
use tokio::sync::{Semaphore, mpsc};

/// The default of `USERS_ROWS`: the number of rows.
const DEFAULT_ROWS: i64 = 1_000_000;

/// The number of rows that a cursor reads ahead of its client. These are all the rows that are held in memory.
const READ_AHEAD: usize = 32;

/// The maximum number of open cursors. Each occupies a thread, even while its client does not read.
const MAX_CURSORS: usize = 64;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub email: String,
}

/// What handlers receive as `services`.
pub struct Users {
    file: PathBuf,
    cursors: Arc<Semaphore>,
    /// The number of rows that all cursors have read from the database.
    rows_read: Arc<AtomicU64>,
}

/// Opens the table in the file `USERS_DB`, or else in a file beside the program, below cargo's target folder. Creates
/// the table if it is missing: a million rows take a few seconds and 60 MB.
pub async fn services() -> Result<Users> {
    let rows = std::env::var("USERS_ROWS").map_or(Ok(DEFAULT_ROWS), |rows| rows.parse())?;
    let file = match std::env::var_os("USERS_DB") {
        Some(file) => file.into(),
        None => std::env::current_exe()?.with_file_name(format!("aaw-example-users-{rows}.db")),
    };
    // SQLite blocks on the disk, which a thread of the async runtime must not do.
    tokio::task::spawn_blocking(move || Users::open(file, rows)).await?
}

impl Users {
    /// Opens the table in `file`, and creates it with this many rows if it is missing.
    pub fn open(file: PathBuf, rows: i64) -> Result<Self> {
        if !file.exists() {
            tracing::info!("writing {rows} users to {}", file.display());
            create(&file, rows)?;
        }
        Ok(Self { file, cursors: Arc::new(Semaphore::new(MAX_CURSORS)), rows_read: Arc::default() })
    }

    /// Opens a cursor that reads the rows from the id `from` on. The cursor waits while the receiver is full, and
    /// closes when the receiver is dropped.
    pub fn from(&self, from: i64, is_damaged: bool) -> Result<mpsc::Receiver<Result<User>>> {
        let permit = Arc::clone(&self.cursors).try_acquire_owned();
        let permit = permit.map_err(|_| Error::new("Too many clients are reading the table").with_code("busy"))?;
        let (sender, rows) = mpsc::channel(READ_AHEAD);
        let (file, rows_read) = (self.file.clone(), Arc::clone(&self.rows_read));
        // On a thread for blocking work: the cursors of SQLite are not async.
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let ended = read_rows(&file, from, is_damaged, |user| {
                rows_read.fetch_add(1, Ordering::Relaxed);
                // Blocks while the channel is full: a slow client slows down the cursor instead of filling memory.
                sender.blocking_send(Ok(user)).is_ok()
            });
            if let Err(error) = ended {
                // Fails if the client has gone, which then needs no error.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Ok(rows)
    }

    /// Returns the number of open cursors.
    pub fn open_cursors(&self) -> usize {
        MAX_CURSORS - self.cursors.available_permits()
    }

    /// Returns the number of rows that all cursors have read so far.
    pub fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

    /// Waits until no cursor is open.
    pub async fn wait_until_idle(&self) {
        let all = u32::try_from(MAX_CURSORS).unwrap_or(u32::MAX);
        drop(self.cursors.acquire_many(all).await);
    }
}

/// Passes each row to `take` until it returns false.
fn read_rows(file: &Path, from: i64, is_damaged: bool, mut take: impl FnMut(User) -> bool) -> Result<()> {
    let table = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Simulates a damaged disk: in every thousandth row this column is not text.
    let name = if is_damaged { "iif(id % 1000 = 0, x'00ff', name)" } else { "name" };
    let mut statement = table.prepare(&format!("SELECT id, {name}, email FROM users WHERE id >= ? ORDER BY id"))?;
    let mut cursor = statement.query([from])?;
    while let Some(row) = cursor.next()? {
        let id = row.get(0)?;
        let user = user(id, row).map_err(|error| {
            tracing::error!(id, %error, "cannot read a row");
            Error::new(format!("Row {id} cannot be read"))
        })?;
        if !take(user) {
            break;
        }
    }
    Ok(())
}

fn user(id: i64, row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id, name: row.get(1)?, email: row.get(2)? })
}

/// Creates the table in a temporary file and renames it: a file with the final name is always complete, even if another
/// process creates it at the same time.
fn create(file: &Path, rows: i64) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let new = tempfile::Builder::new().prefix("users-").suffix(".db").tempfile_in(folder)?.into_temp_path();
    let mut table = Connection::open(&new)?;
    // Neither journal nor sync: an unfinished file is never used.
    table.pragma_update(None, "journal_mode", "off")?;
    table.pragma_update(None, "synchronous", "off")?;
    let all = table.transaction()?;
    all.execute_batch("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL) STRICT")?;
    // SQLite generates the rows, which takes half the time of inserting them one by one.
    all.execute(
        "WITH RECURSIVE
            first(n, name) AS (VALUES (0, 'Ada'), (1, 'Alan'), (2, 'Barbara'), (3, 'Edsger'), (4, 'Frances'),
                (5, 'Grace'), (6, 'Ken'), (7, 'Margaret')),
            last(n, name) AS (VALUES (0, 'Allen'), (1, 'Dijkstra'), (2, 'Hamilton'), (3, 'Hopper'), (4, 'Liskov'),
                (5, 'Lovelace'), (6, 'Thompson'), (7, 'Turing'), (8, 'Wirth')),
            ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids LIMIT ?)
        INSERT INTO users SELECT id, first.name || ' ' || last.name, lower(first.name) || id || '@example.org'
            FROM ids CROSS JOIN first ON first.n = id % 8 CROSS JOIN last ON last.n = id % 9",
        [rows],
    )?;
    all.commit()?;
    table.close().map_err(|(_, error)| error)?;
    new.persist(file)?;
    Ok(())
}
