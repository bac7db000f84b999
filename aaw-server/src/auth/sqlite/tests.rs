//! Tests of the store with a file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use rusqlite::{Connection, TransactionBehavior};

use super::addresses::AddressCollision;
use super::*;
use crate::auth::password_hasher::hash_as_sent;
use crate::auth::token::{TokenHash, random_token};
use crate::auth::{Auth, PasswordHasherConfig};

struct StoreFolder(tempfile::TempDir);

impl StoreFolder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("auth.sqlite")
    }

    async fn store(&self) -> SqliteStore {
        let config = PasswordHasherConfig { memory_kib: 64, iterations: 1, threads: 1, max_queued_hashes: 100 };
        SqliteStore::open_with(self.file(), PasswordHasher::new(&config).unwrap()).await.unwrap()
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
async fn the_file_and_its_auxiliary_files_are_accessible_to_their_owner_only() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    store.register(ada("x"), session()).await.unwrap();
    for entry in std::fs::read_dir(folder.0.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn users_and_sessions_persist_when_the_store_is_reopened() {
    let folder = StoreFolder::new();
    let (first, second) = (session(), session());
    let store = folder.store().await;
    let id = store.register(ada("x"), first).await.unwrap().identity.id;
    drop(store);
    let store = folder.store().await;
    assert_eq!(store.resume(first.token, None).await.unwrap().unwrap().identity, Identity::new(&id, "ada@example.com"));
    assert_eq!(store.log_in(ada("x"), second).await.unwrap().identity.id, id);
    store.end(first.token).await.unwrap();
    assert!(store.resume(first.token, None).await.unwrap().is_none());
    assert!(store.resume(second.token, None).await.unwrap().is_some());
}

#[tokio::test]
async fn a_log_in_replaces_a_hash_with_other_parameters() {
    let folder = StoreFolder::new();
    folder.store().await.register(ada("x"), session()).await.unwrap();
    let config = PasswordHasherConfig { memory_kib: 128, iterations: 2, threads: 1, max_queued_hashes: 100 };
    let store = SqliteStore::open_with(folder.file(), PasswordHasher::new(&config).unwrap()).await.unwrap();
    let stored = || async {
        let stored = store.read(|db| statements::account(db, &email())).await.unwrap();
        stored.expect("the user").password_hash.to_string()
    };
    let (before, wrong) = (stored().await, store.log_in(ada("y"), session()).await);
    assert!(before.contains("m=64,t=1") && matches!(wrong, Err(StoreError::InvalidCredentials)), "{before}");
    assert_eq!(stored().await, before);
    store.log_in(ada("x"), session()).await.unwrap();
    let after = stored().await;
    assert!(after.contains("m=128,t=2"), "{after}");
    store.log_in(ada("x"), session()).await.unwrap();
    assert_eq!(stored().await, after);
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_rejected_and_not_changed() {
    let folder = StoreFolder::new();
    std::fs::write(folder.file(), "this is not a database, but long enough to be read as one".repeat(100)).unwrap();
    let error = SqliteStore::open(folder.file()).await.unwrap_err();
    assert!(matches!(error, StoreOpenError::Sqlite { .. }), "{error}");

    std::fs::remove_file(folder.file()).unwrap();
    Connection::open(folder.file()).unwrap().execute_batch("CREATE TABLE orders (id INTEGER)").unwrap();
    let error = SqliteStore::open(folder.file()).await.unwrap_err();
    assert!(matches!(error, StoreOpenError::ForeignDatabase(_)), "{error}");
    let tables = Connection::open(folder.file()).unwrap();
    let count: i64 = tables.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);

    let folder = StoreFolder::new();
    drop(folder.store().await);
    Connection::open(folder.file()).unwrap().pragma_update(None, "user_version", 3).unwrap();
    let error = SqliteStore::open(folder.file()).await.unwrap_err();
    assert!(matches!(error, StoreOpenError::NewerVersion { schema_version: 3, .. }), "{error}");
    let error = SqliteStore::open(folder.0.path().join("no/such/folder")).await.unwrap_err();
    assert!(matches!(error, StoreOpenError::Io(_)) && error.to_string().contains("no/such/folder"), "{error}");
}

#[tokio::test]
async fn while_another_program_holds_the_lock_reads_succeed_and_writes_fail_completely() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let first = session();
    store.register(ada("x"), first).await.unwrap();
    let mut other = Connection::open(folder.file()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    lock.execute("UPDATE users SET created = 0", []).unwrap();
    let start = Instant::now();
    let second = session();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.log_in(ada("x"), second).await }
    });
    // A read does not wait behind the write.
    assert!(store.resume(first.token, None).await.unwrap().is_some());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let failed = waiting.await.unwrap().unwrap_err();
    assert!(matches!(&failed, StoreError::Failed(what) if what.contains("locked")), "{failed}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    lock.rollback().unwrap();
    assert!(store.resume(second.token, None).await.unwrap().is_none(), "the failed write left nothing behind");
    store.log_in(ada("x"), second).await.unwrap();
}

#[tokio::test]
async fn a_log_in_fails_if_the_password_changes_while_it_is_verified() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let old = session();
    store.register(ada("old"), old).await.unwrap();
    let account = store.read(|db| statements::account(db, &email())).await.unwrap().unwrap();
    let (reset, set, late) = (TokenHash::of(&random_token()), session(), session());
    let expires = SystemTime::now() + Duration::from_secs(60);
    store.request_reset(email(), reset, expires).await.unwrap().unwrap();
    let started = store.set_password(reset, Password::new("new"), set).await.unwrap().unwrap();
    assert_eq!(started.ended, [old.token]);
    let late_start = store.write(move |db| statements::start_session(db, &account, None, &late, now())).await.unwrap();
    assert!(late_start.is_none());
    assert!(store.resume(late.token, None).await.unwrap().is_none());
    assert!(store.resume(set.token, None).await.unwrap().is_some());
}

#[tokio::test]
async fn a_reset_can_be_used_only_once() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    store.register(ada("old"), session()).await.unwrap();
    let reset = TokenHash::of(&random_token());
    store.request_reset(email(), reset, SystemTime::now() + Duration::from_secs(60)).await.unwrap().unwrap();
    let set = |password| store.set_password(reset, Password::new(password), session());
    let (a, b) = tokio::join!(set("a"), set("b"));
    assert_ne!(a.unwrap().is_some(), b.unwrap().is_some());
}

async fn request(store: &SqliteStore, lifetime: u64) -> TokenHash {
    let reset = TokenHash::of(&random_token());
    let expires = SystemTime::now() + Duration::from_secs(lifetime);
    store.request_reset(email(), reset, expires).await.unwrap().unwrap();
    reset
}

#[tokio::test]
async fn the_newest_resets_of_an_address_are_valid_and_one_that_is_used_voids_the_others() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    store.register(ada("old"), session()).await.unwrap();
    let mut resets = vec![request(&store, 60).await, request(&store, 61).await];
    let max = Auth::MAX_VALID_RESETS as i64;
    let fill = move |db: &mut Connection| {
        let sql = "WITH RECURSIVE n(n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
                   INSERT INTO resets SELECT randomblob(32), 'ada@example.com', ? FROM n";
        db.execute(sql, [max, to_millis(SystemTime::now() + Duration::from_secs(62))])
    };
    assert_eq!(store.write(fill).await.unwrap() as i64, max - 2);
    let has = async |reset| store.read(move |db| statements::has_reset(db, &reset, now())).await.unwrap();
    assert!(has(resets[0]).await, "there are as many as may be");
    resets.push(request(&store, 63).await);
    assert!(!has(resets[0]).await, "there are as many newer ones");
    let set = |reset| store.set_password(reset, Password::new("new"), session());
    assert!(set(resets[1]).await.unwrap().is_some());
    assert!(!has(resets[2]).await);
}

#[tokio::test]
async fn a_reset_that_is_requested_again_is_stored_once_and_voids_no_other() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    store.register(ada("old"), session()).await.unwrap();
    let mut resets = Vec::new();
    for n in 0..8 {
        resets.push(request(&store, 60 + n).await);
    }
    // The first try was stored, though it was reported as failed.
    let expires = SystemTime::now() + Duration::from_secs(100);
    for _ in 0..3 {
        store.request_reset(email(), resets[7], expires).await.unwrap().unwrap();
    }
    for reset in &resets {
        let reset = *reset;
        assert!(store.read(move |db| statements::has_reset(db, &reset, now())).await.unwrap());
    }
    assert!(store.set_password(resets[7], Password::new("new"), session()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_of_the_first_version_is_migrated_with_its_resets() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    store.register(ada("old"), session()).await.unwrap();
    let kept = request(&store, 60).await;
    drop(store);
    // The table as version 1 made it.
    let old = Connection::open(folder.file()).unwrap();
    old.execute_batch(
        "ALTER TABLE resets RENAME TO new;
         CREATE TABLE resets (token BLOB PRIMARY KEY, email TEXT NOT NULL UNIQUE, expires INTEGER NOT NULL)
             STRICT, WITHOUT ROWID;
         INSERT INTO resets SELECT * FROM new;
         DROP TABLE new;
         CREATE INDEX resets_by_end ON resets (expires);
         PRAGMA user_version = 1;",
    )
    .unwrap();

    let store = folder.store().await;
    let newer = request(&store, 61).await;
    // A server of the previous version that still has the file open.
    old.execute("INSERT OR REPLACE INTO resets (token, email, expires) VALUES (randomblob(32), 'bob@b.c', 1)", [])
        .unwrap();
    assert_eq!(old.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0)).unwrap(), 2);
    let both = |token| store.read(move |db| statements::has_reset(db, &token, now()));
    assert!(both(kept).await.unwrap() && both(newer).await.unwrap());
    assert!(store.set_password(kept, Password::new("new"), session()).await.unwrap().is_some());
    drop(store);
    // It is opened again without a change.
    folder.store().await.log_in(ada("new"), session()).await.unwrap();
}

#[tokio::test]
async fn a_reset_for_an_unknown_address_is_stored_and_useless() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let reset = TokenHash::of(&random_token());
    let expires = SystemTime::now() + Duration::from_secs(60);
    assert_eq!(store.request_reset(email(), reset, expires).await.unwrap(), None);
    let kept: i64 = store.read(|db| db.query_row("SELECT count(*) FROM resets", [], |row| row.get(0))).await.unwrap();
    assert_eq!(kept, 1, "the work is the same as for a known address");
    assert!(store.set_password(reset, Password::new("x"), session()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_number_of_sessions_per_user_is_bounded_and_expired_ones_are_deleted() {
    let folder = StoreFolder::new();
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
    let started = store.log_in(ada("x"), session()).await.unwrap();
    assert_eq!(started.ended.len(), 5001 - 4095);
    let left: i64 = store.read(|db| db.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))).await.unwrap();
    assert_eq!(left, 4096);
}

#[tokio::test]
async fn a_change_by_another_program_is_reported_once() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    assert!(!store.has_changed().await.unwrap());
    store.register(ada("x"), session()).await.unwrap();
    assert!(!store.has_changed().await.unwrap(), "the store's own operations are not reported");
    let other = folder.store().await;
    assert!(other.allow(email(), Some(vec!["auth/x".into()])).await.unwrap());
    assert!(store.has_changed().await.unwrap());
    assert!(!store.has_changed().await.unwrap());
    assert!(matches!(other.allow(email(), Some(vec!["auth/{".into()])).await, Err(StoreError::Failed(_))));
}

#[tokio::test]
async fn users_can_be_added_listed_and_removed() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let added = store.add_user(email(), Password::new("x"), Some(vec!["auth/*".into()])).await.unwrap();
    let again = store.add_user(email(), Password::new("y"), None).await;
    assert!(matches!(again, Err(StoreError::EmailTaken)));
    let kept = session();
    store.log_in(ada("x"), kept).await.unwrap();
    let users = store.users().await.unwrap();
    assert_eq!((users.len(), &users[0].identity, users[0].sessions), (1, &added, 1));
    assert!(store.remove_user(email()).await.unwrap());
    assert!(store.resume(kept.token, None).await.unwrap().is_none());
    assert!(matches!(store.log_in(ada("x"), session()).await, Err(StoreError::InvalidCredentials)));
}

// --- Unicode ---------------------------------------------------------------------------------------------------------

/// The same address, composed and decomposed.
const COMPOSED: &str = "\u{e5}sa@example.com";
const DECOMPOSED: &str = "a\u{30a}sa@example.com";

fn of(email: &str, password: &str) -> Credentials {
    Credentials::new(Email::normalize(email).unwrap(), Password::new(password))
}

/// Adds a user as versions did that normalized neither addresses nor passwords. `created` is also the id.
async fn add_older_user(store: &SqliteStore, email: &'static str, password: &str, created: i64) {
    let hash = hash_as_sent(password);
    let insert = move |db: &mut Connection| {
        db.execute("INSERT INTO users VALUES (?1, ?2, ?3, NULL, ?1)", rusqlite::params![created, email, hash])
    };
    store.write(insert).await.unwrap();
}

async fn id_of(store: &SqliteStore, email: &str, password: &str) -> Option<String> {
    match store.log_in(of(email, password), session()).await {
        Ok(started) => Some(started.identity.id),
        Err(StoreError::InvalidCredentials) => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn composed_and_decomposed_credentials_are_those_of_one_user() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let started = store.register(of(DECOMPOSED, "pa\u{308}ssword"), session()).await.unwrap();
    assert_eq!(started.identity.email, COMPOSED);
    for email in [COMPOSED, DECOMPOSED] {
        let again = store.register(of(email, "another"), session()).await;
        assert!(matches!(again, Err(StoreError::EmailTaken)), "{again:?}");
        for password in ["p\u{e4}ssword", "pa\u{308}ssword"] {
            assert_eq!(id_of(&store, email, password).await.as_ref(), Some(&started.identity.id));
        }
    }
}

#[tokio::test]
async fn an_older_hash_verifies_in_its_own_form_and_is_replaced_at_the_first_log_in() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let (composed, decomposed) = ("p\u{e4}ssword", "pa\u{308}ssword");
    add_older_user(&store, "ada@example.com", decomposed, 1).await;
    let id = Some("1".to_owned());
    assert_eq!(id_of(&store, "ada@example.com", composed).await, None, "the hash is of another form");
    // At the same time: the one that comes second finds the hash replaced.
    let log_in = || id_of(&store, "ada@example.com", decomposed);
    let log_ins = tokio::join!(log_in(), log_in(), log_in());
    assert_eq!(log_ins, (id.clone(), id.clone(), id.clone()));
    assert_eq!(id_of(&store, "ada@example.com", composed).await, id);
    assert_eq!(id_of(&store, "ada@example.com", decomposed).await, id);
    assert_eq!(id_of(&store, "ada@example.com", "password").await, None);
    // A password that is no longer allowed keeps working.
    add_older_user(&store, "bob@example.com", "tab\there", 2).await;
    for _ in 0..2 {
        assert_eq!(id_of(&store, "bob@example.com", "tab\there").await.as_deref(), Some("2"));
    }
}

#[tokio::test]
async fn older_addresses_get_their_normal_form_when_the_store_is_opened() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    add_older_user(&store, DECOMPOSED, "correct", 1).await;
    let (kept, reset) = (session(), TokenHash::of(&random_token()));
    let expires = SystemTime::now() + Duration::from_secs(60);
    store.log_in(of(DECOMPOSED, "correct"), kept).await.unwrap();
    store.request_reset(Email::parse(DECOMPOSED).unwrap(), reset, expires).await.unwrap().unwrap();
    drop(store);

    let store = folder.store().await;
    assert_eq!(store.users().await.unwrap()[0].identity, Identity::new("1", COMPOSED));
    for email in [COMPOSED, DECOMPOSED] {
        assert_eq!(id_of(&store, email, "correct").await.as_deref(), Some("1"));
    }
    // Sessions and resets are kept.
    assert_eq!(store.resume(kept.token, None).await.unwrap().unwrap().identity.email, COMPOSED);
    assert!(store.set_password(reset, Password::new("battery"), session()).await.unwrap().is_some());
    assert_eq!(id_of(&store, DECOMPOSED, "battery").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn users_whose_addresses_collide_are_reported_and_not_merged() {
    /// Composed differently: the marks are in another order.
    const OTHER: &str = "a\u{323}\u{30a}sa@example.com";
    const OTHER_REVERSED: &str = "a\u{30a}\u{323}sa@example.com";
    let folder = StoreFolder::new();
    let store = folder.store().await;
    add_older_user(&store, DECOMPOSED, "first one", 1).await;
    add_older_user(&store, COMPOSED, "second one", 2).await;
    // Neither of these has the normal form; the older one gets it.
    add_older_user(&store, OTHER_REVERSED, "third one", 3).await;
    add_older_user(&store, OTHER, "fourth one", 4).await;
    drop(store);

    let store = folder.store().await;
    let collisions = store.write(addresses::normalize).await.unwrap();
    let normal = Email::parse(OTHER).unwrap();
    let of_user = |id: &str, email: &str| (id.to_owned(), email.to_owned());
    assert_eq!(
        collisions,
        [
            AddressCollision { user: of_user("1", DECOMPOSED), other: of_user("2", COMPOSED) },
            AddressCollision { user: of_user("4", OTHER), other: of_user("3", normal.as_str()) },
        ]
    );
    let text = collisions[0].to_string();
    let named = r#""\u{e5}sa@example.com" (id 2) and "a\u{30a}sa@example.com" (id 1)"#;
    assert!(text.contains(named), "{text}");
    for (email, password, id) in [
        (DECOMPOSED, "first one", "1"),
        (COMPOSED, "second one", "2"),
        (OTHER_REVERSED, "third one", "3"),
        (normal.as_str(), "third one", "3"),
        (OTHER, "fourth one", "4"),
    ] {
        assert_eq!(id_of(&store, email, password).await.as_deref(), Some(id), "{email:?}");
    }
    assert_eq!(id_of(&store, COMPOSED, "first one").await, None);
    assert_eq!(id_of(&store, DECOMPOSED, "second one").await, None);
    // A reset reaches the user whose address it is exactly.
    let reset = TokenHash::of(&random_token());
    let expires = SystemTime::now() + Duration::from_secs(60);
    let user = store.request_reset(Email::parse(DECOMPOSED).unwrap(), reset, expires).await.unwrap();
    assert_eq!(user.unwrap().id, "1");
    let started = store.set_password(reset, Password::new("changed"), session()).await.unwrap().unwrap();
    assert_eq!(started.identity.id, "1");

    // Without the other user, the address gets its normal form.
    assert!(store.remove_user(Email::parse(COMPOSED).unwrap()).await.unwrap());
    assert_eq!(id_of(&store, COMPOSED, "changed").await.as_deref(), Some("1"));
    assert_eq!(id_of(&store, DECOMPOSED, "changed").await.as_deref(), Some("1"));
    assert_eq!(store.users().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_changed_password_ends_the_sessions_and_resets_of_its_user_only() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let (old, bobs, reset) = (session(), session(), TokenHash::of(&random_token()));
    store.register(ada("old"), old).await.unwrap();
    store.register(of("bob@example.com", "old"), bobs).await.unwrap();
    store.request_reset(email(), reset, SystemTime::now() + Duration::from_secs(60)).await.unwrap().unwrap();
    assert!(store.change_password(email(), Password::new("new")).await.unwrap());
    assert!(store.has_changed().await.unwrap());
    assert!(store.resume(old.token, None).await.unwrap().is_none());
    assert!(store.resume(bobs.token, None).await.unwrap().is_some());
    assert!(store.set_password(reset, Password::new("x"), session()).await.unwrap().is_none());
    assert!(matches!(store.log_in(ada("old"), session()).await, Err(StoreError::InvalidCredentials)));
    store.log_in(ada("new"), session()).await.unwrap();
    assert!(!store.change_password(Email::parse("eve@example.com").unwrap(), Password::new("new")).await.unwrap());
}

// --- The file while it is open ---------------------------------------------------------------------------------------

#[track_caller]
fn assert_unavailable<T: fmt::Debug>(result: Result<T, StoreError>, words: &[&str]) {
    match result {
        Err(StoreError::Unavailable(why)) if words.iter().all(|word| why.contains(word)) => {}
        other => panic!("expected {words:?}, got {other:?}"),
    }
}

/// Calls every operation that clients cause, which must all fail so.
async fn assert_all_unavailable(store: &SqliteStore, words: &[&str]) {
    let token = session().token;
    let expires = SystemTime::now() + Duration::from_secs(60);
    assert_unavailable(store.register(of("new@example.com", "x"), session()).await, words);
    assert_unavailable(store.log_in(ada("x"), session()).await, words);
    assert_unavailable(store.authenticate(Identity::new("7", "bot"), session()).await, words);
    assert_unavailable(store.resume(token, None).await, words);
    assert_unavailable(store.end(token).await, words);
    assert_unavailable(store.request_reset(email(), token, expires).await, words);
    assert_unavailable(store.set_password(token, Password::new("x"), session()).await, words);
    assert_unavailable(store.has_changed().await, words);
    assert_unavailable(store.health().await, words);
}

#[tokio::test]
async fn a_deleted_file_is_noticed_and_used_again_when_it_is_back() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let before = session();
    store.register(ada("x"), before).await.unwrap();
    store.health().await.unwrap();
    let aside = folder.0.path().join("aside");
    std::fs::rename(folder.file(), &aside).unwrap();
    assert_all_unavailable(&store, &["auth.sqlite was deleted", "put it back"]).await;
    assert!(!folder.file().exists(), "no empty file takes its place: anyone could register its users");
    std::fs::rename(&aside, folder.file()).unwrap();
    store.health().await.unwrap();
    assert!(store.resume(before.token, None).await.unwrap().is_some());
    store.log_in(ada("x"), session()).await.unwrap();
    assert!(store.register(of("new@example.com", "x"), session()).await.is_ok(), "nothing was written before");
}

#[tokio::test]
async fn a_change_is_not_reported_as_done_if_the_file_was_deleted_meanwhile() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let (file, aside) = (folder.file(), folder.0.path().join("aside"));
    let delete_and_write = move |db: &mut Connection| {
        std::fs::rename(file, aside).unwrap();
        statements::try_write(db)
    };
    assert_unavailable(store.write(delete_and_write).await, &["was deleted"]);
}

#[tokio::test]
async fn a_replaced_file_is_not_written_and_is_used_after_a_restart() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    store.register(ada("x"), session()).await.unwrap();
    // A backup, with another user, takes the place of the file.
    let other = StoreFolder::new();
    other.store().await.register(of("bob@example.com", "x"), session()).await.unwrap();
    let backup = folder.0.path().join("backup");
    let vacuum = Connection::open(other.file()).unwrap();
    vacuum.execute("VACUUM INTO ?", [backup.to_str().unwrap()]).unwrap();
    std::fs::rename(&backup, folder.file()).unwrap();
    let before = std::fs::read(folder.file()).unwrap();
    assert_all_unavailable(&store, &["auth.sqlite was replaced", "restart"]).await;
    // As the guide says: the server is stopped, and the logs of the previous file are deleted.
    drop(store);
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.0.path().join(format!("auth.sqlite{suffix}")));
    }
    assert_eq!(std::fs::read(folder.file()).unwrap(), before);
    let store = folder.store().await;
    store.log_in(of("bob@example.com", "x"), session()).await.unwrap();
}

#[tokio::test]
async fn a_deleted_write_ahead_log_is_noticed_and_its_changes_are_kept() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    store.register(ada("x"), session()).await.unwrap();
    std::fs::remove_file(folder.0.path().join("auth.sqlite-wal")).unwrap();
    assert_all_unavailable(&store, &["auth.sqlite-wal was deleted", "restart"]).await;
    // What a process that is killed now leaves behind: the file alone has what only the log had.
    let left = StoreFolder::new();
    std::fs::copy(folder.file(), left.file()).unwrap();
    left.store().await.log_in(ada("x"), session()).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_unavailable_until_it_can() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let before = session();
    store.register(ada("x"), before).await.unwrap();
    let set = async |pragma: &'static str, value: i64| {
        let set = move |db: &mut Connection| {
            db.pragma_update_and_check(None, pragma, value, |_| Ok(())).or_else(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => Ok(()),
                error => Err(error),
            })
        };
        store.write(set).await.unwrap();
    };
    // SQLite's own errors for a file that is read-only.
    set("query_only", 1).await;
    let words = ["cannot write", "auth.sqlite", "readonly"];
    assert_unavailable(store.register(of("bob@example.com", "x"), session()).await, &words);
    assert_unavailable(store.health().await, &words);
    // What only reads goes on.
    assert!(store.resume(before.token, None).await.unwrap().is_some());
    set("query_only", 0).await;
    store.health().await.unwrap();
    store.register(of("bob@example.com", "x"), session()).await.unwrap();

    // A full disk: the file may not grow.
    set("max_page_count", 1).await;
    let mut added = 0;
    let failed = loop {
        let globs = Some(vec![format!("auth/{}", "x".repeat(1000))]);
        match store.add_user(Email::parse(&format!("{added}@example.com")).unwrap(), Password::new("x"), globs).await {
            Ok(_) if added < 1000 => added += 1,
            other => break other,
        }
    };
    assert_unavailable(failed, &["cannot write", "full"]);
    assert_unavailable(store.health().await, &["cannot write", "full"]);
    assert_eq!(store.users().await.unwrap().len(), 2 + added, "those that were reported as added");
    set("max_page_count", 1_000_000).await;
    store.health().await.unwrap();
    let kept: i64 = store.read(|db| db.query_row("SELECT count(*) FROM resets", [], |row| row.get(0))).await.unwrap();
    assert_eq!(kept, 0, "nothing of the check is left");
    store.register(of("eve@example.com", "x"), session()).await.unwrap();
}

/// An error of SQLite, as an operation returns it.
fn sqlite_error(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
}

#[tokio::test]
async fn a_failure_of_a_connection_lasts_until_a_check_of_the_same_connection_succeeds() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let fail = |_: &mut Connection| Err::<(), _>(sqlite_error(rusqlite::ffi::SQLITE_IOERR));
    assert_unavailable(store.read(fail).await, &["cannot read", "auth.sqlite"]);
    assert_unavailable(store.write(fail).await, &["cannot write", "auth.sqlite"]);
    assert!(store.file.has_failed(Role::Reads) && store.file.has_failed(Role::Writes));
    store.writer.probe(|_| Ok(())).await.unwrap();
    assert!(store.file.has_failed(Role::Reads) && !store.file.has_failed(Role::Writes));
    store.health().await.unwrap();
    assert!(!store.file.has_failed(Role::Reads));
    // A check does not forget a failure after it, though its result arrives later.
    let (check, failed) = tokio::join!(store.writer.probe(|_| Ok(())), store.write(fail));
    check.unwrap();
    assert_unavailable(failed, &["cannot write"]);
    assert!(store.file.has_failed(Role::Writes));
}

#[tokio::test]
async fn a_check_reads_the_file_and_damage_lasts_until_a_restart() {
    use std::os::unix::fs::FileExt as _;
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let session = session();
    store.register(ada("x"), session).await.unwrap();
    store.write(|db| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))).await.unwrap();
    store.health().await.unwrap();
    assert!(store.resume(session.token, None).await.unwrap().is_some());
    // Without opening it twice: closing it would release the locks of SQLite.
    let file = std::fs::OpenOptions::new().read(true).write(true).open(folder.file()).unwrap();
    let len = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut contents = vec![0; len];
    file.read_exact_at(&mut contents, 0).unwrap();
    file.write_all_at(&vec![0x55; len - 4096], 4096).unwrap();
    let words = ["cannot read", "auth.sqlite", "malformed", "restore a backup"];
    assert_unavailable(store.health().await, &words);
    file.write_all_at(&contents, 0).unwrap();
    assert_unavailable(store.health().await, &words);
    assert!(store.resume(session.token, None).await.unwrap().is_some(), "what can be read is");
    // Another failure after it does not take its place.
    let fail = |_: &mut Connection| Err::<(), _>(sqlite_error(rusqlite::ffi::SQLITE_IOERR));
    assert_unavailable(store.read(fail).await, &["cannot read", "I/O"]);
    assert_unavailable(store.health().await, &words);
}

#[tokio::test]
async fn wrong_tokens_of_one_client_fill_no_queue_for_the_others() {
    const WRONG: usize = 5000;
    let folder = StoreFolder::new();
    let store = folder.store().await;
    store.register(ada("x"), session()).await.unwrap();
    // While the thread is held, nothing leaves the queue.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let hold = store.read(move |_| {
        let _ = held.recv();
        Ok(())
    });
    let mut hold = std::pin::pin!(hold);
    assert!(futures_util::poll!(&mut hold).is_pending());
    let address = |host| Some(IpAddr::from([192, 0, 2, host]));
    let mut wrong = join_all((0..WRONG).map(|_| store.resume(TokenHash::of(&random_token()), address(1))));
    assert!(futures_util::poll!(&mut wrong).is_pending());
    let mut log_in = store.log_in(ada("x"), NewSession { client: address(2), ..session() });
    assert!(futures_util::poll!(&mut log_in).is_pending(), "there is a place for it");
    drop(release);
    log_in.await.unwrap();
    hold.await.unwrap();
    let wrong = wrong.await;
    let (served, busy): (Vec<_>, Vec<_>) = wrong.iter().partition(|result| matches!(result, Ok(None)));
    assert!(busy.iter().all(|result| matches!(result, Err(StoreError::Busy))), "{busy:?}");
    assert_eq!(served.len(), 1024, "the share of a client");
}

#[tokio::test]
async fn a_thread_that_has_ended_is_not_reported_as_busy() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    for _ in 0..2 {
        let failed = store.read(|_| -> rusqlite::Result<()> { panic!("on purpose") }).await.unwrap_err();
        assert!(matches!(&failed, StoreError::Failed(why) if why.contains("has ended")), "{failed:?}");
    }
    assert!(matches!(store.health().await, Err(StoreError::Failed(_))));
}

#[tokio::test]
async fn what_was_reported_as_done_survives_a_kill_and_a_power_failure() {
    let folder = StoreFolder::new();
    let store = folder.store().await;
    let synchronous = |db: &mut Connection| db.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
    assert_eq!(store.write(synchronous).await.unwrap(), 2, "FULL: a commit waits for the disk");
    for n in 0..5 {
        store.register(of(&format!("{n}@example.com"), "x"), session()).await.unwrap();
        // What a process that is killed now leaves behind.
        let left = StoreFolder::new();
        for suffix in ["", "-wal"] {
            let name = format!("auth.sqlite{suffix}");
            std::fs::copy(folder.0.path().join(&name), left.0.path().join(&name)).unwrap();
        }
        assert_eq!(left.store().await.users().await.unwrap().len(), n + 1);
    }
}

/// SQLite keeps a lock on the file as long as it is open, by which other programs see that it is in use.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_locks_of_an_open_file_are_kept_when_it_is_opened_again() {
    use std::os::unix::fs::MetadataExt as _;

    let folder = StoreFolder::new();
    let store = folder.store().await;
    let again = folder.store().await;
    store.register(ada("x"), session()).await.unwrap();
    let lock = format!(":{} ", std::fs::metadata(folder.file()).unwrap().ino());
    let own = format!(" {} ", std::process::id());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    assert!(locks.lines().any(|line| line.contains(&own) && line.contains(&lock)), "no {lock} of {own} in\n{locks}");
    drop(again);
}
