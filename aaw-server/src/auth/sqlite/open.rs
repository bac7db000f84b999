//! Opens the database file: permissions, application id, schema.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// Marks a database as one of aaw (SQLite's `application_id`): `aawA` in ASCII.
const APPLICATION_ID: i32 = 0x6161_7741;

/// The version of the tables below (SQLite's `user_version`). Version 1 had one reset for each address.
const SCHEMA_VERSION: i32 = 2;

/// How long an operation waits for another program's lock. Less than 3 s, the default timeout of a client's call.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

const TABLES: &str = "
    CREATE TABLE users (
        id TEXT PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        password TEXT NOT NULL,
        allowed TEXT,
        created INTEGER NOT NULL
    ) STRICT;
    -- `identity` is set if the application authenticated the session itself; otherwise the identity is the user's.
    CREATE TABLE sessions (
        token BLOB PRIMARY KEY,
        user TEXT NOT NULL,
        identity TEXT,
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_by_user ON sessions (user, created);
    CREATE INDEX sessions_by_end ON sessions (expires);
";

/// The resets, which version 2 has changed.
const RESETS: &str = "
    -- A reset for an unknown address is stored as well, so that requesting it takes as long.
    CREATE TABLE resets (
        token BLOB PRIMARY KEY,
        email TEXT NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX resets_by_email ON resets (email, expires);
    CREATE INDEX resets_by_end ON resets (expires);
";

/// Why the file of a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreOpenError {
    /// The file cannot be created or read.
    #[error("{0}")]
    Io(io::Error),
    /// SQLite cannot open it: it is not a database, is locked, or is corrupt.
    #[error("{path}: {source}", path = path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// It is a database of another application.
    #[error("{path} is a database of another application; choose another file", path = .0.display())]
    ForeignDatabase(PathBuf),
    /// It was written by a newer version of aaw.
    #[error("{path} was written by a newer version of aaw: its schema version is {schema_version}, expected {SCHEMA_VERSION}", path = path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// The schema version of the file.
        schema_version: i32,
    },
}

/// Opens the file; creates it and its tables if they do not exist.
pub(super) fn open(path: &Path) -> Result<Connection, StoreOpenError> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    create_if_missing(path).map_err(|error| StoreOpenError::Io(named(error)))?;
    let failed = |source| StoreOpenError::Sqlite { path: path.to_owned(), source };
    // Without SQLITE_OPEN_URI, so that the path is not interpreted as a URI.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    // SQLite opens a file that cannot be written for reading.
    if connection.is_readonly("main").map_err(failed)? {
        let error = io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only");
        return Err(StoreOpenError::Io(named(error)));
    }
    connection.busy_timeout(LOCK_TIMEOUT).map_err(failed)?;
    let (application, version) = application_and_version(&connection).map_err(failed)?;
    let is_empty = connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| row.get::<_, bool>(0))
        .map_err(failed)?;
    match (application, version) {
        (APPLICATION_ID, 1..=SCHEMA_VERSION) => {}
        (APPLICATION_ID, schema_version) if schema_version > SCHEMA_VERSION => {
            return Err(StoreOpenError::NewerVersion { path: path.to_owned(), schema_version });
        }
        (0, 0) if is_empty => {}
        _ => return Err(StoreOpenError::ForeignDatabase(path.to_owned())),
    }
    set_up(&mut connection).map_err(failed)?;
    Ok(connection)
}

fn application_and_version(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok((pragma("application_id")?, pragma("user_version")?))
}

fn set_up(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit returns once it is on the disk: a power failure must not undo the end of a session.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.set_prepared_statement_cache_capacity(32);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again: another program may have created or changed the tables meanwhile.
    match application_and_version(&transaction)? {
        (0, _) => {
            transaction.execute_batch(TABLES)?;
            transaction.execute_batch(RESETS)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        (_, 1) => {
            // Pending resets stay valid. A program of the previous version that has the file open keeps working.
            transaction.execute_batch("ALTER TABLE resets RENAME TO resets_v1; DROP INDEX resets_by_end")?;
            transaction.execute_batch(RESETS)?;
            transaction.execute_batch(
                "INSERT INTO resets SELECT token, email, expires FROM resets_v1; DROP TABLE resets_v1",
            )?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        _ => {}
    }
    transaction.commit()
}

/// Creates the file if it does not exist, with access for its owner only; SQLite creates its auxiliary files with the
/// same permissions. Logs a warning if an existing file is accessible to others.
///
/// An existing file is not opened: closing it would release the locks that this process has on it by another connection
/// (POSIX releases all locks of a process with any of its descriptors). Another program would then take itself for the
/// last one that uses the database, and delete the write-ahead log in which this process writes.
fn create_if_missing(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match owner_only(&mut options).create_new(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            warn_if_accessible_to_others(path, &std::fs::metadata(path)?);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn warn_if_accessible_to_others(path: &Path, file: &Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            "{} contains password hashes and is accessible to other users (mode {mode:o}); run `chmod 600` on it",
            path.display()
        );
    }
}

#[cfg(not(unix))]
fn warn_if_accessible_to_others(_: &Path, _: &Metadata) {}
