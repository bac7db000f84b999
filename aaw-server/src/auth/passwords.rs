//! Argon2id, a few at a time, apart from everything else.
//!
//! A hash takes about 20 ms of a processor and 19 MiB, on purpose. So hashes are made on threads of their own, of which
//! there are few; whoever wants one waits in a line, and past its end is told so. Calls go on meanwhile: their threads
//! have the other processors.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq as _;
use tokio::sync::oneshot;

use super::store::{Password, StoreError};

/// Bytes of a salt.
const SALT: usize = 16;

const VERSION: Version = Version::V0x13;

/// Bytes of a hash.
const HASH: usize = 32;

/// How long a thread that has nothing to do keeps its memory.
const IDLE: Duration = Duration::from_secs(10);

/// The most memory that a stored hash may ask for, in KiB. It is read from the store, which nobody but its owner writes;
/// this is so that a mistake there does not take all memory.
const MOST_MEMORY: u32 = 1 << 20;

/// What hashing passwords holds to.
#[derive(Debug, Clone)]
pub struct PasswordsConfig {
    /// KiB that a hash takes. Default 19 456, and with the other two what OWASP recommends for Argon2id (2024).
    pub memory: u32,
    /// How often that memory is gone through. Default 2.
    pub passes: u32,
    /// Hashes at the same time. Default: half of the processors, at least 1. Each keeps its memory for 10 s.
    pub threads: usize,
    /// How many may wait for one; further log-ins fail as `busy`. Default 1024.
    pub waiting: usize,
}

impl Default for PasswordsConfig {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            memory: Params::DEFAULT_M_COST,
            passes: Params::DEFAULT_T_COST,
            threads: (processors / 2).max(1),
            waiting: 1024,
        }
    }
}

/// Hashes passwords and checks them: for a [`Store`](super::Store). Cheap to clone; clones share the threads.
///
/// ```
/// # async fn example() -> Result<(), aaw_server::auth::StoreError> {
/// use aaw_server::auth::{Password, Passwords};
///
/// let passwords = Passwords::default();
/// let hash = passwords.hash(Password::new("correct horse")).await?;
/// assert!(passwords.verify(Password::new("correct horse"), Some(&hash)).await?);
/// assert!(!passwords.verify(Password::new("correct horse"), None).await?);
/// # Ok(()) }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Passwords {
    line: Arc<Line>,
    params: Params,
    /// What is checked where there is nothing to check, so that it takes as long.
    nobody: Arc<str>,
    _end: Arc<End>,
}

/// What waits for a thread.
#[derive(Default)]
struct Line {
    queue: Mutex<Queue>,
    more: Condvar,
    /// How many may wait.
    most: usize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    is_over: bool,
}

/// Runs on one of the threads, in its memory.
type Job = Box<dyn FnOnce(&mut Vec<Block>) + Send>;

/// Ends the threads when nobody can give them anything any more.
struct End(Arc<Line>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.more.notify_all();
    }
}

impl Default for Passwords {
    fn default() -> Self {
        let config = PasswordsConfig::default();
        Self::with(Params::DEFAULT, config.threads, config.waiting)
    }
}

impl Passwords {
    /// With this config.
    ///
    /// # Errors
    /// What is wrong with it, such as too little memory.
    pub fn new(config: &PasswordsConfig) -> Result<Self, String> {
        let params = Params::new(config.memory, config.passes, 1, Some(HASH)).map_err(|error| error.to_string())?;
        Ok(Self::with(params, config.threads.max(1), config.waiting))
    }

    fn with(params: Params, threads: usize, waiting: usize) -> Self {
        let line = Arc::new(Line { most: waiting.max(1), ..Line::default() });
        for _ in 0..threads {
            let line = Arc::clone(&line);
            let thread = std::thread::Builder::new().name("aaw-passwords".into());
            // Those that there are do the work.
            if let Err(error) = thread.spawn(move || line.work()) {
                tracing::error!("a thread for passwords was not started: {error}");
            }
        }
        // Of no password: nothing that is checked against it passes, whatever comes of it.
        let nobody = phc(&params, &[0; SALT], &[0; HASH]).unwrap_or_default().into();
        Self { params, nobody, _end: Arc::new(End(Arc::clone(&line))), line }
    }

    /// What to keep of a new password: a text in the PHC form, `$argon2id$…`.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if too many wait; [`StoreError::Failed`] if there is no memory for it, or no randomness.
    /// Dropping the future gives up its place, unless the hash is being made.
    pub async fn hash(&self, password: Password) -> Result<String, StoreError> {
        let params = self.params.clone();
        self.run(move |memory| {
            // A salt has to be another each time, which 122 random bits are.
            let salt = uuid::Uuid::new_v4().into_bytes();
            let hash = hash(params.clone(), &password, &salt, memory)?;
            phc(&params, &salt, &hash)
        })
        .await
    }

    /// Whether the password is the one that this was kept of. With none it is not, and that takes as long.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if too many wait; [`StoreError::Failed`] if what was kept cannot be read. Dropping the future
    /// gives up its place.
    pub async fn verify(&self, password: Password, kept: Option<&str>) -> Result<bool, StoreError> {
        let is_somebody = kept.is_some();
        let unreadable = || "the hash of a password cannot be read".to_owned();
        let kept =
            PasswordHash::from_str(kept.unwrap_or(&self.nobody)).map_err(|_| StoreError::Failed(unreadable()))?;
        self.run(move |memory| {
            let (Some(salt), Some(expected)) = (kept.salt, kept.hash) else { return Err(unreadable()) };
            let params = Params::try_from(&kept).map_err(|_| unreadable())?;
            let is_ours =
                kept.algorithm.as_str() == Algorithm::Argon2id.as_str() && kept.version == Some(VERSION.into());
            if !is_ours || params.m_cost() > MOST_MEMORY || expected.len() != HASH {
                return Err(unreadable());
            }
            let found = hash(params, &password, &salt, memory)?;
            Ok(bool::from(found.ct_eq(expected.as_bytes())) && is_somebody)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> Result<T, String> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            // Whoever waited may have gone.
            if !tell.is_closed() {
                let _ = tell.send(work(memory));
            }
        });
        self.line.push(job)?;
        match told.await {
            Ok(done) => done.map_err(StoreError::Failed),
            Err(_) => Err(StoreError::Failed("a thread for passwords has ended".into())),
        }
    }
}

impl Line {
    fn push(&self, job: Job) -> Result<(), StoreError> {
        let mut queue = self.lock();
        if queue.jobs.len() >= self.most {
            return Err(StoreError::Busy);
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.more.notify_one();
        Ok(())
    }

    /// One thread's life.
    fn work(&self) {
        let mut memory = Vec::new();
        let mut queue = self.lock();
        while !queue.is_over {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job(&mut memory);
                queue = self.lock();
                continue;
            }
            let (woken, timed_out) = self.more.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            if timed_out.timed_out() && queue.jobs.is_empty() {
                memory = Vec::new();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(params: Params, password: &Password, salt: &[u8], memory: &mut Vec<Block>) -> Result<[u8; HASH], String> {
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.try_reserve_exact(blocks - memory.len()).map_err(|_| "no memory for a password's hash".to_owned())?;
        memory.resize(blocks, Block::new());
    }
    let mut hash = [0; HASH];
    let argon2 = Argon2::new(Algorithm::Argon2id, VERSION, params);
    let made =
        argon2.hash_password_into_with_memory(password.expose().as_bytes(), salt, &mut hash, &mut memory[..blocks]);
    made.map_err(|error| error.to_string())?;
    Ok(hash)
}

/// As a text that says all that checking needs.
fn phc(params: &Params, salt: &[u8], hash: &[u8]) -> Result<String, String> {
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(VERSION.into()),
        params: ParamsString::try_from(params).map_err(|error| error.to_string())?,
        salt: Some(Salt::new(salt).map_err(|error| error.to_string())?),
        hash: Some(Output::new(hash).map_err(|error| error.to_string())?),
    };
    Ok(hash.to_string())
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("params", &self.params).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn quick(threads: usize, waiting: usize) -> Passwords {
        Passwords::new(&PasswordsConfig { memory: 64, passes: 1, threads, waiting }).unwrap()
    }

    fn password(text: &str) -> Password {
        Password::new(text)
    }

    #[tokio::test]
    async fn what_is_kept_is_argon2id_as_it_is_recommended() {
        let kept = Passwords::default().hash(password("correct horse")).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        // Another implementation finds the same.
        use argon2::password_hash::PasswordVerifier as _;
        let parsed = PasswordHash::from_str(&kept).unwrap();
        Argon2::default().verify_password(b"correct horse", &parsed).unwrap();
        assert!(Argon2::default().verify_password(b"correct horsf", &parsed).is_err());
    }

    #[tokio::test]
    async fn only_the_same_password_passes_and_nobodys_never_does() {
        let passwords = quick(2, 10);
        let kept = passwords.hash(password("pässword")).await.unwrap();
        assert_ne!(kept, passwords.hash(password("pässword")).await.unwrap(), "each has a salt of its own");
        assert!(passwords.verify(password("pässword"), Some(&kept)).await.unwrap());
        for wrong in ["", "p", "Pässword", "pässword ", "pässword\0"] {
            assert!(!passwords.verify(password(wrong), Some(&kept)).await.unwrap(), "{wrong:?}");
            assert!(!passwords.verify(password(wrong), None).await.unwrap());
        }
        // What was kept with other parameters is checked with those.
        let dearer = Passwords::new(&PasswordsConfig { memory: 128, passes: 2, threads: 1, waiting: 1 }).unwrap();
        assert!(dearer.verify(password("pässword"), Some(&kept)).await.unwrap());
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_an_error_and_lets_nobody_in() {
        let passwords = quick(1, 10);
        let kept = passwords.hash(password("x")).await.unwrap();
        for bad in [
            "",
            "x",
            "$2b$10$abcdefghijklmnopqrstuv",
            &kept.replace("argon2id", "argon2i"),
            &kept.replace("v=19", "v=16"),
            &kept.replace("m=64", "m=4000000000"),
            &kept[..kept.len() - 8],
        ] {
            let verified = passwords.verify(password("x"), Some(bad)).await;
            assert!(matches!(verified, Err(StoreError::Failed(_))), "{bad}: {verified:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_user_costs_what_a_known_one_does() {
        let passwords = Passwords::default();
        let kept = passwords.hash(password("correct horse")).await.unwrap();
        let time = async |kept: Option<&str>| {
            let begun = Instant::now();
            passwords.verify(password("wrong"), kept).await.unwrap();
            begun.elapsed()
        };
        // The least of several: what else the machine does comes on top.
        let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
        for _ in 0..8 {
            known = known.min(time(Some(&kept)).await);
            unknown = unknown.min(time(None).await);
        }
        let ratio = unknown.as_secs_f64() / known.as_secs_f64();
        assert!((0.6..1.6).contains(&ratio), "{known:?} and {unknown:?}");
    }

    #[tokio::test]
    async fn the_line_is_bounded_and_who_leaves_gives_up_the_place() {
        let passwords = quick(1, 2);
        // The one thread is held up by a job of ours.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let hold = move |_: &mut Vec<Block>| {
            let _ = began.send(());
            let _ = wait.recv();
        };
        passwords.line.push(Box::new(hold)).unwrap();
        begun.await.unwrap();
        let first = tokio::spawn({
            let passwords = passwords.clone();
            async move { passwords.hash(password("x")).await }
        });
        let second = tokio::spawn({
            let passwords = passwords.clone();
            async move { passwords.verify(password("x"), None).await }
        });
        while passwords.line.lock().jobs.len() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(passwords.hash(password("x")).await, Err(StoreError::Busy)));
        second.abort();
        drop(go);
        assert!(first.await.unwrap().is_ok());
    }
}
