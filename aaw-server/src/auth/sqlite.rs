//! The store that comes with it: users, sessions and resets in an SQLite file.
//!
//! Two threads of its own, each with a connection: one reads, one writes. So whoever resumes a session does not wait
//! behind a write, be it one that waits for another program's lock. What waits for either is bounded.

mod open;
mod statements;
#[cfg(test)]
mod tests;
mod thread;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use super::Identity;
use super::email::Email;
use super::passwords::Passwords;
use super::store::{Credentials, NewSession, Password, StartedSession, Store, StoreError, StoreFuture, StoredSession};
use super::token::TokenHash;
pub use open::OpenError;
use statements::Reset;
use thread::Thread;

/// Users, sessions and resets in an SQLite file. Passwords are kept as Argon2id, tokens as their SHA-256.
///
/// The file can be used by several programs at the same time; what `aaw-server user` changes in it reaches a server that
/// runs within about a second.
#[derive(Clone)]
pub struct SqliteStore {
    reader: Thread,
    writer: Thread,
    passwords: Passwords,
    /// Whether a user was changed through this: no other connection to the file has written then.
    changed: Arc<AtomicBool>,
}

/// A user, as an administrator sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// Who it is.
    pub identity: Identity,
    /// Since when.
    pub created: SystemTime,
    /// How many sessions they have.
    pub sessions: u64,
}

impl SqliteStore {
    /// Opens a file, or makes it, readable and writable for this system user alone.
    ///
    /// # Errors
    /// [`OpenError`]: it cannot be opened, is no database, or one of something else, or of a newer aaw.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, Passwords::default()).await
    }

    /// The same, with passwords hashed by these.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(path: impl AsRef<Path>, passwords: Passwords) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let writer = open::open(&path)?;
            let reader = open::open(&path)?;
            Ok((reader, writer))
        });
        let (reader, writer) = opened.await.map_err(|error| OpenError::Io(std::io::Error::other(error)))??;
        let (reader, writer) = (Thread::start("aaw-auth-read", reader)?, Thread::start("aaw-auth-write", writer)?);
        Ok(Self { reader, writer, passwords, changed: Arc::default() })
    }

    /// Adds a user, without a session.
    ///
    /// # Errors
    /// [`StoreError::EmailTaken`] if there is one of this address; [`StoreError::Failed`], also for a glob that is none.
    pub async fn add_user(
        &self,
        email: Email,
        password: Password,
        allowed: Option<Vec<String>>,
    ) -> Result<Identity, StoreError> {
        check(allowed.as_deref())?;
        let hash = self.passwords.hash(password).await?;
        let now = now();
        self.write(move |db| statements::add_user(db, &email, &hash, allowed, now)).await?.ok_or(StoreError::EmailTaken)
    }

    /// All users, by their addresses.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let now = now();
        self.read(move |db| statements::users(db, now)).await
    }

    /// Says what a user may call: all protected events, or what one of these globs matches. False if there is no such
    /// user. Connections that they have learn of it.
    ///
    /// # Errors
    /// [`StoreError::Failed`], also for a glob that is none.
    pub async fn allow(&self, email: Email, allowed: Option<Vec<String>>) -> Result<bool, StoreError> {
        check(allowed.as_deref())?;
        self.change(move |db| statements::allow(db, &email, allowed)).await
    }

    /// Removes a user, and with them their sessions. False if there is no such user. Connections that they have learn of
    /// it.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub async fn remove_user(&self, email: Email) -> Result<bool, StoreError> {
        self.change(move |db| statements::remove_user(db, &email)).await
    }

    /// Writes what sessions in use have to be looked at again for.
    async fn change(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<bool> + Send + 'static,
    ) -> Result<bool, StoreError> {
        let changed = Arc::clone(&self.changed);
        // Where it is done, and not where it is waited for: nobody may by then.
        self.write(move |db| {
            let done = work(db)?;
            changed.fetch_or(done, Ordering::AcqRel);
            Ok(done)
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reader.run(work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.run(work).await
    }
}

impl Store for SqliteStore {
    fn register(&self, who: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            let Credentials { email, password } = who;
            // Before the work: it is answered anyway. Whether it is still so is seen when it is written.
            let known = email.clone();
            if self.read(move |db| statements::account(db, &known)).await?.is_some() {
                return Err(StoreError::EmailTaken);
            }
            let hash = self.passwords.hash(password).await?;
            let now = now();
            let added = self.write(move |db| statements::register(db, &email, &hash, &session, now)).await?;
            added.map(StartedSession::new).ok_or(StoreError::EmailTaken)
        })
    }

    fn log_in(&self, who: Credentials, session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            let Credentials { email, password } = who;
            let account = self.read(move |db| statements::account(db, &email)).await?;
            let kept = account.as_ref().map(|account| &*account.password);
            let is_right = self.passwords.verify(password, kept).await?;
            let Some(account) = account.filter(|_| is_right) else { return Err(StoreError::InvalidCredentials) };
            let now = now();
            let began = self.write(move |db| statements::begin(db, &account, &session, now)).await?;
            // The password was set anew, or the user removed, while it was checked.
            began.ok_or(StoreError::InvalidCredentials)
        })
    }

    fn authenticate(&self, who: Identity, session: NewSession) -> StoreFuture<'_, StartedSession> {
        Box::pin(async move {
            let now = now();
            self.write(move |db| statements::authenticate(db, who, &session, now)).await
        })
    }

    fn resume(&self, session: TokenHash) -> StoreFuture<'_, Option<StoredSession>> {
        let now = now();
        Box::pin(self.read(move |db| statements::session(db, &session, now)))
    }

    fn end(&self, session: TokenHash) -> StoreFuture<'_, ()> {
        Box::pin(self.write(move |db| statements::end(db, &session)))
    }

    fn request_reset(&self, email: Email, token: TokenHash, expires: SystemTime) -> StoreFuture<'_, Option<Identity>> {
        let (now, reset) = (now(), Reset { token, expires: millis(expires) });
        Box::pin(self.write(move |db| statements::request_reset(db, &email, &reset, now)))
    }

    fn set_password(
        &self,
        reset: TokenHash,
        new: Password,
        session: NewSession,
    ) -> StoreFuture<'_, Option<StartedSession>> {
        Box::pin(async move {
            let asked = now();
            // Before the work, which somebody without a token is not worth.
            if !self.read(move |db| statements::has_reset(db, &reset, asked)).await? {
                return Ok(None);
            }
            let hash = self.passwords.hash(new).await?;
            let now = now();
            self.write(move |db| statements::set_password(db, &reset, &hash, &session, now)).await
        })
    }

    fn has_changed(&self) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let by_others = self.writer.has_changed().await?;
            Ok(self.changed.swap(false, Ordering::AcqRel) || by_others)
        })
    }
}

fn check(allowed: Option<&[String]>) -> Result<(), StoreError> {
    let mut globs = allowed.into_iter().flatten();
    globs.try_for_each(|glob| super::session::parse_glob(glob).map(drop)).map_err(StoreError::Failed)
}

/// Milliseconds since 1970, as times are kept.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn now() -> i64 {
    millis(SystemTime::now())
}

fn time(millis: i64) -> SystemTime {
    let since = std::time::Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
