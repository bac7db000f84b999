//! Hashes passwords with Argon2id, on a few threads of their own.
//!
//! By design a hash takes about 20 ms of CPU time and 19 MiB of memory. Hashes are therefore computed on a small number
//! of dedicated threads behind a bounded wait queue, so that log-ins cannot occupy the threads that run calls. In the
//! queue log-ins come before registrations and changes of passwords, and the clients take turns ([`FairQueue`]): a client
//! that registers many users does not delay the log-in of another.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq as _;
use tokio::sync::oneshot;

use super::fair_queue::{Class, FairQueue};
use super::password::Password;
use super::store::StoreError;
use crate::client_turns::{Client, client};

const SALT_BYTES: usize = 16;

const HASH_BYTES: usize = 32;

const VERSION: Version = Version::V0x13;

/// How long an idle thread keeps its working memory.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum memory that a stored hash may require, in KiB. Stored hashes are trusted; the limit prevents a corrupt
/// one from exhausting the memory.
const MAX_STORED_MEMORY_KIB: u32 = 1 << 20;

/// The configuration of a [`PasswordHasher`].
#[derive(Debug, Clone)]
pub struct PasswordHasherConfig {
    /// The memory that one hash takes, in KiB (Argon2's parameter m). At least 8, and at most 1 048 576. Default 19 456;
    /// together with the default of `iterations` and a parallelism of 1, this is what OWASP recommends for Argon2id (2024).
    /// More memory and iterations make guessing stolen hashes more expensive, and log-ins too.
    pub memory_kib: u32,
    /// The number of passes over the memory of a hash (Argon2's parameter t). Default 2.
    pub iterations: u32,
    /// The number of threads that hash passwords, and so of hashes that are computed at the same time. Default: half the number
    /// of processors, at least 1. A thread keeps the memory of its last hash for 10 s.
    pub threads: usize,
    /// The maximum number of hashes of passwords that wait for a thread. Default 1024, which is about 20 s of work of one
    /// thread, far more than a client waits. When the queue is full, the latest registration of the client network with the
    /// most of them fails with the code `busy` and a time, or the latest log-in if no registration waits.
    pub max_queued_hashes: usize,
}

impl Default for PasswordHasherConfig {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            memory_kib: Params::DEFAULT_M_COST,
            iterations: Params::DEFAULT_T_COST,
            threads: (processors / 2).max(1),
            max_queued_hashes: 1024,
        }
    }
}

/// Hashes and verifies passwords, for a [`Store`](super::Store). Cheap to clone; clones share the threads, which end
/// when the last clone is dropped.
///
/// ```
/// # async fn example() -> Result<(), aaw_server::auth::StoreError> {
/// use aaw_server::auth::{Password, PasswordHasher};
///
/// let hasher = PasswordHasher::default();
/// let hash = hasher.hash(Password::new("correct horse")).await?;
/// assert!(hasher.verify(Password::new("correct horse"), Some(&hash)).await?);
/// assert!(!hasher.verify(Password::new("correct horse"), None).await?);
/// # Ok(()) }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct PasswordHasher {
    queue: Arc<HashQueue>,
    params: Params,
    /// Verified in place of a missing hash, so that an unknown user takes as long as a known one.
    dummy_hash: Arc<str>,
    /// On whose behalf it hashes.
    client: Client,
    _stop_threads: Arc<StopThreads>,
}

/// How a stored hash that matches a password was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MatchingHash {
    /// As a new one is.
    Current,
    /// Of the password as it was sent, before passwords were normalized, or with other parameters. It is to be replaced: it
    /// takes another time to verify than a missing one, which tells strangers that the user exists.
    Outdated,
}

/// The hashes that wait for a thread.
struct HashQueue {
    state: Mutex<WaitQueueState>,
    /// Wakes a thread when a job was added, and all of them when the queue is closed.
    changed: Condvar,
    threads: usize,
}

struct WaitQueueState {
    jobs: FairQueue<HashJob>,
    is_closed: bool,
    /// How long a hash takes, as a moving average.
    hash_time: Duration,
}

/// Runs on one of the threads.
type HashJob = Box<dyn FnOnce(Turn<'_>) + Send>;

/// What has become of a job.
enum Turn<'a> {
    /// It runs, with the thread's working memory.
    Now(&'a mut Vec<Block>),
    /// The queue is full; there may be a place after this time.
    Never(Duration),
}

/// Ends the threads when it is dropped. The threads share the queue, so the queue's own `Drop` cannot end them.
struct StopThreads(Arc<HashQueue>);

impl Drop for StopThreads {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl Default for PasswordHasher {
    fn default() -> Self {
        let config = PasswordHasherConfig::default();
        Self::with(Params::DEFAULT, config.threads, config.max_queued_hashes)
    }
}

impl PasswordHasher {
    /// Creates a hasher and starts its threads.
    ///
    /// # Errors
    /// Argon2's message if it does not accept the parameters, for example too little memory. Also with more memory than 1 GiB:
    /// such hashes could not be verified.
    pub fn new(config: &PasswordHasherConfig) -> Result<Self, String> {
        if config.memory_kib > MAX_STORED_MEMORY_KIB {
            return Err(format!("memory_kib is {}; expected at most {MAX_STORED_MEMORY_KIB}", config.memory_kib));
        }
        let params = Params::new(config.memory_kib, config.iterations, 1, Some(HASH_BYTES));
        let params = params.map_err(|error| error.to_string())?;
        Ok(Self::with(params, config.threads.max(1), config.max_queued_hashes))
    }

    fn with(params: Params, threads: usize, capacity: usize) -> Self {
        let state =
            WaitQueueState { jobs: FairQueue::new(capacity), is_closed: false, hash_time: Duration::from_millis(20) };
        let queue = Arc::new(HashQueue { state: Mutex::new(state), changed: Condvar::new(), threads: threads.max(1) });
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name("aaw-passwords".into());
            // The threads that were started do the work.
            if let Err(error) = thread.spawn(move || queue.run_jobs()) {
                tracing::error!("cannot start a thread for hashing passwords: {error}");
            }
        }
        // Not the hash of any password. `verify` returns false for it in any case.
        let dummy_hash = to_phc(&params, &[0; SALT_BYTES], &[0; HASH_BYTES]).unwrap_or_default().into();
        Self { params, dummy_hash, client: None, _stop_threads: Arc::new(StopThreads(Arc::clone(&queue))), queue }
    }

    /// Returns a clone that hashes on behalf of the client with this address ([`NewSession::client`]). Clients take turns;
    /// an IPv4 address is a client, and so are the IPv6 addresses with the same first 48 bits, which belong to one site.
    /// Without an address, the hashes are those of the program itself, which is a client like the others.
    ///
    /// [`NewSession::client`]: super::NewSession::client
    #[must_use]
    pub fn for_client(&self, address: Option<IpAddr>) -> Self {
        Self { client: client(address), ..self.clone() }
    }

    /// Returns the hash of a password's normal form as a PHC string, `$argon2id$…`. In the queue it comes after those who
    /// log in: it is the hash of a new password. If the future is dropped while it waits in the queue, the hash is not
    /// computed.
    ///
    /// # Errors
    /// [`StoreError::BusyFor`] if the queue is full; [`StoreError::Failed`] if the memory for the hash cannot be
    /// allocated.
    pub async fn hash(&self, password: Password) -> Result<String, StoreError> {
        self.hash_in(Class::Normal, password).await
    }

    /// Like [`hash`](Self::hash), for a log-in that replaces the hash of its password.
    pub(super) async fn hash_again(&self, password: Password) -> Result<String, StoreError> {
        self.hash_in(Class::Urgent, password).await
    }

    async fn hash_in(&self, class: Class, password: Password) -> Result<String, StoreError> {
        let params = self.params.clone();
        self.run(class, move |memory| {
            // A salt has to be unique, not secret: 122 random bits suffice.
            let salt = uuid::Uuid::new_v4().into_bytes();
            let hash = compute_hash(params.clone(), password.expose(), &salt, memory)?;
            to_phc(&params, &salt, &hash)
        })
        .await
    }

    /// Whether the password has this hash. In the queue it comes before new passwords. Without a hash the result is false, and
    /// takes as long to compute as for a hash that this hasher has made; one with other parameters takes another time. If the
    /// future is dropped while it waits in the queue, the hash is not computed.
    ///
    /// If the password was not sent in its normal form and that form does not match, the form that was sent is verified
    /// as well, which takes as long again: the hash may be older than the normalization of passwords.
    ///
    /// # Errors
    /// [`StoreError::BusyFor`] if the queue is full; [`StoreError::Failed`] if the stored hash is invalid or the memory
    /// cannot be allocated.
    pub async fn verify(&self, password: Password, stored: Option<&str>) -> Result<bool, StoreError> {
        Ok(self.verify_hash(password, stored).await?.is_some())
    }

    /// Like [`verify`](Self::verify), and returns how a hash that matches was made.
    pub(super) async fn verify_hash(
        &self,
        password: Password,
        stored: Option<&str>,
    ) -> Result<Option<MatchingHash>, StoreError> {
        let user_exists = stored.is_some();
        let invalid = || "a stored password hash is invalid".to_owned();
        let stored =
            PasswordHash::from_str(stored.unwrap_or(&self.dummy_hash)).map_err(|_| StoreError::Failed(invalid()))?;
        let current = cost(&self.params);
        self.run(Class::Urgent, move |memory| {
            let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else { return Err(invalid()) };
            let params = Params::try_from(&stored).map_err(|_| invalid())?;
            let is_supported =
                stored.algorithm.as_str() == Algorithm::Argon2id.as_str() && stored.version == Some(VERSION.into());
            if !is_supported || params.m_cost() > MAX_STORED_MEMORY_KIB || expected.len() != HASH_BYTES {
                return Err(invalid());
            }
            let has_current_cost = cost(&params) == current;
            let mut matches = |text: &str| {
                let actual = compute_hash(params.clone(), text, &salt, memory)?;
                Ok::<_, String>(bool::from(actual.ct_eq(expected.as_bytes())) && user_exists)
            };
            let (normal, sent) = (password.expose(), password.expose_as_sent());
            Ok(if matches(normal)? {
                Some(if has_current_cost { MatchingHash::Current } else { MatchingHash::Outdated })
            } else if sent != normal && matches(sent)? {
                Some(MatchingHash::Outdated)
            } else {
                None
            })
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        class: Class,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T, String> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, result) = oneshot::channel();
        let job: HashJob = Box::new(move |turn| {
            // Skipped if the caller's future was dropped meanwhile.
            if sender.is_closed() {
                return;
            }
            let _ = sender.send(match turn {
                Turn::Now(memory) => work(memory).map_err(StoreError::Failed),
                Turn::Never(wait) => Err(StoreError::BusyFor(wait)),
            });
        });
        self.queue.push(class, self.client, job);
        result.await.unwrap_or_else(|_| Err(StoreError::Failed("a thread for hashing passwords has ended".into())))
    }
}

/// What the time of a hash depends on.
fn cost(params: &Params) -> [u32; 3] {
    [params.m_cost(), params.t_cost(), params.p_cost()]
}

impl HashQueue {
    fn push(&self, class: Class, client: Client, job: HashJob) {
        let mut state = self.lock();
        let without_place = state.jobs.push(class, client, job).unwrap_or_else(Some);
        let wait = state.hash_time * u32::try_from(state.jobs.len() / self.threads).unwrap_or(u32::MAX);
        drop(state);
        self.changed.notify_one();
        if let Some(job) = without_place {
            job(Turn::Never(wait));
        }
    }

    /// Runs jobs on the current thread until the queue is closed.
    fn run_jobs(&self) {
        let mut memory = Vec::new();
        let mut state = self.lock();
        while !state.is_closed {
            if let Some(job) = state.jobs.pop() {
                drop(state);
                let start = Instant::now();
                job(Turn::Now(&mut memory));
                let time = start.elapsed();
                state = self.lock();
                state.hash_time = (state.hash_time * 7 + time) / 8;
                continue;
            }
            let (guard, timeout) =
                self.changed.wait_timeout(state, IDLE_TIMEOUT).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if timeout.timed_out() && state.jobs.len() == 0 {
                memory = Vec::new();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, WaitQueueState> {
        // No code panics while it holds the lock, so the state of a poisoned one is valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compute_hash(
    params: Params,
    password: &str,
    salt: &[u8],
    memory: &mut Vec<Block>,
) -> Result<[u8; HASH_BYTES], String> {
    let blocks = params.block_count();
    if memory.len() < blocks {
        let out_of_memory = |_| "cannot allocate the memory for a password hash".to_owned();
        memory.try_reserve_exact(blocks - memory.len()).map_err(out_of_memory)?;
        memory.resize(blocks, Block::new());
    }
    let mut hash = [0; HASH_BYTES];
    let argon2 = Argon2::new(Algorithm::Argon2id, VERSION, params);
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, &mut memory[..blocks])
        .map_err(|error| error.to_string())?;
    Ok(hash)
}

/// Formats a hash as a PHC string, which contains everything that verifying needs.
fn to_phc(params: &Params, salt: &[u8], hash: &[u8]) -> Result<String, String> {
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(VERSION.into()),
        params: ParamsString::try_from(params).map_err(|error| error.to_string())?,
        salt: Some(Salt::new(salt).map_err(|error| error.to_string())?),
        hash: Some(Output::new(hash).map_err(|error| error.to_string())?),
    };
    Ok(hash.to_string())
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHasher").field("params", &self.params).finish_non_exhaustive()
    }
}

/// Returns a hash as it was made before passwords were normalized.
#[cfg(test)]
pub(super) fn hash_as_sent(text: &str) -> String {
    let params = Params::new(64, 1, 1, Some(HASH_BYTES)).expect("valid parameters");
    let salt = [7; SALT_BYTES];
    let hash = compute_hash(params.clone(), text, &salt, &mut Vec::new()).expect("enough memory");
    to_phc(&params, &salt, &hash).expect("a hash")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn fast_hasher(threads: usize, max_queued_hashes: usize) -> PasswordHasher {
        let params = Params::new(64, 1, 1, Some(HASH_BYTES)).unwrap();
        PasswordHasher::with(params, threads, max_queued_hashes)
    }

    fn password(text: &str) -> Password {
        Password::new(text)
    }

    #[tokio::test]
    async fn the_default_hash_is_argon2id_with_the_recommended_parameters() {
        let stored = PasswordHasher::default().hash(password("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        // The crate's own verifier accepts the hash.
        use argon2::password_hash::PasswordVerifier as _;
        let parsed = PasswordHash::from_str(&stored).unwrap();
        Argon2::default().verify_password(b"correct horse", &parsed).unwrap();
        assert!(Argon2::default().verify_password(b"correct horsf", &parsed).is_err());
    }

    #[tokio::test]
    async fn only_the_same_password_verifies_and_without_a_hash_none_does() {
        let hasher = fast_hasher(2, 10);
        let stored = hasher.hash(password("pässword")).await.unwrap();
        assert_ne!(stored, hasher.hash(password("pässword")).await.unwrap(), "each hash has its own salt");
        assert!(hasher.verify(password("pässword"), Some(&stored)).await.unwrap());
        for wrong in ["", "p", "Pässword", "pässword ", "pässword\0"] {
            assert!(!hasher.verify(password(wrong), Some(&stored)).await.unwrap(), "{wrong:?}");
            assert!(!hasher.verify(password(wrong), None).await.unwrap());
        }
        // A stored hash is verified with its own parameters.
        let other = PasswordHasher::new(&PasswordHasherConfig {
            memory_kib: 128,
            iterations: 2,
            threads: 1,
            max_queued_hashes: 1,
        })
        .unwrap();
        let matching = other.verify_hash(password("pässword"), Some(&stored)).await.unwrap();
        assert_eq!(matching, Some(MatchingHash::Outdated));
    }

    #[tokio::test]
    async fn a_password_matches_in_every_form_and_an_older_hash_in_its_own_form() {
        let hasher = fast_hasher(1, 10);
        let (composed, decomposed) = ("p\u{e4}ssword", "pa\u{308}ssword");
        let stored = hasher.hash(password(decomposed)).await.unwrap();
        for sent in [composed, decomposed] {
            let form = hasher.verify_hash(password(sent), Some(&stored)).await.unwrap();
            assert_eq!(form, Some(MatchingHash::Current), "{sent:?}");
        }
        // Made before passwords were normalized.
        let older = hash_as_sent(decomposed);
        let form = hasher.verify_hash(password(decomposed), Some(&older)).await.unwrap();
        assert_eq!(form, Some(MatchingHash::Outdated));
        assert!(hasher.verify(password(decomposed), Some(&older)).await.unwrap());
        assert!(!hasher.verify(password(composed), Some(&older)).await.unwrap());
        assert!(!hasher.verify(password(decomposed), None).await.unwrap());
    }

    #[test]
    fn parameters_whose_hashes_could_not_be_verified_are_refused() {
        let new = |memory_kib, iterations| {
            let config = PasswordHasherConfig { memory_kib, iterations, threads: 0, ..PasswordHasherConfig::default() };
            PasswordHasher::new(&config).map(drop)
        };
        assert_eq!(new(MAX_STORED_MEMORY_KIB, 1), Ok(()));
        let error = new(MAX_STORED_MEMORY_KIB + 1, 1).unwrap_err();
        assert_eq!(error, "memory_kib is 1048577; expected at most 1048576");
        for (memory_kib, iterations) in [(7, 1), (64, 0)] {
            assert!(new(memory_kib, iterations).is_err());
        }
    }

    #[tokio::test]
    async fn an_invalid_stored_hash_is_an_error() {
        let hasher = fast_hasher(1, 10);
        let stored = hasher.hash(password("x")).await.unwrap();
        for bad in [
            "",
            "x",
            "$2b$10$abcdefghijklmnopqrstuv",
            &stored.replace("argon2id", "argon2i"),
            &stored.replace("v=19", "v=16"),
            &stored.replace("m=64", "m=4000000000"),
            &stored[..stored.len() - 8],
        ] {
            let verified = hasher.verify(password("x"), Some(bad)).await;
            assert!(matches!(verified, Err(StoreError::Failed(_))), "{bad}: {verified:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_user_takes_as_long_as_a_known_one() {
        let hasher = PasswordHasher::default();
        let stored = hasher.hash(password("correct horse")).await.unwrap();
        let time = async |stored: Option<&str>| {
            let start = Instant::now();
            hasher.verify(password("wrong"), stored).await.unwrap();
            start.elapsed()
        };
        // The minimum of several runs, since other work on the machine only adds to it; more runs on a busy machine.
        let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
        for _ in 0..200 {
            known = known.min(time(Some(&stored)).await);
            unknown = unknown.min(time(None).await);
            if (0.7..1.4).contains(&unknown.div_duration_f64(known)) {
                return;
            }
        }
        panic!("{known:?} and {unknown:?}");
    }

    /// Keeps the only thread busy until the result is dropped.
    async fn hold_thread(hasher: &PasswordHasher) -> std::sync::mpsc::Sender<()> {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let hold = move |_: Turn<'_>| {
            let _ = began.send(());
            let _ = wait.recv();
        };
        hasher.queue.push(Class::Urgent, None, Box::new(hold));
        begun.await.unwrap();
        go
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_a_dropped_future_does_not_block_it() {
        let hasher = fast_hasher(1, 2);
        let go = hold_thread(&hasher).await;
        let first = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.hash(password("x")).await }
        });
        let second = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.verify(password("x"), None).await }
        });
        while hasher.queue.lock().jobs.len() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(hasher.hash(password("x")).await, Err(StoreError::BusyFor(_))));
        second.abort();
        drop(go);
        assert!(first.await.unwrap().is_ok());
    }

    /// One client registers 200 users, another one, and a third one logs in: what completes in which order.
    #[tokio::test]
    async fn a_log_in_overtakes_registrations_and_clients_take_turns() {
        let hasher = fast_hasher(1, 1000);
        let go = hold_thread(&hasher).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        let mut start = |host: u8, class: Class| {
            let hasher = hasher.for_client(Some(IpAddr::from([127, 0, 0, host])));
            let order = Arc::clone(&order);
            let done = move |_: &mut Vec<Block>| {
                order.lock().unwrap().push((host, class));
                Ok(())
            };
            waiting.spawn(async move { hasher.run(class, done).await.unwrap() });
        };
        for _ in 0..200 {
            start(2, Class::Normal);
        }
        start(3, Class::Normal);
        start(4, Class::Urgent);
        while hasher.queue.lock().jobs.len() < 202 {
            tokio::task::yield_now().await;
        }
        drop(go);
        waiting.join_all().await;
        let order = order.lock().unwrap();
        assert_eq!(order[..3], [(4, Class::Urgent), (2, Class::Normal), (3, Class::Normal)]);
        assert_eq!(order.len(), 202);
    }

    #[tokio::test]
    async fn hashing_a_password_is_not_urgent_and_verifying_one_is() {
        let hasher = fast_hasher(0, 1);
        // There are no threads: the first registration waits until a log-in takes its place.
        let registration = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.hash(password("x")).await }
        });
        while hasher.queue.lock().jobs.len() < 1 {
            tokio::task::yield_now().await;
        }
        let log_in = tokio::spawn(async move { hasher.verify(password("x"), None).await });
        assert!(matches!(registration.await.unwrap(), Err(StoreError::BusyFor(_))));
        log_in.abort();
    }
}
