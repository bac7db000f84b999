//! Limits the rate of log-in attempts and similar requests.
//!
//! Each key (an e-mail address, a client's network, or both) has a bucket of attempts. A failed attempt takes one out of
//! the bucket, which refills over time; a successful attempt takes nothing. Only as many attempts run concurrently as
//! may still fail, so that a client gains no extra guesses by making them in parallel; further ones wait until one
//! ends.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::config::RateLimit;
use super::generations::Generations;

/// The maximum number of buckets in one generation. Two generations are kept. A full bucket is that of a key that was never
/// used, so it is dropped before any other. To make the limiter forget a bucket that is not full, an attacker has to fill one
/// generation and then another with attempts that failed lately. Of the networks of one IPv6 site, too few can fail in that
/// time: [the site](super::network_limits) is limited as well.
const GENERATION_SIZE: usize = 32 << 10;

/// Limits the attempts for each key by the same rate.
#[derive(Debug)]
pub(super) struct AttemptLimiter {
    rate: CurrentRate,
    /// Randomly seeded, so that an attacker cannot find two keys that share a bucket.
    hasher: RandomState,
    /// By the hash of their keys.
    buckets: Mutex<Generations<Arc<AttemptBucket>>>,
}

/// The rate of a limiter, which its buckets share.
type CurrentRate = Arc<ArcSwap<RateLimit>>;

#[derive(Debug)]
struct AttemptBucket {
    rate: CurrentRate,
    state: Mutex<BucketState>,
    /// Wakes one waiting attempt at a time when a running one has ended.
    ended: Notify,
}

#[derive(Debug)]
struct BucketState {
    /// The attempts that may still fail, including those that run.
    remaining: f64,
    /// What a full bucket holds.
    burst: u32,
    updated_at: Instant,
    running: u32,
}

/// The rate limit is exceeded; the next attempt is possible after this time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RateLimited(pub(super) Duration);

/// A running attempt. Dropping it counts it as failed, for whatever reason it is dropped: an attempt whose client
/// disconnects counts too. One that is only [reserved](AttemptLimiter::reserve) does not count.
#[derive(Debug)]
pub(super) struct AttemptGuard {
    bucket: Arc<AttemptBucket>,
    end: AttemptEnd,
}

/// An attempt that has counted when it began.
#[derive(Debug)]
pub(super) struct CountedAttempt(Arc<AttemptBucket>);

/// What the end of an attempt does to its bucket.
#[derive(Debug, Clone, Copy)]
enum AttemptEnd {
    Counts,
    DoesNotCount,
    /// Fills the bucket.
    Resets,
}

impl AttemptLimiter {
    pub(super) fn new(rate: RateLimit) -> Self {
        let buckets = Generations::new(GENERATION_SIZE, AttemptBucket::is_needed);
        Self { rate: current(rate), hasher: RandomState::new(), buckets: Mutex::new(buckets) }
    }

    /// Changes the rate, also of the keys that are known: what has failed of theirs counts as before.
    pub(super) fn set_rate(&self, rate: RateLimit) {
        self.rate.store(Arc::new(rate));
    }

    /// Like [`reserve`](Self::reserve), and starts the attempt.
    #[cfg(test)]
    pub(super) async fn attempt(&self, key: impl Hash) -> Result<AttemptGuard, RateLimited> {
        self.reserve(key).await.map(AttemptGuard::start)
    }

    /// Begins an attempt, if necessary after running ones have ended. Fails at once if the rate limit is exceeded. It may wait
    /// for something else before it [starts](AttemptGuard::start), and does not count if it is dropped until then.
    pub(super) async fn reserve(&self, key: impl Hash) -> Result<AttemptGuard, RateLimited> {
        let bucket = self.bucket(self.hasher.hash_one(key));
        loop {
            let ended = bucket.ended.notified();
            tokio::pin!(ended);
            // Registered before the bucket is checked, so that no wake-up is lost in between.
            ended.as_mut().enable();
            if let Some(attempt) = bucket.try_start(Instant::now()) {
                return attempt.map(|()| AttemptGuard { bucket: Arc::clone(&bucket), end: AttemptEnd::DoesNotCount });
            }
            ended.await;
        }
    }

    /// Counts an attempt at once, whatever its result will be.
    #[cfg(test)]
    pub(super) async fn count(&self, key: impl Hash) -> Result<CountedAttempt, RateLimited> {
        self.reserve(key).await.map(AttemptGuard::count)
    }

    fn bucket(&self, key: u64) -> Arc<AttemptBucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            buckets.get_or_insert_with(key, || Arc::new(AttemptBucket::new(Arc::clone(&self.rate), Instant::now()))),
        )
    }
}

impl AttemptBucket {
    fn new(rate: CurrentRate, now: Instant) -> Self {
        let burst = rate.load().burst.max(1);
        let state = BucketState { remaining: f64::from(burst), burst, updated_at: now, running: 0 };
        Self { rate, state: Mutex::new(state), ended: Notify::new() }
    }

    /// Starts an attempt, or returns how long to wait until one is possible. `None` if the result depends on attempts
    /// that still run.
    fn try_start(&self, now: Instant) -> Option<Result<(), RateLimited>> {
        let mut state = self.refilled(now);
        let free = state.remaining - f64::from(state.running);
        let result = if free >= 1.0 {
            state.running += 1;
            Some(Ok(()))
        } else if state.running == 0 {
            let missing = 1.0 - state.remaining;
            let wait = Duration::try_from_secs_f64(missing * self.rate.load().refill_interval.as_secs_f64());
            Some(Err(RateLimited(wait.unwrap_or(Duration::MAX))))
        } else {
            None
        };
        drop(state);
        // The next waiting attempt may get the same result, or start as well.
        if result.is_some() {
            self.ended.notify_one();
        }
        result
    }

    /// Whether the bucket differs from a new one, or is about to.
    fn is_needed(self: &Arc<Self>) -> bool {
        let state = self.refilled(Instant::now());
        let is_full = state.remaining >= f64::from(state.burst);
        !is_full || state.running > 0 || Arc::strong_count(self) > 1
    }

    fn end(&self, now: Instant, end: AttemptEnd) {
        let mut state = self.refilled(now);
        state.running = state.running.saturating_sub(1);
        match end {
            AttemptEnd::Counts => state.remaining = (state.remaining - 1.0).max(0.0),
            AttemptEnd::DoesNotCount => {}
            AttemptEnd::Resets => state.remaining = f64::from(state.burst),
        }
        drop(state);
        self.ended.notify_one();
    }

    /// Locks the state and refills the bucket for the time that has passed.
    fn refilled(&self, now: Instant) -> MutexGuard<'_, BucketState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = **self.rate.load();
        let burst = rate.burst.max(1);
        // After a change, as many are missing as before.
        state.remaining = (state.remaining + f64::from(burst) - f64::from(state.burst)).max(0.0);
        state.burst = burst;
        let interval = rate.refill_interval.as_secs_f64().max(f64::MIN_POSITIVE);
        let passed = now.saturating_duration_since(state.updated_at).as_secs_f64();
        state.remaining = (state.remaining + passed / interval).min(f64::from(burst));
        state.updated_at = state.updated_at.max(now);
        state
    }
}

fn current(rate: RateLimit) -> CurrentRate {
    Arc::new(ArcSwap::from_pointee(rate))
}

impl AttemptGuard {
    /// Lets the attempt count when it is dropped.
    pub(super) fn start(mut self) -> Self {
        self.end = AttemptEnd::Counts;
        self
    }

    /// Counts the attempt at once, whatever its result will be.
    pub(super) fn count(self) -> CountedAttempt {
        CountedAttempt(Arc::clone(&self.start().bucket))
    }

    /// Ends the attempt without counting it: it has succeeded, or failed for a reason that is not the client's.
    pub(super) fn refund(mut self) {
        self.end = AttemptEnd::DoesNotCount;
    }

    /// Ends the attempt without counting it, and forgets those that have failed.
    pub(super) fn reset(mut self) {
        self.end = AttemptEnd::Resets;
    }
}

impl CountedAttempt {
    /// Takes the count back: what was attempted did not happen, for a reason that is not the client's.
    pub(super) fn refund(self) {
        let mut state = self.0.refilled(Instant::now());
        state.remaining = (state.remaining + 1.0).min(f64::from(state.burst));
        drop(state);
        self.0.ended.notify_one();
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        self.bucket.end(Instant::now(), self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: RateLimit = RateLimit::new(2, Duration::from_secs(10));

    #[test]
    fn failed_attempts_use_up_the_bucket_and_time_refills_it() {
        let now = Instant::now();
        let bucket = AttemptBucket::new(current(RATE), now);
        for _ in 0..2 {
            assert_eq!(bucket.try_start(now), Some(Ok(())));
            bucket.end(now, AttemptEnd::Counts);
        }
        assert_eq!(bucket.try_start(now), Some(Err(RateLimited(Duration::from_secs(10)))));
        let later = now + Duration::from_secs(4);
        assert!(matches!(bucket.try_start(later), Some(Err(RateLimited(left))) if left.as_secs_f64().round() == 6.0));
        assert_eq!(bucket.try_start(now + Duration::from_secs(11)), Some(Ok(())));
    }

    #[test]
    fn successful_attempts_do_not_count() {
        let now = Instant::now();
        let bucket = AttemptBucket::new(current(RATE), now);
        for _ in 0..100 {
            assert_eq!(bucket.try_start(now), Some(Ok(())));
            bucket.end(now, AttemptEnd::DoesNotCount);
        }
    }

    #[test]
    fn only_as_many_attempts_run_as_may_still_fail() {
        let now = Instant::now();
        let bucket = AttemptBucket::new(current(RATE), now);
        assert_eq!((bucket.try_start(now), bucket.try_start(now)), (Some(Ok(())), Some(Ok(()))));
        assert_eq!(bucket.try_start(now), None, "the attempt has to wait");
        bucket.end(now, AttemptEnd::DoesNotCount);
        assert_eq!(bucket.try_start(now), Some(Ok(())));
        bucket.end(now, AttemptEnd::Counts);
        assert_eq!(bucket.try_start(now), None);
        bucket.end(now, AttemptEnd::Counts);
        assert!(matches!(bucket.try_start(now), Some(Err(_))));
    }

    #[test]
    fn a_changed_rate_applies_to_known_keys_and_what_has_failed_counts_as_before() {
        let rate = |burst, seconds| RateLimit::new(burst, Duration::from_secs(seconds));
        let limit = AttemptLimiter::new(rate(100, 1000));
        let (bucket, now) = (limit.bucket(1), Instant::now());
        let fail = |now| {
            let started = bucket.try_start(now).expect("none runs");
            started.inspect(|()| bucket.end(now, AttemptEnd::Counts))
        };
        let failures = |now| (0..1000).take_while(|_| fail(now).is_ok()).count();
        for _ in 0..50 {
            fail(now).unwrap();
        }
        limit.set_rate(rate(60, 10));
        assert_eq!(failures(now), 10, "fifty of sixty have failed");
        assert!(matches!(fail(now), Err(RateLimited(wait)) if wait == Duration::from_secs(10)));
        limit.set_rate(rate(5, 20));
        assert_eq!(failures(now), 0);
        assert_eq!(failures(now + Duration::from_secs(20)), 1);
        let now = now + Duration::from_secs(20);
        limit.set_rate(rate(8, 20));
        assert_eq!(failures(now), 3);
        assert_eq!(limit.bucket(2).refilled(now).remaining, 8.0, "of a new key");
    }

    #[tokio::test]
    async fn waiting_attempts_proceed_when_running_ones_end() {
        let limit = Arc::new(AttemptLimiter::new(RATE));
        let running = [limit.attempt("a").await.unwrap(), limit.attempt("a").await.unwrap()];
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let limit = Arc::clone(&limit);
                tokio::spawn(async move { limit.attempt("a").await.map(AttemptGuard::refund) })
            })
            .collect();
        tokio::task::yield_now().await;
        let [first, second] = running;
        first.refund();
        drop(second);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), Ok(()));
        }
        // One attempt may still fail; this one uses it up.
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
    async fn each_key_has_its_own_bucket_and_their_number_is_bounded() {
        let limit = AttemptLimiter::new(RATE);
        for _ in 0..2 {
            drop(limit.attempt("a").await.unwrap());
        }
        assert!(limit.attempt("a").await.is_err());
        limit.attempt("b").await.unwrap().refund();
        for n in 0..3 * GENERATION_SIZE {
            limit.attempt(n).await.unwrap().refund();
            // A bucket that is in use is not forgotten.
            if n % GENERATION_SIZE == 0 {
                assert!(limit.attempt("a").await.is_err());
            }
        }
        assert!(limit.buckets.lock().unwrap().len() <= 2 * GENERATION_SIZE);
    }

    #[tokio::test]
    async fn attempts_that_do_not_count_make_the_limiter_forget_no_bucket() {
        let limit = AttemptLimiter::new(RateLimit::new(2, Duration::from_secs(1000)));
        for _ in 0..2 {
            drop(limit.attempt("a").await.unwrap());
        }
        for n in 0..5 * GENERATION_SIZE {
            limit.attempt(n).await.unwrap().refund();
        }
        assert!(limit.attempt("a").await.is_err());
        assert!(limit.buckets.lock().unwrap().len() <= GENERATION_SIZE);
    }

    #[tokio::test]
    async fn a_reserved_attempt_counts_once_it_starts_and_a_counted_one_can_be_refunded() {
        let limit = AttemptLimiter::new(RateLimit::new(1, Duration::from_secs(1000)));
        for _ in 0..3 {
            drop(limit.reserve("a").await.unwrap());
        }
        for _ in 0..3 {
            limit.count("a").await.unwrap().refund();
        }
        drop(limit.reserve("a").await.unwrap().start());
        assert!(limit.reserve("a").await.is_err());
        limit.count("b").await.unwrap();
        assert!(limit.count("b").await.is_err());
    }
}
