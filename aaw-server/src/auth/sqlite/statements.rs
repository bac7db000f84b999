//! What is asked of the database. Each is one transaction: done wholly, or not at all.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::{User, millis, time};
use crate::auth::{Email, Identity, NewSession, StartedSession, StoredSession, TokenHash};

/// Sessions that one user may have; the oldest end for new ones.
const SESSIONS: i64 = 4096;

/// Expired rows that one write takes along.
const SWEEP: i64 = 64;

/// A user, for those who check passwords.
pub(super) struct Account {
    pub(super) identity: Identity,
    pub(super) password: Box<str>,
}

/// A reset that is to be kept.
pub(super) struct Reset {
    pub(super) token: TokenHash,
    pub(super) expires: i64,
}

/// What is kept, from when it is written: nobody else writes meanwhile.
fn begin_write(db: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    db.transaction_with_behavior(TransactionBehavior::Immediate)
}

pub(super) fn account(db: &Connection, email: &Email) -> rusqlite::Result<Option<Account>> {
    let mut found = db.prepare_cached("SELECT id, email, allowed, password FROM users WHERE email = ?")?;
    found.query_row([email.as_str()], |row| Ok(Account { identity: identity(row)?, password: row.get(3)? })).optional()
}

/// Nothing if there is a user of this address.
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

/// The same, with a session.
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

/// Begins a session of a user who still has the password that was checked.
pub(super) fn begin(
    db: &mut Connection,
    account: &Account,
    session: &NewSession,
    now: i64,
) -> rusqlite::Result<Option<StartedSession>> {
    let transaction = begin_write(db)?;
    let mut found = transaction.prepare_cached("SELECT id, email, allowed FROM users WHERE id = ? AND password = ?")?;
    let still = found.query_row([&*account.identity.id, &*account.password], identity).optional()?;
    drop(found);
    let Some(identity) = still else { return Ok(None) };
    let ended = insert_session(&transaction, session, &identity.id, None, now)?;
    transaction.commit()?;
    Ok(Some(StartedSession { identity, ended }))
}

/// Begins a session of somebody who need not be a user of ours.
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
            Some(given) => serde_json::from_str(&given).ok(),
            // The user was removed.
            None if row.get_ref(0)? == rusqlite::types::ValueRef::Null => None,
            None => Some(identity(row)?),
        };
        Ok(identity.map(|identity| (identity, row.get(3))))
    });
    match stored.optional()?.flatten() {
        Some((identity, expires)) => Ok(Some(StoredSession { identity, expires: time(expires?) })),
        None => Ok(None),
    }
}

pub(super) fn end(db: &Connection, token: &TokenHash) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM sessions WHERE token = ?")?.execute([token.as_bytes()])?;
    Ok(())
}

/// Keeps a reset, be there such a user or not.
pub(super) fn request_reset(
    db: &mut Connection,
    email: &Email,
    reset: &Reset,
    now: i64,
) -> rusqlite::Result<Option<Identity>> {
    let transaction = begin_write(db)?;
    transaction
        .prepare_cached("DELETE FROM resets WHERE token IN (SELECT token FROM resets WHERE expires <= ? LIMIT ?)")?
        .execute([now, SWEEP])?;
    transaction
        .prepare_cached("INSERT OR REPLACE INTO resets (token, email, expires) VALUES (?, ?, ?)")?
        .execute(params![reset.token.as_bytes(), email.as_str(), reset.expires])?;
    let known = account(&transaction, email)?.map(|account| account.identity);
    transaction.commit()?;
    Ok(known)
}

pub(super) fn has_reset(db: &Connection, token: &TokenHash, now: i64) -> rusqlite::Result<bool> {
    Ok(reset_of(db, token, now)?.is_some())
}

/// The user whose reset this is.
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
    transaction.prepare_cached("DELETE FROM resets WHERE email = ?")?.execute([&identity.email])?;
    transaction.prepare_cached("UPDATE users SET password = ? WHERE id = ?")?.execute([hash, &identity.id])?;
    let ended = end_all(&transaction, &identity.id)?;
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
            created: time(row.get(3)?),
            sessions: u64::try_from(sessions).unwrap_or(0),
        })
    })?;
    users.collect()
}

pub(super) fn allow(db: &mut Connection, email: &Email, allowed: Option<Vec<String>>) -> rusqlite::Result<bool> {
    let changed = db
        .prepare_cached("UPDATE users SET allowed = ? WHERE email = ?")?
        .execute(params![allowed.map(json), email.as_str()])?;
    Ok(changed > 0)
}

pub(super) fn remove_user(db: &mut Connection, email: &Email) -> rusqlite::Result<bool> {
    let transaction = begin_write(db)?;
    let Some(account) = account(&transaction, email)? else { return Ok(false) };
    end_all(&transaction, &account.identity.id)?;
    transaction.prepare_cached("DELETE FROM resets WHERE email = ?")?.execute([email.as_str()])?;
    transaction.prepare_cached("DELETE FROM users WHERE id = ?")?.execute([&account.identity.id])?;
    transaction.commit()?;
    Ok(true)
}

fn insert_user(
    transaction: &Transaction<'_>,
    email: &Email,
    hash: &str,
    allowed: Option<Vec<String>>,
    now: i64,
) -> rusqlite::Result<Option<Identity>> {
    let id = uuid::Uuid::new_v4().to_string();
    let added = transaction
        .prepare_cached(
            "INSERT INTO users (id, email, password, allowed, created) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (email) DO NOTHING",
        )?
        .execute(params![id, email.as_str(), hash, allowed.clone().map(json), now])?;
    Ok((added > 0).then(|| somebody(id, email.as_str().into(), allowed)))
}

/// Gives back what ended for it.
fn insert_session(
    transaction: &Transaction<'_>,
    session: &NewSession,
    user: &str,
    identity: Option<&Identity>,
    now: i64,
) -> rusqlite::Result<Vec<TokenHash>> {
    transaction
        .prepare_cached("DELETE FROM sessions WHERE token IN (SELECT token FROM sessions WHERE expires <= ? LIMIT ?)")?
        .execute([now, SWEEP])?;
    let mut oldest = transaction.prepare_cached(
        "DELETE FROM sessions WHERE token IN
            (SELECT token FROM sessions WHERE user = ? ORDER BY created DESC LIMIT -1 OFFSET ?)
         RETURNING token",
    )?;
    let ended = oldest.query_map(params![user, SESSIONS - 1], token)?.collect::<rusqlite::Result<_>>()?;
    let identity = identity.map(|identity| serde_json::to_string(identity).unwrap_or_default());
    transaction
        .prepare_cached("INSERT INTO sessions (token, user, identity, created, expires) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![session.token.as_bytes(), user, identity, now, millis(session.expires)])?;
    Ok(ended)
}

fn end_all(transaction: &Transaction<'_>, user: &str) -> rusqlite::Result<Vec<TokenHash>> {
    let mut all = transaction.prepare_cached("DELETE FROM sessions WHERE user = ? RETURNING token")?;
    all.query_map([user], token)?.collect()
}

fn token(row: &Row<'_>) -> rusqlite::Result<TokenHash> {
    Ok(TokenHash::from_bytes(row.get(0)?))
}

/// Of `id`, `email`, `allowed`, in front of all else. A list that cannot be read allows nothing.
fn identity(row: &Row<'_>) -> rusqlite::Result<Identity> {
    let allowed: Option<String> = row.get(2)?;
    let allowed = allowed.map(|globs| serde_json::from_str(&globs).unwrap_or_default());
    Ok(somebody(row.get(0)?, row.get(1)?, allowed))
}

fn somebody(id: String, email: String, allowed: Option<Vec<String>>) -> Identity {
    let mut identity = Identity::new(id, email);
    identity.allowed = allowed;
    identity
}

fn json(globs: Vec<String>) -> String {
    // Texts always serialise.
    serde_json::to_string(&globs).unwrap_or_default()
}
