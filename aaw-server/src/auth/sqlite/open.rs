//! Opening the file: its rights, its kind, its form.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// `aawA`: says that a file is ours (SQLite's `application_id`).
const OURS: i32 = 0x6161_7741;

/// How the tables are laid out.
const FORM: i32 = 1;

/// How long an operation waits for another program's lock. Less than the 3 s that a client waits for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

const TABLES: &str = "
    CREATE TABLE users (
        id TEXT PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        password TEXT NOT NULL,
        allowed TEXT,
        created INTEGER NOT NULL
    ) STRICT;
    -- `identity` is that of somebody whom the application has recognised; otherwise it is the user's.
    CREATE TABLE sessions (
        token BLOB PRIMARY KEY,
        user TEXT NOT NULL,
        identity TEXT,
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_by_user ON sessions (user, created);
    CREATE INDEX sessions_by_end ON sessions (expires);
    -- One for an address that nobody has is kept as well, so that it takes as long.
    CREATE TABLE resets (
        token BLOB PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX resets_by_end ON resets (expires);
";

/// Why a file cannot be a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system does not let us.
    #[error("{0}")]
    Io(io::Error),
    /// SQLite says no: it is no database, or locked, or broken.
    #[error("{path}: {source}", path = path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: rusqlite::Error,
    },
    /// It is a database of something else.
    #[error("{path} is a database of something else; name another file", path = .0.display())]
    NotOurs(PathBuf),
    /// It was written by a newer aaw.
    #[error("{path} was written by a newer version of aaw (form {form}, this one knows {FORM})", path = path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its form.
        form: i32,
    },
}

/// Opens the file, and makes it and its tables if they are not there.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    make(path).map_err(|error| OpenError::Io(io::Error::new(error.kind(), format!("{}: {error}", path.display()))))?;
    let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
    // Not as a URI: a name is a name.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    let (application, form) = kind(&connection).map_err(failed)?;
    let is_empty = connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| row.get::<_, bool>(0))
        .map_err(failed)?;
    match (application, form) {
        (OURS, FORM) => {}
        (OURS, form) if form > FORM => return Err(OpenError::Newer { path: path.to_owned(), form }),
        (0, 0) if is_empty => {}
        _ => return Err(OpenError::NotOurs(path.to_owned())),
    }
    set_up(&mut connection).map_err(failed)?;
    Ok(connection)
}

fn kind(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((pragma("application_id")?, pragma("user_version")?))
}

fn set_up(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Each commit is on the disk when it is answered: the end of a session must not be undone by a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.set_prepared_statement_cache_capacity(32);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Somebody else may have done it just now.
    if kind(&transaction)?.0 == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", OURS)?;
        transaction.pragma_update(None, "user_version", FORM)?;
    }
    transaction.commit()
}

/// Makes the file if it is not there, for its owner alone; SQLite gives the files beside it the same rights. One that
/// others can read is told of.
fn make(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match owner_alone(&mut options).create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            warn_if_open_to_others(path, &file)
        }
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn owner_alone(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn owner_alone(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn warn_if_open_to_others(path: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            "{} holds hashes of passwords, and others may read it (mode {mode:o}); 600 is enough",
            path.display()
        );
    }
    Ok(())
}

#[cfg(not(unix))]
fn warn_if_open_to_others(_: &Path, _: &File) -> io::Result<()> {
    Ok(())
}
