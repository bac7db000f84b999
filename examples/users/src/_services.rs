//! The table: a file of SQLite's, made when it is missing; and the cursors that read it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aaw_event::prelude::*;
use rusqlite::{Connection, OpenFlags, Row};
use tokio::sync::{Semaphore, mpsc};

/// Rows there are, if `USERS_ROWS` says nothing else.
const ROWS: i64 = 1_000_000;

/// Rows that a cursor may be ahead of its reader. Few: they are all that is held of the table.
const AHEAD: usize = 32;

/// Cursors at the same time. Each has a thread, also while its reader stands still.
const MOST_CURSORS: usize = 64;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub email: String,
}

/// What the handlers see as `services`.
pub struct Users {
    file: PathBuf,
    cursors: Arc<Semaphore>,
    /// Rows that were read from the database, by all cursors.
    read: Arc<AtomicU64>,
}

/// Opens the table, and makes it when it is not there: in `USERS_DB`, or else beside the program, below cargo's target
/// folder. A million rows take some seconds, once, and 60 MB.
pub async fn services() -> Result<Users> {
    let rows = std::env::var("USERS_ROWS").map_or(Ok(ROWS), |rows| rows.parse())?;
    let file = match std::env::var_os("USERS_DB") {
        Some(file) => file.into(),
        None => std::env::current_exe()?.with_file_name(format!("aaw-example-users-{rows}.db")),
    };
    // SQLite waits for the disk, and a runtime's thread must not.
    tokio::task::spawn_blocking(move || Users::open(file, rows)).await?
}

impl Users {
    /// The table in this file, which is made, with so many rows, if it is missing.
    pub fn open(file: PathBuf, rows: i64) -> Result<Self> {
        if !file.exists() {
            tracing::info!("writing {rows} users to {}", file.display());
            make(&file, rows)?;
        }
        Ok(Self { file, cursors: Arc::new(Semaphore::new(MOST_CURSORS)), read: Arc::default() })
    }

    /// The rows from `from` on, as they come from the database. The cursor waits for its reader, and ends when the
    /// reader drops it.
    pub fn from(&self, from: i64, is_damaged: bool) -> Result<mpsc::Receiver<Result<User>>> {
        let place = Arc::clone(&self.cursors).try_acquire_owned();
        let place = place.map_err(|_| Error::new("Too many read the table just now").with_code("busy"))?;
        let (rows, reader) = mpsc::channel(AHEAD);
        let (file, read) = (self.file.clone(), Arc::clone(&self.read));
        // A thread of its own, as SQLite's cursor is no future.
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let ended = walk(&file, from, is_damaged, |user| {
                read.fetch_add(1, Ordering::Relaxed);
                // Waits while the channel is full: a slow reader slows the cursor, not the memory.
                rows.blocking_send(Ok(user)).is_ok()
            });
            if let Err(error) = ended {
                // Whoever has gone needs no error.
                let _ = rows.blocking_send(Err(error));
            }
        });
        Ok(reader)
    }

    /// How many cursors are open.
    pub fn open_cursors(&self) -> usize {
        MOST_CURSORS - self.cursors.available_permits()
    }

    /// How many rows cursors have read so far.
    pub fn rows_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Waits until no cursor is open.
    pub async fn wait_until_idle(&self) {
        let all = u32::try_from(MOST_CURSORS).unwrap_or(u32::MAX);
        drop(self.cursors.acquire_many(all).await);
    }
}

/// Gives row after row to `take`, until that has enough.
fn walk(file: &Path, from: i64, is_damaged: bool, mut take: impl FnMut(User) -> bool) -> Result<()> {
    let table = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // A damaged disk is hard to come by: this column is no text in every thousandth row.
    let name = if is_damaged { "iif(id % 1000 = 0, x'00ff', name)" } else { "name" };
    let mut statement = table.prepare(&format!("SELECT id, {name}, email FROM users WHERE id >= ? ORDER BY id"))?;
    let mut cursor = statement.query([from])?;
    while let Some(row) = cursor.next()? {
        let id = row.get(0)?;
        let user = user(id, row).map_err(|error| {
            tracing::error!(id, %error, "a row cannot be read");
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

/// Makes the table under another name first: a file that is there is whole, whoever else makes it at the same time.
fn make(file: &Path, rows: i64) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let new = tempfile::Builder::new().prefix("users-").suffix(".db").tempfile_in(folder)?.into_temp_path();
    let mut table = Connection::open(&new)?;
    // If the machine stops meanwhile, the unfinished file is not looked at again.
    table.pragma_update(None, "journal_mode", "off")?;
    table.pragma_update(None, "synchronous", "off")?;
    let all = table.transaction()?;
    all.execute_batch("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL) STRICT")?;
    // SQLite makes the rows by itself, which takes half the time of handing them in one by one.
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
