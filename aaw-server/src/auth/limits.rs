//! How often somebody may try.
//!
//! Each address, and each peer, has a bucket of attempts. One that fails takes an attempt out of it, and time puts them
//! back; one that succeeds takes nothing. As many run at once as may still fail, so nobody gets more guesses by making
//! them at the same moment; others wait for one of these to end.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::config::Rate;

/// Buckets of one generation. Two generations are kept: whoever wants another's bucket forgotten has to fill one and then
/// another, at the rate at which they may try.
const GENERATION: usize = 32 << 10;

/// Buckets of one kind.
#[derive(Debug)]
pub(super) struct Limit {
    rate: Rate,
    /// Keys are random, so that nobody can find two addresses that share a bucket.
    hasher: RandomState,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    young: HashMap<u64, Arc<Bucket>>,
    old: HashMap<u64, Arc<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    state: Mutex<State>,
    /// Told, one at a time, when an attempt has ended.
    ended: Notify,
}

#[derive(Debug)]
struct State {
    /// What is left of the burst.
    left: f64,
    at: Instant,
    running: u32,
}

/// No more for now: one will be possible after this long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TooMany(pub(super) Duration);

/// An attempt that runs. Dropped, it has failed, whatever the reason: who hangs up has tried all the same.
#[derive(Debug)]
pub(super) struct Attempt {
    bucket: Arc<Bucket>,
    counts: bool,
}

impl Limit {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, hasher: RandomState::new(), buckets: Mutex::default() }
    }

    /// One more attempt, at once or when others have ended.
    pub(super) async fn attempt(&self, key: impl Hash) -> Result<Attempt, TooMany> {
        let bucket = self.bucket(self.hasher.hash_one(key));
        loop {
            let ended = bucket.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(attempt) = bucket.begin(Instant::now()) {
                return attempt.map(|()| Attempt { bucket: Arc::clone(&bucket), counts: true });
            }
            ended.await;
        }
    }

    fn bucket(&self, key: u64) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { young, old } = &mut *buckets;
        if let Some(bucket) = young.get(&key) {
            return Arc::clone(bucket);
        }
        if young.len() >= GENERATION {
            *old = std::mem::take(young);
        }
        let bucket = old.remove(&key).unwrap_or_else(|| Arc::new(Bucket::new(self.rate, Instant::now())));
        young.insert(key, Arc::clone(&bucket));
        bucket
    }
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Self {
        let state = State { left: f64::from(rate.burst.max(1)), at: now, running: 0 };
        Self { rate, state: Mutex::new(state), ended: Notify::new() }
    }

    /// Begins an attempt, or says how long none is possible. Nothing if one may be once another has ended.
    fn begin(&self, now: Instant) -> Option<Result<(), TooMany>> {
        let mut state = self.refilled(now);
        let free = state.left - f64::from(state.running);
        let begun = if free >= 1.0 {
            state.running += 1;
            Some(Ok(()))
        } else if state.running == 0 {
            let missing = 1.0 - state.left;
            Some(Err(TooMany(
                Duration::try_from_secs_f64(missing * self.rate.every.as_secs_f64()).unwrap_or(Duration::MAX),
            )))
        } else {
            None
        };
        drop(state);
        // Another who waits may find the same, or room for one more.
        if begun.is_some() {
            self.ended.notify_one();
        }
        begun
    }

    fn end(&self, now: Instant, counts: bool) {
        let mut state = self.refilled(now);
        state.running = state.running.saturating_sub(1);
        if counts {
            state.left = (state.left - 1.0).max(0.0);
        }
        drop(state);
        self.ended.notify_one();
    }

    /// With what time has put back.
    fn refilled(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let every = self.rate.every.as_secs_f64().max(f64::MIN_POSITIVE);
        let passed = now.saturating_duration_since(state.at).as_secs_f64();
        state.left = (state.left + passed / every).min(f64::from(self.rate.burst.max(1)));
        state.at = state.at.max(now);
        state
    }
}

impl Attempt {
    /// It has succeeded, or did not come to anything by nobody's fault: it does not count.
    pub(super) fn forgive(mut self) {
        self.counts = false;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.bucket.end(Instant::now(), self.counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::new(2, Duration::from_secs(10));

    #[test]
    fn what_fails_takes_attempts_and_time_puts_them_back() {
        let now = Instant::now();
        let bucket = Bucket::new(RATE, now);
        for _ in 0..2 {
            assert_eq!(bucket.begin(now), Some(Ok(())));
            bucket.end(now, true);
        }
        assert_eq!(bucket.begin(now), Some(Err(TooMany(Duration::from_secs(10)))));
        let later = now + Duration::from_secs(4);
        assert!(matches!(bucket.begin(later), Some(Err(TooMany(left))) if left.as_secs_f64().round() == 6.0));
        assert_eq!(bucket.begin(now + Duration::from_secs(11)), Some(Ok(())));
    }

    #[test]
    fn what_succeeds_takes_nothing() {
        let now = Instant::now();
        let bucket = Bucket::new(RATE, now);
        for _ in 0..100 {
            assert_eq!(bucket.begin(now), Some(Ok(())));
            bucket.end(now, false);
        }
    }

    #[test]
    fn no_more_run_at_once_than_may_fail() {
        let now = Instant::now();
        let bucket = Bucket::new(RATE, now);
        assert_eq!((bucket.begin(now), bucket.begin(now)), (Some(Ok(())), Some(Ok(()))));
        assert_eq!(bucket.begin(now), None, "it waits");
        bucket.end(now, false);
        assert_eq!(bucket.begin(now), Some(Ok(())));
        bucket.end(now, true);
        assert_eq!(bucket.begin(now), None);
        bucket.end(now, true);
        assert!(matches!(bucket.begin(now), Some(Err(_))));
    }

    #[tokio::test]
    async fn those_who_wait_go_on_when_others_end_however_that_is() {
        let limit = Arc::new(Limit::new(RATE));
        let running = [limit.attempt("a").await.unwrap(), limit.attempt("a").await.unwrap()];
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let limit = Arc::clone(&limit);
                tokio::spawn(async move { limit.attempt("a").await.map(Attempt::forgive) })
            })
            .collect();
        tokio::task::yield_now().await;
        let [first, second] = running;
        first.forgive();
        drop(second);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Ok(()));
        }
        // One failure is left, for whoever takes it.
        drop(limit.attempt("a").await.unwrap());
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let limit = Arc::clone(&limit);
                tokio::spawn(async move { limit.attempt("a").await.is_err() })
            })
            .collect();
        for waiting in waiting {
            assert!(waiting.await.unwrap());
        }
    }

    #[tokio::test]
    async fn each_has_a_bucket_of_its_own_and_there_are_only_so_many() {
        let limit = Limit::new(RATE);
        for _ in 0..2 {
            drop(limit.attempt("a").await.unwrap());
        }
        assert!(limit.attempt("a").await.is_err());
        limit.attempt("b").await.unwrap().forgive();
        for n in 0..3 * GENERATION {
            limit.attempt(n).await.unwrap().forgive();
            // Who is asked about is not forgotten.
            if n % GENERATION == 0 {
                assert!(limit.attempt("a").await.is_err());
            }
        }
        let buckets = limit.buckets.lock().unwrap();
        assert!(buckets.young.len() + buckets.old.len() <= 2 * GENERATION);
    }
}
