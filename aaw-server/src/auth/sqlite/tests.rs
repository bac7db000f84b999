//! The store by itself, over a file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Connection, TransactionBehavior};

use super::*;
use crate::auth::PasswordsConfig;
use crate::auth::token::{TokenHash, random_token};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("auth.sqlite")
    }

    async fn store(&self) -> SqliteStore {
        let config = PasswordsConfig { memory: 64, passes: 1, threads: 1, waiting: 100 };
        SqliteStore::open_with(self.file(), Passwords::new(&config).unwrap()).await.unwrap()
    }
}

fn session() -> NewSession {
    NewSession::new(TokenHash::of(&random_token()), SystemTime::now() + Duration::from_secs(60))
}

fn ada(password: &str) -> Credentials {
    Credentials::new(email(), Password::new(password))
}

fn email() -> Email {
    Email::parse("ada@example.com").unwrap()
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone_and_so_is_what_lies_beside_it() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.register(ada("x"), session()).await.unwrap();
    for entry in std::fs::read_dir(folder.0.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn what_was_kept_is_there_when_it_is_opened_again() {
    let folder = Folder::new();
    let (first, second) = (session(), session());
    let store = folder.store().await;
    let id = store.register(ada("x"), first).await.unwrap().identity.id;
    drop(store);
    let store = folder.store().await;
    assert_eq!(store.resume(first.token).await.unwrap().unwrap().identity, Identity::new(&id, "ada@example.com"));
    assert_eq!(store.log_in(ada("x"), second).await.unwrap().identity.id, id);
    store.end(first.token).await.unwrap();
    assert!(store.resume(first.token).await.unwrap().is_none());
    assert!(store.resume(second.token).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_of_something_else_is_left_alone() {
    let folder = Folder::new();
    std::fs::write(folder.file(), "this is no database, and long enough to be looked at as one".repeat(100)).unwrap();
    let error = SqliteStore::open(folder.file()).await.unwrap_err();
    assert!(matches!(error, OpenError::Sqlite { .. }), "{error}");

    std::fs::remove_file(folder.file()).unwrap();
    Connection::open(folder.file()).unwrap().execute_batch("CREATE TABLE orders (id INTEGER)").unwrap();
    let error = SqliteStore::open(folder.file()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotOurs(_)), "{error}");
    let tables = Connection::open(folder.file()).unwrap();
    let count: i64 = tables.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);

    let folder = Folder::new();
    drop(folder.store().await);
    Connection::open(folder.file()).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let error = SqliteStore::open(folder.file()).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { form: 2, .. }), "{error}");
    let error = SqliteStore::open(folder.0.path().join("no/such/folder")).await.unwrap_err();
    assert!(matches!(error, OpenError::Io(_)) && error.to_string().contains("no/such/folder"), "{error}");
}

#[tokio::test]
async fn while_another_program_has_it_locked_reading_goes_on_and_writing_fails_wholly() {
    let folder = Folder::new();
    let store = folder.store().await;
    let first = session();
    store.register(ada("x"), first).await.unwrap();
    let mut other = Connection::open(folder.file()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    lock.execute("UPDATE users SET created = 0", []).unwrap();
    let begun = Instant::now();
    let second = session();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.log_in(ada("x"), second).await }
    });
    // Meanwhile, and not behind it.
    assert!(store.resume(first.token).await.unwrap().is_some());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let failed = waiting.await.unwrap().unwrap_err();
    assert!(matches!(&failed, StoreError::Failed(what) if what.contains("locked")), "{failed}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    lock.rollback().unwrap();
    assert!(store.resume(second.token).await.unwrap().is_none(), "nothing half written");
    store.log_in(ada("x"), second).await.unwrap();
}

#[tokio::test]
async fn a_password_that_is_set_anew_while_the_old_one_is_checked_lets_nobody_in() {
    let folder = Folder::new();
    let store = folder.store().await;
    let old = session();
    store.register(ada("old"), old).await.unwrap();
    let account = store.read(|db| statements::account(db, &email())).await.unwrap().unwrap();
    let (reset, set, late) = (TokenHash::of(&random_token()), session(), session());
    let expires = SystemTime::now() + Duration::from_secs(60);
    store.request_reset(email(), reset, expires).await.unwrap().unwrap();
    let began = store.set_password(reset, Password::new("new"), set).await.unwrap().unwrap();
    assert_eq!(began.ended, [old.token]);
    let begun = store.write(move |db| statements::begin(db, &account, &late, now())).await.unwrap();
    assert!(begun.is_none());
    assert!(store.resume(late.token).await.unwrap().is_none());
    assert!(store.resume(set.token).await.unwrap().is_some());
}

#[tokio::test]
async fn of_two_who_set_a_password_with_one_reset_one_does() {
    let folder = Folder::new();
    let store = folder.store().await;
    store.register(ada("old"), session()).await.unwrap();
    let reset = TokenHash::of(&random_token());
    store.request_reset(email(), reset, SystemTime::now() + Duration::from_secs(60)).await.unwrap().unwrap();
    let set = |password| store.set_password(reset, Password::new(password), session());
    let (a, b) = tokio::join!(set("a"), set("b"));
    assert_ne!(a.unwrap().is_some(), b.unwrap().is_some());
}

#[tokio::test]
async fn a_reset_for_an_address_that_nobody_has_is_kept_and_good_for_nothing() {
    let folder = Folder::new();
    let store = folder.store().await;
    let reset = TokenHash::of(&random_token());
    let expires = SystemTime::now() + Duration::from_secs(60);
    assert_eq!(store.request_reset(email(), reset, expires).await.unwrap(), None);
    let kept: i64 = store.read(|db| db.query_row("SELECT count(*) FROM resets", [], |row| row.get(0))).await.unwrap();
    assert_eq!(kept, 1, "the work is the same");
    assert!(store.set_password(reset, Password::new("x"), session()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_user_has_only_so_many_sessions_and_what_has_expired_goes() {
    let folder = Folder::new();
    let store = folder.store().await;
    let id = store.register(ada("x"), session()).await.unwrap().identity.id;
    let fill = move |db: &mut Connection| {
        let transaction = db.transaction()?;
        for n in 0..5000_i64 {
            transaction.execute(
                "INSERT INTO sessions (token, user, created, expires) VALUES (randomblob(32), ?, ?, ?)",
                rusqlite::params![id, n, i64::MAX],
            )?;
        }
        transaction.execute("INSERT INTO sessions VALUES (randomblob(32), 'gone', NULL, 1, 2)", [])?;
        transaction.commit()
    };
    store.write(fill).await.unwrap();
    let began = store.log_in(ada("x"), session()).await.unwrap();
    assert_eq!(began.ended.len(), 5001 - 4095);
    let left: i64 = store.read(|db| db.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))).await.unwrap();
    assert_eq!(left, 4096);
}

#[tokio::test]
async fn what_another_program_changes_is_noticed_once() {
    let folder = Folder::new();
    let store = folder.store().await;
    assert!(!store.has_changed().await.unwrap());
    store.register(ada("x"), session()).await.unwrap();
    assert!(!store.has_changed().await.unwrap(), "its own changes are none of another's");
    let other = folder.store().await;
    assert!(other.allow(email(), Some(vec!["auth/x".into()])).await.unwrap());
    assert!(store.has_changed().await.unwrap());
    assert!(!store.has_changed().await.unwrap());
    assert!(matches!(other.allow(email(), Some(vec!["auth/{".into()])).await, Err(StoreError::Failed(_))));
}

#[tokio::test]
async fn an_administrator_sees_adds_and_removes_users() {
    let folder = Folder::new();
    let store = folder.store().await;
    let added = store.add_user(email(), Password::new("x"), Some(vec!["auth/*".into()])).await.unwrap();
    let again = store.add_user(email(), Password::new("y"), None).await;
    assert!(matches!(again, Err(StoreError::EmailTaken)));
    let kept = session();
    store.log_in(ada("x"), kept).await.unwrap();
    let users = store.users().await.unwrap();
    assert_eq!((users.len(), &users[0].identity, users[0].sessions), (1, &added, 1));
    assert!(store.remove_user(email()).await.unwrap());
    assert!(store.resume(kept.token).await.unwrap().is_none());
    assert!(matches!(store.log_in(ada("x"), session()).await, Err(StoreError::InvalidCredentials)));
}
