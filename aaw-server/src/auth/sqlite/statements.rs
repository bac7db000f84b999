//! The operations on the database. Each is one transaction.

use aaw_protocol::Identity;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::timestamp::{from_millis, to_millis};
use super::user::User;
use crate::auth::config::Auth;
use crate::auth::email::Email;
use crate::auth::store::{NewSession, StartedSession, StoredSession};
use crate::auth::token::TokenHash;

/// The maximum number of sessions of one user; a new session ends the oldest.
const MAX_SESSIONS_PER_USER: i64 = 4096;

/// The maximum number of resets of one address that are valid at the same time; a new one ends the oldest. Not below what the
/// limits allow: otherwise a stranger could void the reset that the owner of the address has received.
const MAX_RESETS_PER_EMAIL: i64 = Auth::MAX_VALID_RESETS as i64;

/// The maximum number of expired rows that one write deletes.
const MAX_EXPIRED_PER_WRITE: i64 = 64;

/// A user with the hash of the password.
pub(super) struct StoredAccount {
    pub(super) identity: Identity,
    pub(super) password_hash: Box<str>,
}

/// A password reset to be stored.
pub(super) struct NewReset {
    pub(super) token: TokenHash,
    pub(super) expires: i64,
}

/// Begins a transaction that locks the database for writing at once, so that what it reads stays current.
fn begin_write(db: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    db.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Returns the user with this address. An address that is stored exactly as it was sent takes precedence over the one
/// with the normal form: see [`addresses`](super::addresses).
pub(super) fn account(db: &Connection, email: &Email) -> rusqlite::Result<Option<StoredAccount>> {
    let mut found = db.prepare_cached(
        "SELECT id, email, allowed, password FROM users WHERE email IN (?1, ?2) ORDER BY email = ?2 DESC LIMIT 1",
    )?;
    let account = |row: &Row<'_>| Ok(StoredAccount { identity: identity(row)?, password_hash: row.get(3)? });
    found.query_row([email.as_str(), email.as_sent()], account).optional()
}

/// Returns the user whose address is stored exactly so.
pub(super) fn account_at(db: &Connection, email: &str) -> rusqlite::Result<Option<Identity>> {
    let mut found = db.prepare_cached("SELECT id, email, allowed FROM users WHERE email = ?")?;
    found.query_row([email], identity).optional()
}

/// Adds a user; `None` if a user with this address exists.
pub(super) fn add_user(
    db: &mut Connection,
    email: &Email,
    hash: &str,
    allowed: Option<Vec<String>>,
    now: i64,
) -> rusqlite::Result<Option<Identity>> {
    let transaction = begin_write(db)?;
    let added = insert_user(&transaction, email, hash, allowed, now)?;
    transaction.commit()?;
    Ok(added)
}

/// Adds a user and starts a session; `None` if a user with this address exists.
pub(super) fn register(
    db: &mut Connection,
    email: &Email,
    hash: &str,
    session: &NewSession,
    now: i64,
) -> rusqlite::Result<Option<Identity>> {
    let transaction = begin_write(db)?;
    let Some(added) = insert_user(&transaction, email, hash, None, now)? else { return Ok(None) };
    insert_session(&transaction, session, &added.id, None, now)?;
    transaction.commit()?;
    Ok(Some(added))
}

/// Starts a session for a user whose password was verified, and replaces the hash by `new_hash` if there is one; `None`
/// if the password has changed since then, or the user was removed.
pub(super) fn start_session(
    db: &mut Connection,
    account: &StoredAccount,
    new_hash: Option<&str>,
    session: &NewSession,
    now: i64,
) -> rusqlite::Result<Option<StartedSession>> {
    let transaction = begin_write(db)?;
    let mut found = transaction.prepare_cached("SELECT id, email, allowed FROM users WHERE id = ? AND password = ?")?;
    let current = found.query_row([&*account.identity.id, &*account.password_hash], identity).optional()?;
    drop(found);
    let Some(identity) = current else { return Ok(None) };
    if let Some(hash) = new_hash {
        set_hash(&transaction, &identity.id, hash)?;
    }
    let ended = insert_session(&transaction, session, &identity.id, None, now)?;
    transaction.commit()?;
    Ok(Some(StartedSession { identity, ended }))
}

/// Starts a session for an identity that need not be a user of this store.
pub(super) fn authenticate(
    db: &mut Connection,
    identity: Identity,
    session: &NewSession,
    now: i64,
) -> rusqlite::Result<StartedSession> {
    let transaction = begin_write(db)?;
    let ended = insert_session(&transaction, session, &identity.id, Some(&identity), now)?;
    transaction.commit()?;
    Ok(StartedSession { identity, ended })
}

pub(super) fn session(db: &Connection, token: &TokenHash, now: i64) -> rusqlite::Result<Option<StoredSession>> {
    let mut found = db.prepare_cached(
        "SELECT users.id, users.email, users.allowed, sessions.expires, sessions.identity
         FROM sessions LEFT JOIN users ON users.id = sessions.user
         WHERE sessions.token = ? AND sessions.expires > ?",
    )?;
    let stored = found.query_row(params![token.as_bytes(), now], |row| {
        let identity = match row.get::<_, Option<String>>(4)? {
            Some(stored) => serde_json::from_str(&stored).ok(),
            // The user was removed.
            None if row.get_ref(0)? == rusqlite::types::ValueRef::Null => None,
            None => Some(identity(row)?),
        };
        Ok(identity.map(|identity| (identity, row.get(3))))
    });
    match stored.optional()?.flatten() {
        Some((identity, expires)) => Ok(Some(StoredSession { identity, expires: from_millis(expires?) })),
        None => Ok(None),
    }
}

pub(super) fn end(db: &Connection, token: &TokenHash) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM sessions WHERE token = ?")?.execute([token.as_bytes()])?;
    Ok(())
}

/// Stores a reset, whether or not there is such a user, and returns the user. Storing it again changes nothing: the try before
/// may have been reported as failed after its commit.
pub(super) fn request_reset(
    db: &mut Connection,
    email: &Email,
    reset: &NewReset,
    now: i64,
) -> rusqlite::Result<Option<Identity>> {
    let transaction = begin_write(db)?;
    transaction
        .prepare_cached("DELETE FROM resets WHERE token IN (SELECT token FROM resets WHERE expires <= ? LIMIT ?)")?
        .execute([now, MAX_EXPIRED_PER_WRITE])?;
    let user = account(&transaction, email)?.map(|account| account.identity);
    // By the address that is stored, by which the user is found again.
    let stored_email = user.as_ref().map_or(email.as_str(), |user| &user.email);
    transaction
        .prepare_cached(
            "DELETE FROM resets WHERE token IN
                (SELECT token FROM resets WHERE email = ? AND token <> ? ORDER BY expires DESC LIMIT -1 OFFSET ?)",
        )?
        .execute(params![stored_email, reset.token.as_bytes(), MAX_RESETS_PER_EMAIL - 1])?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO resets (token, email, expires) VALUES (?, ?, ?)")?
        .execute(params![reset.token.as_bytes(), stored_email, reset.expires])?;
    transaction.commit()?;
    Ok(user)
}

/// Writes a row and deletes it, to see whether the disk can be written. With its two indexes it takes some 200 KB, so that
/// a disk that is almost full does not alternate between full and not.
pub(super) fn try_write(db: &mut Connection) -> rusqlite::Result<()> {
    // An address that is too long to be one; expired, so the next request of a reset deletes it if this does not.
    let address = "x".repeat(64 << 10);
    db.execute("INSERT INTO resets (token, email, expires) VALUES (randomblob(32), ?, 0)", [&address])?;
    db.execute("DELETE FROM resets WHERE email = ?", [&address])?;
    Ok(())
}

/// Reads from each table, to see whether the disk can be read. What the connection has in its memory is released first, so that
/// the file is read.
pub(super) fn try_read(db: &mut Connection) -> rusqlite::Result<()> {
    db.execute_batch("PRAGMA shrink_memory")?;
    let mut any = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM users), EXISTS (SELECT 1 FROM sessions), EXISTS (SELECT 1 FROM resets)",
    )?;
    any.query_row([], |_| Ok(()))
}

pub(super) fn has_reset(db: &Connection, token: &TokenHash, now: i64) -> rusqlite::Result<bool> {
    Ok(reset_of(db, token, now)?.is_some())
}

/// Returns the user to whom a reset belongs.
fn reset_of(db: &Connection, token: &TokenHash, now: i64) -> rusqlite::Result<Option<Identity>> {
    let mut found = db.prepare_cached(
        "SELECT users.id, users.email, users.allowed FROM resets JOIN users ON users.email = resets.email
         WHERE resets.token = ? AND resets.expires > ?",
    )?;
    found.query_row(params![token.as_bytes(), now], identity).optional()
}

pub(super) fn set_password(
    db: &mut Connection,
    token: &TokenHash,
    hash: &str,
    session: &NewSession,
    now: i64,
) -> rusqlite::Result<Option<StartedSession>> {
    let transaction = begin_write(db)?;
    let Some(identity) = reset_of(&transaction, token, now)? else { return Ok(None) };
    let ended = replace_password(&transaction, &identity, hash)?;
    insert_session(&transaction, session, &identity.id, None, now)?;
    transaction.commit()?;
    Ok(Some(StartedSession { identity, ended }))
}

pub(super) fn users(db: &Connection, now: i64) -> rusqlite::Result<Vec<User>> {
    let mut all = db.prepare_cached(
        "SELECT id, email, allowed, created,
                (SELECT count(*) FROM sessions WHERE user = users.id AND expires > ?)
         FROM users ORDER BY email",
    )?;
    let users = all.query_map([now], |row| {
        let sessions = row.get::<_, i64>(4)?;
        Ok(User {
            identity: identity(row)?,
            created: from_millis(row.get(3)?),
            sessions: u64::try_from(sessions).unwrap_or(0),
        })
    })?;
    users.collect()
}

/// Sets the password of a user, and ends the user's sessions. Returns false if there is no such user.
pub(super) fn change_password(db: &mut Connection, email: &Email, hash: &str) -> rusqlite::Result<bool> {
    let transaction = begin_write(db)?;
    let Some(account) = account(&transaction, email)? else { return Ok(false) };
    replace_password(&transaction, &account.identity, hash)?;
    transaction.commit()?;
    Ok(true)
}

pub(super) fn allow(db: &mut Connection, email: &Email, allowed: Option<Vec<String>>) -> rusqlite::Result<bool> {
    let transaction = begin_write(db)?;
    let Some(account) = account(&transaction, email)? else { return Ok(false) };
    transaction
        .prepare_cached("UPDATE users SET allowed = ? WHERE id = ?")?
        .execute(params![allowed.map(to_json), account.identity.id])?;
    transaction.commit()?;
    Ok(true)
}

pub(super) fn remove_user(db: &mut Connection, email: &Email) -> rusqlite::Result<bool> {
    let transaction = begin_write(db)?;
    let Some(StoredAccount { identity, .. }) = account(&transaction, email)? else { return Ok(false) };
    end_all(&transaction, &identity.id)?;
    transaction.prepare_cached("DELETE FROM resets WHERE email = ?")?.execute([&identity.email])?;
    transaction.prepare_cached("DELETE FROM users WHERE id = ?")?.execute([&identity.id])?;
    transaction.commit()?;
    Ok(true)
}

/// Sets the password of a user, deletes the user's resets, and ends the user's sessions, which are returned.
fn replace_password(transaction: &Transaction<'_>, user: &Identity, hash: &str) -> rusqlite::Result<Vec<TokenHash>> {
    transaction.prepare_cached("DELETE FROM resets WHERE email = ?")?.execute([&user.email])?;
    set_hash(transaction, &user.id, hash)?;
    end_all(transaction, &user.id)
}

fn set_hash(transaction: &Transaction<'_>, user: &str, hash: &str) -> rusqlite::Result<()> {
    transaction.prepare_cached("UPDATE users SET password = ? WHERE id = ?")?.execute([hash, user])?;
    Ok(())
}

fn insert_user(
    transaction: &Transaction<'_>,
    email: &Email,
    hash: &str,
    allowed: Option<Vec<String>>,
    now: i64,
) -> rusqlite::Result<Option<Identity>> {
    if account(transaction, email)?.is_some() {
        return Ok(None);
    }
    let id = uuid::Uuid::new_v4().to_string();
    transaction
        .prepare_cached("INSERT INTO users (id, email, password, allowed, created) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![id, email.as_str(), hash, allowed.clone().map(to_json), now])?;
    Ok(Some(new_identity(id, email.as_str().into(), allowed)))
}

/// Adds a session, and returns the sessions that were ended in exchange.
fn insert_session(
    transaction: &Transaction<'_>,
    session: &NewSession,
    user: &str,
    identity: Option<&Identity>,
    now: i64,
) -> rusqlite::Result<Vec<TokenHash>> {
    transaction
        .prepare_cached("DELETE FROM sessions WHERE token IN (SELECT token FROM sessions WHERE expires <= ? LIMIT ?)")?
        .execute([now, MAX_EXPIRED_PER_WRITE])?;
    let mut delete_oldest = transaction.prepare_cached(
        "DELETE FROM sessions WHERE token IN
            (SELECT token FROM sessions WHERE user = ? ORDER BY created DESC LIMIT -1 OFFSET ?)
         RETURNING token",
    )?;
    let ended =
        delete_oldest.query_map(params![user, MAX_SESSIONS_PER_USER - 1], token)?.collect::<rusqlite::Result<_>>()?;
    let identity = identity.map(|identity| serde_json::to_string(identity).unwrap_or_default());
    transaction
        .prepare_cached("INSERT INTO sessions (token, user, identity, created, expires) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![session.token.as_bytes(), user, identity, now, to_millis(session.expires)])?;
    Ok(ended)
}

fn end_all(transaction: &Transaction<'_>, user: &str) -> rusqlite::Result<Vec<TokenHash>> {
    let mut all = transaction.prepare_cached("DELETE FROM sessions WHERE user = ? RETURNING token")?;
    all.query_map([user], token)?.collect()
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenHash> {
    Ok(TokenHash::from_bytes(row.get(0)?))
}

/// Reads an identity from the first three columns: `id`, `email`, `allowed`. An invalid list allows nothing.
fn identity(row: &Row<'_>) -> rusqlite::Result<Identity> {
    let allowed: Option<String> = row.get(2)?;
    let allowed = allowed.map(|globs| serde_json::from_str(&globs).unwrap_or_default());
    Ok(new_identity(row.get(0)?, row.get(1)?, allowed))
}

fn new_identity(id: String, email: String, allowed: Option<Vec<String>>) -> Identity {
    let mut identity = Identity::new(id, email);
    identity.allowed = allowed;
    identity
}

fn to_json(globs: Vec<String>) -> String {
    // Serializing strings cannot fail.
    serde_json::to_string(&globs).unwrap_or_default()
}
