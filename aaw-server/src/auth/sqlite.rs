//! The built-in store: users, sessions and password resets in an SQLite file.
//!
//! It has two threads, each with its own connection to the file: one reads, one writes. Resuming a session therefore
//! does not wait for writes, not even for one that waits for another program's lock. The queue of each thread is
//! bounded, and in it clients take turns.
//!
//! A change that was reported as done is on the disk: the database is in WAL mode with `synchronous=FULL`, and each
//! operation checks that its file has not been deleted or replaced ([`database_file`]).

mod addresses;
mod database_file;
mod job_queue;
mod open;
mod role;
mod statements;
#[cfg(test)]
mod tests;
mod thread;
mod timestamp;
mod user;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use aaw_protocol::Identity;
use rusqlite::Connection;

use super::email::Email;
use super::password::Password;
use super::password_hasher::{MatchingHash, PasswordHasher};
use super::store::{Credentials, NewSession, StartedSession, Store, StoreError, StoreFuture, StoredSession};
use super::token::TokenHash;
use database_file::DatabaseFile;
pub use open::StoreOpenError;
use role::Role;
use statements::NewReset;
use thread::{Caller, DatabaseThread};
use timestamp::{now, to_millis};
pub use user::User;

/// A store of users, sessions and password resets in an SQLite file. Passwords are stored as Argon2id hashes, tokens as
/// their SHA-256. Cheap to clone; clones share the connections.
///
/// Several programs can use the file at the same time. A running server applies the changes that `aaw-server user`
/// makes within about a second.
///
/// An operation that has succeeded is on the disk. If the file is deleted or replaced while it is open, or its disk is full
/// or read-only, operations fail with [`StoreError::Unavailable`] and change nothing. They succeed again when the disk can
/// be written, or when the same file is back at its path; another file is used after a restart.
///
/// Once an operation has found the contents of the file damaged, [`health`](Store::health) says so until a restart. Operations
/// that do not meet the damage go on, also those that write.
#[derive(Clone)]
pub struct SqliteStore {
    reader: DatabaseThread,
    writer: DatabaseThread,
    file: Arc<DatabaseFile>,
    passwords: PasswordHasher,
    /// Whether a user was changed through this store. SQLite reports only changes through other connections.
    changed: Arc<AtomicBool>,
}

/// The result of a log-in with the right password.
enum LogInAttempt {
    Started(StartedSession),
    /// The password was changed, or the user removed, while the password was verified.
    PasswordChanged,
}

impl SqliteStore {
    /// Opens the file, or creates it with read and write access for its owner only.
    ///
    /// Addresses that were stored before they were normalized are replaced by their [normal form](Email). Users whose
    /// addresses have the same normal form are named in the log and left as they are.
    ///
    /// # Errors
    /// [`StoreOpenError`] if the file cannot be opened or created, is not an SQLite database, is a database of another
    /// application, or was written by a newer version of aaw.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreOpenError> {
        Self::open_with(path, PasswordHasher::default()).await
    }

    /// Like [`open`](Self::open), with this hasher for passwords.
    ///
    /// A hash that was made with other parameters is replaced when its user logs in. Until then, verifying a password for that
    /// user takes another time than for an address without a user, which tells strangers that there is one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(path: impl AsRef<Path>, passwords: PasswordHasher) -> Result<Self, StoreOpenError> {
        let path = path.as_ref().to_owned();
        let connections = tokio::task::spawn_blocking(move || {
            let mut writer = open::open(&path)?;
            let collisions = addresses::normalize(&mut writer);
            let collisions = collisions.map_err(|source| StoreOpenError::Sqlite { path: path.clone(), source })?;
            for collision in collisions {
                tracing::warn!("{collision}");
            }
            let reader = open::open(&path)?;
            let file = DatabaseFile::opened(&path).map_err(StoreOpenError::Io)?;
            Ok((reader, writer, Arc::new(file)))
        });
        let (reader, writer, file) =
            connections.await.map_err(|error| StoreOpenError::Io(std::io::Error::other(error)))??;
        let reader = DatabaseThread::start(Role::Reads, Arc::clone(&file), reader)?;
        let writer = DatabaseThread::start(Role::Writes, Arc::clone(&file), writer)?;
        Ok(Self { reader, writer, file, passwords, changed: Arc::default() })
    }

    /// Adds a user without starting a session. `allowed` restricts the protected events that the user may call to those
    /// that match one of these globs; `None` allows all of them.
    ///
    /// # Errors
    /// [`StoreError::EmailTaken`] if a user with this address exists; [`StoreError::Busy`] or [`StoreError::BusyFor`] if too many operations wait;
    ///
    /// [`StoreError::Failed`] if a glob is invalid or the database fails.
    pub async fn add_user(
        &self,
        email: Email,
        password: Password,
        allowed: Option<Vec<String>>,
    ) -> Result<Identity, StoreError> {
        check_globs(allowed.as_deref())?;
        let hash = self.passwords.hash(password).await?;
        let now = now();
        self.write(move |db| statements::add_user(db, &email, &hash, allowed, now)).await?.ok_or(StoreError::EmailTaken)
    }

    /// Returns all users, sorted by e-mail address.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::BusyFor`] if too many operations wait;
    /// [`StoreError::Failed`] if the database fails.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let now = now();
        self.read(move |db| statements::users(db, now)).await
    }

    /// Sets which protected events a user may call: those that match one of these globs, or all of them with `None`.
    /// Returns false if there is no such user. Running servers apply the change to open connections.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::BusyFor`] if too many operations wait;
    /// [`StoreError::Failed`] if a glob is invalid or the database
    /// fails.
    pub async fn allow(&self, email: Email, allowed: Option<Vec<String>>) -> Result<bool, StoreError> {
        check_globs(allowed.as_deref())?;
        self.change(move |db| statements::allow(db, &email, allowed)).await
    }

    /// Sets the password of a user and ends the user's sessions. Returns false if there is no such user. Running servers
    /// apply the change to open connections. The rules for a new password are those of the caller, see
    /// [`Password::check_new`].
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::BusyFor`] if too many operations wait;
    /// [`StoreError::Failed`] if the database fails.
    pub async fn change_password(&self, email: Email, new: Password) -> Result<bool, StoreError> {
        let hash = self.passwords.hash(new).await?;
        self.change(move |db| statements::change_password(db, &email, &hash)).await
    }

    /// Removes a user and ends the user's sessions. Returns false if there is no such user. Running servers apply the
    /// change to open connections.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::BusyFor`] if too many operations wait;
    /// [`StoreError::Failed`] if the database fails.
    pub async fn remove_user(&self, email: Email) -> Result<bool, StoreError> {
        self.change(move |db| {
            let was_removed = statements::remove_user(db, &email)?;
            // Another user may have had the same address in another form.
            if was_removed && !email.as_str().is_ascii() {
                addresses::normalize(db)?;
            }
            Ok(was_removed)
        })
        .await
    }

    /// Starts a session for a user; `None` if no user has this address and password.
    async fn try_log_in(
        &self,
        credentials: Credentials,
        session: NewSession,
    ) -> Result<Option<LogInAttempt>, StoreError> {
        let Credentials { email, password } = credentials;
        let caller = Caller::limited(session.client);
        let account = self.read_for(caller, move |db| statements::account(db, &email)).await?;
        let hash = account.as_ref().map(|account| &*account.password_hash);
        let passwords = self.passwords.for_client(session.client);
        let matching = passwords.verify_hash(password.clone(), hash).await?;
        let (Some(account), Some(matching)) = (account, matching) else { return Ok(None) };
        let new_hash = match matching {
            MatchingHash::Current => None,
            // The next log-in tries again if it fails.
            MatchingHash::Outdated => passwords.hash_again(password).await.ok(),
        };
        let now = now();
        let write =
            move |db: &mut Connection| statements::start_session(db, &account, new_hash.as_deref(), &session, now);
        Ok(Some(self.write_for(caller, write).await?.map_or(LogInAttempt::PasswordChanged, LogInAttempt::Started)))
    }

    /// Writes a change of a user that affects sessions in use, so that [`Store::has_changed`] reports it.
    async fn change(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<bool> + Send + 'static,
    ) -> Result<bool, StoreError> {
        let changed = Arc::clone(&self.changed);
        // Set on the writer's thread, since this future may be dropped before the change is written.
        self.write(move |db| {
            let has_changed = work(db)?;
            changed.fetch_or(has_changed, Ordering::AcqRel);
            Ok(has_changed)
        })
        .await
    }

    /// Reads for the program itself.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_for(Caller::PROGRAM, work).await
    }

    async fn read_for<T: Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reader.run(caller, work).await
    }

    /// Writes for the program itself.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_for(Caller::PROGRAM, work).await
    }

    async fn write_for<T: Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(caller, work).await
    }
}

impl Store for SqliteStore {
    fn register(&self, credentials: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            let Credentials { email, password } = credentials;
            // Checked before hashing, to fail cheaply: the response reveals the address in any case. The write checks
            // again.
            let (address, caller) = (email.clone(), Caller::limited(session.client));
            if self.read_for(caller, move |db| statements::account(db, &address)).await?.is_some() {
                return Err(StoreError::EmailTaken);
            }
            let hash = self.passwords.for_client(session.client).hash(password).await?;
            let now = now();
            let register = move |db: &mut Connection| statements::register(db, &email, &hash, &session, now);
            let added = self.write_for(caller, register).await?;
            added.map(StartedSession::new).ok_or(StoreError::EmailTaken)
        })
    }

    fn log_in(&self, credentials: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            // A log-in at the same time may have replaced the hash by one of the password's normal form, or with the
            // current parameters.
            for _ in 0..2 {
                match self.try_log_in(credentials.clone(), session).await? {
                    Some(LogInAttempt::Started(started)) => return Ok(started),
                    Some(LogInAttempt::PasswordChanged) => {}
                    None => break,
                }
            }
            Err(StoreError::InvalidCredentials)
        })
    }

    fn authenticate(&self, identity: Identity, session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            let now = now();
            let authenticate = move |db: &mut Connection| statements::authenticate(db, identity, &session, now);
            // How often a handler does this is up to the application.
            self.write_for(Caller::unlimited(session.client), authenticate).await
        })
    }

    fn resume(&self, session: TokenHash, client: Option<IpAddr>) -> StoreFuture<'_, Option<StoredSession>> {
        let now = now();
        Box::pin(self.read_for(Caller::unlimited(client), move |db| statements::session(db, &session, now)))
    }

    fn end(&self, session: TokenHash) -> StoreFuture<'_, ()> {
        Box::pin(self.write_for(Caller::unlimited(None), move |db| statements::end(db, &session)))
    }

    fn request_reset(&self, email: Email, token: TokenHash, expires: SystemTime) -> StoreFuture<'_, Option<Identity>> {
        let (now, reset) = (now(), NewReset { token, expires: to_millis(expires) });
        Box::pin(self.write(move |db| statements::request_reset(db, &email, &reset, now)))
    }

    fn set_password(
        &self,
        reset: TokenHash,
        new: Password,
        session: NewSession,
    ) -> StoreFuture<'_, Option<StartedSession>> {
        Box::pin(async move {
            let requested_at = now();
            // Checked before hashing, so that a request without a valid token is cheap. The write checks again.
            let caller = Caller::limited(session.client);
            if !self.read_for(caller, move |db| statements::has_reset(db, &reset, requested_at)).await? {
                return Ok(None);
            }
            let hash = self.passwords.for_client(session.client).hash(new).await?;
            let now = now();
            let set = move |db: &mut Connection| statements::set_password(db, &reset, &hash, &session, now);
            self.write_for(caller, set).await
        })
    }

    fn has_changed(&self) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let changed_by_others = self.writer.has_changed().await?;
            Ok(self.changed.swap(false, Ordering::AcqRel) || changed_by_others)
        })
    }

    fn health(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            // The check itself writes nothing into a file that is damaged.
            if let Some(damage) = self.file.damage() {
                return Err(StoreError::Unavailable(damage));
            }
            let read = self.reader.probe(statements::try_read).await;
            // Checks the file, and saves what only a deleted log has.
            self.write(|_| Ok(())).await?;
            read?;
            // A disk that was full may have space again, though no user has tried.
            if self.file.has_failed(Role::Writes) {
                self.writer.probe(statements::try_write).await?;
            }
            Ok(())
        })
    }
}

fn check_globs(allowed: Option<&[String]>) -> Result<(), StoreError> {
    let mut globs = allowed.into_iter().flatten();
    globs.try_for_each(|glob| super::session::parse_glob(glob).map(drop)).map_err(StoreError::Failed)
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
